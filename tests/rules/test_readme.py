"""The README says what the rules say."""

from __future__ import annotations

from pathlib import Path

from collectivelint.registry import discover
from collectivelint.settings import Resolver

README = Path(__file__).parent.parent.parent / "README.md"


def test_table_of_rules() -> None:
    rules = [module.RULE for module in discover().values()]
    table = [
        f"| {rule.code} | {rule.name} | {rule.summary} |{f' {rule.fix} ' if rule.fix else ' '}|"
        for rule in rules
        if rule.default
    ]
    written = [line for line in README.read_text(encoding="utf-8").splitlines() if line.startswith("| CL")]
    assert written == table


def test_its_own_repository_can_be_linted() -> None:
    """The first command of the README is typed in a clone, with whatever configuration files lie there."""
    resolver = Resolver()
    ours = ("collectivelint", "rules", "runtime", "tests", "examples", "benchmarks", "docs")
    tracked = [file for name in ours for file in (README.parent / name).rglob("*") if file.suffix in (".py", ".toml")]
    for folder in {file.parent for file in tracked}:
        resolver.settings(folder)
    assert tracked
    assert resolver.problems == []
