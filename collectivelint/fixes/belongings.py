"""The sizes and ranks that must change with calls that move to another group, over a whole program."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .regroup import in_caller, regroup, sizes_passed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from ..analysis.effects import CallSite
    from ..analysis.program import Analysis
    from ..analysis.summary.facts import FunctionFacts
    from ..finding import Edit
    from ..ir.nodes import Span
    from ..source.text import Source
    from .related import Changed

    Key = tuple[str, str]


class Belongings:
    """Collects, for each function, the calls that move to another group and the edits that they require."""

    def __init__(
        self,
        analysis: Analysis,
        source: Callable[[str], Source],
        facts: Mapping[Key, FunctionFacts],
        sites: Mapping[Key, Mapping[tuple[Key, Span], CallSite]],
    ) -> None:
        """`sites` are the calls that lead to collectives on the default group, by callee."""
        self._analysis, self._source, self._facts, self._sites = analysis, source, facts, sites
        self._taken: dict[Key, dict[str, list[Changed]]] = {}

    def take(self, key: Key, calls: Sequence[Changed], group: str, *, ends: bool = False) -> str:
        """Move calls of a function to `group`; returns why not if the sizes of their data cannot change too, else "".

        `ends`: the group is created in this function, so its callers do not know it.
        """
        function = self._facts[key].function
        source = self._source(function.path)
        passed = self._passed(key, set())
        before = self._taken.get(key, {})
        others = [call for text, some in before.items() if text != group for call in some]
        found = regroup(self._analysis, source, function, [*before.get(group, ()), *calls], group, passed)
        if found.refusal:
            return found.refusal
        if others and found.edits:
            return "another group is used here as well, and a size or a rank of the default group"
        if ends and found.outside and (reason := self._seen(key, set())):
            return f"{reason}, which is the size of the default group"
        self._taken.setdefault(key, {}).setdefault(group, []).extend(calls)
        return ""

    def forget(self, key: Key, group: str) -> None:
        """Undo `take`: the calls of a function that were to move to `group` stay as they are."""
        self._taken.get(key, {}).pop(group, None)

    def _passed(self, key: Key, seen: set[Key]) -> frozenset[str]:
        """The parameters for which some caller passes the world size, its own or one that it was passed."""
        seen.add(key)
        found = frozenset[str]()
        for (caller, span), site in self._sites.get(key, {}).items():
            outer = self._passed(caller, seen) if caller not in seen else frozenset[str]()
            source, own = self._source(site.path), self._facts[caller].function
            found |= sizes_passed(self._analysis, source, own, span, self._facts[key].function, outer)
        return found

    def _seen(self, key: Key, seen: set[Key]) -> str:
        """Where a direct or indirect caller computes with the result and the world size; "" if none does."""
        seen.add(key)
        for (caller, span), site in self._sites.get(key, {}).items():
            reason, outside = in_caller(self._analysis, self._source(site.path), self._facts[caller].function, span)
            if reason:
                return reason
            if outside and caller not in seen and (reason := self._seen(caller, seen)):
                return reason
        return ""

    def edits(self) -> Iterator[tuple[str, list[Edit]]]:
        """The edits in each file."""
        for (path, qualname), groups in self._taken.items():
            for group, calls in groups.items():
                function = self._facts[path, qualname].function
                passed = self._passed((path, qualname), set())
                yield path, regroup(self._analysis, self._source(path), function, calls, group, passed).edits
