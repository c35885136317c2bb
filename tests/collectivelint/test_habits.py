"""What ruff's users type: `--config`, `extend`, `--show-files`, `--color`, variables, formats, and misspelt words."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from collectivelint.cli import cli
from collectivelint.report import FORMATS, hyperlink
from collectivelint.settings import Resolver, Settings
from collectivelint.settings.options import options
from collectivelint.settings.selection import is_selected

if TYPE_CHECKING:
    from tests.conftest import Project

_CODE = "import torch.distributed as dist\n\ndist.barrier()\nif dist.get_rank() == 0:\n    dist.barrier()\n"
_MARK = re.compile(r"^\S+: (CL\d+)", re.MULTILINE)


def _codes(project: Project, *args: str) -> set[str]:
    ran = project.run("check", "--output-format=concise", "--no-cache", *args)
    assert (ran.code, ran.err) in ((0, ""), (1, "")), ran.err
    return set(_MARK.findall(ran.out))


# ----------------------------------------------------------------------------------------------- configuration


def test_a_configuration_that_is_named_stands_for_all(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.write({"sub/main.py": _CODE, "sub/collectivelint.toml": 'select = ["CL101"]\n'})
    project.write({"ci/own.toml": 'select = ["CL201"]\nper-file-ignores = { "none/*" = ["CL201"] }\n'})
    assert _codes(project) == {"CL101"}
    assert _codes(project, "--config", "ci/own.toml") == {"CL201"}
    monkeypatch.setenv("COLLECTIVELINT_CONFIG", "ci/own.toml")
    assert _codes(project) == {"CL201"}
    assert _codes(project, "--isolated") == {"CL101", "CL201"}
    # Patterns are relative to the current folder.
    project.write({"ci/own.toml": 'per-file-ignores = { "sub/*" = ["CL2"] }\n'})
    assert _codes(project) == {"CL101"}


def test_single_keys(project: Project) -> None:
    project.write({"main.py": _CODE, "collectivelint.toml": 'select = ["CL101"]\n'})
    assert _codes(project, "--config", 'select = ["CL201"]') == {"CL201"}
    assert _codes(project, "--config", 'select = ["CL1", "CL2"]', "--config", 'ignore = ["CL1"]') == {"CL201"}
    # An option is nearer.
    assert _codes(project, "--config", 'select = ["CL201"]', "--select=CL101") == {"CL101"}
    assert _codes(project, "--isolated", "--config", 'ignore = ["CL1"]') == {"CL201"}


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--config", "no.toml"], "--config: no.toml: no such file, and not KEY = VALUE"),
        (["--config", "selct = []"], "--config: unknown key `selct`; did you mean `select`?"),
        (["--config", 'select = ["CL999"]'], "--config: unknown rule `CL999`"),
        (["--config", "select = 1"], "--config: `select` has to be a list of strings"),
        (["--config", "select = CL1"], "is neither a file nor TOML"),
        (["--config", f'catalog-files = ["{"x" * 300}"]'], "File name too long"),
        (["--config", 'catalog-files = ["a\\u0000"]'], "embedded null byte"),
        (["x" * 300], "no such file or folder"),
        (["--show-analysis", ""], "no function ``"),
        (["--config", 'extend = "x"'], "`extend` is a key of files only"),
        (["--config", "pyproject.toml"], "pyproject.toml: has no [tool.collectivelint]"),
        (["--config", "a.toml", "--config", "b.toml"], "--config takes one file, not a.toml and b.toml"),
        (["--config", "pyproject.toml", "--isolated"], "leave out --config pyproject.toml"),
        (["--output-format", "gruoped"], "did you mean `grouped`?"),
        (["--color", "alway"], "did you mean `always`?"),
        (["--min-confidence", "hihg"], "did you mean `high`?"),
    ],
)
def test_what_is_wrong_is_said_once_and_nothing_runs(project: Project, args: list[str], words: str) -> None:
    project.write(_CODE)
    ran = project.run_plainly("check", *args)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.count(words) == 1, ran.err


def test_extend(project: Project) -> None:
    project.write(
        {
            "sub/main.py": _CODE,
            "shared/base.toml": 'select = ["CL2"]\nextend-select = ["CL1"]\nbaseline = "known.json"\n',
            "sub/collectivelint.toml": 'extend = "../shared/base.toml"\nextend-select = ["CL4"]\nexclude = ["x"]\n',
        }
    )
    settings = Resolver().settings(Path("sub"))
    assert (settings.select, settings.extend_select, settings.exclude) == (("CL2",), ("CL1", "CL4"), ("x",))
    assert (settings.root, settings.baseline) == (project.root / "sub", "../shared/known.json")


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        ({"collectivelint.toml": 'extend = "no.toml"\n'}, "collectivelint.toml:1: `extend`: "),
        ({"collectivelint.toml": 'extend = "pyproject.toml"\n'}, "pyproject.toml has no [tool.collectivelint]"),
        ({"collectivelint.toml": '\nextend = "collectivelint.toml"\n'}, "collectivelint.toml:2: `extend`: "),
        ({"collectivelint.toml": 'extend = "b.toml"\n', "b.toml": 'extend = "collectivelint.toml"\n'}, "b.toml:1: "),
        ({"collectivelint.toml": 'extend = "b.toml"\n', "b.toml": 'selct = "x"\n'}, "b.toml:1: unknown key `selct`"),
    ],
)
def test_extend_that_cannot_be_used(project: Project, files: dict[str, str], problem: str) -> None:
    project.write({"main.py": _CODE, **files})
    ran = project.run("check")
    assert ran.code == 2
    assert ran.err.count("error: ") == 1
    assert problem in ran.err


def test_options_that_add_to_the_configuration(project: Project) -> None:
    toml = 'select = ["CL201"]\nextend-select = ["CL101"]\nextend-exclude = ["x.py"]\n'
    project.write({"main.py": _CODE, "x.py": _CODE, "y.py": _CODE, "collectivelint.toml": toml})
    assert _codes(project) == {"CL101", "CL201"}
    assert _codes(project, "--extend-ignore=CL101") == {"CL201"}
    assert _codes(project, "--extend-select=CL4") == {"CL101", "CL201"}
    assert project.run("--show-files").out == "main.py\ny.py\n"
    assert project.run("--show-files", "--extend-exclude=y.py").out == "main.py\n"


def test_variables(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.write(_CODE)
    monkeypatch.setenv("COLLECTIVELINT_OUTPUT_FORMAT", "pylint")
    monkeypatch.setenv("COLLECTIVELINT_CACHE_DIR", "elsewhere")
    assert project.run("--select=CL201").out.startswith("main.py:5: [CL201] ")
    assert Path("elsewhere").is_dir()
    monkeypatch.setenv("COLLECTIVELINT_CACHE_DIR", "third")
    monkeypatch.setenv("COLLECTIVELINT_NO_CACHE", "1")
    project.run()
    assert not Path("third").exists()
    monkeypatch.setenv("COLLECTIVELINT_OUTPUT_FORMAT", "pilint")
    assert "did you mean `pylint`?" in project.run().err


def test_a_new_rule_runs_with_preview_only() -> None:
    from collectivelint.registry import rules

    rule = replace(rules()[-1], preview=True)
    assert not is_selected(Settings(select=("ALL", rule.code)), rule)
    assert is_selected(Settings(preview=True), rule)


def test_config(project: Project) -> None:
    text = (Path(__file__).parents[2] / "docs/configuration.md").read_text()
    rows = re.findall(r"^\| `([a-z-]+)` \| (.*?) \| .* \|$", text, re.MULTILINE)
    without_links = [(key, re.sub(r": \[.*", "", words)) for key, words in rows]
    assert without_links == [(option.key, option.text) for option in options()]
    assert project.run("config").out.count("\n") == len(rows)
    assert project.run("config", "min-confidence").out.splitlines()[1:] == [
        "Type: `high`, `medium` or `low`",
        'Default: "medium"',
    ]
    assert json.loads(project.run("config", "select", "--output-format=json").out)["default"] == "[]"
    assert "no key `selct`; did you mean `select`?" in project.run("config", "selct").err


def test_all_rules(project: Project) -> None:
    every = json.loads(project.run("rule", "--all", "--output-format=json").out)
    assert every == json.loads(project.run("rules", "--output-format=json").out)
    assert project.run("rule", "--all").out.count("\n# CL") == len(every) - 1
    assert project.run("rule").code == project.run("rule", "CL101", "--all").code == 2


# ------------------------------------------------------------------------------------------------------ output


def test_colours_by_option(project: Project) -> None:
    project.write(_CODE)
    assert "\x1b[" in project.run("--color", "always").out
    assert "\x1b" not in project.run("--color", "never").out


def test_links(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.write(_CODE)
    monkeypatch.setenv("TERM_PROGRAM", "vscode")
    # Never in a pipe, even with colours.
    assert "\x1b]8" not in project.run("--color", "always").out
    assert not hyperlink.is_supported(sys.stdout)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    out = project.run("--select=CL201", "--color", "always").out
    address = re.findall("\x1b]8;;file://(.*?)\x1b\\\\", out)
    assert [Path(item).name for item in address] == ["rank_conditional.py"]
    assert "\x1b]8" not in project.run("--color", "never").out
    monkeypatch.setenv("TERM", "dumb")
    assert "\x1b]8" not in project.run("--color", "always").out


def test_grouped_and_full(project: Project) -> None:
    project.write({"a.py": _CODE, "b.py": _CODE})
    lines = project.run("--select=CL201", "--output-format=grouped").out.splitlines()
    assert [line[:22] for line in lines if line] == [
        *("a.py:", "  5:5     CL201 [rank-", "b.py:", "  5:5     CL201 [rank-", "Found 2 findings in 2 "),
    ]
    assert project.run("--output-format=full").out == project.run("--output-format=text").out


def test_rdjson(project: Project) -> None:
    """Columns are bytes from 1."""
    project.write('import torch.distributed as dist\nif dist.get_rank() == 0:\n    "é"; dist.barrier()\n')
    report = json.loads(project.run("--select=CL201", "--output-format=rdjson").out)
    (one,) = report["diagnostics"]
    assert report["source"] == {"name": "collectivelint"}
    assert (one["code"], one["severity"]) == ({"value": "CL201"}, "ERROR")
    assert one["location"]["path"] == "main.py"
    assert one["location"]["range"] == {"start": {"line": 3, "column": 11}, "end": {"line": 3, "column": 25}}
    assert [place["location"]["range"]["start"]["line"] for place in one["related_locations"]][-1] == 3
    fixed = json.loads(project.run("--select=CL101", "--explicit-world", "--output-format=rdjson").out)
    assert [edit["text"] for edit in fixed["diagnostics"][0]["suggestions"]] == ["group=dist.group.WORLD"]


def test_formats_agree_on_the_severity(project: Project) -> None:
    """An error and a warning are that in each; no format has a severity of the whole report."""
    project.write(
        f"{_CODE}\n\ndef f(x, handle):\n    dist.all_reduce(x, group=g, async_op=True)\n    assert dist.barrier(group=g)\n"
    )
    reviewdog = json.loads(project.run("--select=ALL", "--output-format=rdjson").out)
    annotations = project.run("--select=ALL", "--output-format=github").out
    severities = [item["severity"] for item in reviewdog["diagnostics"]]
    assert severities == [word.upper() for word in re.findall(r"^::(\w+) ", annotations, re.MULTILINE)]
    assert set(severities) == {"ERROR", "WARNING"}
    assert reviewdog.keys() == {"source", "diagnostics"}


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["ckpt", "step_1000"], "no command `step_1000`; did you mean `collectivelint ckpt verify step_1000`?"),
        (["ckpt", "ls", "step_1000"], "no command `ls`; did you mean `collectivelint ckpt inspect`?"),
        (["ckpt", "s3://b/a step"], "did you mean `collectivelint ckpt verify 's3://b/a step'`?"),
        (["ckpt", "verfy"], "No such command 'verfy'"),
        (["catalog", "accelerate"], "no command `accelerate`; did you mean `collectivelint catalog show accelerate`?"),
        (["check", "step_1000"], "or all are excluded; `collectivelint ckpt verify step_1000` reads what is there"),
        (["check", "traces"], "or all are excluded; `collectivelint report traces` reads what is there"),
        (["report", "trace"], "trace: no such folder; did you mean `traces`?"),
        (["report", "elsewhere/run"], "no such folder; `collectivelint trace -- torchrun ... train.py` writes one"),
        (["trace"], "Missing argument '-- COMMAND...'"),
    ],
)
def test_an_error_says_what_to_type(project: Project, args: list[str], words: str) -> None:
    project.write({"step_1000/.metadata": "", "traces/run-1/rank0.ring": ""})
    ran = project.run_plainly(*args)
    assert ran.code == 2
    assert words in ran.err


def test_a_diff_says_what_is_left(project: Project) -> None:
    project.write("import torch.distributed as dist\n\n\ndef f(group):\n    dist.barrier()\n")
    assert (
        project.run("--select=CL101", "--diff").err == "Would fix none of 1 finding. 1 fixable with `--unsafe-fixes`.\n"
    )
    assert project.run("--select=CL101", "--diff", "--unsafe-fixes").err == "Would fix 1 finding.\n"
    assert project.run("--select=CL201", "--diff").err == "Nothing to fix: no findings in 1 file.\n"


def test_formats_are_documented() -> None:
    text = (Path(__file__).parents[2] / "docs/ci.md").read_text()
    assert set(FORMATS) <= set(re.findall(r"`([a-z-]+)`", text[text.index("Formats: ") :]))


@pytest.mark.parametrize(
    ("words", "found"), [(["c"], {"check", "ckpt", "config", "confirm"}), (["src/", "--diff-b"], {"--diff-base"})]
)
def test_completion(words: list[str], found: set[str], tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "_COLLECTIVELINT_COMPLETE": "bash_complete",
        "COMP_WORDS": " ".join(["collectivelint", *words]),
        "COMP_CWORD": str(len(words)),
    }
    command = [sys.executable, "-c", "from collectivelint.cli import main; main()"]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert {line.partition(",")[2] for line in ran.stdout.splitlines()} >= found


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["rule", "CL20"], {"CL201", "CL202"}),
        (["check", "--select", "CL101,rank-c"], {"CL101,rank-conditional"}),
        (["config", "base"], {"baseline"}),
        (["ckpt", "ver"], {"verify"}),
        (["sr"], {"sr"}),
        (["--sel"], {"--select"}),
    ],
)
def test_completion_of_what_stands_behind_a_command(words: list[str], found: set[str]) -> None:
    from click.shell_completion import ShellComplete

    shell = ShellComplete(cli, {}, "collectivelint", "_COLLECTIVELINT_COMPLETE")
    assert {item.value for item in shell.get_completions(words[:-1], words[-1])} >= found


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["explain", "CL201"], "no such file or command `explain`; did you mean `rule`?"),
        (["verify", "step_1000"], "did you mean `ckpt verify`?"),
        (["CL201"], "CL201: no such file or folder; `collectivelint rule CL201` explains that rule"),
        (["mian.py"], "mian.py: no such file or folder; did you mean `main.py`?"),
        (["rule", "CL5"], "no rule `CL5`; name one of CL501, CL502, CL503, CL504"),
    ],
)
def test_what_was_meant(project: Project, words: list[str], said: str) -> None:
    project.write({"main.py": _CODE})
    assert said in project.run(*words).err


def test_a_folder_is_no_configuration_file(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLLECTIVELINT_CONFIG", "/")
    assert "COLLECTIVELINT_CONFIG: /: is a folder, not a configuration file" in project.run().err
