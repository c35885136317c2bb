"""Configuration: where it is found, what is wrong with it, and which rules run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from collectivelint.findings.confidence import Confidence
from collectivelint.registry import discover
from collectivelint.settings import Resolver, Settings, known_selectors
from collectivelint.settings.config_file import read
from collectivelint.settings.selection import is_selected

if TYPE_CHECKING:
    from tests.conftest import Project

_CODE = "import torch.distributed as dist\n\ndist.barrier()\nif dist.get_rank() == 0:\n    dist.barrier()\n"
_ALL = {"CL101", "CL201"}


def _codes(project: Project, path: str = ".") -> set[str]:
    from collectivelint.engine import Linter

    resolver = Resolver({"min_confidence": Confidence.LOW})
    result = Linter(resolver).run([Path(path)])
    assert (resolver.problems, result.errors) == ([], [])
    return {finding.code for finding in result.findings}


# ------------------------------------------------------------------------------------------------------ where


def test_pyproject(project: Project) -> None:
    project.write({"main.py": _CODE, "pyproject.toml": '[tool.collectivelint]\nselect = ["CL101"]\n'})
    assert _codes(project) == {"CL101"}


def test_own_file(project: Project) -> None:
    project.write({"main.py": _CODE, "collectivelint.toml": 'select = ["CL101"]\n'})
    assert _codes(project) == {"CL101"}


def test_own_file_wins_over_pyproject_beside_it(project: Project) -> None:
    project.write(
        {
            "main.py": _CODE,
            "collectivelint.toml": 'select = ["CL101"]\n',
            "pyproject.toml": '[tool.collectivelint]\nselect = ["CL201"]\n',
        }
    )
    assert _codes(project) == {"CL101"}


def test_nearest_wins_and_nothing_is_inherited(project: Project) -> None:
    project.write(
        {
            "pyproject.toml": '[tool.collectivelint]\nselect = ["CL201"]\nexplicit-world = true\n',
            "outer.py": _CODE,
            "a/collectivelint.toml": 'ignore = ["CL201"]\n',
            "a/b/inner.py": _CODE,
        }
    )
    resolver = Resolver()
    assert resolver.settings(Path("outer.py")).select == ("CL201",)
    inner = resolver.settings(Path("a/b/inner.py"))
    assert (inner.select, inner.ignore, inner.explicit_world) == ((), ("CL201",), False)
    assert inner.root == (project.root / "a").resolve()


def test_pyproject_without_our_table_is_passed_over(project: Project) -> None:
    project.write(
        {
            "collectivelint.toml": 'select = ["CL101"]\n',
            "a/pyproject.toml": '[project]\nname = "a"\n',
            "a/main.py": _CODE,
        }
    )
    assert _codes(project) == {"CL101"}


def test_an_empty_table_counts(project: Project) -> None:
    project.write(
        {
            "collectivelint.toml": 'select = ["CL101"]\n',
            "a/pyproject.toml": "[tool.collectivelint]\n",
            "a/main.py": _CODE,
        }
    )
    assert _codes(project) >= _ALL


def test_isolated(project: Project) -> None:
    project.write({"main.py": _CODE, "collectivelint.toml": 'select = ["CL101"]\nnonsense = 1\n'})
    resolver = Resolver(isolated=True)
    assert (resolver.settings(Path("main.py")).select, resolver.problems) == ((), [])


def test_command_line_wins(project: Project) -> None:
    project.write({"main.py": _CODE, "collectivelint.toml": 'select = ["CL101"]\nignore = ["CL101"]\n'})
    settings = Resolver({"select": ("CL201",)}).settings(Path("main.py"))
    assert (settings.select, settings.ignore) == (("CL201",), ("CL101",))


# ---------------------------------------------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("selct = []", ["`selct`", "did you mean `select`"]),
        ("per_file_ignores = {}", ["`per_file_ignores`", "did you mean `per-file-ignores`"]),
        ("extend-exlude = []", ["did you mean `extend-exclude`"]),
        ("zzz = 1", ["unknown key `zzz`"]),
        ("root = '.'", ["unknown key `root`"]),
        ('select = "CL101"', ["`select`", "list of strings"]),
        ("select = [1]", ["`select`", "list of strings"]),
        ("ignore = true", ["`ignore`", "list of strings"]),
        ("explicit-world = 1", ["`explicit-world`", "true or false"]),
        ('unsafe-fixes = "yes"', ["`unsafe-fixes`", "true or false"]),
        ("group = true", ["`group`", "string"]),
        ("per-file-ignores = []", ["`per-file-ignores`", "table"]),
        ('per-file-ignores = { "a.py" = "CL101" }', ["`per-file-ignores`", "table"]),
        ('select = ["CL999"]', ["unknown rule `CL999`"]),
        ('ignore = ["missing-grup"]', ["unknown rule `missing-grup`", "did you mean `missing-group`"]),
        ('extend-select = ["cl101"]', ["unknown rule `cl101`"]),
        ('per-file-ignores = { "a.py" = ["CL20l"] }', ["unknown rule `CL20l`", "did you mean `CL201`"]),
        ("select = [", []),
        ("\xff", []),
    ],
)
def test_a_mistake_is_named_once_and_the_rest_counts(project: Project, text: str, words: list[str]) -> None:
    project.write({"collectivelint.toml": f"force-exclude = true\n{text}\n", "a.py": _CODE, "b/c.py": _CODE})
    resolver = Resolver()
    for path in ("a.py", "b/c.py"):
        resolver.settings(Path(path))
    (problem,) = resolver.problems
    for word in ["collectivelint.toml", *words]:
        assert word in problem
    if words:
        assert resolver.settings(Path("a.py")).force_exclude


def test_a_table_that_is_none(project: Project) -> None:
    project.write({"pyproject.toml": '[tool]\ncollectivelint = ["CL101"]\n', "a.py": _CODE})
    resolver = Resolver()
    resolver.settings(Path("a.py"))
    assert len(resolver.problems) == 1


def test_undecodable_file(project: Project) -> None:
    project.write({"collectivelint.toml": b"group = '\xff'\n"})
    settings, problems = read(Path("collectivelint.toml"))
    assert settings is None
    assert len(problems) == 1


# ------------------------------------------------------------------------------------------------- which rules


@pytest.mark.parametrize(
    ("settings", "runs"),
    [
        ({}, _ALL),
        ({"select": ("CL1",)}, {"CL101"}),
        ({"select": ("rank-conditional",)}, {"CL201"}),
        ({"select": ("ALL",)}, _ALL),
        ({"ignore": ("CL1",)}, {"CL201"}),
        ({"ignore": ("ALL",)}, set()),
        ({"ignore": ("missing-group",)}, {"CL201"}),
        ({"select": ("CL1",), "extend_select": ("CL2",)}, _ALL),
        ({"select": ("CL101",), "ignore": ("CL1",)}, {"CL101"}),
        ({"select": ("CL1",), "ignore": ("CL101",)}, set()),
        ({"select": ("CL101",), "ignore": ("CL101",)}, set()),
        ({"select": ("ALL",), "ignore": ("CL2",)}, {"CL101"}),
        ({"ignore": ("ALL",), "select": ("CL2",)}, {"CL201"}),
        ({"ignore": ("CL2",), "extend_select": ("CL201",)}, _ALL),
        ({"select": ("missing-group",), "ignore": ("CL1",)}, {"CL101"}),
        ({"select": ("CL1",), "ignore": ("missing-group",)}, set()),
    ],
    ids=lambda value: str(sorted(value)) if isinstance(value, set) else str(value),
)
def test_select_and_ignore(settings: dict[str, tuple[str, ...]], runs: set[str]) -> None:
    rules = {code: module.RULE for code, module in discover().items()}
    assert {code for code in _ALL if is_selected(Settings(**settings), rules[code])} == runs  # type: ignore[arg-type]


def test_known_selectors_keeps_those_that_mean_something() -> None:
    settings, problems = known_selectors(Settings(select=("CL101", "CL9", "ALL", "rank-conditional")))
    assert settings.select == ("CL101", "ALL", "rank-conditional")
    assert [problem.partition(";")[0] for problem in problems] == ["unknown rule `CL9`"]


@pytest.mark.parametrize(
    "selector",
    ["L101", "CL1011", "cl", "all", "missing", "", "C"],
)
def test_selectors_that_mean_nothing(selector: str) -> None:
    settings, problems = known_selectors(Settings(select=(selector,)))
    assert settings.select == ()
    assert len(problems) == 1


@pytest.mark.parametrize(
    ("pattern", "silent"),
    [
        ("main.py", {"main.py", "sub/main.py"}),
        ("/main.py", {"main.py"}),
        ("sub/*.py", {"sub/main.py", "sub/other.py"}),
        ("sub", {"sub/main.py", "sub/other.py"}),
        ("**/other.py", {"sub/other.py"}),
        ("*", {"main.py", "sub/main.py", "sub/other.py"}),
        ("nothing.py", set()),
    ],
)
def test_per_file_ignores(project: Project, pattern: str, silent: set[str]) -> None:
    names = {"main.py", "sub/main.py", "sub/other.py"}
    project.write(dict.fromkeys(names, _CODE))
    found = project.found(select=["CL101"], per_file_ignores={pattern: ("CL1",)})
    assert {name for name, _, _ in found} == names - silent


def test_per_file_ignores_are_relative_to_their_file(project: Project) -> None:
    project.write({"a/collectivelint.toml": 'per-file-ignores = { "/b/*" = ["CL1", "CL2"] }\n', "a/b/main.py": _CODE})
    assert _codes(project, "a/b/main.py") == set()


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        (
            'sources = ["a.b"]',
            "pyproject.toml:2: unknown key `catalog.sources`; there are collectives, uniform, divergent, guards, axes",
        ),
        ('collectivs = ["a.b"]', "pyproject.toml:2: unknown key `catalog.collectivs`; did you mean `collectives`?"),
        ('guards = [\n  "a",\n  "a b",\n]', "pyproject.toml:4: `catalog.guards`: 'a b' is not a dotted name"),
        ('uniform = "a.b"', "`catalog.uniform` has to be a list of strings"),
        ('guards = ["a b"]', "`catalog.guards`: 'a b' is not a dotted name like package.module.function"),
        ('axes = ["tp"]', "`catalog.axes` has to be a table of strings"),
    ],
)
def test_a_catalogue_that_is_wrong(project: Project, table: str, problem: str) -> None:
    project.write({"pyproject.toml": f"[tool.collectivelint.catalog]\n{table}\n", "a.py": "x = 1\n"})
    done = project.run("check")
    assert done.code == 2
    assert problem in done.err


def test_a_catalogue_that_is_no_table(project: Project) -> None:
    project.write({"pyproject.toml": '[tool.collectivelint]\ncatalog = "a"\n', "a.py": "x = 1\n"})
    assert "`catalog` has to be a table" in project.run("check").err


# ------------------------------------------------------------------------------------------- catalogue files

_CATALOG = """
[[section]]
module = "company.comm"
source = "company/comm.py"
classes = [{ name = "Link", meaning = "object" }]
collectives = [{ name = "sync", params = "tensor", uniform = "tensor" }, { name = "Link.meet", params = "self" }]
rank_sources = [{ name = "place", params = "", axis = "world" }]
"""
_USING = """
from company import comm


def main(tensor, link: comm.Link):
    if comm.place() == 0:
        comm.sync(tensor)  # CL201
        link.meet()  # CL201
"""


def test_catalogue_files_teach_other_frameworks(project: Project) -> None:
    project.write({"main.py": _USING, "lint/company.toml": _CATALOG})
    assert _codes(project) == set()
    project.write({"collectivelint.toml": 'catalog-files = ["lint/company.toml"]\n'})
    assert _codes(project) == {"CL201"}


def test_a_catalogue_file_is_part_of_what_the_cache_knows(project: Project) -> None:
    from collectivelint.engine import Linter

    def run() -> int:
        return len(
            Linter(Resolver({"min_confidence": Confidence.LOW}), cache_folder=Path(".cache")).run([Path()]).findings
        )

    project.write(
        {"main.py": _USING, "company.toml": _CATALOG, "collectivelint.toml": 'catalog-files = ["company.toml"]\n'}
    )
    assert (run(), run()) == (2, 2)
    project.write({"company.toml": _CATALOG.replace('"place"', '"position"')})
    assert run() == 0


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({}, ["company.toml", "No such file"]),
        ({"company.toml": "[[section]\n"}, ["company.toml:1:10: is not valid TOML"]),
        ({"company.toml": _CATALOG.replace("collectives", "colectives")}, ["company.comm", "did you mean"]),
        ({"company.toml": "\udcff"}, ["company.toml", "utf-8"]),
    ],
)
def test_catalogue_files_that_cannot_be_used(project: Project, files: dict[str, str], words: list[str]) -> None:
    for name, text in files.items():
        Path(name).write_bytes(text.encode(errors="surrogateescape"))
    project.write({"main.py": _CODE, "collectivelint.toml": 'catalog-files = ["company.toml"]\n'})
    settings, problems = read(Path("collectivelint.toml"))
    assert settings is not None
    assert settings.catalog_files == ()
    assert len(problems) == 1
    assert all(word in problems[0] for word in words), problems


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (
            'meaning = "object"',
            'meaning = "objct"',
            "company.comm.Link: `meaning` is 'objct', and has to be one of 'group', 'mesh', 'ops', 'object'; did you mean `object`?",
        ),
        (
            'axis = "world" }]',
            'axis = "world", kind = "proprty" }]',
            "company.comm.place: `kind` is 'proprty', and has to be one of 'property'; did you mean `property`?",
        ),
        (
            'uniform = "tensor" }',
            'uniform = "tensor", kind = "slow" }',
            "company.comm.sync: `kind` is 'slow', and has to be left out in collectives",
        ),
        (
            "rank_sources",
            'local_sources = [{ name = "now", params = "", cause = "clok" }]\nrank_sources',
            "company.comm.now: `cause` is 'clok', and has to be one of 'file system', 'clock', 'random', 'process', 'queue', "
            "'poll', 'signal', 'data'; did you mean `clock`?",
        ),
        (
            "rank_sources",
            'file_uses = [{ names = "put", use = "writes" }]\nrank_sources',
            "company.comm.put: `use` is 'writes', and has to be one of 'look', 'list', 'make', 'open', 'read', 'fill', 'write', "
            "'may write', 'link', 'move', 'remove', 'checkpoint', 'restore', 'save'; did you mean `write`?",
        ),
        (
            "rank_sources",
            'conventions = [{ name = "is_main", meaning = "gard", when = "always" }]\nrank_sources',
            "company.comm.is_main: `meaning` is 'gard', and has to be one of 'rank', 'size', 'group', 'guard', 'object'; "
            "did you mean `guard`?",
        ),
        (
            'uniform = "tensor"',
            'uniform = "tensr"',
            "company.comm.sync: uniform = 'tensr' is not one of its parameters",
        ),
    ],
)
def test_a_value_that_there_is_not_is_refused(project: Project, old: str, new: str, problem: str) -> None:
    text = _CATALOG.replace(old, new) + "\n[[section]]\nmodule = 'x'\nsource = 'x'\nrang_sources = []\n"
    project.write(
        {"main.py": _USING, "collectivelint.toml": 'catalog-files = ["company.toml"]\n', "company.toml": text}
    )
    ran = project.run("check")
    assert (ran.code, ran.out) == (2, "")
    where = f"error: {Path('collectivelint.toml').resolve()}:1: `catalog-files`: company.toml:"
    lines = ran.err.splitlines()
    rows = text.split("\n")
    assert lines[0] == f"{where}{rows.index(next(row for row in rows if new.splitlines()[0] in row)) + 1}: {problem}"
    last = f"{where}{len(rows) - 1}: x: unknown table 'rang_sources'; did you mean `rank_sources`?"
    assert lines[-1] == last


def test_the_causes_of_the_catalogue_are_those_of_the_analysis() -> None:
    from collectivelint.analysis.domain.causes import LOCAL
    from collectivelint.catalog.schema import CAUSES

    assert set(CAUSES) < set(LOCAL)


def test_catalogue_files_is_a_list(project: Project) -> None:
    project.write({"collectivelint.toml": 'catalog-files = "company.toml"\n'})
    assert "`catalog-files` has to be a list of strings" in read(Path("collectivelint.toml"))[1][0]


def test_expected_groups(project: Project) -> None:
    project.write({"collectivelint.toml": 'expected-groups = { dp = ["0,2", "1,3"], all = "0-3" }\n'})
    settings, problems = read(Path("collectivelint.toml"))
    assert problems == []
    assert settings is not None
    assert settings.expected_groups == {"dp": ("0,2", "1,3"), "all": ("0-3",)}


@pytest.mark.parametrize(
    "value",
    ['"0-3"', "{ dp = 4 }", '{ dp = "0-" }', "{ dp = [] }", '{ dp = ["0", 1] }', '{ a = "5-2" }', '{ a = "0,7-6" }'],
)
def test_expected_groups_that_are_none(project: Project, value: str) -> None:
    project.write({"collectivelint.toml": f"expected-groups = {value}\n"})
    settings, problems = read(Path("collectivelint.toml"))
    assert settings is not None
    assert settings.expected_groups == {}
    assert len(problems) == 1
    assert "`expected-groups`" in problems[0]


_NO_ARGUMENTS = ["a b", "a b c (", "a, b", "a # b", "a)(b", "*a", "x := 1"]


@pytest.mark.parametrize("group", _NO_ARGUMENTS)
def test_a_group_that_is_no_expression(project: Project, group: str) -> None:
    project.write({"main.py": _CODE, "collectivelint.toml": f'select = ["CL1"]\ngroup = "{group}"\n'})
    ran = project.run("check", "main.py")
    assert (ran.code, ran.out) == (2, "")
    assert f"collectivelint.toml:2: `group` has to be one Python expression, and `{group}` is not" in ran.err
    ran = project.run("check", "--isolated", "--group", group, "main.py")
    assert (ran.code, ran.out) == (2, "")
    assert f"--group has to be one Python expression, and `{group}` is not" in ran.err


@pytest.mark.parametrize("group", ["self.group", "mesh['dp'].get_group()", "(a := b)", "größe", "a if b else c"])
def test_a_group_that_is_an_expression(project: Project, group: str) -> None:
    project.write({"collectivelint.toml": f'group = "{group}"\n'})
    settings, problems = read(Path("collectivelint.toml"))
    assert settings is not None
    assert (settings.group, problems) == (group, [])


# ------------------------------------------------------------------------------------------- on the command line


def test_show_settings_is_a_configuration_file(project: Project) -> None:
    text = 'select = ["CL1"]\nper-file-ignores = { "tests/*" = ["CL101"] }\nexplicit-world = true\ngroup = "GROUP"\n'
    project.write({"main.py": _CODE, "collectivelint.toml": text})
    shown = project.run("check", "--show-settings", "--ignore", "CL102", "main.py")
    assert shown.code == 0
    project.write({"other/collectivelint.toml": shown.out})
    again, problems = read(Path("other/collectivelint.toml"))
    assert problems == []
    assert again is not None
    assert (again.select, again.ignore, again.group, again.explicit_world) == (("CL1",), ("CL102",), "GROUP", True)
    assert again.per_file_ignores == {"tests/*": ("CL101",)}


def test_per_file_ignores_on_the_command_line(project: Project) -> None:
    project.write({"main.py": _CODE, "tests/other.py": _CODE})
    ran = project.run("check", "--no-cache", "--output-format", "json", "--per-file-ignores", "tests/*:CL1,CL201", ".")
    assert {name for name in ("main.py", "tests/other.py") if f'"{name}"' in ran.out} == {"main.py"}


@pytest.mark.parametrize("value", ["tests", ":CL1", "tests:"])
def test_per_file_ignores_that_are_none(project: Project, value: str) -> None:
    project.write({"main.py": _CODE})
    ran = project.run("check", "--per-file-ignores", value, "main.py")
    assert ran.code == 2
    assert "PATTERN:CODES" in ran.err
