"""`--show-analysis`: the analysis of one function as text, to see why there is a finding in it, or none."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Final, NamedTuple

from ..analysis.domain.causes import LOCAL
from ..analysis.domain.show import group_words
from ..analysis.domain.symbol import name as named
from ..analysis.domain.value import LOCAL_AXIS
from ..analysis.effects import Choice, Event, Leave, Repeat, fold
from ..findings.conditions import in_words
from ..program.target import Target
from ..spelling import near_words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ..analysis.domain.causes import Cause
    from ..analysis.domain.symbol import Symbol
    from ..analysis.effects import Guard, Item, Term
    from ..analysis.program import Analysis
    from ..analysis.summary.facts import FunctionFacts
    from ..ir.nodes import Span

_STEP: Final = "  "
_WHY: Final = {"rank": "reads the rank number", "branch": "set under a condition that differs between ranks"}

#: How axes read that are no groups of a program.
_AXES: Final = {LOCAL_AXIS: "the ranks of a node", named("node"): "the nodes"}


class Explained(NamedTuple):
    """The `texts` for functions of a name, or `similar` names if there are none; and `unreadable` files."""

    texts: list[str]
    similar: list[str]
    unreadable: list[str]


def explain_named(
    analysis: Analysis, qualname: str, asked: Iterable[str], text: Callable[[str, Span], str]
) -> Explained:
    """The analysis of each function of this qualified name, or of one that ends with it; `asked` are the files to look in."""
    texts: list[str] = []
    others: set[str] = set()
    for path in analysis.paths:
        for name, function in sorted(analysis.program.functions(path).items(), key=lambda item: item[1].span):
            if name != qualname and not name.endswith(f".{qualname}"):
                if not name.endswith(">"):
                    others.add(name)
            elif (facts := analysis.facts(Target("function", path, function.qualname))) is not None:
                texts.append(explain(facts, text))
    unreadable = [
        f"{path}:{problem.line}:{problem.column}: {problem.message}"
        for path in asked
        if (problem := analysis.program.indexes[path].problem) is not None
    ]
    return Explained(texts, [] if texts else near_words(qualname, others, 3), unreadable)


def explain(facts: FunctionFacts, text: Callable[[str, Span], str]) -> str:
    """The collectives of a function in order, its values that differ between ranks, and what could not be followed.

    `text` gives the source of a span of a file.
    """
    function = facts.function
    lines = [f"{function.path}:{function.span.line}: {function.qualname}", "", "Collectives, in order:"]
    lines += _lines(facts.term, text, function.path) or [f"{_STEP}none"]
    differing = {
        name: value for name, value in facts.variables.items() if value.uniformity.varies and not name.startswith("<")
    }
    lines += ["", "Values that differ between ranks:"]
    lines += [
        f"{_STEP}{name}: over {axes(value.uniformity.varies)}; {'; '.join(_cause(cause) for cause in value.uniformity.causes) or 'by its name'}"
        for name, value in differing.items()
    ] or [f"{_STEP}none"]
    if facts.returns is not None and facts.returns.uniformity.varies:
        lines.append(f"{_STEP}return value: over {axes(facts.returns.uniformity.varies)}")
    lines += ["", "Calls that could not be followed:"]
    lines += [f"{_STEP}line {span.line}: {name}" for name, span in facts.unresolved] or [f"{_STEP}none"]
    return "\n".join(lines) + "\n"


def _lines(term: Term, text: Callable[[str, Span], str], path: str) -> list[str]:
    """The items of a term, those inside others indented."""

    def lines(item: Item, inner: tuple[list[str], ...]) -> list[str]:
        match item:
            case Event():
                way = "".join(f", through {site.callee}" for site in item.chain)
                site = item.chain[0] if item.chain else item
                return [f"{_STEP}{_line(site.path, site.span, path)}: {item.op} on {group_words(item.group)}{way}"]
            case Choice(guard=guard, then=then, orelse=orelse):
                differs = f", which differs over {axes(guard.varies)}" if guard.varies else ""
                written = condition(guard, text, holds=bool(then))
                first, second = map(_indented, inner)
                between = [f"{_STEP}else"] if then and orelse else []
                return [f"{_STEP}{_line(guard.path, guard.span, path)}: {written}{differs}", *first, *between, *second]
            case Repeat(trips=trips):
                varies = trips.varies if trips is not None else frozenset()
                turns = f", a number of times that differs over {axes(varies)}" if varies else ""
                return [f"{_STEP}in a loop{turns}", *_indented(inner[0])]
            case Leave(kind=kind):
                return [f"{_STEP}{kind}"]
            case _:
                return []

    return fold(term, lines, lambda results: [*chain.from_iterable(results)])


def _indented(lines: Iterable[str]) -> list[str]:
    return [f"{_STEP}{line}" for line in lines]


def _line(where: str, span: Span, path: str) -> str:
    """A line of the function's own file by its number, one of another with its file."""
    return f"line {span.line}" if where == path else f"{where}:{span.line}"


def condition(guard: Guard, text: Callable[[str, Span], str], *, holds: bool) -> str:
    """`if rank == 0` as written, for the arm in which the guard holds or the other one."""
    if guard.subject is not None or guard.symbol.kind in ("caught", "override", "turns"):
        return f"if {in_words(guard, text, holds=holds)}"
    written = text(guard.path, guard.span)
    holds = holds == guard.positive
    if written.startswith("not ") and not holds and " and " not in written and " or " not in written:
        written, holds = written[4:], True
    return f"if {'' if holds else 'not '}`{written}`"


def axes(varies: frozenset[Symbol]) -> str:
    """The groups over which something varies, in words, without duplicates."""
    return ", ".join(sorted({_AXES.get(axis) or group_words(axis) for axis in varies}))


def _cause(cause: Cause) -> str:
    why = _WHY.get(cause.kind) or LOCAL.get(cause.kind) or cause.kind
    return f"{why} ({cause.path}:{cause.span.line})"
