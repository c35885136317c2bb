"""Reports an `assert` about data that came from other ranks or from a checkpoint.

## What it does
Finds `assert` statements whose condition depends on what a collective received or on what was read from a checkpoint.
Asserts that only narrow a type (`x is not None`, `isinstance(...)`, `assert x`) or check for a key (`"step" in
state`) are not reported; neither are test code, asserts under a condition about tests or debugging, and files that
read a checkpoint but call no collective: these are tools that a person runs on one file.

## Why is this bad
`python -O` (and PYTHONOPTIMIZE in an image) removes every assert. A check that guards against a damaged checkpoint or
against counts that do not match then does not run, and the job continues with wrong weights instead of stopping.

## Example
```python
import torch
import torch.distributed as dist


def exchange(counts: torch.Tensor, capacity: int, group: dist.ProcessGroup) -> torch.Tensor:
    received = torch.empty_like(counts)
    dist.all_to_all_single(received, counts, group=group)
    total = int(received.sum().item())
    assert total <= capacity, f"received {total}, room for {capacity}"  # CL406
    return torch.empty(total)
```

## Use instead
```python
import torch
import torch.distributed as dist


def exchange(counts: torch.Tensor, capacity: int, group: dist.ProcessGroup) -> torch.Tensor:
    received = torch.empty_like(counts)
    dist.all_to_all_single(received, counts, group=group)
    total = int(received.sum().item())
    if not total <= capacity:
        raise RuntimeError(f"received {total}, room for {capacity}")
    return torch.empty(total)
```

## Confidence
Low: it matters only under `python -O`, which few jobs use. `--select CL406 --min-confidence low` lists them.

## Fix safety
Safe: the check and its message stay, the exception becomes a RuntimeError that `-O` does not remove. Code that catches
AssertionError on purpose would notice.

## References
- [python -O](https://docs.python.org/3/using/cmdline.html#cmdoption-O)
- [The assert statement](https://docs.python.org/3/reference/simple_stmts.html#the-assert-statement)
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from collectivelint.api import (
    Confidence,
    Place,
    Report,
    Rule,
    conditions_around,
    is_test,
    names_in,
    statement_fix,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    import libcst as cst

    from collectivelint.api import Anchored, Findings, Invariant


RULE: Final = Rule(
    "CL406",
    "assert-invariant",
    "an `assert` that checks received or loaded data",
    fix="safe",
    holds="in programs",
)

_WORD: Final = re.compile(r"[a-z]+")
_ORIGINS: Final = {"received": "data received from other ranks", "restored": "data read from a checkpoint"}


def check(findings: Findings) -> Iterator[Report]:
    """One finding for each such assert."""
    distributed = findings.analysis.distributed()
    for invariant in findings.analysis.invariants():
        if is_test(invariant.function.path):
            # Run without -O, and asserts are its purpose.
            continue
        if _is_trial(invariant, findings.analysis.catalog.trial_words):
            continue
        origin = invariant.origins[0]
        if origin.kind == "restored" and invariant.function.path not in distributed:
            # A tool that works on one file alone: a person runs it, and sees what it does.
            continue
        steps = [Place(cause.path, cause.span, "source", _ORIGINS[cause.kind]) for cause in invariant.origins]
        yield Report(
            path=invariant.function.path,
            span=invariant.span,
            statement=invariant.span,
            function=invariant.function.qualname,
            message=f"`assert` checks {_ORIGINS[origin.kind]}, but `python -O` removes it",
            severity="warning",
            trail=(*steps, Place(invariant.function.path, invariant.span, "note", "removed by python -O")),
            help="raise an exception instead",
            fix=statement_fix(invariant.span, "safe", "Raise RuntimeError instead", _as_raise),
            confidence=Confidence.LOW,
        )


def _is_trial(invariant: Invariant, words: frozenset[str]) -> bool:
    """Whether a condition around the assert is only true where the program itself is tested."""
    around = conditions_around(invariant.function, invariant.span)
    return any(words & set(_WORD.findall(name.lower())) for name in names_in(around))


def _as_raise(anchored: Anchored) -> cst.If | None:
    from collectivelint.api import as_raise

    return as_raise(anchored)
