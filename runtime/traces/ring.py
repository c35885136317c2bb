"""The format of the trace file: one for each process, written so that a killed process leaves everything up to its last call.

Two files stand side by side. Version 6, little endian, every field aligned to its size:

`NAME.ring`, memory-mapped:

* a header of 512 bytes: magic `CLTRACE\\0`, then version u32, capacity u32, rank i32, world size i32, pid i32, attempt
  i32, started f64, written u64 (the number of events so far), end u32 (0 running, 1 finished, 2 raised, 3 untraced from
  here on), streams u32 (how
  many there are; more than 4096 means that some are not counted), asked u32 (raised by a reader that needs to know where the
  main thread is), local u32 (how many ranks the launcher started on this host, 0 if it did not say), from byte 64 the
  host name, at byte 184 when the process began f64 (seconds since the epoch, 0.0 if that was not known; version 4 has
  none), from byte 192 the exception; both texts are UTF-8 padded with zeros;
* 4096 streams of 16 bytes: count u32, hash u32, hash at the last multiple of 64 u32, pad 4;
* `capacity` records of 64 bytes; event n (from 1) stands in slot (n - 1) % capacity:

    number u64, group u32, sequence u32, signature u32, place u32, peer i32, kind u8, state u8, is_async u8, pad u8,
    start f64, end f64, thread u32, argument u32, checksum u32, pad 4

`thread` is 0 for the main thread and for threads of C++, which autograd runs while the main thread waits for it; else it
is the number the system gives the thread. `argument` is the id of what the call was passed, `checksum` that of its result;
both are 0 where data is not checked, in older versions and until they are known. A record is a seqlock: `number` is 0 from before its other fields are written
until they are (`state`, `end` and what follows change later, each at once). The reader compares it with the number that it
asked for, before and after it has read the record, and leaves out a record where it was another one.

`NAME.names`, one JSON object a line, appended: `{"id": 3, "group": {...}}` (with its timeout in seconds), `{"id": 4, "place": {...}}` or
`{"id": 5, "signature": {...}}`, each before the first record that refers to it (a place has `path`, `line`, `function`,
`stack`, and where there are such frames `via` and `started_at`, see model.py); `{"id": 0, "stream": {...}}`, where id is
the place in the table of streams; `{"id": 6, "caller": {"group": 3, "thread": 4711}}` for a thread other than the main one
that calls on a group; `{"id": 7, "threads": [4711]}`, those that run the project's own code now; `{"id": 8, "job": "..."}`, where the
ranks of the job meet; `{"id": 9, "destroyed": 3}`, a group that was destroyed; `{"id": 1, "stack": [...], "time": 1.5, "activity":
{"kind", "call"}}`, the answer to the first question, innermost frame first (the activity is not always there); `{"id": 10, "raised": {"op", "group": 3, "calls", "error", "time", "place"}}`, an
exception that left a function of torch.distributed before its call was made, after so many calls on the group; and
`{"id": 11, "ended": {"failure", "error", "time", "place"}}`, the exception that ends the process: failure is `own`, `connection`,
`timeout` or `interrupt`, place is a place or null.

`{"id": 12, "argument": {"part": "gradient", "names": ["layers.3.weight"]}}` is what a call was passed: part is `parameter`, `gradient`
or `buffer`, names are all that the parameter or buffer has in the model; or part is `tensors`, and names are those of a list of
parameters and buffers in its order, "" for an unknown one.

`NAME.exit`, one JSON object, written by the process that started the rank, if that is a traced Python: `{"code": -15, "signal": "SIGTERM",
"time": 1.5}`, the exit code of the process (null if it did not end) and the signal that its parent had sent to it ("" if none).
"""

from __future__ import annotations

import platform
import struct
import threading
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .model import End, Kind

MAGIC: Final = b"CLTRACE\0"
VERSION: Final = 6
#: Traces of releases before. Version 4 does not say when the process began.
OLDEST_VERSION: Final = 4
HEADER: Final = struct.Struct("<8sIIiiiidQII")
RECORD: Final = struct.Struct("<QIIIIiBBBxddIII4x")
#: A record behind its number.
BODY_AT: Final = 8
BODY: Final = struct.Struct("<IIIIiBBBxddI12x")
STREAM: Final = struct.Struct("<III4x")
HOST: Final = slice(64, 184)
BEGUN_AT: Final = 184
ERROR: Final = slice(192, 512)
WRITTEN_AT: Final = 40
ENDED: Final = slice(48, 52)
STREAM_COUNT: Final = slice(52, 56)
ASKED: Final = slice(56, 60)
LOCAL: Final = slice(60, 64)
STREAMS_AT: Final = 512
STREAMS: Final = 4096
RECORDS_AT: Final = STREAMS_AT + STREAMS * STREAM.size
STATE_AT: Final = 29
END_AT: Final = 40
THREAD_AT: Final = 48
ARGUMENT_AT: Final = 52
CHECKSUM_AT: Final = 56
BEGUN: Final = struct.Struct("<d")
#: A stream's hash is kept at every so many calls, so that ranks which are a few calls apart can be compared.
BLOCK: Final = 64

KINDS: Final[tuple[Kind, ...]] = ("collective", "p2p", "create", "outsider")
ENDS: Final[tuple[End, ...]] = ("running", "finished", "raised", "untraced")
#: 4 MiB for each rank; an older event is overwritten when it is full.
CAPACITY: Final = 65_536


#: Whether processors see each other's stores in the order in which they were made, and load in order as well.
IN_ORDER: Final = platform.machine().lower() in ("x86_64", "amd64", "i386", "i686")


def fence() -> None:
    """A memory barrier: reads and writes before it become visible before those after it. It takes a lock twice."""
    lock = threading.Lock()
    lock.acquire()
    lock.release()
    lock.acquire()


class TraceError(Exception):
    """A trace that cannot be read; the message names the file and the reason."""
