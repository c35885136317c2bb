"""The format of catalogue files: tables, keys and values, with a message for each that is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from .operations import CHECKPOINTS, LIFECYCLE, NO_DATA, OF_OBJECTS, OF_TENSORS, POINT_TO_POINT, ROOTS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from .operations import Operation

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
ROLES: Final = ("group", *ROOTS, "async_op", "op")
_ROW_KEYS: Final = frozenset(
    {
        *("name", "params", "operation", "uniform", "receives", "restores", "axis", "returns", "kind", "since"),
        *("source", "cause", "one", "callback", "unless", "why", "renamed", "shards", "saves", "pickles", "ignored"),
        *("wraps", "translates", "only_with", "wrapped", "silent_in", "rare_in", "turns", "confidence"),
        *ROLES,
    }
)
#: Tables that are plain lists of names.
LISTS: Final = (
    *("readers", "fallible", "failures", "callers", "wrappers", "tensors", "buffers", "hints", "parameters"),
    *("local_states", "reporting", "temporary", "shard_words", "objects", "metadata", "kinds", "trial_words"),
    *("group_members", "tables", "sizes", "synchronising", "coalescing", "starters", "sharded", "negotiated", "seeds"),
    *("distributed_tests", "in_process", "launchers", "module_methods", "not_calling", "one_process", "plain_bases"),
    *("plain_class_decorators", "plain_decorators", "plain_tests", "rank_marks", "rank_names"),
    *("backward", "data_numbers", "data_parameters", "data_tests", "replica_words", "sharing_words"),
    *("applied", "data_pieces", "data_words", "even_loaders", "stage_words"),
    *(
        "group_words",
        "path_readers",
        "several_words",
        "world_names",
        "silencing",
        "copying",
        "maybe_none",
        "global_rank_names",
    ),
    *("every_rank", "lenient_loads", "lenient_options", "waiting_words"),
)
_SECTION_KEYS: Final = frozenset(
    {
        *("module", "also", "source", "world", "classes", "environment", "conventions", "methods", "file_uses"),
        *("families", *LISTS),
        *CATEGORIES,
    }
)
#: The keys of the rows of tables that describe no functions, and whether a row has to have them.
_OTHER_ROWS: Final[Mapping[str, Mapping[str, bool]]] = {
    "classes": {"name": True, "meaning": True},
    "environment": {"name": True, "axis": True},
    "conventions": {"name": True, "meaning": True, "axis": False, "when": False, "one": False, "type": False},
    "methods": {"name": True, "cause": True},
    "file_uses": {
        "names": True,
        "use": True,
        "at": False,
        "state": False,
        "tolerates": False,
        "source": False,
        "keyword": False,
    },
    "families": {"prefix": True, "type": True},
}
#: Why a result differs between ranks.
CAUSES: Final = ("file system", "clock", "random", "process", "queue", "poll", "signal", "data")
#: Table -> the operations that its rows can be; () for tables whose rows are none.
_OPERATIONS: Final[Mapping[str, tuple[Operation, ...]]] = {
    **dict.fromkeys(CATEGORIES, ()),
    "collectives": (*NO_DATA, *OF_TENSORS, *OF_OBJECTS, "composite"),
    "point_to_point": POINT_TO_POINT,
    "lifecycle": LIFECYCLE,
    "implicit": (*CHECKPOINTS, "barrier"),
    "rank_sources": ("rank",),
    "uniform_sources": ("world_size", "launched", "members"),
}
#: (table, key) -> the values there are; the `kind` of `registrations` is what a message calls them.
_VALUES: Final[Mapping[tuple[str, str], tuple[str, ...]]] = {
    **{(table, "operation"): operations for table, operations in _OPERATIONS.items()},
    ("classes", "meaning"): ("group", "mesh", "ops", "object"),
    ("conventions", "meaning"): ("rank", "size", "group", "guard", "object"),
    ("conventions", "when"): ("optional",),
    ("file_uses", "use"): (
        "look",
        "list",
        "make",
        "open",
        "read",
        "fill",
        "write",
        "may write",
        "link",
        "move",
        "remove",
        "checkpoint",
        "restore",
        "save",
    ),
    ("methods", "cause"): CAUSES,
    **{(table, "cause"): CAUSES for table in CATEGORIES},
    **{(table, "kind"): () for table in CATEGORIES if table != "registrations"},
    **{(table, "kind"): ("property",) for table in ("group_accessors", "rank_sources", "uniform_sources")},
    ("group_constructors", "kind"): ("init groups",),
    ("guards", "kind"): ("last", "property"),
    ("implicit", "kind"): ("mesh", "wrapped"),
    ("local_sources", "kind"): ("own",),
    ("functions", "kind"): ("device", "part"),
    **{(table, "confidence"): ("medium", "low") for table in CATEGORIES},
}
_FLAGS: Final = frozenset({"one"})
_TYPES: Final = {bool: "flag (true or false)", int: "number", dict: "table", str: "string"}
_NUMBERS: Final = frozenset({"at", "state"})


class CatalogError(ValueError):
    """A catalogue file that does not follow the format; each of `problems` names the file, the section, the row and the key."""

    def __init__(self, *problems: str) -> None:
        """Everything that is wrong with the files."""
        super().__init__("; ".join(problems))
        self.problems = problems


def check(where: str, section: object) -> Iterator[str]:
    """A message for each key of a section that is missing, misspelt, of another type, or of no known value."""
    if not isinstance(section, dict):
        yield f"{where}: `section` has to be a list of tables: [[section]]"
        return
    module = section.get("module")
    if not isinstance(module, str) or not isinstance(section.get("source"), str) or not module:
        yield f"{where}: a section needs `module` and `source`"
        return
    for table, rows in section.items():
        if table not in _SECTION_KEYS:
            yield f"{where}: {module}: unknown table {table!r}{_near(table, _SECTION_KEYS)}"
        elif table in (*LISTS, "also", "world"):
            if not isinstance(rows, list) or not all(isinstance(row, str) for row in rows):
                yield f"{where}: {module}: `{table}` has to be a list of strings"
        elif table not in ("module", "source"):
            if isinstance(rows, list) and all(isinstance(row, dict) for row in rows):
                for row in rows:
                    yield from _check_row(where, module, table, row)
            else:
                yield f"{where}: {module}: `{table}` has to be a list of tables: {table} = [{{ ... }}]"


def _check_row(where: str, module: str, table: str, row: Mapping[str, object]) -> Iterator[str]:
    keys = _OTHER_ROWS.get(table)
    name = row.get("name") or row.get("names") or row.get("prefix") or f"a row of {table}"
    for key, value in row.items():
        if key not in (_ROW_KEYS if keys is None else keys):
            yield f"{where}: {module}.{name}: unknown key {key!r}{_near(key, keys or _ROW_KEYS)}"
            continue
        is_number = key in _NUMBERS or (key == "source" and table == "file_uses")
        expected = bool if key in _FLAGS else int if is_number else dict if key == "wraps" else str
        allowed = _VALUES.get((table, key))
        if not isinstance(value, expected):
            yield f"{where}: {module}.{name}: `{key}` has to be a {_TYPES[expected]}"
        elif allowed is not None and value not in allowed:
            choice = f"one of {', '.join(map(repr, allowed))}" if allowed else f"left out in {table}"
            near = _near(str(value), allowed)
            yield f"{where}: {module}.{name}: `{key}` is {value!r}, and has to be {choice}{near}"
    for key, needed in (keys or {"name": True, "params": True}).items():
        if needed and key not in row:
            yield f"{where}: a row of {table} in {module} has no {key!r}"


def _near(key: str, known: Iterable[str]) -> str:
    from difflib import get_close_matches

    near = get_close_matches(key, sorted(known), 1)
    return f"; did you mean {near[0]!r}?" if near else ""
