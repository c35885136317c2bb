"""`assert condition, message` as an `if` that raises."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING, Final

import libcst as cst

if TYPE_CHECKING:
    from ..findings.anchor import Anchored

#: A header at the left margin, and the white space of the line after it.
_BLOCK: Final = re.compile(r"^(?:def|class|if|for|while|with|try)\b.*:[ \t]*\r?\n([ \t]+)\S", re.MULTILINE)
#: Comparisons with an exact opposite; `<` has none (NaN), and `==` may be overloaded without `!=`.
_OPPOSITE: Final[dict[type[cst.BaseCompOp], cst.BaseCompOp]] = {
    cst.Is: cst.IsNot(),
    cst.IsNot: cst.Is(),
    cst.In: cst.NotIn(),
    cst.NotIn: cst.In(),
}


def as_raise(anchored: Anchored) -> cst.If | None:
    """The `if` for an assert; None for another statement, or an assert that shares its line with other statements."""
    line = anchored.statement
    if not isinstance(line, cst.SimpleStatementLine) or len(line.body) != 1 or not isinstance(line.body[0], cst.Assert):
        return None
    statement = line.body[0]
    if isinstance(statement.test, cst.Tuple):
        return None
    message = statement.msg
    if message is None:
        message = cst.SimpleString(repr(f"does not hold: {_shown(statement.test)}"))
    argument, before = _unwrapped(message)
    raised = cst.Raise(cst.Call(cst.Name("RuntimeError"), [argument], whitespace_before_args=before))
    return cst.If(
        test=_negated(statement.test),
        body=cst.IndentedBlock(
            [cst.SimpleStatementLine([raised])],
            indent=_indent_unit(anchored),
            header=line.trailing_whitespace,
        ),
        leading_lines=line.leading_lines,
    )


def _shown(test: cst.BaseExpression) -> str:
    """The condition on one line, without line continuations and comments."""
    code = cst.Module([]).code_for_node(test)
    return ast.unparse(ast.parse(code.strip() if not test.lpar else code, mode="eval"))


def _unwrapped(message: cst.BaseExpression) -> tuple[cst.Arg, cst.BaseParenthesizableWhitespace]:
    """The message as an argument: its own parentheses become those of the call, line breaks kept."""
    if len(message.lpar) != 1 or isinstance(message, (cst.GeneratorExp, cst.Tuple, cst.Yield, cst.NamedExpr)):
        return cst.Arg(message), cst.SimpleWhitespace("")
    left, right = message.lpar[0], message.rpar[0]
    bare = message.with_changes(lpar=[], rpar=[])
    return cst.Arg(bare, whitespace_after_arg=right.whitespace_before), left.whitespace_after


def _negated(test: cst.BaseExpression) -> cst.BaseExpression:
    match test:
        case cst.UnaryOperation(operator=cst.Not(), expression=expression, lpar=[]):
            return expression
        case cst.Comparison(comparisons=[only], lpar=[]) if type(only.operator) in _OPPOSITE:
            opposite = _OPPOSITE[type(only.operator)]
            return test.with_changes(comparisons=[only.with_changes(operator=opposite)])
    loose = isinstance(test, (cst.BooleanOperation, cst.IfExp, cst.Lambda)) and not test.lpar
    if loose:
        test = test.with_changes(lpar=[cst.LeftParen()], rpar=[cst.RightParen()])
    return cst.UnaryOperation(cst.Not(), test)


def _indent_unit(anchored: Anchored) -> str:
    """One level of the file's indentation: that of its first block."""
    match = _BLOCK.search(anchored.source.text)
    return match.group(1) if match else "    "
