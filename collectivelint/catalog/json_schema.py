"""The format of catalogue files as a JSON schema, for editors; built from the lists that the reader checks against."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from .schema import CATEGORIES, LISTS, NEEDED, OTHER_ROWS, ROW_KEYS, SOURCE_FIRST, TEXTS, VALUES, type_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_TYPES: Final = {bool: "boolean", int: "integer", str: "string"}
_STRINGS: Final = {"type": "array", "items": {"type": "string"}}
#: The descriptions that editors show.
MEANS: Final[Mapping[str, str]] = {
    "name": "The name in its module: `all_reduce`, `Trainer.fit`; of a constructor the class.",
    "names": "Dotted names, separated by spaces; `named.tokenizer.save` is the method `save` of any object named `tokenizer`.",
    "params": "The parameters in call order, separated by spaces; a method has `self`.",
    "operation": "What it does, for rules about this operation.",
    "uniform": "Parameters that are equal on all ranks of the group afterwards; `return` is the result.",
    "receives": "Parameters that hold data of other ranks afterwards, without being equal on all.",
    "restores": "Parameters that are filled from a file.",
    "axis": "The ranks it is about: `world`, `local`, `node`, or a dimension of the parallelism.",
    "axis_by": "The parameter whose text names the axis: `get_group('tp')`.",
    "returns": "The class of the result; several, separated by spaces, for a tuple.",
    "kind": "The meaning of the row in this table.",
    "since": "The first version of the framework that has it.",
    "until": "The last version of the framework that has it.",
    "source": "Where the fact comes from; in `file_uses`, the position of another path that is read.",
    "cause": "Why the result differs between ranks.",
    "one": "True on exactly one rank; of a call with `runs`: one rank runs the function.",
    "callback": "The parameter that is called later.",
    "runs": "The parameter that is called before the collective, with the arguments after it; `register_hook()`: the function that was passed to that method.",
    "when": "`sync_dist=true`: the row applies only with this argument, or with one of several, separated by spaces. "
    "`group=given`: with any argument but None.",
    "unless": "`no_dist=true`: the row does not apply with this argument, or with one of several, separated by spaces.",
    "own_data": "`mode=DP`: with this argument, the decorated function receives this rank's own data.",
    "why": "The reason that a message gives.",
    "renamed": "Its name in newer versions.",
    "shards": "The parameter that is sharded over the ranks from then on.",
    "saves": "The parameter that is written to disk.",
    "pickles": "The parameter that is pickled and sent.",
    "ignored": "A parameter without effect.",
    "wraps": "The class of an argument -> the class of the result that replaces it.",
    "wrapped": "The class of the results that replace models among the arguments.",
    "translates": "The parameter with a rank; the result is the number of the same rank in another group.",
    "only_with": "The conditions under which it is a collective, separated by spaces: each lists signs in the program, separated by `|`.",
    "silent_in": "Context managers and decorators, by their last names, in which it is no collective.",
    "rare_in": "Context managers and decorators, by their last names, in which it is rarely a collective.",
    "turns": "The parameter with the number of times that the ranks synchronise.",
    "confidence": "How certain it is that the call is a collective.",
    "group": "The parameter with the process group.",
    "src": "The parameter with the rank that sends.",
    "dst": "The parameter with the rank that receives.",
    "group_src": "The parameter with the rank in the group that sends.",
    "group_dst": "The parameter with the rank in the group that receives.",
    "async_op": "The parameter that makes it return immediately, with a work handle.",
    "op": "The parameter with the reduction.",
    "meaning": "What it holds, or what an object of the class is.",
    "same_as": "Another class of the catalogue, whose rows apply to objects of this class too.",
    "type": "The class of such an object.",
    "of": "Classes, separated by spaces: the row applies to a parameter of this name in methods of their subclasses.",
    "prefix": "The prefix of the names of these classes.",
    "use": "What the call does to the path.",
    "at": "The position of the path among the arguments; -1 is the object that it is called on.",
    "state": "The position of the value that is written.",
    "tolerates": "The parameter that makes an existing path no error.",
    "keyword": "The parameter that is the path, where ranks write or read it together.",
    "module": "The module of the names.",
    "also": "Other modules with the same names.",
    "version": "The version of the framework that the rows were compared with.",
    "world": "Names of the default group.",
    "source_first": "If a program contains the source of the module, read that instead of these rows.",
}


def schema() -> dict[str, Any]:
    """The JSON schema of a catalogue file."""
    tables = {table: _rows(table, ROW_KEYS, NEEDED) for table in CATEGORIES}
    tables |= {table: _rows(table, keys, keys) for table, keys in OTHER_ROWS.items()}
    texts = {key: {"type": "string", "minLength": 1} | _said(key) for key in TEXTS}
    lists = {name: _STRINGS | _said(name) for name in ("also", "world", *sorted(LISTS))}
    flags = {SOURCE_FIRST: {"type": "boolean"} | _said(SOURCE_FIRST)}
    section = _table({**texts, **flags, **lists, **tables}, ("module", "source"))
    sections = {"type": "array", "items": section}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "A catalogue file of collectivelint",
        **_table({"framework": {"type": "string"}, "section": sections}, ()),
    }


def _table(properties: Mapping[str, Any], required: Iterable[str]) -> dict[str, Any]:
    return {
        "type": "object",
        "additionalProperties": False,
        "required": list(required),
        "properties": dict(properties),
    }


def _rows(table: str, keys: Iterable[str], needed: Mapping[str, bool]) -> dict[str, Any]:
    """The schema of a table's rows; keys that none of its rows may have are left out."""
    properties = {key: _value(table, key) for key in sorted(keys) if VALUES.get((table, key)) != ()}
    required = [key for key, is_needed in needed.items() if is_needed]
    return {"type": "array", "items": _table(properties, required)}


def _value(table: str, key: str) -> dict[str, Any]:
    allowed = VALUES.get((table, key))
    expected = type_of(table, key)
    if allowed is not None:
        found: dict[str, Any] = {"enum": list(allowed)}
    elif expected is dict:
        found = {"type": "object", "additionalProperties": {"type": "string"}}
    else:
        found = {"type": _TYPES[expected]}
    return found | _said(key)


def _said(key: str) -> dict[str, str]:
    return {"description": MEANS[key]} if key in MEANS else {}
