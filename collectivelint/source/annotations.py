"""Annotations for the analysis: comments like `# collectivelint: uniform`, and entries of the configuration."""

from __future__ import annotations

import re
import tokenize
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from ..spelling import nearest
from .tokens import tokens

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .text import Source

#: "uniform": all ranks have this value; "rank-local": each rank has its own; "collective": every rank of the group has to
#: make the call; "guard": true on one rank only; "axis": the group is this dimension of the parallelism.
Kind: TypeAlias = Literal["uniform", "rank-local", "collective", "guard", "axis"]

_COMMENT: Final = re.compile(
    r"#\s*collectivelint:\s*(?P<kind>uniform|rank-local|collective|guard|axis)(?![\w-])"
    r"(?:\s*\[(?P<argument>[^\]]*)\]|(?!\s*\[))"
)
#: The keys of `[tool.collectivelint.catalog]`.
_TABLES: Final[Mapping[str, Kind]] = {
    "collectives": "collective",
    "uniform": "uniform",
    "divergent": "rank-local",
    "guards": "guard",
    "axes": "axis",
}
_NAME: Final = re.compile(r"(?P<name>[A-Za-z_][\w.]*)(?:\[(?P<argument>[^\]]*)\])?")


@dataclass(frozen=True, slots=True)
class Annotation:
    """One statement about a name or a value. `axis` is the dimension that "axis" and "collective" name, if they do."""

    kind: Kind
    axis: str | None = None


def annotated_lines(source: Source) -> dict[int, Annotation]:
    """The annotations of a file by the line they apply to; a comment alone on its line applies to the next one."""
    if "collectivelint:" not in source.text:
        return {}
    found: dict[int, Annotation] = {}
    waiting: Annotation | None = None
    for token in tokens(source):
        if token.type == tokenize.COMMENT:
            match = _COMMENT.match(token.string)
            if match is None:
                continue
            annotation = Annotation(match["kind"], _axis(match["argument"]))  # type: ignore[arg-type]
            if token.line[: token.start[1]].strip():
                found[token.start[0]] = annotation
            else:
                waiting = annotation
        elif waiting is not None and token.type not in _LAYOUT:
            found[token.start[0]] = waiting
            waiting = None
    return found


_LAYOUT: Final = frozenset({tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT})


def _axis(argument: str | None) -> str | None:
    """`tp`, from the argument `tp` or `group=tp`."""
    return None if argument is None else argument.rpartition("=")[2].strip() or None


def configured(table: Mapping[str, Any]) -> tuple[dict[str, Annotation], list[tuple[str, str, str | None]]]:
    """`[tool.collectivelint.catalog]` as annotations by dotted name, and errors as (key, message, value)."""
    found: dict[str, Annotation] = {}
    problems: list[tuple[str, str, str | None]] = []
    for key, value in table.items():
        kind = _TABLES.get(key)
        if kind is None:
            hint = nearest(key, _TABLES) or f"; there are {', '.join(_TABLES)}"
            problems.append((key, f"unknown key `catalog.{key}`{hint}", None))
        elif kind == "axis":
            if not isinstance(value, dict) or not all(isinstance(axis, str) for axis in value.values()):
                message = '`catalog.axes` has to be a table of strings: "package.module.GROUP" = "tp"'
                problems.append((key, message, None))
                continue
            found |= {name: Annotation("axis", axis) for name, axis in value.items()}
        elif not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            problems.append((key, f"`catalog.{key}` has to be a list of strings", None))
        else:
            for item in value:
                match = _NAME.fullmatch(item.strip())
                if match is None:
                    message = f"`catalog.{key}`: {item!r} is not a dotted name like package.module.function"
                    problems.append((key, message, item))
                else:
                    found[match["name"]] = Annotation(kind, _axis(match["argument"]))
    return found, problems
