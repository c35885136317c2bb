"""Lists the functions of a framework that run collectives, to compare its catalogue with a new release of it.

    python benchmarks/catalog_candidates.py path/to/checkout [--package name] > new.txt
    diff old.txt new.txt

A line is a function, as a program would import it, with the collectives that it runs itself; `implicit` or `missing` says
whether the catalogue knows it. Private functions are left out.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from collectivelint.analysis.effects import events
from collectivelint.analysis.program import Analysis
from collectivelint.catalog import reader as catalog
from collectivelint.engine import Linter
from collectivelint.program.index import Indexes
from collectivelint.program.resolver import Program
from collectivelint.settings import Resolver
from collectivelint.source.discover import discover, is_test

if TYPE_CHECKING:
    from collections.abc import Iterator

    from collectivelint.catalog.model import Catalog


@click.command(help=__doc__)
@click.argument("checkout", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--package", default="", help="Only functions of this package.")
def main(checkout: Path, package: str) -> None:
    """Print a line for each function."""
    for name, ops, known in candidates(checkout, catalog.load()):
        if name.startswith(package):
            click.echo(f"{name}  {known}  {' '.join(ops)}")


def candidates(checkout: Path, known: Catalog) -> Iterator[tuple[str, list[str], str]]:
    """Qualified name, operations in order, and the category that the catalogue has the function under."""
    resolver = Resolver(isolated=True)
    linter = Linter(resolver)
    paths = [str(path) for path in discover([checkout], resolver).files if not is_test(path)]
    indexes = Indexes(paths, linter._index)  # the same reading as the linter's
    program = Program(indexes, linter._lower, frozenset())
    for facts in Analysis(program, known, paths).functions:
        function = facts.function
        ops = list(dict.fromkeys(event.op for event in events(facts.term) if not event.chain))
        public = not any(part.startswith(("_", "<")) for part in function.qualname.split("."))
        if ops and public:
            name = f"{_module(Path(function.path).relative_to(checkout))}.{function.qualname}"
            row = known.apis.get(name)
            yield name, ops, row.category if row is not None else "missing"


def _module(path: Path) -> str:
    parts = list(path.with_suffix("").parts)
    if parts[0] == "src":
        parts = parts[1:]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


if __name__ == "__main__":
    main()
