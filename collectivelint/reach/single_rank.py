"""Functions that run on one rank: every reference is under a single-rank condition, or passed to a function that is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..program.target import Target
from ..source.discover import is_test
from .entry_points import is_under_main

if TYPE_CHECKING:
    from ..program.resolver import Program
    from .callers import Callers
    from .one_rank import OneRank
    from .references import Reference
    from .single_process import SingleProcess

#: Functions that the question may lead back to.
_MOST: Final = 60


class SingleRank:
    """Answers whether a function runs on one rank, and caches the answers."""

    def __init__(self, program: Program, callers: Callers, conditions: OneRank, processes: SingleProcess) -> None:
        """A function that only single-process programs run counts as running on one rank."""
        self._program, self._callers, self._conditions = program, callers, conditions
        self._processes = processes
        self._known: dict[Target, bool] = {}

    def decorates(self, target: Target) -> bool:
        """Whether a decorator runs a function on one rank."""
        function = self._program.functions(target.path).get(target.name)
        return function is not None and self._conditions.decorates(function)

    def runs(self, target: Target) -> bool:
        """Whether only one rank runs a function, in all known programs."""
        if target not in self._known:
            self._settle(target)
        return self._known[target]

    def _settle(self, target: Target) -> None:
        """Compute the greatest fixed point: assume it for all functions involved, then drop those that are refuted."""
        #: Function -> the references from it that answers rest on, with the functions they are to.
        resting: dict[Target, list[tuple[Reference, Target]]] = {target: []}
        refuted: list[Target] = []
        pending = [target]
        while pending:
            current = pending.pop()
            if current in self._known:
                refuted += [] if self._known[current] else [current]
                continue
            needed = self._needed(current) if len(resting) < _MOST else None
            if needed is None:
                refuted.append(current)
                continue
            for use in needed:
                caller = Target("function", use.function.path, use.function.qualname)
                if caller not in resting:
                    resting[caller] = []
                    pending.append(caller)
                resting[caller].append((use, current))
        false: set[Target] = set()
        while refuted:
            current = refuted.pop()
            if current not in false:
                false.add(current)
                refuted += [other for use, other in resting[current] if not self._is_single_process(use, current)]
        self._known |= {current: current not in false for current in resting}

    def _is_single_process(self, use: Reference, caller: Target) -> bool:
        """Whether only single-process programs run the code of a reference."""
        return self._processes.is_program(caller) if is_under_main(use) else self._processes.runs(caller)

    def _needed(self, target: Target) -> list[Reference] | None:
        """The references whose functions must run on one rank for this one to; None if it does not in any case."""
        function = self._program.functions(target.path).get(target.name)
        if function is None or target.name == "<module>" or target.name.endswith("<class>"):
            return None
        if self._conditions.decorates(function):
            return []
        uses = self._callers.of(target)
        if uses is None:
            return None
        # What only tests call is there for programs that are not in the tree.
        is_trial = is_test(target.path)
        if not any((is_trial or not is_test(use.function.path)) and self._is_call(use, target) for use in uses):
            return None
        needed = [use for use in uses if not self._is_on_one(use)]
        return [use for use in needed if use.function is not function]

    def _is_call(self, use: Reference, target: Target) -> bool:
        """Whether a reference certainly refers to a function, from outside of it."""
        return use.function.qualname != target.name and self._callers.is_definite(use, target)

    def _is_on_one(self, use: Reference) -> bool:
        """Whether only one rank reaches a reference, or calls the function that is passed."""
        if self._conditions.any_selects(use.function, use.conditions):
            return True
        return use.passed is not None and not use.is_called and self._conditions.takes(use.function, use.passed)
