"""The format of catalogue files: tables, keys and values, with a message for each that is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from ..spelling import nearest
from .operations import CHECKPOINTS, LIFECYCLE, NO_DATA, OF_OBJECTS, OF_TENSORS, POINT_TO_POINT, ROOTS, SETTING
from .places import named

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

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
#: The keys of a catalogue file.
FILE_KEYS: Final = frozenset({"framework", "section"})
#: The keys that each row of a table of functions has.
NEEDED: Final[Mapping[str, bool]] = {"name": True, "params": True}
ROW_KEYS: Final = frozenset(
    {
        *("name", "params", "operation", "uniform", "receives", "restores", "axis", "returns", "kind", "since"),
        *("source", "cause", "one", "callback", "unless", "why", "renamed", "shards", "saves", "pickles", "ignored"),
        *("wraps", "translates", "only_with", "wrapped", "silent_in", "rare_in", "turns", "confidence"),
        *("runs", "when", "axis_by", "own_data", "until"),
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
    *(
        "applied",
        "data_pieces",
        "data_selections",
        "data_words",
        "even_loaders",
        "iterators",
        "stage_words",
        "unequal_shares",
        "wrapped_parameters",
    ),
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
    *(
        "every_rank",
        "lenient_loads",
        "lenient_options",
        "own_norms",
        "own_shards",
        "own_words",
        "waiting_words",
        "writer_words",
    ),
)
#: Keys of a section that are one text; `version` is the version of the framework that the rows were compared with.
TEXTS: Final = ("module", "source", "version")
#: The key of a section whose rows are meant for programs that use the framework: where a program holds the source of the module, that
#: is read instead.
SOURCE_FIRST: Final = "source_first"
SECTION_KEYS: Final = frozenset(
    {
        *(*TEXTS, SOURCE_FIRST, "also", "world", "classes", "environment", "conventions", "methods", "file_uses"),
        *("families", *LISTS),
        *CATEGORIES,
    }
)
#: The keys of the rows of tables that describe no functions, and whether a row has to have them.
OTHER_ROWS: Final[Mapping[str, Mapping[str, bool]]] = {
    "classes": {"name": True, "meaning": True, "same_as": False},
    "environment": {"name": True, "axis": True},
    "conventions": {
        "name": True,
        "meaning": True,
        "axis": False,
        "when": False,
        "one": False,
        "type": False,
        "of": False,
    },
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
#: The axes that every job has; those of the parallelism have the names that a framework gives them.
AXES: Final = ("world", "local", "node")
#: Why a result differs between ranks.
CAUSES: Final = ("file system", "clock", "random", "process", "queue", "poll", "signal", "data")
#: Table -> the operations that its rows can be; () for tables whose rows are none.
_OPERATIONS: Final[Mapping[str, tuple[Operation, ...]]] = {
    **dict.fromkeys(CATEGORIES, ()),
    "collectives": (*NO_DATA, *OF_TENSORS, *OF_OBJECTS, "composite"),
    "point_to_point": POINT_TO_POINT,
    "lifecycle": LIFECYCLE,
    "implicit": (*CHECKPOINTS, "barrier", SETTING),
    "rank_sources": ("rank",),
    "uniform_sources": ("world_size", "launched", "members"),
}
#: (table, key) -> the values there are; the `kind` of `registrations` is what a message calls them.
VALUES: Final[Mapping[tuple[str, str], tuple[str, ...]]] = {
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
    ("implicit", "kind"): ("mesh", "property", "wrapped"),
    ("local_sources", "kind"): ("own",),
    ("functions", "kind"): ("device", "part", "sampler"),
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


#: Names of a table and a row -> where it stands, as messages begin: `file:line`.
Place: TypeAlias = "Callable[[str, Mapping[str, object] | None], str]"


def check(place: Place, section: object) -> Iterator[str]:
    """A message for each key of a section that is missing, misspelt, of the wrong type, or has an unknown value."""
    if not isinstance(section, dict):
        yield f"{place('', None)}: `section` has to be a list of tables: [[section]]"
        return
    module = section.get("module")
    if not isinstance(module, str) or not isinstance(section.get("source"), str) or not module:
        yield f"{place('', None)}: a section needs `module` and `source`"
        return
    for table, rows in section.items():
        if table not in SECTION_KEYS:
            yield f"{place(table, None)}: {module}: unknown table {table!r}{nearest(table, SECTION_KEYS)}"
        elif table in (*LISTS, "also", "world"):
            if not isinstance(rows, list) or not all(isinstance(row, str) for row in rows):
                yield f"{place(table, None)}: {module}: `{table}` has to be a list of strings"
        elif table in TEXTS:
            if not isinstance(rows, str):
                yield f"{place(table, None)}: {module}: `{table}` has to be a string"
        elif table == SOURCE_FIRST:
            if not isinstance(rows, bool):
                yield f"{place(table, None)}: {module}: `{table}` has to be true or false"
        elif isinstance(rows, list) and all(isinstance(row, dict) for row in rows):
            for row in rows:
                yield from _check_row(place, module, table, row)
        else:
            yield f"{place(table, None)}: {module}: `{table}` has to be a list of tables: {table} = [{{ ... }}]"


def type_of(table: str, key: str) -> type:
    """The type that the value of a key has in the rows of a table."""
    is_number = key in _NUMBERS or (key == "source" and table == "file_uses")
    return bool if key in _FLAGS else int if is_number else dict if key == "wraps" else str


def _check_row(place: Place, module: str, table: str, row: Mapping[str, object]) -> Iterator[str]:
    keys = OTHER_ROWS.get(table)
    name = f"{module}.{named(row, table)}"
    for key, value in row.items():
        if key not in (ROW_KEYS if keys is None else keys):
            yield f"{place(table, row)}: {name}: unknown key {key!r}{nearest(key, keys or ROW_KEYS)}"
            continue
        expected = type_of(table, key)
        allowed = VALUES.get((table, key))
        if not isinstance(value, expected) or (expected is int and isinstance(value, bool)):
            yield f"{place(table, row)}: {name}: `{key}` has to be a {_TYPES[expected]}"
        elif allowed is not None and value not in allowed:
            choice = f"one of {', '.join(map(repr, allowed))}" if allowed else f"left out in {table}"
            yield f"{place(table, row)}: {name}: `{key}` is {value!r}, and has to be {choice}{nearest(str(value), allowed)}"
        elif key == "axis" and value not in AXES and (meant := nearest(str(value), AXES, 0.8)):
            yield f"{place(table, row)}: {name}: `axis` is {value!r}{meant}"
    for key, needed in (keys or NEEDED).items():
        if needed and key not in row:
            yield f"{place(table, row)}: a row of {table} in {module} has no {key!r}"
