"""Keeping the resolution of a name finite: circles of imports and aliases, and names that grow on the way round one."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator

#: A name with more dots than this names nothing: real ones have less than half of that.
_MOST_DOTS: Final = 16
#: Names that may be looked up on the way to one. The largest real programs need some hundred.
_MOST_STEPS: Final = 5_000

_Answer = TypeVar("_Answer")


@dataclass(slots=True)
class Resolution(Generic[_Answer]):
    """The names that are being resolved now, each because of the one before, and what is known of those on the way.

    What a name means may depend on itself, through files that re-export from each other. Where it is asked for a second
    time the answer is "nothing", which is right for the circle as a whole and not for each name in it: an answer that was
    given inside a circle holds only until the name is resolved that the circle was entered by.
    """

    #: (file, name) -> the answer so far, and the depth of the outermost name it rests on.
    _provisional: dict[tuple[str, str], tuple[_Answer, int]] = field(default_factory=dict)
    _active: list[tuple[str, str]] = field(default_factory=list)
    #: (file, first part of a name) -> the rests that are being looked up behind it, and the depths at which.
    _behind: dict[tuple[str, str], list[tuple[str, int]]] = field(default_factory=dict)
    _outermost: int = 0
    _steps: int = 0

    def known(self, file: str, name: str) -> _Answer | None:
        """The answer that was found on the way, or is assumed for a name whose resolution has begun."""
        found = self._provisional.get((file, name))
        if found is None:
            return None
        self._outermost = min(self._outermost, found[1])
        return found[0]

    def is_endless(self, file: str, name: str) -> bool:
        """Does resolving the name need the same name with more behind it, or more steps than any real program?

        `from pkg.version import version` in `pkg/__init__.py`, where no such file is there, needs `version.version` to know
        `version`.
        """
        if name.count(".") > _MOST_DOTS:
            return True
        head, _, rest = name.partition(".")
        for behind, depth in self._behind.get((file, head), ()):
            if not behind or f".{rest}".endswith(f".{behind}"):
                self._outermost = min(self._outermost, depth)
                return True
        if self._steps >= _MOST_STEPS:
            self._outermost = 0
            return True
        return False

    @contextmanager
    def step(self, file: str, name: str, assumed: _Answer) -> Iterator[Step[_Answer]]:
        """Resolve a name: `assumed` is the answer to who asks for it meanwhile."""
        asked, depth = (file, name), len(self._active)
        head, _, rest = name.partition(".")
        before, self._outermost = self._outermost, depth
        begun = len(self._provisional)
        self._provisional[asked] = (assumed, depth)
        self._active.append(asked)
        self._behind.setdefault((file, head), []).append((rest, depth))
        self._steps += 1
        step: Step[_Answer] = Step(assumed)
        try:
            yield step
        finally:
            self._active.pop()
            self._behind[file, head].pop()
            step.is_final = self._outermost >= depth
            if step.is_final:
                # What was assumed of the names below can be asked anew, now that this one is known.
                for below in list(self._provisional)[begun:]:
                    del self._provisional[below]
                self._outermost = before
            else:
                self._provisional[asked] = (step.answer, self._outermost)
                self._outermost = min(before, self._outermost)
            if not self._active:
                self._steps = 0


@dataclass(slots=True)
class Step(Generic[_Answer]):
    """One name: its answer, and whether that rests on nothing that is still being resolved."""

    answer: _Answer
    is_final: bool = False
