"""Symbols as text, for reports and debugging. Nothing is decided by these texts, and none is parsed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .symbol import WORLD

if TYPE_CHECKING:
    from .symbol import Symbol

_LONGEST: Final = 400


def shown(symbol: Symbol, *, places: bool = True) -> str:
    """The expression as readable text, cut if it is long; `places` adds the position of each value that has one."""
    return _text(symbol, _LONGEST, places)


def group_words(group: Symbol) -> str:
    """A group as the subject of a sentence: "the default group", "group `self.group`", "the mesh of `model`"."""
    if group is WORLD:
        return "the default group"
    if group.kind == "mesh":
        return f"the mesh of `{shown(group.args[0], places=False)}`"
    return f"group `{shown(group, places=False)}`"


def _text(symbol: Symbol, room: int, places: bool) -> str:
    """The expression in about `room` characters at most."""
    if room <= 0:
        return "..."
    kind, head = symbol.kind, symbol.head
    parts: list[str] = []
    for arg in symbol.args:
        parts.append(_text(arg, room - sum(map(len, parts)) - 3, places))
    match kind:
        case "constant":
            return repr(head[1]) if not isinstance(head[1], str) or head[0] == "str" else str(head[1])
        case "foreign":
            return f"?{head[0]}"
        case "global":
            return f"{head[0]}:{head[1]}" if places else str(head[1])
        case "place" | "caught" | "override" if places:
            return f"{head[0]}@{head[-4]}:{head[-3]}:{head[-2]}:{head[-1]}"
        case "attribute":
            return f"{parts[0]}.{head[0]}"
        case "subscript":
            return f"{parts[0]}[{parts[1]}]"
        case "call":
            return f"{parts[0]}({', '.join(parts[1:])})"
        case "operation" | "world_size":
            names = head[1:]
            given = [f"{word}={part}" for word, part in zip(names, parts, strict=True)] if names else parts
            return f"{head[0]}({', '.join(given)})"
        case "compare":
            return f"{parts[0]} {head[0]} {parts[1]}"
        case "and" | "or":
            return f"({f' {kind} '.join(parts)})"
        case "not":
            return f"not {parts[0]}"
        case "conditional":
            return f"({parts[1]} if {parts[0]} else {parts[2]})"
        case "compound" | "comprehension":
            return f"{head[0]}({', '.join(parts)})"
        case "opaque":
            digest = head[0]
            return f"#{digest.hex() if isinstance(digest, bytes) else digest}({', '.join(parts)})"
        case "rank":
            return f"the rank in {parts[0]}"
        case "launched":
            return f"{head[0]}()" if head else kind
        case "loop" | "turns" | "member" if parts:
            return f"{head[0] if head else kind} {parts[0]}"
        case "turn":
            return f"one of {', '.join(parts)}"
        case "mesh":
            return f"the mesh of {parts[0]}"
        case _:
            return str(head[0])
