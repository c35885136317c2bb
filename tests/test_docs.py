"""What the guides, the README and the action say is so: examples, options, settings, and the steps themselves."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
import yaml

from collectivelint.catalog.reader import parse
from collectivelint.cli import COMMANDS
from collectivelint.settings import Resolver, Settings

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from tests.conftest import Project

_ROOT: Final = Path(__file__).parent.parent
_PAGES: Final = [_ROOT / "README.md", *sorted((_ROOT / "docs").glob("*.md"))]


def _blocks(language: str) -> list[Any]:
    return [
        pytest.param(match[1], id=f"{page.name}-{number}")
        for page in _PAGES
        for number, match in enumerate(re.finditer(rf"^```{language}\n(.*?)^```", page.read_text(), re.M | re.S))
    ]


@pytest.mark.parametrize("code", _blocks("python"))
def test_examples_are_reported_where_they_are_marked(project: Project, code: str) -> None:
    # Without CL001: a comment that silences shows how, and CL101 where the page is about something else.
    project.check_marked(code, select=["CL2", "CL4"])


@pytest.mark.parametrize("code", _blocks("toml"))
def test_settings_are_valid(project: Project, code: str) -> None:
    if "[tool.collectivelint" not in code:
        assert tomllib.loads(code)
        if "[[section]]" in code:
            parse([("docs.toml", code)])
        return
    own, _, catalogue = code.partition("# lint/company.toml")
    project.write({"pyproject.toml": own, "collectivelint-baseline.json": "{}"})
    if "catalog-files" in own:
        every = re.search(r"# lint/company\.toml\n(.*?)^```", (_ROOT / "docs/teach.md").read_text(), re.M | re.S)
        assert every is not None
        project.write({"lint/company.toml": catalogue or every[1]})
    resolver = Resolver({})
    resolver.settings(Path("main.py"))
    assert resolver.problems == []


def test_options_exist(project: Project) -> None:
    known = "".join(project.run(command, "--help").out for command in COMMANDS)
    known += "".join(project.run("ckpt", command, "--help").out for command in ("inspect", "verify", "diff"))
    known += "".join(project.run("catalog", name, "--help").out for name in ("check", "show", "schema", "candidates"))
    known += project.run("--help").out
    for page in _PAGES:
        for line in re.findall(r"(?<![-\w])collectivelint [^`\n]*", page.read_text()):
            # What stands behind `--` is somebody else's command.
            for option in re.findall(r"(?<!\S)--[a-z][a-z-]*", line.partition(" -- ")[0]):
                assert re.search(rf"{option}\b", known), f"{page.name}: {line}"


def test_every_setting_is_documented() -> None:
    text = (_ROOT / "docs/configuration.md").read_text()
    documented = set(re.findall(r"^\| `([a-z-]+)` \|", text, re.M))
    assert documented == {item.name.replace("_", "-") for item in fields(Settings)} - {"root", "file"} | {"extend"}


def test_every_guide_is_in_the_navigation() -> None:
    listed = re.findall(r"^\s+- (\S+\.md)$", (_ROOT / "mkdocs.yml").read_text(), re.M)
    assert sorted(listed) == sorted(page.name for page in _PAGES[1:])


def test_pictures_are_there_and_small() -> None:
    """Those of the README and the guides, each in light and in dark."""
    named = {
        name for page in _PAGES for name in re.findall(r"pictures/([\w-]+)-(?:light|dark)\.webp", page.read_text())
    }
    there = {path.name: path.stat().st_size for path in (_ROOT / "docs/pictures").iterdir()}
    assert there.keys() == {f"{name}-{scheme}.webp" for name in named for scheme in ("light", "dark")}
    assert max(there.values()) < 150_000


# ----------------------------------------------------------------------------------------------------------- the action


@pytest.mark.parametrize(
    ("paths", "args", "code", "marks"),
    [
        (".", "", 1, ["file=a.py,line=4", "file=b c/a.py,line=4"]),
        ("a.py", "--exit-zero", 0, ["file=a.py,line=4"]),
        ("a.py", "--select CL4 --isolated", 0, []),
        ("$(touch owned) a.py", "", 2, ["file=a.py,line=4"]),
    ],
)
def test_the_action_runs_what_it_says(project: Project, paths: str, args: str, code: int, marks: list[str]) -> None:
    text = "import torch.distributed as dist\n\nif dist.get_rank() == 0:\n    dist.barrier(group=dist.group.WORLD)\n"
    project.write({"a.py": text, "b c/a.py": text})
    action = yaml.safe_load((_ROOT / "action.yml").read_text())
    installed = project.root / "temp/collectivelint/bin"
    installed.mkdir(parents=True)
    (installed / "collectivelint").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m collectivelint "$@"\n')
    (installed / "collectivelint").chmod(0o755)
    run = action["runs"]["steps"][-1]
    inputs = {name: item["default"] for name, item in action["inputs"].items()} | {"paths": paths, "args": args}
    environment = {
        name: re.sub(r"\$\{\{ inputs\.([\w-]+) \}\}", lambda match: inputs[match[1]], value)
        for name, value in run["env"].items()
    }
    assert "${{" not in run["run"]
    ran = subprocess.run(
        ["bash", "-eo", "pipefail", "-c", run["run"]],
        cwd=project.root,
        env={"PATH": "/usr/bin:/bin", "RUNNER_TEMP": str(project.root / "temp"), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    found = re.findall(r"^::error title=.*?,(file=.*?,line=\d+)", ran.stdout, re.M)
    assert ran.returncode == code, ran.stderr
    assert found == marks
    assert not (project.root / "owned").exists()
