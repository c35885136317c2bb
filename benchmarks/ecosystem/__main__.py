"""What a change of the linter does to the findings on public code: `make ecosystem`.

Every repository of `repositories.toml` is linted at its commit, as one program, with the default rules at every
confidence. The findings are compared with `accepted.jsonl`, the last state that was reviewed, and what differs is
printed as a Markdown table. Ends with 1 if something differs; `--accept` writes the new state instead.

Repositories are looked for below `--repositories` (`OWNER/NAME`, `OWNER+NAME`, or `OWNER+NAME/repo`, each a clone or a
bare one) and cloned there, without their history's files, if they are not there.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click

from .compare import differences, table
from .findings import Finding, lint, read, write
from .repositories import Pin, UnavailableError, export, find_or_clone, pins

HERE = Path(__file__).parent


def _findings(pin: Pin, folder: Path, clone_from: str) -> list[Finding]:
    """What the linter reports for one repository."""
    git = find_or_clone(pin, folder, clone_from)
    with tempfile.TemporaryDirectory() as tree:
        export(git, pin, Path(tree))
        return lint(pin.name, Path(tree))


@click.command(help=__doc__)
@click.option(
    "--repositories", "folder", type=click.Path(path_type=Path), default=Path(".ecosystem"), show_default=True
)
@click.option("--clone-from", default="https://github.com/", show_default=True, help="What stands before OWNER/NAME.")
@click.option("--only", default="", help="Repositories whose name contains this.")
@click.option("--jobs", default=1, show_default=True, help="Repositories at the same time.")
@click.option("--accept", is_flag=True, help="Write the findings as the accepted state.")
def main(folder: Path, clone_from: str, only: str, jobs: int, accept: bool) -> None:
    """Lint the repositories and compare."""
    accepted_file = HERE / "accepted.jsonl"
    accepted = read(accepted_file) if accepted_file.exists() else []
    chosen = [pin for pin in pins(HERE / "repositories.toml") if only.lower() in pin.name.lower()]
    found: list[Finding] = []
    done: set[str] = set()
    with ThreadPoolExecutor(jobs) as pool:
        running = {pin: pool.submit(_findings, pin, folder, clone_from) for pin in chosen}
        for pin, future in running.items():
            try:
                new = future.result()
            except (UnavailableError, subprocess.SubprocessError) as error:
                click.echo(f"{pin.name}: {error}", err=True)
                continue
            done.add(pin.name)
            found += new
            counts = Counter(finding.confidence for finding in new)
            click.echo(
                f"{pin.name}: " + (", ".join(f"{n} {level}" for level, n in sorted(counts.items())) or "none"), err=True
            )
    before = [finding for finding in accepted if finding.repository in done]
    if accept:
        write(accepted_file, [finding for finding in accepted if finding.repository not in done] + found)
        click.echo(f"{len(found)} findings of {len(done)} repositories accepted")
        return
    changes = differences(before, found)
    click.echo(table(changes))
    missing = len(chosen) - len(done)
    click.echo(f"{len(done)} of {len(chosen)} repositories linted, {len(found)} findings, {len(changes)} differences")
    sys.exit(1 if changes or missing else 0)


if __name__ == "__main__":
    main()
