"""Adding or replacing an argument of a call without disturbing how the call is laid out."""

from __future__ import annotations

import libcst as cst


def with_keyword(call: cst.Call, name: str, value: cst.BaseExpression) -> cst.Call:
    """The call with `name=value` as its last argument; layout and a trailing comma are kept."""
    new = cst.Arg(
        value=value,
        keyword=cst.Name(name),
        equal=cst.AssignEqual(cst.SimpleWhitespace(""), cst.SimpleWhitespace("")),
    )
    if not call.args:
        return call.with_changes(args=[new])
    *_, last = call.args
    if isinstance(last.comma, cst.Comma):
        # The comma that was trailing keeps that place; the one before the new argument looks like its neighbours.
        between = _between(call) or last.comma.with_changes(whitespace_after=call.whitespace_before_args)
        new = new.with_changes(comma=last.comma, whitespace_after_arg=last.whitespace_after_arg)
        last = last.with_changes(comma=between, whitespace_after_arg=cst.SimpleWhitespace(""))
    else:
        between = _between(call) or cst.Comma(whitespace_after=_separator(call))
        new = new.with_changes(whitespace_after_arg=last.whitespace_after_arg)
        last = last.with_changes(comma=between, whitespace_after_arg=cst.SimpleWhitespace(""))
    return call.with_changes(args=[*call.args[:-1], last, new])


def _between(call: cst.Call) -> cst.Comma | None:
    """The comma between the first two arguments."""
    comma = call.args[0].comma
    return comma if len(call.args) > 1 and isinstance(comma, cst.Comma) else None


def _separator(call: cst.Call) -> cst.BaseParenthesizableWhitespace:
    before = call.whitespace_before_args
    return before if isinstance(before, cst.ParenthesizedWhitespace) else cst.SimpleWhitespace(" ")
