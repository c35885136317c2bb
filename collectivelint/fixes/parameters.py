"""Adding a keyword parameter to a function without disturbing how its signature is laid out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import libcst as cst

from .world import prefixes

if TYPE_CHECKING:
    from ..analysis.program import Analysis
    from ..ir.nodes import Function

_ONE: Final = cst.SimpleWhitespace(" ")


def with_parameter(function: cst.FunctionDef, name: str, annotation: str) -> cst.FunctionDef:
    """The function with `*, name=None`, or one more behind the star that it has; `annotation` may be empty."""
    params = function.params
    spaced = _ONE if annotation else cst.SimpleWhitespace("")
    new = cst.Param(
        cst.Name(name),
        annotation=cst.Annotation(cst.SimpleString(f'"{annotation}"')) if annotation else None,
        default=cst.Name("None"),
        equal=cst.AssignEqual(spaced, spaced),
    )
    gap = _gap(function)
    before: list[cst.Param] = [*params.posonly_params, *params.params]
    kwonly = list(params.kwonly_params)
    star = params.star_arg
    has_star = bool(kwonly) or isinstance(star, (cst.Param, cst.ParamStar))
    ends = params.star_kwarg is None
    last = kwonly[-1] if kwonly else star if isinstance(star, cst.Param) else before[-1] if before else None
    changes: dict[str, object] = {}
    if not has_star and not params.params and isinstance(params.posonly_ind, cst.ParamSlash):
        # The slash is what stands last.
        slash = params.posonly_ind
        if ends and isinstance(slash.comma, cst.Comma):
            new = new.with_changes(comma=slash.comma)
        changes["posonly_ind"] = slash.with_changes(comma=cst.Comma(whitespace_after=gap))
        last = None
    if ends and last is not None:
        # What stood between the last parameter and the parenthesis stands behind the new one.
        if isinstance(last.comma, cst.Comma):
            new = new.with_changes(comma=last.comma)
        else:
            new = new.with_changes(whitespace_after_param=last.whitespace_after_param)
        last = last.with_changes(comma=cst.Comma(whitespace_after=gap), whitespace_after_param=cst.SimpleWhitespace(""))
    elif not ends:
        new = new.with_changes(comma=cst.Comma(whitespace_after=gap))
    if kwonly:
        kwonly[-1] = last if last is not None else kwonly[-1]
    elif isinstance(star, cst.Param) and last is not None:
        changes["star_arg"] = last
    elif last is not None:
        if params.params:
            changes["params"] = [*params.params[:-1], last]
        else:
            changes["posonly_params"] = [*params.posonly_params[:-1], last]
    if not has_star:
        changes["star_arg"] = cst.ParamStar(comma=cst.Comma(whitespace_after=gap))
    changes["kwonly_params"] = [*kwonly, new]
    return function.with_changes(params=params.with_changes(**changes))


def _gap(function: cst.FunctionDef) -> cst.BaseParenthesizableWhitespace:
    """The white space between parameters: a new line where they stand on lines of their own."""
    params = function.params
    every = [*params.posonly_params, *params.params, *params.kwonly_params]
    commas = [param.comma.whitespace_after for param in every[:-1] if isinstance(param.comma, cst.Comma)]
    for space in (*commas, function.whitespace_before_params):
        if isinstance(space, cst.ParenthesizedWhitespace):
            return space.with_changes(
                first_line=space.first_line.with_changes(comment=None, whitespace=cst.SimpleWhitespace("")),
                empty_lines=[],
            )
    return _ONE


def annotation_of_group(analysis: Analysis, function: Function) -> str:
    """The type of a parameter that is a group, in a file that has types and a name for torch.distributed."""
    if not any(item.annotation is not None for item in function.params):
        return ""
    found: list[str] = []
    for prefix in prefixes(analysis, function.path):
        name = f"{prefix}.ProcessGroup" if prefix else "ProcessGroup"
        target = analysis.program.resolve(function.path, name)
        if target is not None and analysis.catalog.classes.get(target.name) == "group":
            found.append(f"{name} | None")
    return min(found, key=len, default="")
