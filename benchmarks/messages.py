"""Print every message of the rules once, with what the trail, the help and the fix say, for review: `make messages`.

The messages are those of the cases in tests/rules/cases. Two that differ in names and numbers only are one.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from pathlib import Path

from collectivelint.engine import Linter
from collectivelint.findings.confidence import Confidence
from collectivelint.settings import Resolver

_CASES = Path(__file__).parents[1] / "tests/rules/cases"
_PART = re.compile(
    r"^(?:### `?(?P<file>[^\s`]+)`?|```python\n(?P<code>.*?)^```)$",
    re.MULTILINE | re.DOTALL,
)
_NAMES = re.compile(r"`[^`]*`|\b\d+\b")


def _cases() -> list[dict[str, str]]:
    found = []
    for page in sorted(_CASES.glob("*.md")):
        for section in re.split(r"^## (?=\S)", page.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
            name, files = "main.py", {}
            for part in _PART.finditer(section):
                name = part["file"] or name
                if part["code"] is not None:
                    files[name] = part["code"]
            found.append(files)
    return found


def _sentences(files: dict[str, str]) -> list[tuple[str, str, str]]:
    """(code, part, text) of each sentence about these files."""
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        Path("pyproject.toml").touch()
        for name, code in files.items():
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            Path(name).write_text(code, encoding="utf-8")
        result = Linter(Resolver({"min_confidence": Confidence.LOW, "select": ("ALL",)}, isolated=True)).run([Path()])
        os.chdir("/")
    found = []
    for item in result.findings:
        found.append((item.code, "message", item.message))
        found += [(item.code, "trail", step.text) for step in item.trail]
        found += [(item.code, "help", item.help)] if item.help else []
        found += [(item.code, "fix", item.fix.message)] if item.fix is not None else []
    return found


def main() -> None:
    """Print the sentences by rule."""
    seen: dict[tuple[str, str, str], str] = {}
    for files in _cases():
        for code, part, text in _sentences(files):
            seen.setdefault((code, part, _NAMES.sub("`_`", text)), text)
    order = ("message", "trail", "help", "fix")
    last = ""
    for (code, part, _), text in sorted(seen.items(), key=lambda item: (item[0][0], order.index(item[0][1]), item[1])):
        if code != last:
            sys.stdout.write(f"\n## {code}\n\n")
        last = code
        sys.stdout.write(f"{part}: {text}\n")


if __name__ == "__main__":
    main()
