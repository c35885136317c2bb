"""Functions that one rank runs: all their references are conditions of one rank, or arguments of what calls them on one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..program.target import Target

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..program.resolver import Program
    from .callers import Callers
    from .one_rank import OneRank

#: Functions that the question may lead back to.
_MOST: Final = 200


class SingleRank:
    """Answers for each function, and keeps what it has found out."""

    def __init__(
        self, program: Program, callers: Callers, conditions: OneRank, is_single_process: Callable[[Target], bool]
    ) -> None:
        """`is_single_process` says whether only programs of one process run a function."""
        self._program, self._callers, self._conditions = program, callers, conditions
        self._is_single_process = is_single_process
        self._known: dict[Target, bool] = {}

    def runs(self, target: Target) -> bool:
        """Whether one rank alone runs a function, in all programs that are known."""
        if target not in self._known:
            self._settle(target)
        return self._known[target]

    def _settle(self, target: Target) -> None:
        """Assume it of all functions that the answer rests on, and give up those that some other function refutes."""
        #: Function -> those whose answers rest on it.
        resting: dict[Target, list[Target]] = {target: []}
        refuted: list[Target] = []
        pending = [target]
        while pending:
            current = pending.pop()
            if self._known.get(current) is False:
                refuted.append(current)
            if current in self._known:
                continue
            needed = self._needed(current) if len(resting) < _MOST else None
            if needed is None:
                refuted.append(current)
                continue
            for other in needed:
                if other not in resting:
                    resting[other] = []
                    pending.append(other)
                resting[other].append(current)
        false: set[Target] = set()
        while refuted:
            current = refuted.pop()
            if current not in false:
                false.add(current)
                refuted += resting[current]
        self._known |= {current: current not in false for current in resting}

    def _needed(self, target: Target) -> list[Target] | None:
        """The functions that have to run on one rank for this one to; None where it does not anyway."""
        function = self._program.functions(target.path).get(target.name)
        if function is None or target.name == "<module>" or target.name.endswith("<class>"):
            return [] if self._is_single_process(target) else None
        if self._conditions.decorates(function):
            return []
        uses = self._callers.of(target)
        if not uses:
            return None
        needed: list[Target] = []
        is_guarded = False
        for use in uses:
            own = use.function
            if self._conditions.any_selects(own, use.conditions) or (
                use.passed is not None and not use.is_called and self._conditions.takes(own, use.passed)
            ):
                is_guarded = True
                continue
            caller = Target("function", own.path, own.qualname)
            if self._is_single_process(caller):
                continue
            if caller != target:
                needed.append(caller)
        return needed if needed or is_guarded else None
