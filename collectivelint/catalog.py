"""What collectivelint knows about other people's APIs, read from `rules/catalog/*.toml`.

The linter reads it to analyse, the tracer to know which calls create groups. Supporting another framework means
adding a TOML file; nothing in the code names a framework.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, Final, Literal

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Category = Literal[
    "collective",
    "point_to_point",
    "group_constructor",
    "group_accessor",
    "lifecycle",
    "rank_source",
    "uniform_source",
    "loader",
    "implicit",
    "local_source",
    "guard",
    "decorator",
    "registration",
    "function",
]

#: TOML table name -> category of its rows.
CATEGORIES: Final[Mapping[str, Category]] = {
    "collectives": "collective",
    "point_to_point": "point_to_point",
    "group_constructors": "group_constructor",
    "group_accessors": "group_accessor",
    "lifecycle": "lifecycle",
    "rank_sources": "rank_source",
    "uniform_sources": "uniform_source",
    "loaders": "loader",
    "implicit": "implicit",
    "local_sources": "local_source",
    "guards": "guard",
    "decorators": "decorator",
    "registrations": "registration",
    "functions": "function",
}
#: A parameter of one of these names plays that role unless its row says otherwise.
ROLES: Final = ("group", "src", "dst", "group_src", "group_dst", "async_op", "op")
_ROW_KEYS: Final = frozenset(
    {
        *("name", "params", "uniform", "receives", "restores", "axis", "returns", "kind", "since", "source"),
        *("cause", "one", "callback", "unless", "why", "renamed", "shards", "saves", "ignored", "wraps"),
        *ROLES,
    }
)
#: Tables that are plain lists of names.
_LISTS: Final = (
    *("readers", "fallible", "failures", "callers", "wrappers", "tensors", "buffers", "hints", "parameters"),
    *("local_states", "reporting", "temporary", "shard_words", "objects", "metadata", "kinds", "trial_words"),
)
_SECTION_KEYS: Final = frozenset(
    {
        *("module", "also", "source", "world", "classes", "environment", "conventions", "methods", "file_uses"),
        *("families", *_LISTS),
        *CATEGORIES,
    }
)


#: Sections that describe names of any object, not of a module.
_NO_MODULES: Final = frozenset({"methods", "conventions", "environment"})


class CatalogError(ValueError):
    """A catalogue file that does not follow the format; the message names the file and the row."""


@dataclass(frozen=True, slots=True)
class Api:
    """One function of a framework and what its arguments mean.

    `roles` maps a role (`group`, `src`, `async_op`, ...) to the name of the parameter that plays it. `uniform` names
    the parameters whose content is equal on all ranks of the group after the call, `receives` those that hold data of
    other ranks without being equal, `restores` those read from a file; `"return"` stands for the result. `cause` says
    why the result differs between ranks; `one` whether a guard holds on exactly one rank; `callback` which parameter
    is called later. With `unless` (parameter, constant) the call is no collective. `why` is what a report explains;
    `renamed` the name it has by now. `shards` names the parameter that is sharded over the ranks from then on, `saves`
    the one that is written to disk, `ignored` one that has no effect. `returns` may name a class for each element of the
    tuple that it returns, and `wraps` says for the class of an argument what is returned in its place.
    """

    name: str
    category: Category
    params: tuple[str, ...]
    roles: Mapping[str, str]
    source: str
    uniform: tuple[str, ...] = ()
    receives: tuple[str, ...] = ()
    restores: tuple[str, ...] = ()
    axis: str | None = None
    returns: str | None = None
    kind: str | None = None
    since: str | None = None
    cause: str | None = None
    one: bool | None = None
    callback: str | None = None
    unless: tuple[str, object] | None = None
    why: str = ""
    renamed: str | None = None
    shards: str | None = None
    saves: str | None = None
    ignored: str | None = None
    wraps: Mapping[str, str] = field(default_factory=dict)

    @property
    def op(self) -> str:
        """The operation's own name: `all_reduce`."""
        return self.name.rpartition(".")[2]

    def position(self, role: str) -> int | None:
        """Index of the argument that plays `role` when it is passed by position, or None."""
        name = self.roles.get(role)
        return self.params.index(name) if name is not None else None


@dataclass(frozen=True, slots=True)
class Convention:
    """What a parameter or attribute of this name (`*_group`: with this ending) usually holds.

    `meaning`: "rank", "group", "guard" (true on one rank) or "object" (of class `type`). `when = "optional"` restricts
    it to parameters that are None by default.
    """

    name: str
    meaning: str
    axis: str | None = None
    when: str | None = None
    one: bool | None = None
    type: str | None = None

    def fits(self, name: str) -> bool:
        """Is `name` one of these?"""
        return name.endswith(self.name[1:]) if self.name.startswith("*") else name == self.name


@dataclass(frozen=True, slots=True)
class FileApi:
    """What a call does to a path: "look", "make", "write", "may write", "link", "move" or "remove".

    `at` says which argument the path is, -1 being the object it is called on; `state` which one is written there.
    """

    use: str
    at: int = 0
    state: int | None = None


@dataclass(frozen=True, slots=True)
class Catalog:
    """All rows of all files, by qualified name.

    `environment` maps a variable to the axis it varies over, `readers` names what reads variables, `classes` maps a
    class to what its instances are: "group", "mesh" or just "object". `methods` maps the name of a method, of whatever
    object, to the cause for which its result differs; `fallible` names what can fail on one rank alone, and `failures`
    the exceptions that do. `callers` call their first argument with the others, and give back its result;
    `wrappers` give back what iterates as their first argument does. `file_uses` says what calls do to paths. `tensors`
    make a tensor of their first argument, `buffers` one of a size, `parameters` what a model learns. `local_states` give
    what each rank has of its own; `reporting` tells people something and does nothing else; `temporary` is gone when it
    is left; `objects` are those that a module has, with methods of their own; `metadata` are attributes and methods of tensors that say nothing of
    their elements, `kinds` attributes that are the same for objects that differ only in their number. `hints` are parts of names by which projects ask for one rank, `shard_words` those of pieces of a whole, `trial_words` those of
    what is only there to try the program.
    `families` maps the beginning of a class's name to the class that all of them are.
    """

    apis: Mapping[str, Api]
    environment: Mapping[str, str]
    classes: Mapping[str, str]
    families: Mapping[str, str]
    world: frozenset[str]
    modules: frozenset[str]
    conventions: tuple[Convention, ...]
    methods: Mapping[str, str]
    file_uses: Mapping[str, FileApi]
    readers: frozenset[str]
    fallible: frozenset[str]
    failures: frozenset[str]
    callers: frozenset[str]
    wrappers: frozenset[str]
    tensors: frozenset[str]
    buffers: frozenset[str]
    hints: frozenset[str]
    parameters: frozenset[str]
    local_states: frozenset[str]
    reporting: frozenset[str]
    temporary: frozenset[str]
    shard_words: frozenset[str]
    objects: frozenset[str]
    metadata: frozenset[str]
    kinds: frozenset[str]
    trial_words: frozenset[str]
    #: What `convention` has answered: the same few names are asked for again and again.
    known_names: dict[str, list[Convention]] = field(default_factory=dict, compare=False)

    def class_of(self, name: str) -> str | None:
        """The class of the catalogue that this one is, or that it belongs to the family of."""
        if name in self.classes:
            return name
        last = name.rpartition(".")[2]
        if not last[:1].isupper():
            return None
        return next((known for prefix, known in self.families.items() if name.startswith(prefix)), None)

    def of(self, *categories: Category) -> list[Api]:
        """The rows of these categories, each listed once per name it is known under."""
        return [api for api in self.apis.values() if api.category in categories]

    def convention(self, name: str, meaning: str, *, optional: bool = False) -> Convention | None:
        """The convention that gives this name this meaning, if there is one; `optional`: the default is None."""
        fitting = self.known_names.get(name)
        if fitting is None:
            fitting = self.known_names[name] = [rule for rule in self.conventions if rule.fits(name)]
        for rule in fitting:
            if rule.meaning == meaning and (optional or rule.when is None):
                return rule
        return None


#: The keys of the rows of tables that describe no functions, and whether a row has to have them.
_OTHER_ROWS: Final[Mapping[str, Mapping[str, bool]]] = {
    "classes": {"name": True, "meaning": True},
    "environment": {"name": True, "axis": True},
    "conventions": {"name": True, "meaning": True, "axis": False, "when": False, "one": False, "type": False},
    "methods": {"name": True, "cause": True},
    "file_uses": {"names": True, "use": True, "at": False, "state": False},
    "families": {"prefix": True, "type": True},
}
_FLAGS: Final = frozenset({"one"})
_NUMBERS: Final = frozenset({"at", "state"})


def _check(where: str, section: object) -> None:
    """Raise CatalogError for what is missing in a section, misspelt or of another type."""
    if not isinstance(section, dict):
        raise CatalogError(f"{where}: `section` has to be a list of tables: [[section]]")
    module = section.get("module")
    if not isinstance(module, str) or not isinstance(section.get("source"), str) or not module:
        raise CatalogError(f"{where}: a section needs `module` and `source`")
    for table, rows in section.items():
        if table not in _SECTION_KEYS:
            raise CatalogError(f"{where}: {module}: unknown table {table!r}{_near(table, _SECTION_KEYS)}")
        if table in ("module", "source"):
            continue
        if table in (*_LISTS, "also", "world"):
            if not isinstance(rows, list) or not all(isinstance(row, str) for row in rows):
                raise CatalogError(f"{where}: {module}: `{table}` has to be a list of strings")
            continue
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise CatalogError(f"{where}: {module}: `{table}` has to be a list of tables: {table} = [{{ ... }}]")
        for row in rows:
            _check_row(where, module, table, row)


def _check_row(where: str, module: str, table: str, row: Mapping[str, object]) -> None:
    keys = _OTHER_ROWS.get(table)
    name = row.get("name") or row.get("names") or row.get("prefix") or "a row"
    for key, value in row.items():
        if key not in (_ROW_KEYS if keys is None else keys):
            raise CatalogError(f"{where}: {module}.{name}: unknown key {key!r}{_near(key, keys or _ROW_KEYS)}")
        expected = bool if key in _FLAGS else int if key in _NUMBERS else dict if key == "wraps" else str
        if not isinstance(value, expected):
            raise CatalogError(f"{where}: {module}.{name}: `{key}` has to be a {_TYPES[expected]}")
    for key, needed in (keys or {"name": True, "params": True}).items():
        if needed and key not in row:
            raise CatalogError(f"{where}: a row of {table} in {module} has no {key!r}")


_TYPES: Final = {bool: "flag (true or false)", int: "number", dict: "table", str: "string"}


def _near(key: str, known: Iterable[str]) -> str:
    from difflib import get_close_matches

    near = get_close_matches(key, sorted(known), 1)
    return f"; did you mean {near[0]!r}?" if near else ""


def _api(where: str, module: str, category: Category, row: Mapping[str, Any], source: str) -> Api:
    name = row["name"]
    params = tuple(row["params"].split())
    for key in ("uniform", "receives", "restores"):
        for parameter in row.get(key, "").split():
            if parameter not in (*params, "return"):
                raise CatalogError(f"{where}: {module}.{name}: {key} = {parameter!r} is not one of its parameters")
    roles = {role: row.get(role, role) for role in ROLES if row.get(role, role) in params}
    for role in (*ROLES, "shards", "saves", "ignored"):
        if role in row and row[role] not in params:
            raise CatalogError(f"{where}: {module}.{name}: {role} = {row[role]!r} is not one of its parameters")
    return Api(
        name=f"{module}.{name}",
        category=category,
        params=params,
        roles=roles,
        source=row.get("source", source),
        uniform=tuple(row.get("uniform", "").split()),
        receives=tuple(row.get("receives", "").split()),
        restores=tuple(row.get("restores", "").split()),
        axis=row.get("axis"),
        returns=row.get("returns"),
        kind=row.get("kind"),
        since=row.get("since"),
        cause=row.get("cause"),
        one=row.get("one"),
        callback=row.get("callback"),
        unless=_unless(row.get("unless")),
        why=row.get("why", ""),
        renamed=row.get("renamed"),
        shards=row.get("shards"),
        saves=row.get("saves"),
        ignored=row.get("ignored"),
        wraps=row.get("wraps", {}),
    )


def _unless(text: str | None) -> tuple[str, object] | None:
    """`no_dist=true` as (parameter, constant)."""
    if text is None:
        return None
    name, _, value = text.partition("=")
    return name, {"true": True, "false": False, "none": None}.get(value, value)


def parse(files: Iterable[tuple[str, str]]) -> Catalog:
    """Join catalogue files, given as (name, text); raise CatalogError where one is not well formed."""
    apis: dict[str, Api] = {}
    environment: dict[str, str] = {}
    lists: dict[str, set[str]] = {name: set() for name in _LISTS}
    classes: dict[str, str] = {}
    families: dict[str, str] = {}
    world: set[str] = set()
    modules: set[str] = set()
    conventions: list[Convention] = []
    methods: dict[str, str] = {}
    file_uses: dict[str, FileApi] = {}
    for where, text in files:
        try:
            data = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise CatalogError(f"{where}: {error}") from None
        if wrong := set(data) - {"framework", "section"}:
            raise CatalogError(f"{where}: unknown table {sorted(wrong)[0]!r}")
        sections = data.get("section", [])
        if not isinstance(sections, list):
            raise CatalogError(f"{where}: `section` has to be a list of tables: [[section]]")
        for section in sections:
            _check(where, section)
            names = [section["module"], *section.get("also", [])]
            conventions += [Convention(**row) for row in section.get("conventions", [])]
            environment |= {row["name"]: row["axis"] for row in section.get("environment", [])}
            methods |= {row["name"]: row["cause"] for row in section.get("methods", [])}
            families |= {row["prefix"]: row["type"] for row in section.get("families", [])}
            for row in section.get("file_uses", []):
                known = FileApi(row["use"], row.get("at", 0), row.get("state"))
                file_uses |= dict.fromkeys(row["names"].split(), known)
            for table, found in lists.items():
                found |= set(section.get(table, []))
            for module in names:
                classes |= {f"{module}.{row['name']}": row["meaning"] for row in section.get("classes", [])}
                if module not in _NO_MODULES and any(section.get(table) for table in ("classes", *CATEGORIES)):
                    modules.add(module)
                world |= {f"{module}.{name}" for name in section.get("world", [])}
                for table, category in CATEGORIES.items():
                    for row in section.get(table, []):
                        api = _api(where, module, category, row, section["source"])
                        apis[api.name] = api
    return Catalog(
        apis=apis,
        environment=environment,
        classes=classes,
        world=frozenset(world),
        modules=frozenset(modules),
        conventions=tuple(conventions),
        methods=methods,
        families=families,
        file_uses=file_uses,
        **{name: frozenset(found) for name, found in lists.items()},  # type: ignore[arg-type]  # each is a field
    )


@cache
def load(files: tuple[tuple[str, str], ...] = ()) -> Catalog:
    """The catalogue that is shipped with collectivelint, and these files, given as (name, text), which have the last word.

    Raise CatalogError where one of them is not well formed.
    """
    # By name, not by import: nothing in this package depends on the rules statically.
    folder = resources.files("collectivelint.rules.catalog")
    found = sorted((item for item in folder.iterdir() if item.name.endswith(".toml")), key=lambda item: item.name)
    return parse([*((item.name, item.read_text(encoding="utf-8")) for item in found), *files])
