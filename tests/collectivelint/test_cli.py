"""The command line: what it prints, where, and with which exit code."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
import pytest

from collectivelint import __version__
from collectivelint.cli import main
from collectivelint.cli.check import check
from collectivelint.compiled import is_compiled
from collectivelint.registry import discover

if TYPE_CHECKING:
    from tests.conftest import Project

_BAD: Final = "import torch.distributed as dist\n\n\ndef save():\n    dist.barrier()\n"
_GOOD: Final = "print('nothing')\n"
_DIVERGENT: Final = (
    "import torch.distributed as dist\n\n\ndef sync(group):\n    dist.barrier(group=group)\n\n\n"
    "def main(group):\n    if dist.get_rank(group) == 0:\n        sync(group)\n"
)


def _python(*args: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *args], check=False, capture_output=True, text=True, **options)


def _named(value: object) -> str:
    """The name of a case; that of a set is the same in every process."""
    return (
        " ".join(sorted(value) if isinstance(value, set) else value) if isinstance(value, (list, set)) else str(value)
    )


# ------------------------------------------------------------------------------------------------------ exit codes


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (["good.py"], 0),
        (["bad.py"], 1),
        (["."], 1),
        ([], 1),
        (["check", "bad.py"], 1),
        (["check"], 1),
        (["bad.py", "--exit-zero"], 0),
        (["bad.py", "--ignore", "CL101"], 0),
        (["bad.py", "--select", "CL201"], 0),
        (["bad.py", "--diff"], 0),
        (["bad.py", "--diff", "--explicit-world"], 1),
        (["bad.py", "--diff", "--explicit-world", "--exit-zero"], 0),
        (["bad.py", "--fix", "--explicit-world"], 0),
        (["empty"], 2),
        (["nowhere.py"], 2),
        (["nowhere.py", "good.py"], 2),
        (["nowhere.py", "bad.py"], 2),
        (["nowhere.py", "--exit-zero"], 2),
        (["--select", "CL999"], 2),
        (["--nonsense"], 2),
        (["--output-format", "xml"], 2),
        (["rule"], 2),
        (["rule", "CL999"], 2),
        (["rule", "CL101"], 0),
        (["rules"], 0),
        (["--help"], 0),
        (["-h"], 0),
        (["check", "--help"], 0),
        (["--version"], 0),
        (["syntax.py"], 1),
    ],
    ids=_named,
)
def test_exit_code(project: Project, args: list[str], code: int) -> None:
    project.write({"good.py": _GOOD, "bad.py": _BAD, "empty/notes.txt": ""})
    if "syntax.py" in args:
        project.write({"syntax.py": "x = ("})
    assert project.run(*args).code == code


def test_internal_error_in_one_function_loses_nothing_else(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    from collectivelint.analysis import program
    from collectivelint.analysis.transfer import statements as execute

    def fail(context: execute.Context, function: execute.Function, closure: object) -> execute.FunctionFacts:
        if function.qualname == "broken":
            raise ZeroDivisionError("oops")
        return execute.interpret(context, function, closure)  # type: ignore[arg-type]

    monkeypatch.setattr(program, "interpret", fail)
    project.write(
        {"main.py": "import torch.distributed as dist\ndef broken(): dist.barrier()\ndef g(): dist.barrier()\n"}
    )
    ran = project.run("--output-format", "concise")
    assert ran.code == 2
    assert "main.py:3:10: CL101" in ran.out
    assert re.search(r"internal error in function broken of main.py: ZeroDivisionError: oops .*please report", ran.err)


def test_internal_error_in_a_fix_keeps_the_finding(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    from collectivelint.fixes import arguments

    def fail(*_: object) -> None:
        raise ZeroDivisionError("oops")

    project.write(_BAD)
    monkeypatch.setattr(arguments, "with_keyword", fail)
    ran = project.run("main.py", "--explicit-world", "--output-format", "concise")
    assert ran.code == 2
    assert "CL101" in ran.out
    assert "internal error in the fix of CL101 at main.py:" in ran.err


def test_internal_error_is_two_and_loses_no_other_finding(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: object) -> Any:
        raise ZeroDivisionError("oops")

    project.write(_BAD)
    monkeypatch.setattr(discover()["CL201"], "check", broken)
    ran = project.run("main.py", "--output-format", "concise")
    assert ran.code == 2
    assert "CL101" in ran.out
    assert re.search(r"internal error in rule CL201: ZeroDivisionError: oops .*please report", ran.err)


@pytest.mark.parametrize("text", ["nonsense = 1\n", 'select = ["CL999"]\n', "select = [\n"])
def test_a_broken_configuration_stops_the_run(project: Project, text: str) -> None:
    project.write({"main.py": _BAD, "sub/main.py": _BAD, "sub/collectivelint.toml": text})
    for options in (
        (),
        ("--fix", "--explicit-world"),
        ("--diff",),
        ("--write-baseline",),
        ("--thread-groups", "--fix"),
    ):
        ran = project.run("check", *options, ".")
        assert (ran.code, ran.out) == (2, "")
        assert ran.err.count("collectivelint.toml:1") == 1
    assert project.text() == _BAD
    assert not (project.root / "collectivelint-baseline.json").exists()


def test_everything_that_is_wrong_with_a_configuration_is_named_by_line(project: Project) -> None:
    text = """[project]
name = "x"
select = 1

[tool.collectivelint]
selct = []
select = [
  "CL1",
  "CL9",  # no such rule
]
unsafe-fixes = "yes"
per-file-ignores."a.py" = ["CL20l"]

[tool.collectivelint.catalog]
unifrm = []
guards = ["a", "a b"]

[tool.collectivelint.expected-groups]
dp = "0-"
"""
    project.write({"main.py": _BAD, "pyproject.toml": text})
    ran = project.run()
    file = (project.root / "pyproject.toml").resolve()
    assert [line.removeprefix(f"error: {file}:") for line in ran.err.splitlines()] == [
        "6: unknown key `selct`; did you mean `select`?",
        "9: unknown rule `CL9`; did you mean `CL109`?",
        "11: `unsafe-fixes` has to be true or false",
        "12: unknown rule `CL20l`; did you mean `CL201`?",
        "15: unknown key `catalog.unifrm`; did you mean `uniform`?",
        "16: `catalog.guards`: 'a b' is not a dotted name like package.module.function",
        '19: `expected-groups`: ranks of `dp` have to be like "0-2,5", or a list of such',
    ]
    assert (ran.code, ran.out) == (2, "")


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("select = [\n", "1: "),
        ("a = 1\nb == 2\n", "2:4: "),
        ("a = 1\r\na = 2\r\n", "2:6: "),
        ("a = '\udcff'", "1: byte 0xff"),
    ],
)
def test_what_is_no_toml_is_named_by_line(project: Project, text: str, place: str) -> None:
    project.write({"main.py": _BAD, "pyproject.toml": text.encode(errors="surrogateescape")})
    ran = project.run()
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(f"error: {(project.root / 'pyproject.toml').resolve()}:{place}")
    assert "line" not in ran.err


@pytest.mark.parametrize(
    ("words", "near"),
    [(["chekc", "src"], "check"), (["tracee"], "trace"), (["reports", "src"], "report"), (["confrim"], "confirm")],
)
def test_a_mistyped_command(project: Project, words: list[str], near: str) -> None:
    project.write({"src/main.py": _BAD})
    ran = project.run(*words)
    assert (ran.code, ran.out) == (2, "")
    assert f"no such file or command `{words[0]}`; did you mean `{near}`?" in ran.err
    project.write({words[0]: _GOOD})
    assert project.run(*words).code in (0, 1)


def test_nothing_to_check_is_no_clean_result(project: Project) -> None:
    project.write({"empty/notes.txt": "", "gen/bad.py": _BAD, "collectivelint.toml": 'extend-exclude = ["gen"]\n'})
    for paths in (["empty"], ["empty", "gen"], ["."], ["--write-baseline", "."], ["--diff", "empty"]):
        ran = project.run("check", *paths)
        assert (ran.code, ran.out.replace("Nothing was checked.\n", "")) == (2, ""), paths
        assert ran.err.startswith("error: nothing to check: there are no Python files in ")
    assert json.loads(project.run("check", "--output-format", "json", "empty").out) == []
    # What a hook names and the configuration excludes is no mistake of anybody's.
    ran = project.run("check", "--force-exclude", "gen/bad.py")
    assert (ran.code, ran.out) == (0, "Nothing was checked.\n")
    assert ran.err == "warning: nothing to check: every file that was named is excluded\n"
    assert not (project.root / "collectivelint-baseline.json").exists()


def test_unknown_code_names_the_nearest(project: Project) -> None:
    ran = project.run("--select", "missing-grup")
    assert (ran.code, ran.out) == (2, "")
    assert "did you mean `missing-group`" in ran.err


def test_a_missing_path_is_named(project: Project) -> None:
    project.write({"good.py": _GOOD})
    ran = project.run("good.py", "nowhere", "gone.py")
    assert "nowhere: no such file" in ran.err
    assert "gone.py: no such file" in ran.err
    assert "No findings in 1 file." in ran.out


# ----------------------------------------------------------------------------------------------------- selection


@pytest.mark.parametrize(
    ("args", "codes"),
    [
        ([], {"CL101", "CL201"}),
        (["--select", "CL101"], {"CL101"}),
        (["--select", "missing-group"], {"CL101"}),
        (["--select", "CL2"], {"CL201"}),
        (["--select", "CL101,CL201"], {"CL101", "CL201"}),
        (["--select", "CL1", "--select", "CL2"], {"CL101", "CL201"}),
        (["--select", "ALL", "--ignore", "CL2,CL6"], {"CL101"}),
        (["--ignore", "rank-conditional, CL001"], {"CL101"}),
        (["--select", "CL1", "--extend-select", "CL201"], {"CL101", "CL201"}),
        (["--exclude", "main.py"], set()),
        (["--exclude", "*.py,other"], set()),
    ],
    ids=_named,
)
def test_selection(project: Project, args: list[str], codes: set[str]) -> None:
    project.write("import torch.distributed as dist\nif dist.get_rank() == 0:\n    dist.barrier()\n")
    found = json.loads(project.run("--output-format", "json", *args).out)
    assert {item["code"] for item in found} == codes


def test_options_win_over_the_file(project: Project) -> None:
    project.write({"main.py": _BAD, "collectivelint.toml": 'select = ["CL201"]\nexplicit-world = true\n'})
    assert project.run().code == 0
    assert project.run("--select", "CL1").code == 1
    assert project.run("--select", "CL1", "--diff", "--no-explicit-world").out == ""
    assert "group=dist.group.WORLD" in project.run("--select", "CL1", "--diff").out
    assert project.run("--isolated").code == 1


def test_force_exclude_for_pre_commit(project: Project) -> None:
    project.write({"build/bad.py": _BAD, "collectivelint.toml": 'extend-exclude = ["gen"]\n', "gen/bad.py": _BAD})
    assert project.run("build/bad.py", "gen/bad.py").code == 1
    assert project.run("build/bad.py", "gen/bad.py", "--force-exclude").code == 0


# -------------------------------------------------------------------------------------------------------- formats


def test_concise(project: Project) -> None:
    project.write({"pkg/bad.py": _BAD})
    lines = project.run("--output-format", "concise").out.splitlines()
    assert lines[0].startswith("pkg/bad.py:5:5: CL101 [missing-group] (low confidence) `barrier` ")
    assert lines[1:] == ["Found 1 finding in 1 file."]


def test_text_shows_the_trail(project: Project) -> None:
    project.write(_DIVERGENT)
    out = project.run().out
    assert out.startswith("main.py:10:9: CL201 [rank-conditional] ")
    for number, code in [(9, "if dist.get_rank(group) == 0:"), (10, "sync(group)"), (5, "dist.barrier(group=group)")]:
        assert re.search(rf"^ +{number} \| +{re.escape(code)}   <- ", out, re.MULTILINE)
    assert "help: " in out
    assert out.endswith("Found 1 finding in 1 file.\n")


def test_json(project: Project) -> None:
    project.write(_DIVERGENT)
    (found,) = json.loads(project.run("--output-format", "json").out)
    message = found.pop("message")
    trail = found.pop("trail")
    help_ = found.pop("help")
    assert found == {
        "code": "CL201",
        "name": "rank-conditional",
        "severity": "error",
        "confidence": "high",
        "filename": "main.py",
        "cell": None,
        "location": {"row": 10, "column": 9},
        "end_location": {"row": 10, "column": 20},
        "function": "main",
        "fix": None,
        "suggestion": None,
    }
    assert "`sync`" in message
    assert help_
    assert [(step["path"], step["line"], step["kind"]) for step in trail] == [
        ("main.py", 9, "condition"),
        ("main.py", 10, "call"),
        ("main.py", 5, "collective"),
    ]
    assert all(set(step) == {"path", "cell", "line", "kind", "text"} for step in trail)


def test_json_fix(project: Project) -> None:
    project.write("import torch.distributed as dist\n'ä🔥', dist.barrier()\n")
    (found,) = json.loads(project.run("--output-format", "json", "--explicit-world").out)
    place = {"row": 2, "column": 20}
    assert found["location"] == {"row": 2, "column": 7}
    assert found["function"] == ""
    assert found["fix"] == {
        "applicability": "safe",
        "message": "Name the default group: `dist.group.WORLD`",
        "edits": [{"content": "group=dist.group.WORLD", "location": place, "end_location": place}],
    }


def test_json_of_nothing_and_of_files_that_cannot_be_read(project: Project) -> None:
    project.write({"good.py": _GOOD, "bad.py": b"\xff"})
    assert project.run("good.py", "--output-format", "json").out == "[]\n"
    (found,) = json.loads(project.run("bad.py", "--output-format", "json").out)
    assert (found["code"], found["filename"], found["fix"]) == ("CL000", "bad.py", None)


def test_findings_are_ordered(project: Project) -> None:
    project.write({"b.py": _BAD + "    dist.barrier()\n", "a.py": _BAD, "a/c.py": _BAD})
    found = json.loads(project.run("--output-format", "json").out)
    places = [(item["filename"], item["location"]["row"]) for item in found]
    assert places == sorted(places)
    assert len(places) == 4


@pytest.mark.parametrize("output_format", ["text", "concise", "json"])
def test_quiet_prints_findings_only(project: Project, output_format: str) -> None:
    project.write({"good.py": _GOOD, "bad.py": _BAD})
    assert project.run("good.py", "-q", "--output-format", output_format).out == ""
    assert "CL101" in project.run("bad.py", "-q", "--output-format", output_format).out


@pytest.mark.parametrize(
    ("environment", "coloured"),
    [
        ({}, False),
        ({"FORCE_COLOR": "1"}, True),
        ({"FORCE_COLOR": "0"}, False),
        ({"NO_COLOR": "1"}, False),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, False),
    ],
)
def test_colours(
    project: Project, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], coloured: bool
) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    project.write(_BAD)
    assert ("\x1b[" in project.run().out) is coloured
    assert "\x1b[" not in project.run("--output-format", "json").out


def test_text_that_looks_like_markup(project: Project) -> None:
    project.write("import torch.distributed as dist\ndist.barrier(), x[red], '[/bold] :smile:'\n")
    assert "dist.barrier(), x[red], '[/bold] :smile:'" in project.run().out


# ------------------------------------------------------------------------------------------------- --diff and --fix


def test_diff_changes_nothing(project: Project) -> None:
    project.write({"main.py": _BAD, "other.py": _GOOD})
    ran = project.run("--diff", "--explicit-world")
    assert ran.out == (
        "--- main.py\n+++ main.py\n@@ -2,4 +2,4 @@\n \n \n def save():\n"
        "-    dist.barrier()\n+    dist.barrier(group=dist.group.WORLD)\n"
    )
    assert ran.err == "Would fix 1 finding.\n"
    assert project.text() == _BAD


def test_diff_without_a_final_newline_can_be_applied(project: Project) -> None:
    project.write(_BAD.rstrip("\n"))
    patch = project.run("--diff", "--explicit-world").out
    done = subprocess.run(["git", "apply", "-p0", "-"], input=patch, check=False, capture_output=True, text=True)
    assert done.stderr == ""
    assert project.text() == _BAD.rstrip("\n").replace("dist.barrier()", "dist.barrier(group=dist.group.WORLD)")


@pytest.mark.parametrize(
    "text",
    [
        _BAD.replace("\n", "\r\n"),
        _BAD.replace("def", "\x0c\ndef"),
        _BAD.replace("def", "x = '\x0b\u2028'\ndef"),
    ],
    ids=["CRLF", "form feed", "separators"],
)
def test_diff_of_unusual_line_ends_can_be_applied(project: Project, text: str) -> None:
    project.write(text)
    command = [
        sys.executable,
        "-m",
        "collectivelint",
        "--min-confidence",
        "low",
        "--isolated",
        "--diff",
        "--explicit-world",
    ]
    patch = subprocess.run(command, check=False, capture_output=True).stdout
    applied = subprocess.run(["git", "apply", "-p0", "-"], input=patch, check=False, capture_output=True)
    assert applied.stderr == b""
    assert project.text() == text.replace("dist.barrier()", "dist.barrier(group=dist.group.WORLD)")


def test_fix_says_what_it_did(project: Project) -> None:
    project.write({"a.py": _BAD, "b.py": _BAD + _DIVERGENT})
    ran = project.run("--fix", "--explicit-world", "--output-format", "concise")
    assert (ran.code, ran.err) == (1, "")
    assert "CL201" in ran.out
    assert ran.out.endswith("Fixed 2 findings. Found 1 finding in 2 files.\n")
    assert project.run("a.py", "--fix", "--explicit-world").out == "No findings in 1 file.\n"


def test_fix_touches_only_the_given_files(project: Project) -> None:
    project.write({"a.py": _BAD, "b.py": _BAD})
    assert project.run("a.py", "--fix", "--explicit-world").code == 0
    assert project.text("b.py") == _BAD


def test_summary_counts_what_could_be_fixed(project: Project) -> None:
    project.write(f"{_BAD}\ndef other(group):\n    dist.barrier()\n")
    assert project.run().out.endswith("Found 2 findings in 1 file. 1 fixable with `--fix --unsafe-fixes`.\n")
    assert project.run("--explicit-world").out.endswith("Found 2 findings in 1 file. 2 fixable with `--fix`.\n")


# --------------------------------------------------------------------------------------------------- documentation


def test_rule(project: Project) -> None:
    by_code, by_name = project.run("rule", "cl101").out, project.run("rule", "missing-group").out
    assert by_code == by_name
    assert by_code.startswith("# CL101 missing-group\n")
    assert "## Why is this bad" in by_code
    assert "did you mean `missing-group`" in project.run("rule", "mising-group").err


def test_rules(project: Project) -> None:
    lines = project.run("rules").out.splitlines()
    assert [line.split()[:2] for line in lines] == [[code, item.RULE.name] for code, item in discover().items()]


def test_documentation_as_json(project: Project) -> None:
    one = json.loads(project.run("rule", "CL101", "--output-format", "json").out)
    every = json.loads(project.run("rules", "--output-format", "json").out)
    assert one in every
    assert set(one) == {"code", "name", "summary", "default", "preview", "fix", "explanation"}
    assert [item["code"] for item in every] == list(discover())


def test_help_names_every_command(project: Project) -> None:
    listed = project.run("--help").out.split("Commands:")[1].split("Common tasks:")[0]
    assert re.findall(r"^  (\w+) ", listed, re.MULTILINE) == [
        *("check", "rule", "rules", "catalog", "config", "server", "mcp"),
        *("trace", "watch", "report", "sql", "ckpt", "confirm"),
    ]


# ----------------------------------------------------------------------------------------------------- as a process


def test_python_m(project: Project) -> None:
    project.write(_BAD)
    done = _python("-m", "collectivelint", "--min-confidence", "low", "main.py", "--output-format", "concise")
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout == project.run("main.py", "--output-format", "concise").out
    kind = " (compiled)" if is_compiled() else ""
    assert _python("-m", "collectivelint", "--version").stdout == f"collectivelint, version {__version__}{kind}\n"


def test_a_reader_that_leaves_early(project: Project) -> None:
    project.write(_BAD + "    dist.barrier()\n" * 2000)
    command = [sys.executable, "-m", "collectivelint", "--min-confidence", "low", "--output-format", "concise"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith(b"main.py:5:5: CL101")
        process.stdout.close()
        error = process.stderr.read()
        code = process.wait()
    assert (error, code) == (b"", 1)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full device")
@pytest.mark.parametrize(
    "args", [["check", "."], ["--output-format", "json"], ["rules"], ["--help"], ["check", "--fix", "-"]]
)
def test_a_full_disk(project: Project, args: list[str]) -> None:
    project.write(_BAD)
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "collectivelint", *args]
        ran = subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE, input=_BAD, check=False, text=True, timeout=60
        )
    assert (ran.returncode, ran.stderr) == (2, "error: the output cannot be written: No space left on device\n")


@pytest.mark.skipif(sys.platform == "win32", reason="a POSIX shell")
@pytest.mark.parametrize(
    ("redirected", "code", "words"),
    [
        (". >&-", 1, ""),
        (". nowhere 2>&-", 2, ""),
        ("- <&-", 2, "Error: the standard input is closed"),
        pytest.param(
            ". > /dev/full 2>&1", 2, "", marks=pytest.mark.skipif(not Path("/dev/full").exists(), reason="none")
        ),
    ],
)
def test_streams_that_are_closed(project: Project, redirected: str, code: int, words: str) -> None:
    project.write(_BAD)
    ran = subprocess.run(
        ["/bin/sh", "-c", f'"$0" -m collectivelint check --min-confidence low {redirected}', sys.executable],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode == code
    assert words in ran.stderr
    assert "Traceback" not in ran.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="the current folder cannot be removed")
def test_a_current_folder_that_was_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    monkeypatch.setattr(sys, "argv", ["collectivelint", "."])
    (tmp_path / "gone").rmdir()
    with pytest.raises(SystemExit, match="2"):
        main()
    assert capsys.readouterr().err == "error: the current folder does not exist any more\n"


def test_a_terminal_that_knows_only_ascii(project: Project) -> None:
    project.write("import torch.distributed as dist\n'ä🔥', dist.barrier()\n")
    done = _python(
        "-m",
        "collectivelint",
        "--min-confidence",
        "low",
        env={**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"},
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "CL101" in done.stdout


def test_paths_are_relative_below_the_current_folder_and_absolute_elsewhere(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.write({"a/main.py": _BAD})
    inside = project.root / "a" / "main.py"
    assert project.run(str(inside), "--output-format", "concise").out.startswith("a/main.py:5:5")
    (project.root / "b").mkdir()
    monkeypatch.chdir(project.root / "b")
    assert project.run(str(inside), "--output-format", "concise").out.startswith(f"{inside}:5:5")
    assert project.run("../a", "--output-format", "concise").out.startswith("../a/main.py:5:5")


def test_given_files_are_seen_with_the_program_around_them(project: Project) -> None:
    project.write(
        {
            "comm.py": "import torch.distributed as dist\n\n\ndef sync(g):\n    dist.barrier(group=g)\n    dist.barrier()\n",
            "train.py": (
                "import torch.distributed as dist\nfrom comm import sync\n\n\ndef main(g):\n"
                "    if dist.get_rank() == 0:\n        sync(g)\n"
            ),
        }
    )
    found = json.loads(project.run("train.py", "--output-format", "json").out)
    assert [(item["filename"], item["code"]) for item in found] == [("train.py", "CL201")]
    assert found[0]["trail"][-1]["path"] == "comm.py"


@pytest.mark.xfail(strict=True, reason="folders above the project are looked at as well")
def test_where_a_project_lies_does_not_matter(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    code = "import torch.distributed as dist\n\ndist.all_reduce(t, group=g)\nassert t.sum() == 1\n"
    project.write({"tests/project/pyproject.toml": "", "tests/project/main.py": code})
    (project.root / "elsewhere").mkdir()
    monkeypatch.chdir(project.root / "tests" / "project")
    assert "CL406" in project.run("main.py", "--output-format", "concise").out
    monkeypatch.chdir(project.root / "elsewhere")
    assert "CL406" in project.run("../tests/project/main.py", "--output-format", "concise").out


_SAVE = """\
import os
import torch.distributed as dist


class Trainer:
    def save(self, path, group, writer):
        exists = os.path.exists(path)
        if exists:
            dist.barrier(group=group)
        writer.flush(path)
"""


def test_show_analysis(project: Project) -> None:
    project.write(_SAVE)
    done = project.run("check", "--show-analysis", "save")
    assert done.code == 0
    assert done.out == (
        "main.py:6: Trainer.save\n"
        "\n"
        "Collectives, in order:\n"
        "  line 8: if `exists`, which differs over the default group\n"
        "    line 9: barrier on group `group`\n"
        "\n"
        "Values that differ between ranks:\n"
        "  exists: over the default group; the file system, which can look different on each rank (main.py:7)\n"
        "\n"
        "Calls that could not be followed:\n"
        "  line 10: writer.flush\n"
    )


def test_show_analysis_names_groups_as_people_do(project: Project) -> None:
    project.write(
        "import os\n\nimport torch.distributed as dist\nfrom torch.distributed.fsdp import fully_shard\n\n\n"
        "class Groups:\n    def __init__(self, ranks):\n        self.training = dist.new_group(ranks)\n\n\n"
        "def train(build, batch, ranks):\n    groups = Groups(ranks)\n    model = build()\n    fully_shard(model)\n"
        "    model(batch)\n    dist.barrier(group=groups.training)\n    local = int(os.environ['LOCAL_RANK'])\n"
    )
    done = project.run("check", "--show-analysis", "train")
    assert "  line 16: forward on the mesh of `model`\n" in done.out
    assert "  line 17: barrier on group `Groups.training`\n" in done.out
    assert "  local: over the ranks of a node; " in done.out


def test_show_analysis_beside_a_broken_file(project: Project) -> None:
    project.write({"main.py": _SAVE, "broken.py": "def save(:\n", "bytes.py": b"x = '\xff'\n"})
    done = project.run("check", "--show-analysis", "save", ".")
    assert done.code == 0
    assert done.out.startswith("main.py:6: Trainer.save\n")
    assert "warning: broken.py:1:10: is not valid Python" in done.err
    assert "warning: bytes.py:1:6: byte 0xff" in done.err


def test_show_analysis_of_what_is_not_there(project: Project) -> None:
    project.write(_SAVE)
    done = project.run("check", "--show-analysis", "Trainer.safe")
    assert done.code == 2
    assert "no function `Trainer.safe` in these files; did you mean Trainer.save?" in done.err


def test_names_of_the_configuration(project: Project) -> None:
    project.write(
        {
            "pyproject.toml": '[tool.collectivelint.catalog]\ncollectives = ["lib.sync[group=dp]", "pkg.comm.join"]\n'
            'uniform = ["pkg.comm.agreed"]\ndivergent = ["lib.local"]\nguards = ["lib.leads"]\n'
            'axes = { "pkg.comm.TP" = "tp" }\n',
            "pkg/__init__.py": "",
            "pkg/comm.py": "import os\n\nTP = make()\n\n\ndef join():\n    pass\n\n\n"
            "def agreed(path):\n    return os.path.exists(path)\n",
            "main.py": "import torch.distributed as dist\nimport lib\nfrom pkg.comm import TP, agreed, join\n\n\n"
            "def a(path):\n    if agreed(path):\n        dist.barrier(group=TP)\n\n\n"
            "def b(path):\n    if lib.local(path):\n        dist.barrier(group=TP)\n\n\n"
            "def c():\n    if lib.leads():\n        join()\n\n\n"
            "def d():\n    if dist.get_rank() == 0:\n        lib.sync()\n\n\n"
            "def e():\n    if dist.get_rank(TP) == 0:\n        lib.sync()\n",
        }
    )
    done = project.run("check", "--no-cache", "--select", "CL201,CL203", "--output-format", "concise")
    assert [line.split(" [")[0] for line in done.out.splitlines()[:-1]] == [
        "main.py:13:9: CL203",
        "main.py:18:9: CL201",
        "main.py:23:9: CL201",
    ]


# ------------------------------------------------------------------------------------------------------ standard input


def _piped(project: Project, text: str | bytes, *args: str) -> subprocess.CompletedProcess[str]:
    data = text.encode() if isinstance(text, str) else text
    command = [
        sys.executable,
        "-m",
        "collectivelint",
        "--min-confidence",
        "low",
        "--isolated",
        "--output-format",
        "concise",
        *args,
    ]
    ran = subprocess.run(command, cwd=project.root, input=data, capture_output=True, timeout=60, check=False)
    return subprocess.CompletedProcess(command, ran.returncode, ran.stdout.decode(), ran.stderr.decode())


@pytest.mark.parametrize("cached", [True, False])
def test_unsaved_text_is_linted_in_its_program(project: Project, cached: bool) -> None:
    project.write(
        {
            "pyproject.toml": "",
            "main.py": "import torch.distributed as dist\n",
            "helper.py": "import torch.distributed as dist\n\n\ndef meet():\n    dist.barrier(group=dist.group.WORLD)\n",
        }
    )
    options = () if cached else ("--no-cache",)
    project.run("check", "--isolated", *options, ".")
    text = "import torch.distributed as dist\nfrom helper import meet\n\nif dist.get_rank() == 0:\n    meet()\n"
    ran = _piped(project, text, *options, "--stdin-filename", "main.py", "-")
    assert ran.returncode == 1
    assert ran.stdout.startswith("main.py:5:5: CL201 ")
    # Nothing of it is remembered.
    assert project.run("check", "--isolated", *options, ".").code == 0
    # Another text, another answer; a file that does not exist yet.
    assert _piped(project, "import torch.distributed\n", *options, "--stdin-filename", "main.py").returncode == 0
    assert _piped(project, text, *options, "--stdin-filename", "new.py").stdout.startswith("new.py:5:5: CL201 ")


def test_standard_input_comes_back_fixed(project: Project) -> None:
    text = b"\xef\xbb\xbfimport torch.distributed as dist\r\ndist.barrier()\r\nassert 1\r\n"
    ran = _piped(project, text, "--stdin-filename", "main.py", "--fix", "--explicit-world")
    assert ran.stdout == text.decode().replace("barrier()", "barrier(group=dist.group.WORLD)")
    assert "Fixed 1 finding. None left." in ran.stderr
    assert ran.returncode == 0
    assert not (project.root / "main.py").exists()
    ran = _piped(project, text, "--stdin-filename", "main.py", "--diff", "--explicit-world")
    assert "+dist.barrier(group=dist.group.WORLD)" in ran.stdout


def test_a_dash_is_the_standard_input(project: Project) -> None:
    text = "import torch.distributed as dist\ndist.barrier()\n"
    ran = _piped(project, text, "-")
    assert (ran.returncode, ran.stdout.partition(" [")[0], ran.stderr) == (1, "-:2:1: CL101", "")
    ran = _piped(project, text, "--fix", "--explicit-world", "-")
    assert (ran.returncode, ran.stdout) == (0, text.replace("()", "(group=dist.group.WORLD)"))
    assert "+dist.barrier(group=dist.group.WORLD)" in _piped(project, text, "--diff", "--explicit-world", "-").stdout
    assert "line 2: barrier" in _piped(project, text, "--show-analysis", "<module>", "-").stdout
    for args, words in {
        ("-", "main.py"): "`-` stands for the path: name no others",
        ("--add-ignore=x", "-"): "--add-ignore changes files",
        ("--thread-groups", "--fix", "-"): "--thread-groups changes files",
        ("--watch", "-"): "leave out -",
    }.items():
        ran = _piped(project, text, *args)
        assert (ran.returncode, ran.stdout) == (2, "")
        assert words in ran.stderr
    # An editor gets its text back, also of a file that is excluded.
    ran = _piped(project, text, "--fix", "--exclude", "gen", "--force-exclude", "--stdin-filename", "gen/a.py")
    assert (ran.returncode, ran.stdout) == (0, text)


def test_standard_input_that_cannot_be_used(project: Project) -> None:
    assert "name no others" in _piped(project, "", "--stdin-filename", "main.py", "other.py").stderr
    ran = _piped(project, b"x = '\xff'", "--stdin-filename", "main.py")
    assert (ran.returncode, ran.stderr) == (1, "")
    assert ran.stdout.startswith("main.py:1:6: CL000 [unreadable-file] byte 0xff is not")
    assert "main.py:1:5: CL000" in _piped(project, "x = (", "--stdin-filename", "main.py").stdout


#: Bytes that are no text, more of them than is read, JSON without a name, and a notebook that is none.
_NO_TEXT: Final = {
    b"x = 1\r\ny = '\xff'": "-",
    b"x = 1\n" * 1_000_000: "-",
    b"# coding: nonsense\n": "a.py",
    b'\xef\xbb\xbf \n{"cells": [], "metadata": {}, "nbformat": 4}': "-",
    b'{"x": 1}': "text",
    b'{"y": 1}': "A.JSON",
    b"not json \xff": "a.IPYNB",
}


@pytest.mark.parametrize(("data", "name"), list(_NO_TEXT.items()), ids=range(len(_NO_TEXT)))
def test_standard_input_that_is_no_text_is_a_finding_and_comes_back_as_it_was(
    project: Project, data: bytes, name: str
) -> None:
    def piped(*args: str) -> subprocess.CompletedProcess[bytes]:
        command = [
            sys.executable,
            "-m",
            "collectivelint",
            "--min-confidence",
            "low",
            "--isolated",
            "--stdin-filename",
            name,
            *args,
        ]
        return subprocess.run(command, cwd=project.root, input=data, capture_output=True, timeout=60, check=False)

    ran = piped("--output-format", "json")
    (found,) = json.loads(ran.stdout)
    assert (ran.returncode, ran.stderr) == (1, b"")
    assert (found["code"], found["name"], found["filename"]) == ("CL000", "unreadable-file", name)
    ran = piped("--fix")
    assert (ran.returncode, ran.stdout) == (1, data)
    assert b"CL000" in ran.stderr
    for options in (["--fix-only"], ["--diff"], ["--show-analysis", "f"]):
        ran = piped(*options)
        assert ran.returncode == (2 if "f" in options else 1)
        assert ran.stdout == (data if options == ["--fix-only"] else b"")
        assert f"error: {name}:".encode() in ran.stderr
    # One that is left out is given back, and is no finding.
    ran = piped("--fix", "--force-exclude", "--exclude", name)
    assert (ran.returncode, ran.stdout) == (0, data)


def test_the_case_of_a_suffix_does_not_matter(project: Project) -> None:
    cell = {"cell_type": "code", "source": ["import torch.distributed as dist\n", "dist.barrier()"], "outputs": []}
    text = json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5})
    project.write({"up.IPYNB": text, "x.JSON": text, "none": text})
    ran = project.run("--output-format", "concise", "up.IPYNB", "x.JSON", "none")
    assert ran.code == 1
    assert [line.partition(" [")[0] for line in ran.out.splitlines()[:-1]] == [
        "none:1:1: CL000",
        "up.IPYNB:cell 1:2:1: CL101",
        "x.JSON:1:1: CL000",
    ]
    (found,) = json.loads(project.run("--output-format", "json", "up.IPYNB").out)
    assert (found["filename"], found["cell"]) == ("up.IPYNB", 1)
    assert project.run("--fix", "--explicit-world", "up.IPYNB").code == 0
    assert json.loads(project.text("up.IPYNB"))["cells"][0]["source"][1] == "dist.barrier(group=dist.group.WORLD)"


def test_help_has_every_option_once(project: Project) -> None:
    text = project.run("check", "--help").out
    for option in check.params:
        if isinstance(option, click.Option):
            assert len(re.findall(rf"^  (?:-\w, )?{option.opts[-1]}\b(?!-)", text, re.M)) == 1, option.name


def test_common_tasks_are_commands_that_work(project: Project) -> None:
    tasks = "".join(project.run(*command, "--help").out.split("Common tasks:\n")[1] for command in ((), ("check",)))
    commands = re.findall(r"^  (collectivelint .+?)(?:  |$)", tasks, re.M)
    assert len(commands) >= 12
    for command in commands:
        if any(
            word in command
            for word in ("trace", "report collective", "ckpt verify", "confirm", "COMMAND", "--diff-base")
        ):
            continue
        project.write({"src/main.py": "import torch.distributed as dist\n\ndist.barrier()\n"})
        ran = project.run(*command.split()[1:])
        assert ran.code in (0, 1), command
        assert "rror" not in ran.err, command


def test_verbose(project: Project) -> None:
    project.write(
        {"a.py": "import torch.distributed as dist\n\ndist.barrier()\n", "b.py": "", "collectivelint.toml": ""}
    )
    quiet = project.run("check", "--no-cache", ".")
    for analysed in (2, 0):
        ran = project.run("check", "--verbose", ".")
        assert (ran.code, ran.out) == (quiet.code, quiet.out)
        assert re.fullmatch(rf"settings of \.: \S*collectivelint\.toml\n2 files, {analysed} analysed, .* s\n", ran.err)
