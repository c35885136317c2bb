"""Dynamic scopes of interpreting a function: each changes the frame on entering and restores it on leaving, always.

Plain classes: they are entered some hundred thousand times in a large program.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from ..domain.joining import equal

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from ...ir.nodes import Expr, Span
    from ..domain.symbol import Symbol
    from ..domain.value import Value
    from ..effects import Guard, Item
    from ..summary.facts import FunctionFacts
    from ..summary.model import ApiCall


class Scoped(Protocol):
    """What scopes change: the state of a `Frame` that depends on where in the function it is."""

    facts: FunctionFacts
    variables: dict[str, Value]
    out: list[Item]
    guards: list[tuple[Guard, Value]]
    turns: list[Symbol]
    catching: int
    dropped: Expr | None
    single_rank: int
    branches: int
    worlds: set[Symbol]
    asked: list[Symbol]
    modes: frozenset[str]


class Collecting:
    """Items that are emitted inside are collected in a list of their own, which `with` gives."""

    __slots__ = ("_frame", "_outer", "items")

    def __init__(self, frame: Scoped) -> None:
        """Begin with no items."""
        self._frame = frame
        self.items: list[Item] = []

    def __enter__(self) -> list[Item]:
        """Set the frame's items aside."""
        self._outer, self._frame.out = self._frame.out, self.items
        return self.items

    def __exit__(self, *_: object) -> None:
        """Restore the previous items."""
        self._frame.out = self._outer


class Arm:
    """Code that runs on some paths only: it has `items` of its own, and `variables` that the frame drops afterwards.

    It begins with the variables of the frame, or with a copy of those that are given.
    """

    __slots__ = ("_after", "_frame", "_outer", "items", "variables")

    def __init__(self, frame: Scoped, entering: dict[str, Value] | None = None) -> None:
        """`entering` are the variables where the arm begins, unless those are the frame's."""
        self._frame = frame
        self.items: list[Item] = []
        self._after = dict(frame.variables) if entering is None else frame.variables
        self.variables = frame.variables if entering is None else dict(entering)

    def __enter__(self) -> Arm:  # noqa: PYI034  # typing has no Self before Python 3.11
        """Set the frame's items and variables aside."""
        frame = self._frame
        self._outer, frame.out = frame.out, self.items
        frame.variables = self.variables
        return self

    def __exit__(self, *_: object) -> None:
        """Keep the variables at the end of the arm; restore those of the frame."""
        frame = self._frame
        self.variables = frame.variables
        frame.variables, frame.out = self._after, self._outer


class Asked:
    """What is evaluated inside is evaluated only where a condition has the right outcome."""

    __slots__ = ("_condition", "_frame")

    def __init__(self, frame: Scoped, condition: Symbol) -> None:
        """`condition` is the one that has been asked."""
        self._frame, self._condition = frame, condition

    def __enter__(self) -> None:
        """Add the condition."""
        self._frame.asked.append(self._condition)

    def __exit__(self, *_: object) -> None:
        """Take it back, and all that has been added inside."""
        asked = self._frame.asked
        while asked.pop() is not self._condition:
            pass


class Assuming:
    """What is evaluated inside is evaluated where a condition is true: some variables are equal on all ranks there."""

    __slots__ = ("_condition", "_frame", "_narrowed")

    def __init__(self, frame: Scoped, condition: Symbol) -> None:
        """`condition` is the one that is true inside; variables that it does not mention are unchanged."""
        self._frame = frame
        self._condition = condition

    def __enter__(self) -> None:
        """Narrow the variables that the condition mentions."""
        variables = self._frame.variables
        self._narrowed = {name: (variables[name], value) for name, value in equal(variables, self._condition)}
        for name, (_, value) in self._narrowed.items():
            variables[name] = value

    def __exit__(self, *_: object) -> None:
        """Restore the variables that have not been reassigned inside."""
        variables = self._frame.variables
        for name, (before, value) in self._narrowed.items():
            if variables.get(name) is value:
                variables[name] = before


class Discarding:
    """Evaluate again what has been evaluated before: items and catalogue calls are not recorded twice."""

    __slots__ = ("_calls", "_frame", "_outer")

    def __init__(self, frame: Scoped) -> None:
        """Nothing is set aside yet."""
        self._frame = frame

    def __enter__(self) -> None:
        """Set items and calls aside."""
        frame = self._frame
        self._outer, frame.out = frame.out, []
        self._calls: dict[Span, ApiCall] = frame.facts.calls_at
        frame.facts.calls_at = {}

    def __exit__(self, *_: object) -> None:
        """Restore the previous items and calls."""
        self._frame.out, self._frame.facts.calls_at = self._outer, self._calls


class Under:
    """Inside an arm the frame knows the condition around it, if that differs between ranks."""

    __slots__ = ("_frame", "_known")

    def __init__(self, frame: Scoped, guard: Guard, value: Value) -> None:
        """`value` is that of the condition."""
        self._frame = frame
        self._known = (guard, value) if guard.varies else None

    def __enter__(self) -> None:
        """Add the condition."""
        if self._known is not None:
            self._frame.guards.append(self._known)

    def __exit__(self, *_: object) -> None:
        """Take it back."""
        if self._known is not None:
            self._frame.guards.pop()


class Deciding:
    """Inside an arm, the frame knows what its condition says about the job.

    `distributed`: whether there are other ranks; None where the condition does not say so. `worlds`: the symbols of the
    groups that are the default group here.
    """

    __slots__ = ("_distributed", "_frame", "_worlds")

    def __init__(self, frame: Scoped, worlds: AbstractSet[Symbol], *, distributed: bool | None) -> None:
        """`distributed` and `worlds` as in the class."""
        self._frame, self._distributed = frame, distributed
        self._worlds = worlds - frame.worlds

    def __enter__(self) -> None:
        """Add what is known."""
        frame = self._frame
        frame.single_rank += self._distributed is False
        frame.branches += self._distributed is None
        frame.worlds |= self._worlds

    def __exit__(self, *_: object) -> None:
        """Take it back."""
        frame = self._frame
        frame.single_rank -= self._distributed is False
        frame.branches -= self._distributed is None
        frame.worlds -= self._worlds


class Turn:
    """The body of a loop over `over`."""

    __slots__ = ("_frame", "_over")

    def __init__(self, frame: Scoped, over: Symbol) -> None:
        """`over` is the symbol of the iterable."""
        self._frame, self._over = frame, over

    def __enter__(self) -> None:
        """Enter the body."""
        self._frame.turns.append(self._over)

    def __exit__(self, *_: object) -> None:
        """Leave the body."""
        self._frame.turns.pop()


class Catching:
    """The body of a `try` statement; `swallows`: a handler of it goes on after an exception."""

    __slots__ = ("_frame", "_swallows")

    def __init__(self, frame: Scoped, *, swallows: bool) -> None:
        """Only bodies whose exceptions are swallowed are counted."""
        self._frame, self._swallows = frame, swallows

    def __enter__(self) -> None:
        """Enter the body."""
        self._frame.catching += self._swallows

    def __exit__(self, *_: object) -> None:
        """Leave the body."""
        self._frame.catching -= self._swallows


class Within:
    """The body of a `with` statement; `modes` are the names of its context managers and of those around it."""

    __slots__ = ("_before", "_frame", "_modes")

    def __init__(self, frame: Scoped, modes: frozenset[str]) -> None:
        """`modes` are the names of the context managers."""
        self._frame = frame
        self._modes = modes
        self._before: frozenset[str] = modes

    def __enter__(self) -> None:
        """Set the names."""
        self._before, self._frame.modes = self._frame.modes, self._modes

    def __exit__(self, *_: object) -> None:
        """Restore the previous names."""
        self._frame.modes = self._before


class Unused:
    """The evaluation of an expression whose result is not used."""

    __slots__ = ("_before", "_expr", "_frame")

    def __init__(self, frame: Scoped, expr: Expr) -> None:
        """`expr` is the whole statement."""
        self._frame, self._expr = frame, expr

    def __enter__(self) -> None:
        """Set it as the frame's unused expression."""
        self._before, self._frame.dropped = self._frame.dropped, self._expr

    def __exit__(self, *_: object) -> None:
        """Restore the previous unused expression."""
        self._frame.dropped = self._before
