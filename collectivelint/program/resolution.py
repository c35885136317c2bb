"""Keeps the resolution of names finite: cycles of imports and aliases, and names that grow in each round of a cycle."""

from __future__ import annotations

from typing import Final, Generic, TypeVar

#: A name with more dots than this names nothing: real ones have less than half of that.
_MOST_DOTS: Final = 16
#: Names that may be looked up on the way to one. The largest real programs need some hundred.
_MOST_STEPS: Final = 5_000

_Answer = TypeVar("_Answer")


class Resolution(Generic[_Answer]):
    """The names that are being resolved now, each needed by the one before, and the answers found meanwhile.

    What a name means may depend on itself, through files that re-export from each other. If it is requested again
    meanwhile, the answer is "nothing", which is right for the cycle as a whole and not for each name in it: an answer
    that was given inside a cycle is valid only until the name at which the cycle was entered is resolved.
    """

    def __init__(self) -> None:
        """Nothing is being resolved."""
        #: (file, name) -> the answer so far, and the depth of the outermost name it rests on.
        self._provisional: dict[tuple[str, str], tuple[_Answer, int]] = {}
        self._active: list[tuple[str, str]] = []
        #: (file, first part of a name) -> the rests that are being looked up behind it, and the depths at which.
        self._behind: dict[tuple[str, str], list[tuple[str, int]]] = {}
        self._outermost = 0
        self._steps = 0
        self._asked: dict[str, dict[str, set[str]]] = {}

    def known(self, file: str, name: str) -> _Answer | None:
        """The answer that was found on the way, or is assumed for a name whose resolution has begun."""
        found = self._provisional.get((file, name))
        if found is None:
            return None
        self._outermost = min(self._outermost, found[1])
        return found[0]

    def ask(self, file: str, name: str) -> None:
        """Record that the file whose name is being resolved looks up `name` in another file."""
        asking = self._active[-1][0] if self._active else file
        self._asked.setdefault(asking, {}).setdefault(file, set()).add(name)

    def taken(self) -> dict[str, dict[str, set[str]]]:
        """Asking file -> file -> the names it looked up there, recorded since the last call.

        Lookups from an unknown file are recorded under the file itself.
        """
        asked, self._asked = self._asked, {}
        return asked

    def is_endless(self, file: str, name: str) -> bool:
        """Whether resolving the name needs the same name with a longer suffix, or more steps than any real program.

        `from pkg.version import version` in `pkg/__init__.py`, without such a file, needs `version.version` to resolve
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

    def step(self, file: str, name: str, assumed: _Answer) -> Step[_Answer]:
        """Begin to resolve a name, until the `with` block ends; `assumed` answers requests for it inside."""
        depth = len(self._active)
        head, _, rest = name.partition(".")
        step = Step(self, file, name, assumed, depth, self._outermost, len(self._provisional))
        self._outermost = depth
        self._provisional[file, name] = (assumed, depth)
        self._active.append((file, name))
        self._behind.setdefault((file, head), []).append((rest, depth))
        self._steps += 1
        return step

    def end(self, step: Step[_Answer]) -> None:
        """Keep the answer of a step while it is valid."""
        self._active.pop()
        self._behind[step.file, step.name.partition(".")[0]].pop()
        step.is_final = self._outermost >= step.depth
        if step.is_final:
            # What was assumed of the names below can be asked anew, now that this one is known.
            for below in list(self._provisional)[step.begun :]:
                del self._provisional[below]
            self._outermost = step.before
        else:
            self._provisional[step.file, step.name] = (step.answer, self._outermost)
            self._outermost = min(step.before, self._outermost)
        if not self._active:
            self._steps = 0


class Step(Generic[_Answer]):
    """The resolution of one name: its answer, and whether that is final (depends on no name still being resolved)."""

    def __init__(
        self,
        resolution: Resolution[_Answer],
        file: str,
        name: str,
        assumed: _Answer,
        depth: int,
        before: int,
        begun: int,
    ) -> None:
        """`depth`: number of names above it; `before`: the outermost name so far; `begun`: number of answers so far."""
        self._resolution = resolution
        self.file, self.name, self.answer = file, name, assumed
        self.depth, self.before, self.begun = depth, before, begun
        self.is_final = False

    def __enter__(self) -> Step[_Answer]:
        """The step itself, to be given its answer."""
        return self

    def __exit__(self, *_: object) -> None:
        """The name is resolved."""
        self._resolution.end(self)
