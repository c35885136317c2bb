"""What share of the functions of frameworks that run collectives the catalogue knows: the table of benchmarks/catalog.md.

    python benchmarks/catalog_share.py FOLDER > table

Each folder in FOLDER is named after a framework and holds its packages, as they come out of a wheel or a source distribution
(`pip download --no-deps NAME` and `unzip`). Nothing in them is imported. Each is read in a process of its own.
"""

from __future__ import annotations

import sys
import time
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

from collectivelint.catalog.candidates import candidates
from collectivelint.catalog.reader import load
from collectivelint.program.installed import version_of

#: The package of a framework, where its name is another one.
PACKAGES = {"ms_swift": "swift", "megatron_core": "megatron", "nemo_toolkit": "nemo", "open_clip_torch": "open_clip"}


class Share(NamedTuple):
    """The row of a framework."""

    version: str
    functions: int
    known: int
    own: int
    own_known: int
    seconds: float


def share_of(folder: Path) -> Share:
    """What is known of the package in a folder."""
    start = time.perf_counter()
    package = folder / PACKAGES.get(folder.name, folder.name)
    running = [item for item in candidates([package], load(), base=folder) if item.runs_collectives]
    own = [item for item in running if item.is_own]
    known, own_known = (sum(item.known is not None for item in some) for some in (running, own))
    taken = time.perf_counter() - start
    return Share(_version(folder, package), len(running), known, len(own), own_known, taken)


def _version(folder: Path, package: Path) -> str:
    """As the name of its metadata says it, if the name of the package does not lead there."""
    found = [item.name.rpartition(".")[0] for item in folder.glob("*.dist-info")]
    return version_of(package) or (found[0].rpartition("-")[2] if found else "")


def main() -> None:
    """Print a row for each framework as it is known."""
    folders = sorted(item for item in Path(sys.argv[1]).iterdir() if item.is_dir())
    print("| framework | version | functions | known | share | of these its own | known | share | seconds |")
    print("|---|---|---|---|---|---|---|---|---|", flush=True)
    # A process for each, so that memory is given back.
    with get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        for folder, row in zip(folders, pool.imap(share_of, folders), strict=True):
            shares = [f"{100 * some / max(every, 1):.0f} %" for some, every in ((row[2], row[1]), (row[4], row[3]))]
            print(
                f"| {folder.name} | {row.version} | {row.functions} | {row.known} | {shares[0]} "
                f"| {row.own} | {row.own_known} | {shares[1]} | {row.seconds:.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
