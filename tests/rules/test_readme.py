"""The README says what the rules say."""

from __future__ import annotations

from pathlib import Path

from collectivelint.rule import discover

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
