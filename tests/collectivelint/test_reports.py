"""The formats that other programs read."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

from collectivelint import palette

if TYPE_CHECKING:
    from tests.conftest import Project

_ROOT = Path(__file__).resolve().parents[2]
_BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
_CODE = """import torch.distributed as dist


def save(group):
    if dist.get_rank(group) == 0:
        name = "50 %, a: <b> & \\f ü"; dist.barrier(group=group)


def finish():
    dist.barrier()
    dist.barrier()
"""


def _report(project: Project, form: str) -> str:
    project.write({"a b/main.py": _CODE})
    ran = project.run("check", "--isolated", "--no-cache", "--output-format", form, ".")
    assert (ran.code, ran.err) == (1, "")
    return ran.out


def test_json_lines(project: Project) -> None:
    lines = _report(project, "json-lines").splitlines()
    assert [json.loads(line)["code"] for line in lines] == ["CL201", "CL101", "CL101"]


def test_sarif(project: Project) -> None:
    report = json.loads(_report(project, "sarif"))
    (run,) = report["runs"]
    assert report["version"] == "2.1.0"
    assert [rule["id"] for rule in run["tool"]["driver"]["rules"]] == ["CL201", "CL101"]
    first, second, third = run["results"]
    assert (first["ruleId"], first["ruleIndex"], first["level"]) == ("CL201", 0, "error")
    place = first["locations"][0]["physicalLocation"]
    assert place["artifactLocation"] == {"uri": "a%20b/main.py", "uriBaseId": "ROOT"}
    assert (place["region"]["startLine"], place["region"]["startColumn"]) == (6, 39)
    (flow,) = first["codeFlows"]
    steps = flow["threadFlows"][0]["locations"]
    assert [step["location"]["physicalLocation"]["region"]["startLine"] for step in steps] == [5, 6]
    assert steps[0]["location"]["physicalLocation"]["region"]["snippet"]["text"].strip().startswith("if dist.get_rank")
    assert second["partialFingerprints"] != third["partialFingerprints"]


def test_sarif_has_fixes(project: Project) -> None:
    project.write("import torch.distributed as dist\n\n\ndef f(group):\n    dist.barrier()\n")
    ran = project.run("check", "--isolated", "--no-cache", "--output-format", "sarif", "main.py")
    (fix,) = json.loads(ran.out)["runs"][0]["results"][0]["fixes"]
    (replacement,) = fix["artifactChanges"][0]["replacements"]
    assert replacement["insertedContent"]["text"] == "group=group"
    assert replacement["deletedRegion"] == {"startLine": 5, "startColumn": 18, "endLine": 5, "endColumn": 18}


def test_github(project: Project) -> None:
    lines = _report(project, "github").splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("::error title=CL201 [rank-conditional],file=a b/main.py,line=6,col=39,endLine=6,")
    assert "%0Aa b/main.py:5: condition" in lines[0]
    assert all(line.count("::") == 2 for line in lines)


def test_gitlab(project: Project) -> None:
    issues = json.loads(_report(project, "gitlab"))
    assert [issue["check_name"] for issue in issues] == ["CL201", "CL101", "CL101"]
    assert issues[0]["location"]["path"] == "a b/main.py"
    assert issues[0]["severity"] == "major"
    assert len({issue["fingerprint"] for issue in issues}) == 3


def test_fingerprints_stay_when_lines_move(project: Project) -> None:
    before = [issue["fingerprint"] for issue in json.loads(_report(project, "gitlab"))]
    project.write({"a b/main.py": "\n\n# a comment\n" + _CODE})
    ran = project.run("check", "--isolated", "--no-cache", "--output-format", "gitlab", ".")
    assert [issue["fingerprint"] for issue in json.loads(ran.out)] == before


def test_junit(project: Project) -> None:
    root = ET.fromstring(_report(project, "junit"))  # our own output
    (suite,) = root
    assert (suite.get("name"), suite.get("failures")) == ("a b/main.py", "3")
    first = suite[0]
    assert first.get("line") == "6"
    failure = first.find("failure")
    assert failure is not None
    assert (failure.text or "").startswith("a b/main.py:6:39\n")


@pytest.mark.parametrize("form", ["json", "json-lines", "sarif", "github", "gitlab", "junit", "html"])
def test_without_findings(project: Project, form: str) -> None:
    project.write("x = 1\n")
    ran = project.run("check", "--isolated", "--no-cache", "--output-format", form, "main.py")
    assert (ran.code, ran.err) == (0, "")
    if form == "junit":
        assert ET.fromstring(ran.out).get("failures") == "0"
    elif form == "sarif":
        assert json.loads(ran.out)["runs"][0]["results"] == []
    elif form in ("json", "gitlab"):
        assert json.loads(ran.out) == []
    elif form == "html":
        assert "No findings in 1 file." in ran.out
    else:
        assert ran.out == ""


def test_html_can_be_read_without_its_script(project: Project) -> None:
    page = _report(project, "html")
    text = html.unescape(re.sub(r"<script>.*?</script>|<[^>]+>", "", page, flags=re.DOTALL))
    assert "a b/main.py 3 findings" in text
    assert re.findall(r"(CL\d+ [\w-]+) a b/main.py:(\d+:\d+)", text) == [
        ("CL201 rank-conditional", "6:39"),
        ("CL101 missing-group", "10:5"),
        ("CL101 missing-group", "11:5"),
    ]
    assert '6        name = "50 %, a: <b> & \\f ü"; dist.barrier(group=group)' in text
    # The step of the trail has its source line, and what stands in backticks is code.
    assert "5 if dist.get_rank(group) == 0: condition, the rank" in text
    assert "<code>barrier</code> runs on group <code>group</code>" in page
    # The name of a rule leads to its page in the same file; nothing is loaded from elsewhere.
    assert page.count('<a class="rule" href="#CL101">CL101 missing-group</a>') == 2
    assert page.count('id="CL101"') == page.count('id="CL201"') == 1
    assert "Why is this bad" in text
    assert not re.search(r"src=|<link|@import|url\(", page)


@pytest.mark.skipif(_BROWSER is None, reason="no Chromium")
def test_the_script_of_html_counts_and_opens_the_page_of_a_rule(project: Project) -> None:
    assert _BROWSER is not None
    page = project.root / "findings.html"
    page.write_text(_report(project, "html"), encoding="utf-8")
    flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--dump-dom"]
    command = [_BROWSER, *flags, f"--user-data-dir={project.root / 'profile'}", f"{page.as_uri()}#CL201"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert "CONSOLE" not in ran.stderr
    assert re.search(r'id="count"[^>]*>3 of 3<', ran.stdout)
    assert re.findall(r'<details class="page" id="(\w+)"([^>]*)>', ran.stdout) == [("CL101", ""), ("CL201", ' open=""')]


def test_options_in_html_are_not_parted_at_a_hyphen(project: Project) -> None:
    project.write("import torch.distributed as dist\n\ndist.init_process_group()\ndist.barrier()\n")
    page = project.run(
        "check", "--isolated", "--no-cache", "--min-confidence", "high", "--output-format", "html", "main.py"
    ).out
    options = re.findall(r'<span class="option">(.*?)</span>', page)
    assert options
    assert ".option { white-space: nowrap; }" in page
    # Each that stands outside of code and of the pages of rules is one of them.
    top = page.partition("<main")[2].partition('<details class="page"')[0] or page
    assert len(
        re.findall(r"(?<![\w-])--[a-z]", re.sub(r"<style>.*?</style>|<script>.*?</script>", "", top, flags=re.S))
    ) >= len(options)


def test_html_cannot_be_broken_by_source(project: Project) -> None:
    evil = "</pre><script>alert(1)</script>@PAGES@"
    project.write(f"import torch.distributed as dist\n\ndist.barrier()  # {evil}\n")
    page = project.run("check", "--isolated", "--no-cache", "--output-format", "html", "main.py").out
    assert page.count("<script>") == 1
    assert html.escape(evil) in page


def test_output_file(project: Project) -> None:
    project.write({"main.py": _CODE})
    ran = project.run("check", "--no-cache", "--output-format", "json", "--output-file", "out.json", "main.py")
    assert (ran.code, ran.out, ran.err) == (1, "", "")
    assert len(json.loads(Path("out.json").read_text(encoding="utf-8"))) == 3


def test_output_file_that_cannot_be_written(project: Project) -> None:
    project.write({"main.py": _CODE})
    ran = project.run("check", "--no-cache", "--output-file", "no/such/folder.txt", "main.py")
    assert ran.code == 2
    assert "no/such/folder.txt: cannot be written" in ran.err


def test_statistics(project: Project) -> None:
    project.write({"main.py": _CODE})
    ran = project.run("check", "--isolated", "--no-cache", "--statistics", "main.py")
    assert (ran.code, ran.out) == (1, "2  CL101  [ ]  missing-group\n1  CL201  [ ]  rank-conditional\n")


def test_a_long_list_ends_with_an_overview(project: Project) -> None:
    code = "import torch.distributed as dist\n\n\ndef f(x):\n" + "    dist.all_reduce(x)\n" * 13
    project.write(code + "    if dist.get_rank() == 0:\n        dist.all_reduce(x)\n")
    tail = project.run("check", "--isolated", "--no-cache", ".").out.partition("Found 15 findings in 1 file.\n")[2]
    assert tail.splitlines()[:2] == ["    14 CL101 missing-group", "     1 CL201 rank-conditional"]
    assert "--explicit-world" in tail
    project.write(code)
    assert project.run("check", "--isolated", "--no-cache", ".").out.endswith("\nFound 13 findings in 1 file.\n")


def test_the_palette_stands_in_one_place() -> None:
    """No style sheet has colours of its own, and each one that is used is in the palette."""
    sheets = [
        *(_ROOT / name for name in ("collectivelint/report/page.html", "docs/stylesheets/pages.css")),
        *(_ROOT / "runtime" / name for name in ("checkpoint/page.html", "afterwards/picture/page.css")),
    ]
    for sheet in sheets:
        text = sheet.read_text()
        assert not re.search(r"#[0-9a-fA-F]{3,8}\b(?=[;, )])", text), sheet
        used = set(re.findall(r"var\(--([\w-]+)\)", text)) - set(re.findall(r"--([\w-]+):", text))
        # That of a group is set by a script.
        assert used - {"g"} <= {*palette.COLOURS}, sheet
