"""Reports a collective reached from a signal handler, an exit handler, a finaliser or a thread.

## What it does
Follows the functions that the program passes to `signal.signal`, `atexit.register`, `weakref.finalize`, `threading.Thread` and
pools of threads (`ThreadPoolExecutor.submit`), and `__del__` methods, and reports those that reach a collective.

## Why is this bad
Each rank runs such code at a different time: when its signal arrives, when its garbage is collected, when its thread
is scheduled. The collective then falls between different collectives of the main program on each rank, or it is
issued by one rank only. At exit the other ranks may already have ended.

Confidence is low for threads: most of them have a group of their own, or the main thread runs no collective until they
end. It is also low for a handler whose `broadcast` an endless loop in the same file receives: such a handler tells the
other ranks to stop.

## Example
```python
import signal

import torch.distributed as dist


def install(save, group: dist.ProcessGroup):
    def stop(signum, frame):
        dist.barrier(group=group)
        save()

    signal.signal(signal.SIGTERM, stop)  # CL207
```

## Use instead
```python
import signal

import torch
import torch.distributed as dist

requested = False


def install():
    def stop(signum, frame):
        global requested
        requested = True

    signal.signal(signal.SIGTERM, stop)


def stop_together(group: dist.ProcessGroup):
    flag = torch.tensor(requested)
    dist.all_reduce(flag, op=dist.ReduceOp.MAX, group=group)
    return flag.item()
```

## References
- [Python: signal handlers](https://docs.python.org/3/library/signal.html#execution-of-python-signal-handlers)
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

from collectivelint.api import Confidence, Place, Report, Rule, group_text, is_request

if TYPE_CHECKING:
    from collections.abc import Iterator

    from collectivelint.api import Findings, Term

RULE: Final = Rule(
    "CL207",
    "async-context",
    "a collective reached from a signal handler, exit handler, finaliser or thread",
    holds="between ranks",
)


def check(findings: Findings) -> Iterator[Report]:
    """One finding for each registration, and for each `__del__`."""
    terms: defaultdict[str, list[Term]] = defaultdict(list)
    for facts in findings.analysis.functions:
        if facts.term:
            terms[facts.function.path].append(facts.term)
    for facts, registration, event in findings.analysis.registered():
        is_thread = "thread" in registration.kind
        trail = [Place(site.path, site.span, "call", f"calls {site.callee}") for site in event.chain]
        yield Report(
            path=facts.function.path,
            span=registration.span,
            statement=registration.statement,
            function=facts.function.qualname,
            message=f"{registration.kind} reaches `{event.op}` on {group_text(event)}; each rank runs it at a"
            " different time",
            severity="warning" if is_thread else "error",
            # Threads mostly wait for one another, or have a group of their own.
            confidence=Confidence.LOW
            if is_thread or is_request(event, terms[facts.function.path])
            else Confidence.HIGH,
            trail=(*trail, Place(event.path, event.span, "collective", f"{event.op}, {group_text(event)}")),
            help="set a flag there, share it with the other ranks in the main program, and run the collective there",
        )
