"""Source read from the standard input: linted like a file, and written back fixed, or unchanged."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from ..engine import Linter
from ..finding import UNREADABLE, Finding, Location
from ..findings.result import Result
from ..reading import limit_of
from ..registry import discover
from ..source.decode import decode
from ..source.text import Source, UnreadableError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ..settings import Resolver


@dataclass(slots=True)
class StandardInput:
    """The bytes that were read, and the text that is linted; `problem` is set if they cannot be decoded."""

    data: bytes
    source: Source
    problem: UnreadableError | None = None

    def result(self, linter: Linter, targets: Sequence[Path]) -> Result:
        """The finding for a text that cannot be decoded; empty if there is no problem or the file is excluded."""
        if self.problem is None or not linter.paths(targets):
            return Result()
        place = Location(self.problem.line, self.problem.column)
        name = discover()[UNREADABLE].RULE.name
        finding = Finding(UNREADABLE, name, self.problem.message, "error", self.source.path, place, place, "")
        return Result([finding], files=1)

    def linter(self, resolver: Resolver) -> Linter:
        """A linter for the text; reports read its lines from it."""
        return Linter(resolver, {self.source.path: self.source})

    def give_back(self, source: Source) -> None:
        """Write the text to the standard output, fixed; a text that could not be decoded is written byte for byte."""
        if self.problem is None:
            click.echo(source.encode(source.text), nl=False)
            return
        import shutil

        sys.stdout.flush()
        sys.stdout.buffer.write(self.data)
        # More than is read of a file.
        shutil.copyfileobj(sys.stdin.buffer, sys.stdout.buffer)
        sys.stdout.buffer.flush()


def read(name: str) -> StandardInput:
    """Read the standard input; reports call it `name`."""
    if sys.stdin is None:  # type: ignore[redundant-expr,unused-ignore]  # Python has None for a stream that is closed
        raise click.UsageError("the standard input is closed")
    limit = limit_of(name)
    data = sys.stdin.buffer.read(limit + 1)
    try:
        if len(data) > limit:
            raise UnreadableError(f"cannot be read: has more than {limit // 1_000_000} MB")
        return StandardInput(data, decode(data, name))
    except UnreadableError as problem:
        return StandardInput(data, Source(name, data.decode(errors="replace"), "utf-8", bom=False), problem)
