"""Rewrites a call of `torch.distributed` as a method of `GroupOps`, which never falls back to the default group."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Final

import libcst as cst

from ..catalog.operations import GLOBAL_ROOTS
from ..findings.anchor import edit
from ..source.parse import parse
from .arguments import argument, without

if TYPE_CHECKING:
    from ..analysis.program import Analysis
    from ..analysis.summary.model import ApiCall
    from ..finding import Edit
    from ..source.text import Source

_MODULE: Final = "collectivelint.runtime"
_NAME: Final = "GroupOps"


def as_method(analysis: Analysis, call: ApiCall, node: cst.Call, group: cst.BaseExpression) -> cst.Call | None:
    """`dist.broadcast(x, 0)` as `GroupOps(group).broadcast(x, 0)`; None if that may mean something else.

    The root of `GroupOps` is a rank in the group, so only an omitted root or rank 0 is accepted.
    """
    method = analysis.catalog.apis.get(f"{_MODULE}.{_NAME}.{call.api.op}")
    role = call.api.roles.get("group")
    if method is None or role is None:
        return None
    rest = [name for name in call.api.params if name != role and not name.startswith("group_")]
    if rest != list(method.params[1:]) or any(name.startswith("group_") for name in call.values):
        return None
    for name in GLOBAL_ROOTS:
        value = call.values.get(name)
        if name in rest and (value is None and call.api.category == "point_to_point"):
            return None
        if value is not None and value.constant != 0:
            return None
    bound = _bound(analysis, call)
    if bound is None or any(arg.star for arg in node.args):
        return None
    given = argument(node, role, call.api.params.index(role))
    rest_of_it = node if given is None else without(node, given)
    if rest_of_it is None:
        return None
    owner = cst.Call(cst.parse_expression(bound), [cst.Arg(group)])
    return rest_of_it.with_changes(func=cst.Attribute(owner, cst.Name(call.api.op)))


def _bound(analysis: Analysis, call: ApiCall) -> str | None:
    """The name that the class has, or can be imported under, where the call stands."""
    path = call.function.path
    target = analysis.program.resolve(path, _NAME)
    if target is not None and target.name not in (f"{_MODULE}.{_NAME}", f"{_MODULE}.group_ops.{_NAME}"):
        return None
    return None if _NAME in call.local_names or _NAME in dict(call.function.imports) else _NAME


def importing(analysis: Analysis, source: Source, line: int) -> Edit | None:
    """The edit that imports the class: after the imports at the top, which have to end before `line`.

    An empty edit if it is imported already; None if no import can stand before the line.
    """
    if analysis.program.resolve(source.path, _NAME) is not None:
        return edit(source, 0, 0, "")
    last = 0
    for statement in parse(source).body:
        is_text = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
        if isinstance(statement, (ast.Import, ast.ImportFrom)) or (is_text and not last):
            last = statement.end_lineno or statement.lineno
        elif not is_text:
            break
    if last >= line or not last:
        return None
    place = source.starts[last]
    return edit(source, place, place, f"from {_MODULE} import {_NAME}{source.newline}")
