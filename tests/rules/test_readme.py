"""What the README says of this repository."""

from __future__ import annotations

from pathlib import Path

from collectivelint.settings import Resolver

README = Path(__file__).parent.parent.parent / "README.md"


def test_its_own_repository_can_be_linted() -> None:
    """The first command of the README is typed in a clone, with whatever configuration files lie there."""
    resolver = Resolver()
    ours = ("collectivelint", "rules", "runtime", "tests", "examples", "benchmarks", "docs")
    tracked = [file for name in ours for file in (README.parent / name).rglob("*") if file.suffix in (".py", ".toml")]
    for folder in {file.parent for file in tracked}:
        resolver.settings(folder)
    assert tracked
    assert resolver.problems == []
