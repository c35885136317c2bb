"""How sure findings are: in every format, in settings and options, and what becomes of those that are not sure enough."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from xml.etree import ElementTree as ET

import pytest

from collectivelint.engine import Linter
from collectivelint.finding import Finding, Location
from collectivelint.findings.confidence import Confidence
from collectivelint.findings.publish import apart
from collectivelint.findings.result import Result
from collectivelint.report import FORMATS, render
from collectivelint.report.model import Document
from collectivelint.settings import Resolver
from collectivelint.source.text import Source

if TYPE_CHECKING:
    from tests.conftest import Project

_HEAD: Final = "import torch.distributed as dist\n\n\n"
#: A finding of low confidence, and one of high confidence.
_LOW: Final = f"{_HEAD}def f():\n    dist.barrier()\n"
_HIGH: Final = f"{_HEAD}def f(group):\n    if dist.get_rank() == 0:\n        dist.barrier(group=dist.group.WORLD)\n"
#: A finding of medium confidence: a clock decides.
_MEDIUM: Final = f"{_HEAD}import time\n\n\ndef f(start):\n    if time.time() - start > 60:\n        dist.barrier(group=dist.group.WORLD)\n"
_COUNTED: Final = (
    "1 collective has no `group` argument; this program creates no other groups: --select CL101 lists it, "
    "--fix --explicit-world writes the default group\n"
)


def _check(project: Project, *options: str) -> Any:
    return project.run_plainly("check", "--isolated", "--no-cache", "--output-format", "concise", *options)


def test_the_degrees_are_in_order() -> None:
    assert Confidence.LOW < Confidence.MEDIUM < Confidence.HIGH
    assert [degree.word for degree in Confidence] == ["low", "medium", "high"]


# ----------------------------------------------------------------------------------------------------------- formats


class _Texts:
    """Sources of one file."""

    def source(self, path: str) -> Source:
        return Source(path, "barrier()\n", "utf-8", bom=False)

    def line(self, path: str, number: int) -> str:
        return self.source(path).line(number)


def _finding(confidence: Confidence, code: str = "CL203", **more: Any) -> Finding:
    place = (Location(1, 1), Location(1, 10))
    return Finding(code, "local-condition", "differs", "error", "a.py", *place, "f", confidence=confidence, **more)


def _rendered(form: str, *findings: Finding) -> str:
    return render(form, Document(Result(list(findings), files=1), _Texts()))


@pytest.mark.parametrize("form", FORMATS)
def test_each_format_says_what_is_not_sure(form: str) -> None:
    texts = {degree: _rendered(form, _finding(degree)) for degree in Confidence}
    assert "medium" in texts[Confidence.MEDIUM]
    assert "low" in texts[Confidence.LOW]
    assert len(set(texts.values())) == 3


@pytest.mark.parametrize("form", ["text", "concise"])
def test_formats_for_people_are_silent_about_high(form: str) -> None:
    assert "confidence" not in _rendered(form, _finding(Confidence.HIGH))
    line = _rendered(form, _finding(Confidence.MEDIUM)).splitlines()[0]
    assert line == "a.py:1:1: CL203 [local-condition] (medium confidence) differs"


def test_json_and_json_lines() -> None:
    for degree in Confidence:
        assert json.loads(_rendered("json", _finding(degree)))[0]["confidence"] == degree.word
        assert json.loads(_rendered("json-lines", _finding(degree)))["confidence"] == degree.word


def test_sarif_has_a_rank_and_the_level_of_the_severity() -> None:
    found = [json.loads(_rendered("sarif", _finding(degree)))["runs"][0]["results"][0] for degree in Confidence]
    assert [result["rank"] for result in found] == [10.0, 50.0, 90.0]
    assert {result["level"] for result in found} == {"error"}
    assert [result["properties"]["confidence"] for result in found] == ["low", "medium", "high"]


def test_gitlab_knows_a_finding_again_whatever_its_confidence() -> None:
    found = [json.loads(_rendered("gitlab", _finding(degree)))[0] for degree in Confidence]
    assert len({issue["fingerprint"] for issue in found}) == 1
    assert found[0]["description"] == "CL203 [local-condition] (low confidence) differs"


def test_github_says_it_in_the_title() -> None:
    assert "title=CL203 [local-condition] (low confidence),file=" in _rendered("github", _finding(Confidence.LOW))


def test_junit_has_a_property() -> None:
    root = ET.fromstring(_rendered("junit", _finding(Confidence.MEDIUM)))
    assert [item.attrib for item in root.iter("property")] == [{"name": "confidence", "value": "medium"}]


# ------------------------------------------------------------------------------------------------- options and settings


def test_what_is_below_is_counted_and_is_no_reason_to_fail(project: Project) -> None:
    project.write(_LOW)
    ran = _check(project, "main.py")
    assert (ran.code, ran.out) == (0, f"No findings in 1 file.\n{_COUNTED}")
    assert _check(project, "--quiet", "main.py").out == ""
    ran = _check(project, "--min-confidence", "low", "main.py")
    assert ran.code == 1
    assert ran.out.startswith("main.py:5:5: CL101 [missing-group] (low confidence) `barrier` has no `group` argument")
    assert "no `group` argument;" not in ran.out


@pytest.mark.parametrize("select", ["CL101", "missing-group", "CL101,CL201"])
def test_the_rule_by_its_own_name_lists_all(project: Project, select: str) -> None:
    project.write(_LOW)
    assert _check(project, "--select", select, "main.py").code == 1
    assert _check(project, "--extend-select", select, "main.py").code == 1
    assert _check(project, "--select", select, "--min-confidence", "high", "main.py").code == 0


@pytest.mark.parametrize("select", ["CL1", "ALL", "CL201"])
def test_a_vaguer_selection_does_not(project: Project, select: str) -> None:
    project.write(_LOW)
    assert "missing-group" not in _check(project, "--select", select, "main.py").out


def test_how_many_of_which_confidence(project: Project) -> None:
    project.write({"a.py": _MEDIUM, "b.py": _HIGH})
    ran = _check(project, "--min-confidence", "high", ".")
    assert ran.out.splitlines()[-1] == (
        "1 possible finding of medium confidence is not shown: --min-confidence medium lists it"
    )
    assert _check(project, ".").out.splitlines()[-1] == "Found 2 findings in 2 files."
    some = [_finding(Confidence.LOW), _finding(Confidence.LOW), _finding(Confidence.MEDIUM)]
    text = render("text", Document(Result(hidden=some, files=1), _Texts()))
    assert text.splitlines()[-1] == (
        "3 possible findings of medium or low confidence are not shown: --min-confidence low lists them"
    )


def test_the_configuration(project: Project) -> None:
    project.write({"main.py": _LOW, "collectivelint.toml": 'min-confidence = "low"\n'})
    assert project.run_plainly("check", "--no-cache", "main.py").code == 1
    assert project.run_plainly("check", "--no-cache", "--min-confidence", "high", "main.py").code == 0
    assert 'min-confidence = "low"\n' in project.run_plainly("check", "--show-settings", "main.py").out
    project.write({"collectivelint.toml": 'explicit-groups = "always"\n'})
    assert project.run_plainly("check", "--no-cache", "main.py").code == 1


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('min-confidence = "hihg"', '`min-confidence` has to be "high", "medium" or "low"; did you mean `high`?'),
        ("min-confidence = 3", '`min-confidence` has to be "high", "medium" or "low"'),
        ('explicit-groups = "alway"', '`explicit-groups` has to be "always" or "evidence"; did you mean `always`?'),
        ('min-confidense = "low"', "unknown key `min-confidense`; did you mean `min-confidence`?"),
    ],
)
def test_wrong_settings(project: Project, line: str, message: str) -> None:
    project.write({"main.py": _LOW, "collectivelint.toml": f"{line}\n"})
    ran = project.run_plainly("check", "--no-cache", "main.py")
    assert (ran.code, ran.err) == (2, f"error: {project.root / 'collectivelint.toml'}:1: {message}\n")


def test_the_cache_keeps_every_confidence(project: Project) -> None:
    project.write(_LOW)
    one = Linter(Resolver({}, isolated=True), cache_folder=Path(".cache")).run([Path()])
    assert (len(one.findings), len(one.hidden), one.analysed) == (0, 1, 1)
    resolver = Resolver({"min_confidence": Confidence.LOW}, isolated=True)
    two = Linter(resolver, cache_folder=Path(".cache")).run([Path()])
    assert (two.findings, two.analysed) == (one.hidden, 0)


def test_evidence_from_another_file_comes_from_the_cache_too(project: Project) -> None:
    project.write({"save.py": f"{_HEAD}def save():\n    dist.barrier()\n"})
    project.write({"main.py": f"from save import save\n{_HEAD}def main():\n    dist.new_group([0])\n    save()\n"})

    def lint(*paths: str) -> list[tuple[str, bool]]:
        resolver = Resolver({"min_confidence": Confidence.LOW}, isolated=True)
        found = Linter(resolver, cache_folder=Path(".cache")).run([Path(path) for path in paths or (".",)])
        return [(finding.path, "leaves ranks out" in finding.message) for finding in found.findings]

    assert lint() == lint() == lint("save.py") == [("save.py", True)]
    assert lint("main.py") == []
    # Only what is called moves, then only what is made: ranks are left out no more.
    project.write({"save.py": f"{_HEAD}# moved\ndef save():\n    dist.barrier()\n"})
    assert lint() == [("save.py", True)]
    project.write({"main.py": project.text().replace("[0]", "None")})
    assert lint() == [("save.py", False)]


# ------------------------------------------------------------------------------------------------- fixes and baselines


def test_what_is_not_shown_is_not_fixed(project: Project) -> None:
    project.write(_LOW)
    ran = _check(project, "--fix", "--unsafe-fixes", "main.py")
    assert (ran.code, project.text()) == (0, _LOW)
    assert _check(project, "--fix", "--explicit-world", "main.py").code == 0
    assert "group=dist.group.WORLD" in project.text()


def test_a_baseline_has_the_confidence_and_is_not_compared_by_it(project: Project) -> None:
    project.write({"a.py": _MEDIUM, "b.py": _LOW})
    file = project.root / "collectivelint-baseline.json"
    assert "Wrote 1 finding to" in _check(project, "--write-baseline", ".").out
    data = json.loads(file.read_text())
    assert [(entry["path"], entry["confidence"]) for entry in data["findings"]] == [("a.py", "medium")]
    data["findings"][0]["confidence"] = "high"
    file.write_text(json.dumps(data))
    assert _check(project, "--baseline", file.name, ".").code == 0


def test_an_entry_whose_finding_is_not_sure_enough_any_more_stays(project: Project) -> None:
    project.write({"a.py": _MEDIUM, "b.py": _LOW})
    file = "collectivelint-baseline.json"
    assert "Wrote 2 findings to" in _check(project, "--min-confidence", "low", "--write-baseline", ".").out
    ran = _check(project, "--baseline", file, ".")
    # It is known, so that it is not counted either.
    assert (ran.code, ran.out, ran.err) == (0, "No findings in 2 files.\n", "")
    assert "Wrote 2 findings to" in _check(project, "--baseline", file, "--write-baseline", ".").out
    entries = json.loads(project.text(file))["findings"]
    assert [entry["confidence"] for entry in entries] == ["medium", "low"]


# ------------------------------------------------------------------------------------------------- one of several


def test_a_surer_finding_takes_the_place_of_the_one_of_its_own_file() -> None:
    own = _finding(Confidence.LOW, help="name it")
    surer = _finding(Confidence.MEDIUM, "CL203", seen_from="b.py")
    shown, hidden = apart([surer, own], lambda _: Confidence.MEDIUM)
    assert [(finding.confidence, finding.help) for finding in shown] == [(Confidence.MEDIUM, "name it")]
    assert hidden == []
    assert apart([surer], lambda _: Confidence.LOW) == ([], [])
    sure = _finding(Confidence.HIGH)
    assert apart([surer, sure], lambda _: Confidence.LOW) == ([sure], [])


def test_a_finding_that_is_not_shown_hides_no_other() -> None:
    near = _finding(Confidence.LOW, root="r")
    far = _finding(Confidence.HIGH, "CL201", root="r", derived=True)
    assert apart([near, far], lambda _: Confidence.MEDIUM) == ([far], [])
