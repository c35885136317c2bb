"""The catalogue: rows of torch.toml against the installed torch, and what is said about rows that are wrong."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path
from types import FunctionType
from typing import TYPE_CHECKING, Any, Final

import pytest

from collectivelint.catalog.reader import load, parse
from collectivelint.catalog.schema import CATEGORIES, LISTS, ROLES, CatalogError

if TYPE_CHECKING:
    from types import ModuleType

    from collectivelint.catalog.model import Api

_NOT_YET: Final = pytest.mark.xfail(strict=True, reason="only torch.distributed has it, not distributed_c10d")
_APIS: Final = [pytest.param(api, id=name) for name, api in load().apis.items() if name.partition(".")[0] == "torch"]


@pytest.fixture(scope="module")
def torch() -> ModuleType:
    found: ModuleType = pytest.importorskip("torch")
    if not importlib.import_module("torch.distributed").is_available():
        pytest.skip("torch was built without distributed")
    return found


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text)[:2])


def _named(name: str) -> Any:
    """The object behind a dotted name: the longest part that is a module, then attributes."""
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:end]))
        except ModuleNotFoundError:
            continue
        for part in parts[end:]:
            found = getattr(found, part)
        return found
    raise AssertionError(f"{name} cannot be imported")


def _parameters(function: Any) -> list[inspect.Parameter] | None:
    """The parameters in order; None for a function that Python cannot look into (it is written in C++)."""
    if inspect.isclass(function):
        own = function.__init__ if function.__new__ is object.__new__ else function.__new__
        return list(inspect.signature(own).parameters.values())[1:]
    try:
        return list(inspect.signature(function).parameters.values())
    except ValueError:
        return None


@pytest.mark.parametrize(
    "api",
    [
        pytest.param(*item.values, id=item.id, marks=_NOT_YET if "c10d.is_available" in str(item.id) else ())
        for item in _APIS
    ],
)
def test_row_is_what_torch_has(api: Api, torch: ModuleType) -> None:
    if api.since is not None and _version(torch.__version__) < _version(api.since):
        pytest.skip(f"new in torch {api.since}")
    if isinstance(_named(api.name), property):
        assert api.params == ("self",)
        return
    parameters = _parameters(_named(api.name))
    if parameters is None:
        assert f"{api.op}(" in (_named(api.name).__doc__ or "")
        return
    names = [item.name for item in parameters]
    assert names[: len(api.params)] == list(api.params)
    # What the catalogue leaves out can only be given by keyword, or has no part in the group's business.
    for left_out in parameters[len(api.params) :]:
        assert left_out.name not in ROLES
        assert left_out.default is not inspect.Parameter.empty or left_out.kind in (
            inspect.Parameter.VAR_KEYWORD,
            inspect.Parameter.VAR_POSITIONAL,
        )


@pytest.mark.parametrize("api", _APIS)
def test_roles_are_parameters(api: Api) -> None:
    assert set(api.roles) <= set(ROLES)
    assert set(api.roles.values()) <= set(api.params)
    for name in (*api.uniform, *api.receives, *api.restores):
        assert name in (*api.params, "return")
    assert not set(api.uniform) & set(api.receives)


@pytest.mark.parametrize("api", _APIS)
def test_result_is_a_class_of_the_catalogue(api: Api, torch: ModuleType) -> None:
    if api.returns is not None:
        assert api.returns in load().classes
        assert inspect.isclass(_named(api.returns))


@pytest.mark.parametrize(
    "name",
    sorted(
        name
        for name in load().world | load().coalescing | load().classes.keys()
        if name.startswith(("torch.", "pathlib."))
    ),
)
def test_other_names_exist(name: str, torch: ModuleType) -> None:
    _named(name)


def test_every_public_collective_of_torch_is_listed(torch: ModuleType) -> None:
    """What torch documents as taking a group and a tensor or object is in the catalogue."""
    dist = importlib.import_module("torch.distributed")
    listed = {api.op for api in load().apis.values() if api.name == f"torch.distributed.{api.op}"}
    takes_group = {
        name
        for name in importlib.import_module("torch.distributed.distributed_c10d").__all__
        if type(getattr(dist, name, None)) is FunctionType
        and "group" in inspect.signature(getattr(dist, name)).parameters
    }
    # These read or change the group's own description; no other rank takes part.
    descriptions = {
        "get_process_group_ranks",
        "get_pg_count",
        "get_backend_config",
        "set_timeout",  # new in torch 2.14
    }
    assert takes_group - listed - descriptions == set()


def _row(text: str) -> str:
    return f'[[section]]\nmodule = "m"\nsource = "s"\ncollectives = [{{ {text} }}]\n'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[[section]]\nmodule = "m"\n', ["x.toml", "source"]),
        ('[[section]]\nsource = "s"\n', ["x.toml", "module"]),
        ("[[section]\n", ["x.toml"]),
        (_row('params = "a"'), ["x.toml", "name"]),
        (_row('name = "f"'), ["x.toml", "params"]),
        (_row('name = "f", params = "a", grup = "a"'), ["m.f", "grup"]),
        (_row('name = "f", params = "a", group = "b"'), ["m.f", "group", "'b'"]),
    ],
)
def test_rows_that_are_wrong(text: str, words: list[str]) -> None:
    with pytest.raises(CatalogError) as caught:
        parse([("x.toml", text)])
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        '[[section]]\nmodule = "m"\nsource = "s"\ncolectives = [{ name = "f", params = "" }]\n',
        '[[sections]]\nmodule = "m"\nsource = "s"\n',
        _row('name = "f", params = "a", uniform = "b"'),
    ],
)
def test_misspelt_tables(text: str) -> None:
    with pytest.raises(CatalogError):
        parse([("x.toml", text)])


def test_roles_by_name_and_by_declaration() -> None:
    rows = _row('name = "f", params = "tensor op pg async_op", group = "pg"')
    api = parse([("x.toml", rows)]).apis["m.f"]
    assert (api.position("group"), api.position("op"), api.position("src")) == (2, 1, None)
    assert (api.op, api.category) == ("f", "collective")


def test_aliases_of_a_module_have_the_same_rows() -> None:
    text = '[[section]]\nmodule = "m"\nalso = ["n.o"]\nsource = "s"\ncollectives = [{ name = "f", params = "group" }]\n'
    assert {"m.f", "n.o.f"} == parse([("x.toml", text)]).apis.keys()


def test_all_categories_are_used() -> None:
    assert {api.category for api in load().apis.values()} == set(CATEGORIES.values())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("section = 3\n", ["x.toml", "section"]),
        ('[[section]]\nmodule = "m"\nsource = "s"\ncollectives = 3\n', ["m", "collectives", "list of tables"]),
        ('[[section]]\nmodule = "m"\nsource = "s"\ncollectives = ["f"]\n', ["m", "collectives", "list of tables"]),
        ('[[section]]\nmodule = "m"\nsource = "s"\nwrappers = "f"\n', ["m", "wrappers", "list of strings"]),
        ('[[section]]\nmodule = "m"\nsource = "s"\nalso = "f"\n', ["m", "also", "list of strings"]),
        ('[[section]]\nmodule = "m"\nsource = "s"\nclasses = [{ name = "C" }]\n', ["m", "classes", "meaning"]),
        ('[[section]]\nmodule = "m"\nsource = "s"\ncolectives = []\n', ["colectives", "did you mean `collectives`"]),
        (_row('name = "f", params = 3'), ["m.f", "params", "string"]),
        (_row('name = "f", params = "", one = "yes"'), ["m.f", "one", "flag"]),
        (_row('name = "f", params = "", grup = "a"'), ["m.f", "did you mean `group`"]),
        (_row('name = "f", params = "a", saves = "b"'), ["m.f", "saves", "'b'"]),
    ],
)
def test_wrong_types_and_near_misses(text: str, words: list[str]) -> None:
    with pytest.raises(CatalogError) as caught:
        parse([("x.toml", text)])
    assert all(word in str(caught.value) for word in words), caught.value


def test_the_guide_names_lists_that_there_are() -> None:
    guide = (Path(__file__).parents[2] / "docs/teach.md").read_text()
    table = guide.partition("| list |")[2].partition("\n\n")[0]
    named = [
        name
        for line in table.splitlines()
        for name in re.findall(r"`(\w+)`", line.split("|")[1] if "|" in line else "")
    ]
    assert len(named) > 10
    assert set(named) <= set(LISTS)


def test_each_list_is_used() -> None:
    catalog = load()
    assert [name for name in LISTS if not getattr(catalog, name)] == []


def test_rows_of_group_ops_are_its_methods(torch: ModuleType) -> None:
    rows = {name: api for name, api in load().apis.items() if name.startswith("collectivelint.runtime.GroupOps.")}
    cls = _named("collectivelint.runtime.GroupOps")
    for api in rows.values():
        member = inspect.getattr_static(cls, api.op)
        if not isinstance(member, property) and isinstance(member, FunctionType):
            assert tuple(inspect.signature(member).parameters) == api.params, api.name
    # And the other way round: whoever adds an operation tells the linter of it.
    ours = {name for name in dir(cls) if not name.startswith("_")}
    assert ours - {api.op for api in rows.values()} == {"ranks", "backend", "backend_config"}


def test_members_of_process_groups(torch: ModuleType) -> None:
    """An attribute that no process group has says that something is none: so all they have must be listed."""
    public = {name for name in dir(_named("torch.distributed.ProcessGroup")) if not name.startswith("_")}
    assert public - load().group_members == set()
