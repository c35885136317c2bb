"""Compare static findings with a run: whether ranks diverged there or made the same calls, and how many."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Literal, TypeAlias

from ..verdict.matching import difference
from ..verdict.wait_graph import Counts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from collectivelint.finding import Finding

    from ..traces.model import Event, Place, StreamKey, Trace

#: "confirmed": a call there was not answered by the other ranks, or not by the same call; "uniform": every call was;
#: "not executed": no rank has been there.
Outcome: TypeAlias = Literal["confirmed", "uniform", "not executed"]


@dataclass(frozen=True, slots=True)
class Confirmation:
    """A finding, its outcome in the run, the number of calls of the group there, and the first call that other ranks did not make."""

    finding: Finding
    outcome: Outcome
    calls: int
    event: Event | None = None
    absent: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Unseen:
    """A call site that ran collectives although the linter knows of none there: a gap in the linter."""

    path: str
    line: int
    function: str
    text: str
    ops: tuple[str, ...]
    calls: int


class Run:
    """The calls of a trace, indexed by call site and by collective."""

    def __init__(self, trace: Trace) -> None:
        """Index the events."""
        self._counts = Counts(trace)
        self._ranks = trace.ranks
        #: Events with the path of the place.
        self._by_place: defaultdict[tuple[str, int], list[tuple[str, Event]]] = defaultdict(list)
        self._met: defaultdict[tuple[StreamKey, int], dict[int, Event]] = defaultdict(dict)
        for rank in trace.ranks.values():
            for event in rank.events:
                if event.kind in ("collective", "create"):
                    for path, line in _sites(event):
                        self._by_place[(PurePath(path).name, line)].append((path, event))
                    self._met[(event.stream, event.sequence)][rank.rank] = event

    def confirm(self, findings: Iterable[Finding]) -> Iterator[Confirmation]:
        """The outcome of each finding, in the given order."""
        for finding in findings:
            events = list(self._of(finding))
            calls = {(event.stream, event.sequence) for event in events}
            wrong = [(event, absent) for event in events if (absent := self._unanswered(event))]
            if wrong:
                event, absent = min(wrong, key=lambda item: item[0].start)
                yield Confirmation(finding, "confirmed", len(calls), event, absent)
            else:
                yield Confirmation(finding, "uniform" if events else "not executed", len(calls))

    def _of(self, finding: Finding) -> Iterator[Event]:
        """The calls that a finding is about: made at the end of its trail, with a stack through the finding's line."""
        ends = [step for step in finding.trail if step.kind == "collective"]
        path, line = (ends[-1].path, ends[-1].line) if ends else (finding.path, finding.location.row)
        through = None if (path, line) == (finding.path, finding.location.row) else finding
        for made, event in self._by_place.get((PurePath(path).name, line), ()):
            if is_same_file(path, made) and (through is None or _is_through(event, through)):
                yield event

    def _unanswered(self, event: Event) -> tuple[int, ...]:
        """The members of the group that did not make this call, or made another one."""
        met = self._met[(event.stream, event.sequence)]
        found = []
        for member in event.group.ranks:
            if member not in self._ranks:
                continue
            other = met.get(member)
            if other is None:
                # What the record has moved past is still counted; after its end nobody knows.
                if self._ranks[member].end != "untraced" and not self._counts.has(member, event):
                    found.append(member)
            elif difference([event, other]):
                found.append(member)
        return tuple(found)

    def is_in(self, files: Iterable[str]) -> bool:
        """Whether a call of the run was made in one of these files."""
        made = {path for calls in self._by_place.values() for path, _ in calls}
        return any(is_same_file(file, path) for file in files for path in made)

    def unseen(self, known: Mapping[str, set[int]]) -> list[Unseen]:
        """Call sites in the files of `known` that are not among its lines, the most calls first."""
        counts: Counter[tuple[str, int]] = Counter()
        ops: defaultdict[tuple[str, int], set[str]] = defaultdict(set)
        some: dict[tuple[str, int], Event] = {}
        for (_, line), events in self._by_place.items():
            for made, event in events:
                path = next((path for path in known if is_same_file(path, made)), None)
                if path is not None and line not in known[path]:
                    counts[(path, line)] += 1
                    ops[(path, line)].add(event.op)
                    some[(path, line)] = event
        found = []
        for (path, line), count in counts.most_common():
            function, text = _described(some[(path, line)].place, line)
            found.append(Unseen(path, line, function, text, tuple(sorted(ops[(path, line)])), count))
        return found


def _sites(event: Event) -> Iterator[tuple[str, int]]:
    """Path and line of the call site, and of the library frame that made the call: a finding may be about either."""
    place = event.place
    yield place.path, place.line
    for frame in place.via[:1]:
        path, _, line = frame.partition(" ")[0].rpartition(":")
        if line.isdecimal():
            yield path, int(line[:10])


def _described(place: Place, line: int) -> tuple[str, str]:
    """The function and the source text of a call site."""
    frames = [frame for frame in (*place.stack[:1], *place.via[:1]) if frame.partition(" ")[0].endswith(f":{line}")]
    function, _, text = frames[0].partition(" ")[2].partition(": ") if frames else (place.function, "", "")
    return function, text


def _is_through(event: Event, finding: Finding) -> bool:
    """Whether the call's stack goes through the finding's line."""
    for frame in event.place.via + event.place.stack:
        where = frame.partition(" ")[0]
        path, _, line = where.rpartition(":")
        if line == str(finding.location.row) and is_same_file(finding.path, path):
            return True
    return False


def is_same_file(one: str, other: str) -> bool:
    """Whether two paths, each relative to some folder or absolute, name the same file. The shorter has to end the longer."""
    first, second = PurePath(one).parts, PurePath(other).parts
    first, second = tuple(p for p in first if p != ".."), tuple(p for p in second if p != "..")
    length = min(len(first), len(second))
    return first[-length:] == second[-length:]
