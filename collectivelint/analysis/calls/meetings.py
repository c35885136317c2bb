"""Synchronisation points of a function: its synchronous collectives, in order with its uses of paths."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..domain.symbol import WORLD
from ..summary.observed import Meeting
from .options import literals, truth_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from ..domain.symbol import Symbol
    from ..domain.value import Value
    from ..summary.facts import FunctionFacts
    from ..transfer.state import Frame

#: A function keeps so many at most.
_MOST: Final = 200
_WHOLE: Final = slice(None)
#: Kinds of symbols that are different groups if they are different.
_TOLD_APART: Final = frozenset({"name", "parameter", "place", "global"})


def meet(frame: Frame, group: Symbol) -> None:
    """Record that all ranks of a group synchronise here."""
    _add(frame, Meeting(group, doubts(frame, frame.conditions)))


def meet_in_both(frame: Frame, start: int, middle: int) -> None:
    """Record groups that synchronise in both arms of a condition; the arms' meetings begin at `start` and `middle`."""
    then, orelse = frame.facts.meetings[start:middle], frame.facts.meetings[middle:]
    for group in {meeting.group: None for meeting in then}:
        if any(other.group is group for other in orelse):
            meet(frame, group)


def meet_in_call(
    frame: Frame,
    callee: FunctionFacts,
    arguments: Mapping[str, Symbol],
    values: Mapping[str, Value],
    part: slice = _WHOLE,
) -> list[int]:
    """Record the callee's synchronisation points, or a `part` of them.

    Returns a list: entry i is the number of meetings recorded in the caller after the first i of the callee's.
    """
    counts = [len(frame.facts.meetings)]
    for meeting in callee.meetings[part]:
        given = values.get(meeting.group.parameter or "")
        group = given.group_key if given is not None else meeting.group.substitute(arguments)
        when = [condition.substitute(arguments) for condition in meeting.when if _is_flag(condition)]
        if not any(truth_of(condition) is False for condition in when):
            _add(frame, Meeting(group, doubts(frame, (*frame.conditions, *when))), once=not callee.paths)
        counts.append(len(frame.facts.meetings))
    return counts


def _add(frame: Frame, meeting: Meeting, *, once: bool = True) -> None:
    """Add a meeting; with `once`, only if no meeting since the last use of a path already covers it."""
    meetings, around = frame.facts.meetings, tuple(frame.conditions)
    known = zip(meetings[frame.last_use :], frame.facts.met_in[frame.last_use :], strict=True)
    if len(meetings) < _MOST and not (
        once and any(_covers(other, meeting) and set(arm) <= set(around) for other, arm in known)
    ):
        meetings.append(meeting)
        frame.facts.met_in.append(around)
    if not once:
        frame.last_use = len(meetings)


def _covers(known: Meeting, other: Meeting) -> bool:
    """Whether one meeting synchronises the ranks wherever the other one does."""
    return known.group is other.group and all(condition in other.when for condition in known.when)


def doubts(frame: Frame, conditions: Iterable[Symbol]) -> tuple[Symbol, ...]:
    """The conditions that may be false in a run on several ranks: flags and counts, judged by their names."""
    words = frame.context.catalog.several_words
    found = (part for condition in conditions for part in literals(condition) if _is_doubtful(part, words))
    return tuple(dict.fromkeys(found))


def _is_doubtful(condition: Symbol, words: Collection[str]) -> bool:
    """Whether a condition is a flag or a count that has none of the words for several ranks in its names."""
    return truth_of(condition) is not True and all(
        part.kind in _PLAIN and not _says(part, words) for part in condition.walk()
    )


def _is_flag(condition: Symbol) -> bool:
    """Whether a condition consists of parameters and constants alone, without attributes of objects."""
    return all(part.kind in ("parameter", "constant", "compare", "not") for part in condition.walk())


#: What a flag or a count is written with.
_PLAIN: Final = frozenset(
    {"parameter", "attribute", "place", "global", "name", "constant", "compare", "not", "compound"}
)


def _says(symbol: Symbol, words: Collection[str]) -> bool:
    return any(word in text for text in _names(symbol) for word in words)


def _names(symbol: Symbol) -> Iterator[str]:
    if symbol.kind == "place":
        yield str(symbol.head[0]).lower()
    elif symbol.kind in ("parameter", "attribute", "global", "name"):
        yield str(symbol.head[-1]).lower()


def is_for(met: Symbol, group: Symbol) -> bool:
    """Whether a collective on the group `met` may also synchronise all ranks of `group`."""
    if met in (group, WORLD):
        return True
    # Attributes of objects, and the groups of frameworks, may be one group under several names.
    return not {met.kind, group.kind} <= _TOLD_APART
