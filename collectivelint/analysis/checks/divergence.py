"""A divergence: a collective that the ranks on one side of a condition reach, and those on the other do not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from ...findings.confidence import Confidence
from ...record import Record

if TYPE_CHECKING:
    from ..effects import Event, Guard
    from .file_evidence import FileEvidence

#: Where a collective stands: in an "arm" of the condition, in a "loop" whose turns the condition counts, behind an arm
#: that leaves ("exit"), or on both sides but in another "order".
Where: TypeAlias = Literal["arm", "loop", "exit", "order"]


#: Causes by which ranks differ only where something happens on one of them.
_EVENTS: Final = frozenset(
    {"file system", "clock", "exception", "signal", "poll", "queue", "own data", "loader", "recorded", "requests"}
)
#: Causes that may differ between ranks, and as a rule do not: batches of one kind, models that use all their parameters, and
#: streams that are cut so that all ranks get as much, and calls that nothing says can fail.
_SELDOM: Final = frozenset({"own inputs", "gradient", "stream", "any exception"})
#: Causes that make numbers of iterations differ where nothing evens them out.
_COUNTED: Final = frozenset({"own data", "loader", "stream", "queue", "poll", "requests", "exception", "any exception"})


class Divergence(Record):
    """A collective that ranks on one side of `guard` reach and those on the other do not.

    `holds`: whether the ranks for which the condition is true are the ones that reach it. `more`: how many further
    collectives the same call leads to. `other`: for "order", the collective that the other side runs instead. `files`:
    what the program shows about the look-ups of files that decide the condition, if nothing else does. `if_sharded`: it
    runs only if a value is sharded, which nothing in the program shows. `depth`: how many other open conditions the
    ranks that reach it have to pass. `doubted`: something in the program suggests that the other ranks reach it too.
    `further`: what else ranks on the other side miss by the same exit or loop.
    """

    __slots__ = (
        "depth",
        "doubted",
        "event",
        "files",
        "further",
        "guard",
        "holds",
        "if_sharded",
        "more",
        "other",
        "where",
    )

    def __init__(
        self,
        guard: Guard,
        event: Event,
        where: Where,
        holds: bool,
        more: int = 0,
        other: Event | None = None,
        files: FileEvidence | None = None,
        if_sharded: bool = False,
        depth: int = 0,
        doubted: bool = False,
        further: tuple[Event, ...] = (),
    ) -> None:
        self.guard: Final = guard
        self.event: Final = event
        self.where: Final = where
        self.holds: Final = holds
        self.more: Final = more
        self.other: Final = other
        self.files: Final = files
        self.if_sharded: Final = if_sharded
        self.depth: Final = depth
        self.doubted: Final = doubted
        self.further: Final = further

    def _fields(self) -> tuple[object, ...]:
        same = (self.guard, self.event, self.where, self.holds, self.more, self.other)
        return (*same, self.files, self.if_sharded, self.depth, self.doubted, self.further)

    def shown_by(self, files: FileEvidence | None) -> Divergence:
        """The same, with what the program shows about the look-ups of files."""
        same = (self.guard, self.event, self.where, self.holds, self.more, self.other)
        return Divergence(*same, files, self.if_sharded, self.depth, self.doubted)

    def unless_plain(self) -> Divergence:
        """The same, marked as running only if a value is sharded, which nothing in the program shows."""
        same = (self.guard, self.event, self.where, self.holds, self.more, self.other)
        return Divergence(*same, self.files, if_sharded=True, depth=self.depth, doubted=self.doubted)

    def in_doubt(self) -> Divergence:
        """The same, marked as doubtful: something in the program suggests that the other ranks reach it too."""
        same = (self.guard, self.event, self.where, self.holds, self.more, self.other)
        return Divergence(*same, self.files, self.if_sharded, self.depth, doubted=True)

    def with_further(self, further: tuple[Event, ...]) -> Divergence:
        """The same, with what else is missed by the same exit or loop."""
        same = (self.guard, self.event, self.where, self.holds, self.more, self.other)
        return Divergence(*same, self.files, self.if_sharded, self.depth, self.doubted, further)

    @property
    def root(self) -> str:
        """The origin of the condition as text, empty if it is a rank: findings with one root are fixed together.

        What a rank sees on its disk decides one branch; what it did there decides the next one, and so on through the
        program. Sharing the first decision between ranks fixes the others.
        """
        causes = [cause for cause in self.guard.causes if cause.kind != "branch"]
        if not causes or any(cause.kind == "rank" for cause in causes):
            return ""
        return f"{causes[0].kind} {causes[0].path}:{causes[0].span.line}:{causes[0].span.column}"

    @property
    def confidence(self) -> Confidence:
        """The confidence that ranks differ and that what they differ in is a collective."""
        return min(self._evidence(), self.event.confidence)

    def _evidence(self) -> Confidence:
        """The confidence that ranks differ: lower if it takes an event or an unusual environment."""
        if self.if_sharded or self.doubted or self.guard.maybe:
            return Confidence.LOW
        if self.files is not None:
            return Confidence.MEDIUM if self.files.is_practical else Confidence.LOW
        if self.depth > SHOWN:
            return Confidence.LOW
        if self.where == "loop" and self.kinds & _COUNTED:
            # Mostly the shares are cut or padded to one length somewhere, or differ by one element that is dropped.
            return Confidence.LOW
        if self.derived and any(cause.kind == "rank" and cause.path != self.guard.path for cause in self.guard.causes):
            # What objects of another file remember of a rank; others of their class may not.
            return Confidence.LOW
        is_caught = self.guard.symbol.positive.kind == "caught"
        if self.kinds == {"exception"} and not is_caught:
            # What was found out by trying: mostly whether something is installed, which it is on all ranks.
            return Confidence.LOW
        if self.where == "exit" and self.event.chain and not is_caught:
            # Whether a callee reaches its collective depends on conditions in it that often exclude the case.
            return Confidence.LOW
        if (self.kinds and self.kinds <= _SELDOM) or "override" in self.kinds:
            return Confidence.LOW
        return Confidence.MEDIUM if self.kinds and self.kinds <= _EVENTS | _SELDOM else Confidence.HIGH

    @property
    def is_practical(self) -> bool:
        """Whether ranks differ without an unusual environment."""
        return self.confidence > Confidence.LOW

    @property
    def derived(self) -> bool:
        """Whether the condition depends on a variable that was set under another condition."""
        return any(cause.kind == "branch" for cause in self.guard.causes)

    @property
    def kinds(self) -> frozenset[str]:
        """Why the condition differs between ranks."""
        return frozenset(cause.kind for cause in self.guard.causes) - {"branch"}


#: Below more open conditions than this, after the one that differs, nothing shows that a collective is reached.
SHOWN: Final = 2
