"""Adding an argument to a call without disturbing how the call is laid out."""

from __future__ import annotations

from typing import Final, TypeAlias

import libcst as cst

_Space: TypeAlias = cst.BaseParenthesizableWhitespace

_NONE: Final = cst.SimpleWhitespace("")
_ONE: Final = cst.SimpleWhitespace(" ")


def with_keyword(call: cst.Call, name: str, value: cst.BaseExpression) -> cst.Call:
    """The call with `name=value` as its last argument; layout, comments and a trailing comma are kept."""
    new = cst.Arg(value, keyword=cst.Name(name), equal=cst.AssignEqual(_NONE, _NONE))
    if not call.args:
        return call.with_changes(args=[new])
    *before, last = call.args
    if isinstance(last.value, cst.GeneratorExp) and not last.value.lpar:
        # A generator may go without parentheses only while it is alone.
        last = last.with_changes(value=last.value.with_changes(lpar=[cst.LeftParen()], rpar=[cst.RightParen()]))
    trailing = isinstance(last.comma, cst.Comma)
    # What stands between the last argument and the closing parenthesis: it may end the line, with a comment on it.
    tail: _Space = last.comma.whitespace_after if isinstance(last.comma, cst.Comma) else last.whitespace_after_arg
    comma = cst.Comma(whitespace_after=_between(call, tail))
    if isinstance(last.comma, cst.Comma):
        comma = comma.with_changes(whitespace_before=last.comma.whitespace_before)
    last = last.with_changes(comma=comma, whitespace_after_arg=_NONE)
    end = _without_comment(tail)
    new = (
        new.with_changes(comma=cst.Comma(whitespace_after=end))
        if trailing
        else new.with_changes(whitespace_after_arg=end)
    )
    return call.with_changes(args=[*before, last, new])


def argument(call: cst.Call, name: str, position: int | None) -> cst.Arg | None:
    """The argument for a parameter, by keyword, or by its position among the arguments; None where it is left out."""
    for index, arg in enumerate(call.args):
        if (arg.keyword is not None and arg.keyword.value == name) or (arg.keyword is None and index == position):
            return arg
    return None


def with_argument(call: cst.Call, name: str, position: int | None, value: cst.BaseExpression) -> cst.Call:
    """The call with `value` for this parameter, replacing the argument that it has, if any."""
    given = argument(call, name, position)
    return with_keyword(call, name, value) if given is None else call.with_deep_changes(given, value=value)


def without_keyword(call: cst.Call, name: str) -> cst.Call | None:
    """The call without the keyword argument `name`; None if a comment would be removed with it."""
    given = argument(call, name, None)
    return call if given is None else without(call, given)


def without(call: cst.Call, given: cst.Arg) -> cst.Call | None:
    """The call without this argument; None if a comment would be removed with it."""
    index = call.args.index(given)
    if _has_comment(given.comma) or _has_comment(given.whitespace_after_arg):
        return None
    before, after = call.args[:index], call.args[index + 1 :]
    if before and not after and not (isinstance(before[-1].comma, cst.Comma) and _has_comment(before[-1].comma)):
        before = (
            *before[:-1],
            before[-1].with_changes(comma=given.comma, whitespace_after_arg=given.whitespace_after_arg),
        )
    return call.with_changes(args=[*before, *after])


def _has_comment(part: cst.CSTNode | cst.MaybeSentinel) -> bool:
    return isinstance(part, cst.CSTNode) and "#" in cst.Module([]).code_for_node(part)


def _between(call: cst.Call, tail: _Space) -> _Space:
    """The white space in front of the new argument: a new line where the arguments stand on lines of their own."""
    neighbour = call.args[-2].comma if len(call.args) > 1 else None
    pattern = neighbour.whitespace_after if isinstance(neighbour, cst.Comma) else call.whitespace_before_args
    if isinstance(pattern, cst.ParenthesizedWhitespace):
        pattern = pattern.with_changes(empty_lines=[])
        if isinstance(tail, cst.ParenthesizedWhitespace):
            return pattern.with_changes(first_line=tail.first_line)
        return _without_comment(pattern)
    if isinstance(neighbour, cst.Comma) and not isinstance(tail, cst.ParenthesizedWhitespace):
        return pattern
    if isinstance(tail, cst.ParenthesizedWhitespace) and tail.first_line.comment is not None:
        # The comment ends its line, so the new argument has to begin one.
        return tail
    return _ONE


def _without_comment(space: _Space) -> _Space:
    if isinstance(space, cst.ParenthesizedWhitespace):
        return space.with_changes(first_line=space.first_line.with_changes(whitespace=_NONE, comment=None))
    return space
