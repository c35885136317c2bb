"""What collectivelint knows about other people's APIs, read from `rules/catalog/*.toml`.

The linter reads it to analyse, the tracer to know which calls create groups. Supporting another framework means
adding a TOML file; nothing in the code names a framework.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache, cached_property
from importlib import resources
from typing import TYPE_CHECKING, Any, Final

from .. import toml_text
from .schema import CATEGORIES, LISTS, ROLES, CatalogError, Category, check

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

#: Sections that describe names of any object, not of a module.
_NO_MODULES: Final = frozenset({"methods", "conventions", "environment"})


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
    tuple it returns, `wraps` says for an argument's class what is returned in its place, and `translates`
    names the rank that the result is another number of.
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
    translates: str | None = None

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

    `meaning`: "rank", "size" (the number of ranks), "group", "guard" (true on one rank) or "object" (of class `type`). `when = "optional"` restricts
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


@dataclass(frozen=True)
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
    `group_members` are the attributes that process groups have, `tables` attributes that are lists of tables,
    `sizes` environment variables that hold the number of ranks.
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
    group_members: frozenset[str]
    tables: frozenset[str]
    sizes: frozenset[str]
    #: What `convention` has answered: the same few names are asked for again and again.
    known_names: dict[str, list[Convention]] = field(default_factory=dict, compare=False)

    @cached_property
    def names(self) -> frozenset[str]:
        """Every dotted name that some row says something about, and the modules and classes that they lie in."""
        found = {*self.apis, *self.classes, *self.world, *self.objects}
        return frozenset(found | {name.rpartition(".")[0] for name in found} | self.modules)

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


def _api(where: str, module: str, category: Category, row: Mapping[str, Any], source: str) -> Api:
    name = row["name"]
    params = tuple(row["params"].split())
    for key in ("uniform", "receives", "restores"):
        for parameter in row.get(key, "").split():
            if parameter not in (*params, "return"):
                raise CatalogError(f"{where}: {module}.{name}: {key} = {parameter!r} is not one of its parameters")
    roles = {role: row.get(role, role) for role in ROLES if row.get(role, role) in params}
    for role in ("src", "dst"):
        if row.get(f"group_{role}") == role:
            # A root that is told by its rank in the group is no rank of the job.
            del roles[role]
    for role in (*ROLES, "shards", "saves", "ignored", "translates"):
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
        translates=row.get("translates"),
    )


def _unless(text: str | None) -> tuple[str, object] | None:
    """`no_dist=true` as (parameter, constant)."""
    if text is None:
        return None
    name, _, value = text.partition("=")
    return name, {"true": True, "false": False, "none": None}.get(value, value)


def parse(files: Iterable[tuple[str, str]]) -> Catalog:
    """Join catalogue files, given as (name, text); raise CatalogError with all that is wrong with them."""
    problems: list[str] = []
    apis: dict[str, Api] = {}
    environment: dict[str, str] = {}
    lists: dict[str, set[str]] = {name: set() for name in LISTS}
    classes: dict[str, str] = {}
    families: dict[str, str] = {}
    world: set[str] = set()
    modules: set[str] = set()
    conventions: list[Convention] = []
    methods: dict[str, str] = {}
    file_uses: dict[str, FileApi] = {}
    for where, text in files:
        try:
            data = toml_text.parse(where, text)
        except toml_text.TomlError as error:
            problems.append(str(error))
            continue
        problems += [f"{where}: unknown table {name!r}" for name in sorted(set(data) - {"framework", "section"})]
        sections = data.get("section", [])
        if not isinstance(sections, list):
            problems.append(f"{where}: `section` has to be a list of tables: [[section]]")
            continue
        for section in sections:
            if wrong := list(check(where, section)):
                problems += wrong
                continue
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
                        try:
                            api = _api(where, module, category, row, section["source"])
                        except CatalogError as error:
                            problems += error.problems
                            continue
                        apis[api.name] = api
    if problems:
        raise CatalogError(*dict.fromkeys(problems))
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
