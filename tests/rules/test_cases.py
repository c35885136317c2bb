"""The cases in cases/*.md: files whose marked lines, and no others, are reported.

`## Title` starts a case. A ```toml block holds settings, or `[[section]]`s of a catalogue file: for the whole page before the
first case, else for its case.
`### name.py` names the ```python block that follows; without a heading it is `main.py`. A paragraph that starts with
`Not yet:` says why a case is expected to fail.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Project

_CASES: Final = Path(__file__).parent / "cases"
_PART: Final = re.compile(
    r"^(?:### `?(?P<file>[^\s`]+)`?|Not yet: (?P<reason>[^\n]*)|```(?P<kind>toml|python)\n(?P<code>.*?)^```)$",
    re.MULTILINE | re.DOTALL,
)


def _settings(text: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for part in _PART.finditer(text):
        if part["kind"] == "toml":
            known = tomllib.loads(part["code"])
            found |= {"catalog_files": (("case.toml", part["code"]),)} if "section" in known else known
    return found


def _cases() -> Iterator[Any]:
    for page in sorted(_CASES.glob("*.md")):
        head, *sections = re.split(r"^## (?=\S)", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
        for section in sections:
            title, _, body = section.partition("\n")
            name, files, marks = "main.py", {}, []
            for part in _PART.finditer(body):
                if part["file"]:
                    name = part["file"]
                elif part["reason"]:
                    marks = [pytest.mark.xfail(strict=True, reason=part["reason"])]
                elif part["kind"] == "python":
                    assert name not in files, f"{page.name}: {title}: {name} is there twice"
                    files[name] = part["code"]
            assert files, f"{page.name}: {title}: no files"
            settings = {**_settings(head), **_settings(body)}
            yield pytest.param(files, settings, id=f"{page.stem}-{title.strip()}", marks=marks)


@pytest.mark.parametrize(("files", "settings"), list(_cases()))
def test_marked_lines_and_no_others(project: Project, files: dict[str, str], settings: dict[str, Any]) -> None:
    project.check_marked(files, **settings)
