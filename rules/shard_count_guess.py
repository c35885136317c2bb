"""Reports a saved world size that is taken from the highest shard number.

## What it does
Finds `max(numbers) + 1` if the numbers were read from file names, and the names around it mention ranks or shards. A
function that compares the number of shards, or the shard numbers, with the expected ones is not reported.

## Why is this bad
A shard that is missing in the middle is not noticed: three files of four still say "four ranks", and the data of the
missing rank is silently omitted or replaced. A file that an older, larger job left in the folder makes the number too
high. Everything computed from the world size, above all which rank owns which rows, is then wrong on every rank.

## Example
```python
import os


def saved_world_size(folder):
    ranks = set()
    for name in os.listdir(folder):
        if name.startswith("rank_"):
            ranks.add(int(name[len("rank_") :]))
    return max(ranks) + 1  # CL405
```

## Use instead
```python
import os


def saved_world_size(folder):
    ranks = set()
    for name in os.listdir(folder):
        if name.startswith("rank_"):
            ranks.add(int(name[len("rank_") :]))
    if len(ranks) != max(ranks) + 1:
        raise RuntimeError(f"{folder}: shards are missing, there are only {sorted(ranks)}")
    return len(ranks)
```

Better still, write the world size into the checkpoint.

## References
- [torch.distributed.checkpoint](https://docs.pytorch.org/docs/stable/distributed.checkpoint.html)
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from collectivelint.api import (
    Call,
    Compare,
    Name,
    Place,
    Report,
    Rule,
    assignments,
    expressions,
    names_in,
    statement_fix,
    walk,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    import libcst as cst

    from collectivelint.api import Anchored, Expr, Findings, FixBuilder, Note


RULE: Final = Rule(
    "CL405", "shard-count-guess", "a world size guessed from the highest shard number", holds="in programs"
)

_WORD: Final = re.compile(r"[a-z]+")
_COUNTS: Final = (Name("len"), Name("set"), Name("sorted"))


def check(findings: Findings) -> Iterator[Report]:
    """One finding for each such sum."""
    words = findings.analysis.catalog.shard_words
    for _, note in findings.analysis.notes("guess"):
        if not words & set(_words(note)) or _is_counted(note):
            continue
        path = note.function.path
        yield Report.at(
            note,
            message="the number of shards is guessed from the highest shard number; a missing or stale shard is not noticed",
            severity="warning",
            trail=(
                *(Place(cause.path, cause.span, "source", "the existing shards") for cause in note.causes),
                Place(path, note.span, "note", "one more than the highest number"),
            ),
            help="check that no shard number is missing, or write the world size into the checkpoint",
            fix=_checked(note),
        )


def _checked(note: Note) -> FixBuilder | None:
    """Builds the fix that adds a check behind `world = max(ranks) + 1`: all lower numbers are there."""
    match _targets(note), [arg for expr in note.exprs if isinstance(expr, Call) for arg in expr.args]:
        case [Name(id=world)], [Name(id=ranks)]:
            lines = (
                f"if set({ranks}) != set(range({world})):\n"
                f'    raise RuntimeError(f"shards are missing: there are {{sorted({ranks})}}")\n'
            )
        case _:
            return None

    def rewrite(anchored: Anchored) -> list[cst.BaseStatement]:
        import libcst as cst

        return [anchored.statement, cst.parse_statement(lines)]

    return statement_fix(note.statement, "display", "Check that no shard is missing", rewrite)


def _words(note: Note) -> Iterator[str]:
    """The words in the names of the function, the numbers and the result, in the singular."""
    names = [note.function.qualname, *names_in((*note.exprs, *_targets(note)))]
    for name in names:
        yield from (word.removesuffix("s") for word in _WORD.findall(name.lower()))


def _targets(note: Note) -> list[Expr]:
    """What the sum is assigned to."""
    made = assignments(note.function.body)
    return [target for item in made if item.span == note.statement for target in item.targets]


def _is_counted(note: Note) -> bool:
    """Whether the function compares the numbers, or how many there are."""
    numbers = [arg for expr in note.exprs if isinstance(expr, Call) for arg in expr.args]
    for expr in expressions(note.function.body):
        for side in (expr.left, expr.right) if isinstance(expr, Compare) else ():
            for part in walk(side):
                if isinstance(part, Call) and part.function in _COUNTS and part.args[:1] == tuple(numbers[:1]):
                    return True
    return False
