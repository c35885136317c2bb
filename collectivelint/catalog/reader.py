"""Reads catalogue files into a catalogue: checks the rows against the format and collects all errors."""

from __future__ import annotations

import re
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Final

from .. import toml_text
from ..spelling import nearest
from .kin import join_classes
from .lookup import shipped
from .model import Api, Catalog
from .operations import GLOBAL_ROOTS
from .places import Places
from .rows import Convention, FileApi
from .schema import CATEGORIES, FILE_KEYS, LISTS, ROLES, SOURCE_FIRST, CatalogError, Category, check

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

#: Sections that describe names of any object, not of a module.
_NO_MODULES: Final = frozenset({"methods", "conventions", "environment", "backward", "wrapped"})

_NUMBER: Final = re.compile(r"-?\d+")


def _api(module: str, category: Category, row: Mapping[str, Any], section: Mapping[str, Any]) -> Api:
    """The row as the analysis uses it; raise ValueError if it refers to a parameter that the function does not have."""
    name = row["name"]
    params = tuple(row["params"].split())
    for key in ("uniform", "receives", "restores"):
        for parameter in row.get(key, "").split():
            if parameter not in (*params, "return"):
                raise ValueError(f"{key} = {parameter!r} is not one of its parameters")
    roles = {role: row.get(role, role) for role in ROLES if row.get(role, role) in params}
    for role in GLOBAL_ROOTS:
        if row.get(f"group_{role}") == role:
            # A root that is given by its rank in the group is no rank of the job.
            del roles[role]
    for role in (*ROLES, "shards", "saves", "pickles", "ignored", "translates", "turns", "axis_by", "runs"):
        registered = role == "runs" and row.get(role, "").endswith("()")
        if role in row and row[role] not in params and not registered:
            raise ValueError(f"{role} = {row[role]!r} is not one of its parameters")
    # Whether a pass of a model is one is decided where it is wrapped: those are parameters of the class.
    is_pass = name.endswith(".__call__") or module == "backward"
    return Api(
        name=f"{module}.{name}",
        category=category,
        params=params,
        roles=roles,
        source=row.get("source", section["source"]),
        operation=row.get("operation"),
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
        unless=_conditions(row, "unless", None if is_pass else params),
        when=_conditions(row, "when", params),
        own_data=_conditions(row, "own_data", params),
        axis_by=row.get("axis_by"),
        runs=row.get("runs"),
        until=row.get("until"),
        why=row.get("why", ""),
        renamed=row.get("renamed"),
        shards=row.get("shards"),
        saves=row.get("saves"),
        pickles=row.get("pickles"),
        ignored=row.get("ignored"),
        wraps=row.get("wraps", {}),
        translates=row.get("translates"),
        only_with=tuple(tuple(way.split("|")) for way in row.get("only_with", "").split()),
        wrapped=row.get("wrapped"),
        silent_in=frozenset(row.get("silent_in", "").split()),
        rare_in=frozenset(row.get("rare_in", "").split()),
        turns=row.get("turns"),
        confidence=row.get("confidence"),
    )


def _conditions(row: Mapping[str, Any], key: str, params: tuple[str, ...] | None) -> tuple[tuple[str, object], ...]:
    """`no_dist=true mode=DP` as (parameter, constant) pairs; raise ValueError if malformed or not among `params`."""
    found: list[tuple[str, object]] = []
    for text in row.get(key, "").split():
        name, sign, value = text.partition("=")
        if not sign or not value:
            raise ValueError(f"{key}: {text!r} is not like parameter=value")
        if params is not None and name not in params:
            raise ValueError(f"{key} = {name!r} is not one of its parameters")
        known = {"true": True, "false": False, "none": None}
        found.append((name, known[value] if value in known else int(value) if _NUMBER.fullmatch(value) else value))
    return tuple(found)


def _is_owned(name: str) -> bool:
    """Whether the name is a method of a class, or of objects with a conventional name (`named.`)."""
    owner = name.split(".")[-2]
    return owner[:1].isupper() or name.startswith("named.")


def parse(files: Iterable[tuple[str, str]]) -> Catalog:
    """Join catalogue files, given as (name, text); raise CatalogError with all that is wrong with them."""
    problems: list[str] = []
    apis: dict[str, Api] = {}
    environment: dict[str, str] = {}
    lists: dict[str, set[str]] = {name: set() for name in LISTS}
    classes: dict[str, str] = {}
    #: Class -> the one that it has the rows of, and where that is said.
    same: dict[str, tuple[str, str]] = {}
    families: dict[str, str] = {}
    world: set[str] = set()
    modules: set[str] = set()
    conventions: list[Convention] = []
    methods: dict[str, str] = {}
    file_uses: dict[str, FileApi] = {}
    #: The names of sections whose modules are read where a program holds their source, and those of all others.
    of_source: dict[bool, set[str]] = {False: set(), True: set()}
    for where, text in files:
        try:
            data = toml_text.parse(where, text)
        except toml_text.TomlError as error:
            problems.append(str(error))
            continue
        problems += [
            f"{where}:{toml_text.line_of(text, (name,))}: unknown table {name!r}{nearest(name, FILE_KEYS)}"
            for name in sorted(set(data) - FILE_KEYS)
        ]
        if not isinstance(data.get("framework", ""), str):
            problems.append(f"{where}:{toml_text.line_of(text, ('framework',))}: `framework` has to be a string")
        sections = data.get("section", [])
        if not isinstance(sections, list):
            line = toml_text.line_of(text, ("section",))
            problems.append(f"{where}:{line}: `section` has to be a list of tables: [[section]]")
            continue
        places = Places(where, text)
        for number, section in enumerate(sections):
            place = partial(places.place, number)
            if wrong := list(check(place, section)):
                problems += wrong
                continue
            names = [section["module"], *section.get("also", [])]
            conventions += [Convention(**row) for row in section.get("conventions", [])]
            environment |= {row["name"]: row["axis"] for row in section.get("environment", [])}
            methods |= {row["name"]: row["cause"] for row in section.get("methods", [])}
            families |= {row["prefix"]: row["type"] for row in section.get("families", [])}
            for row in section.get("file_uses", []):
                known = FileApi(
                    row["use"],
                    row.get("at", 0),
                    row.get("state"),
                    row.get("tolerates"),
                    row.get("source"),
                    row.get("keyword"),
                )
                names_of = row["names"].split()
                file_uses |= dict.fromkeys(names_of, known)
                file_uses |= {name.rpartition(".")[2]: known for name in names_of if _is_owned(name)}
            for table, found in lists.items():
                found |= set(section.get(table, []))
            told = of_source[section.get(SOURCE_FIRST, False)]
            for module in names:
                told |= {module, *(f"{module}.{row['name']}" for row in section.get("classes", []))}
                for row in section.get("classes", []):
                    classes[f"{module}.{row['name']}"] = row["meaning"]
                    if "same_as" in row:
                        same[f"{module}.{row['name']}"] = row["same_as"], place("classes", row)
                if module not in _NO_MODULES and any(section.get(table) for table in ("classes", *CATEGORIES)):
                    modules.add(module)
                world |= {f"{module}.{name}" for name in section.get("world", [])}
                for table, category in CATEGORIES.items():
                    for row in section.get(table, []):
                        try:
                            api = _api(module, category, row, section)
                        except ValueError as error:
                            problems.append(f"{place(table, row)}: {module}.{row['name']}: {error}")
                            continue
                        apis[api.name] = api
                        told.add(api.name)
    problems += join_classes(same, classes, apis, lists)
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
        source_first=frozenset(of_source[True] - of_source[False]),
        **{name: frozenset(found) for name, found in lists.items()},  # type: ignore[arg-type]  # each is a field
    )


@cache
def load(files: tuple[tuple[str, str], ...] = ()) -> Catalog:
    """The catalogue shipped with collectivelint plus these files, given as (name, text), which take precedence.

    Raise CatalogError if one of them is not well formed.
    """
    return parse([*shipped(), *files])
