"""What a trace is made of: groups, events, ranks. Plain data, read without torch."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypeAlias

from ..quantities import ordinal

if TYPE_CHECKING:
    from collections.abc import Mapping


class State(IntEnum):
    """How far an event has come. A rank is blocked in an event that is ENTERED or WAITING."""

    ENTERED = 0
    """The operation has been called and has not returned."""
    ISSUED = 1
    """It has returned a handle that has not been waited for."""
    WAITING = 2
    """`wait()` on the handle has been called and has not returned."""
    DONE = 3
    FAILED = 4
    REJECTED = 5
    """It was refused at once, on this rank alone, and counts for nothing."""


#: "collective": numbered in its group; "p2p": between two ranks; "create": makes a group, numbered in the whole job;
#: "outsider": a call by a rank that is not in the group.
Kind: TypeAlias = Literal["collective", "p2p", "create", "outsider"]
#: How a process ended: "running" means that it left no word, because it lives or because it was killed; "untraced" that its
#: calls could not be recorded from then on, so that it is unknown.
End: TypeAlias = Literal["running", "finished", "raised", "untraced"]


#: Why a process ended with an exception: "own": an error of its program; "connection": another rank was gone; "timeout": a call
#: took too long; "interrupt": Ctrl-C. Only the first and the last are causes, the others follow from what other ranks did.
Failure: TypeAlias = Literal["own", "connection", "timeout", "interrupt"]
#: What a main thread may do that takes long: torch.compile, or waiting for what an accelerator computes.
ActivityKind: TypeAlias = Literal["compile", "device"]

#: What is counted together on a rank: (key of the group, kind), for point-to-point (key of the group, op, peer, tag).
CollectiveKey: TypeAlias = "tuple[GroupKey, str]"
PeerKey: TypeAlias = "tuple[GroupKey, str, int, int]"
StreamKey: TypeAlias = "CollectiveKey | PeerKey"
GroupKey: TypeAlias = "tuple[tuple[int, ...], int]"


class Counted(NamedTuple):
    """How many calls a stream has had, their rolling hash, and that hash at the last multiple of `ring.BLOCK`."""

    calls: int
    rolled: int
    block: int


#: A frame as stacks have it: `path:line function: source`.
FRAME: Final = re.compile(r"(?P<path>.*?):(?P<line>\d+) (?P<function>.*?)(?:: (?P<source>.*))?$", re.S)


@dataclass(frozen=True, slots=True)
class Place:
    """A call site: path, line from 1 and function of the project's innermost frame; of a library's if the project has none.

    Frames are texts such as `a.py:3 f: barrier()`, innermost first. `stack`: the site and what has called it. `via`: frames
    of libraries between the site and the call. `started_at`: the stack that started the thread of the call; () for the main
    thread, or if it is not known.
    """

    path: str
    line: int
    function: str
    stack: tuple[str, ...] = ()
    via: tuple[str, ...] = ()
    started_at: tuple[str, ...] = ()

    def lines(self, most: int) -> list[str]:
        """The lines below a site in a report: the library's frame that made the call, stack, start of the thread."""
        found = [f"via {frame}" for frame in self.via[:1]] + list(self.stack[:most])
        return found + [f"started at {frame}" for frame in self.started_at[:1]]


@dataclass(frozen=True, slots=True)
class Group:
    """A process group: its members as global ranks; `ordinal` counts groups of exactly these members from 0.

    torch's own name is no identity: it differs between ranks that create groups in different orders. `timeout` is in
    seconds, 0.0 if unknown.
    """

    ranks: tuple[int, ...]
    ordinal: int
    description: str
    timeout: float = field(default=0.0, compare=False)

    @property
    def key(self) -> GroupKey:
        """The identity of the group, the same on every rank."""
        return (self.ranks, self.ordinal)

    def __str__(self) -> str:
        """As reports call it: description and members."""
        members = "{" + ",".join(map(str, self.ranks)) + "}"
        again = f" (the {ordinal(self.ordinal + 1)} group of exactly these ranks)" if self.ordinal else ""
        match self.description:
            case "default_pg":
                return f"default group {members}"
            # What torch calls a group that was given no description.
            case "undefined" | "":
                return f"group {members}{again}"
            case name:
                return f"group `{name}` {members}{again}"


@dataclass(frozen=True, slots=True)
class Argument:
    """The part of a model that a call was passed. `names`: all of its names, `("embed.weight", "head.weight")` if tied.

    If `part` is "tensors", a list was passed (as DDP does); `names` has one name for each tensor, "" if unknown.
    """

    part: str
    names: tuple[str, ...]

    def __str__(self) -> str:
        """As reports call it: "gradient of `layers.3.weight`"."""
        if self.part == "tensors":
            more = f" and {len(self.names) - 2} more" if len(self.names) > 2 else ""
            return f"tensors {', '.join(f'`{name}`' for name in self.names[:2])}{more}"
        name = " or ".join(f"`{name}`" for name in self.names)
        return f"gradient of {name}" if self.part == "gradient" else f"{self.part} {name}"


@dataclass(frozen=True, slots=True)
class Event:
    """One call on one rank.

    `sequence` counts the calls of this kind on the group (from 1), for point-to-point those to or from one peer with
    one tag. `signature` is what must agree between ranks: op, reduce op, shapes, dtypes, split sizes. `peer` is the
    root of a rooted collective or the other side of a point-to-point call, as a global rank; -1 if there is none. Times
    are seconds since the epoch; `end` is 0.0 until the call is known to have ended. `thread` is 0 for the main thread
    and those that it waits for. `argument` and `checksum` (that of the result) are None and 0 if unknown.
    """

    rank: int
    number: int
    kind: Kind
    op: str
    group: Group
    sequence: int
    peer: int
    signature: Mapping[str, Any]
    is_async: bool
    state: State
    start: float
    end: float
    place: Place
    thread: int = 0
    argument: Argument | None = None
    checksum: int = 0

    @property
    def stream(self) -> StreamKey:
        """The stream that this call is counted in on its rank."""
        if self.kind == "p2p":
            return (self.group.key, self.op, self.peer, self.tag)
        return (self.group.key, self.kind)

    @property
    def tag(self) -> int:
        """The tag of a point-to-point call; 0 if it has none."""
        return int(self.signature.get("tag", 0))

    @property
    def blocks(self) -> bool:
        """Whether the rank is blocked in this call, according to its record."""
        return self.state in (State.ENTERED, State.WAITING)


@dataclass(frozen=True, slots=True)
class Ending:
    """The exception that ended a process: type and text, when it was raised, and the user's frame it came from."""

    failure: Failure
    error: str
    time: float
    place: Place | None


@dataclass(frozen=True, slots=True)
class Activity:
    """What a main thread does beyond its source line. `call`: the expression that waits for the accelerator."""

    kind: ActivityKind
    call: str

    def __str__(self) -> str:
        """A phrase to follow "rank 1": `compiles with torch.compile`."""
        return "compiles with torch.compile" if self.kind == "compile" else f"waits for the device in `{self.call}`"


@dataclass(frozen=True, slots=True)
class Raised:
    """An exception raised by a function of torch.distributed before its call was made.

    `calls`: how many collectives of the group the rank had made by then. Whether the program caught it is not recorded.
    """

    op: str
    group: GroupKey
    calls: int
    error: str
    time: float
    place: Place


@dataclass(frozen=True, slots=True)
class Exit:
    """How a launcher saw its process end: exit code (-15 for SIGTERM, None if unknown), and the signal it sent."""

    code: int | None
    signal: str
    time: float


@dataclass(frozen=True, slots=True)
class Rank:
    """One process of the job and its events, oldest first.

    `lost` is the number of events that the ring has overwritten; `error` the exception it ended with. `callers` are
    threads other than the main one that have called on a group; `others` those that run the project's own code and may
    call later. `stack` is where the main thread was when last asked, at `stack_time`, and `activity` what it did there.
    `streams` counts all calls, including lost events and those not read; point-to-point calls, which may have thousands
    of streams, are in `peers`. `groups` are those that the rank is a member of, in order of creation; `destroyed` those
    of them that it destroyed. `ending` has more about `error`, `exit` what the launcher saw; both may be None.
    """

    rank: int
    world_size: int
    pid: int
    host: str
    attempt: int
    started: float
    end: End
    error: str
    events: tuple[Event, ...]
    lost: int = 0
    alive: bool = False
    callers: Mapping[GroupKey, frozenset[int]] = field(default_factory=dict)
    others: frozenset[int] = frozenset()
    stack: tuple[str, ...] = ()
    streams: Mapping[CollectiveKey, Counted] = field(default_factory=dict)
    peers: Mapping[PeerKey, Counted] = field(default_factory=dict)
    groups: tuple[Group, ...] = ()
    destroyed: frozenset[GroupKey] = frozenset()
    stack_time: float = 0.0
    activity: Activity | None = None
    ending: Ending | None = None
    raised: tuple[Raised, ...] = ()
    exit: Exit | None = None

    @property
    def has_raised(self) -> bool:
        """Whether an exception has ended the process, or is about to."""
        return self.end == "raised" or self.ending is not None

    @property
    def blocked(self) -> tuple[Event, ...]:
        """The newest call that each thread is blocked in, the main thread's first."""
        found = {event.thread: event for event in self.events if event.blocks}
        return tuple(found[thread] for thread in sorted(found))


@dataclass(frozen=True, slots=True)
class Trace:
    """The newest attempt of a job: one entry for each rank that was recorded."""

    ranks: Mapping[int, Rank] = field(default_factory=dict)


class Numbering:
    """Numbers for groups. The key of a group has all its members, maybe thousands, so it is hashed only once."""

    def __init__(self) -> None:
        """No group has a number yet."""
        self._numbers: dict[GroupKey, int] = {}
        #: By the identity of the tuple of members, with the tuple, so that no other takes its place.
        self._seen: dict[int, tuple[tuple[int, ...], int]] = {}

    def __call__(self, group: GroupKey) -> int:
        """The number of a group, the same for the same members and ordinal."""
        members, ordinal = group
        seen = self._seen.get(id(members))
        if seen is None:
            seen = self._seen[id(members)] = (members, self._numbers.setdefault((members, 0), len(self._numbers)))
        return seen[1] if ordinal == 0 else self._numbers.setdefault(((seen[1],), ordinal), len(self._numbers))
