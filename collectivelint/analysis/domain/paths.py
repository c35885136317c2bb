"""File paths as sequences of parts, and whether a call on one path changes what a look-up of another one finds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .symbol import constant

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .symbol import Symbol

#: Functions and methods whose result is the same path, or one below it; a class makes one of its arguments. They are Python's, and
#: symbols are taken apart with no catalogue at hand: by the last names that they have for a function and a method alike.
_JOINS: Final = frozenset({"join", "Path", "PosixPath", "PurePath", "joinpath", "with_name", "str", "fspath", "format"})
_SAME: Final = frozenset(
    {"normpath", "abspath", "realpath", "expanduser", "expandvars", "absolute", "resolve", "as_posix"}
)
#: The folder that a path lies in, as a part behind it.
_PARENT: Final = constant("..")
_WILD: Final = frozenset("*?[")
_JOINED: Final = frozenset({"Div", "Add", "Mod", "JoinedStr", "FormattedValue"})


def parts(path: Symbol, known: Mapping[Symbol, Symbol]) -> tuple[Symbol, ...]:
    """The parts that a path is joined from, root first; `known` are attribute values that the function assigns."""
    found: list[Symbol] = []
    pending = [path]
    while pending and len(found) < _MOST_PARTS:
        symbol = pending.pop()
        inner = _put_together(symbol)
        if inner is None and symbol in known and known[symbol] is not symbol:
            inner = (known[symbol],)
        if inner is None:
            found.append(symbol)
        else:
            pending += reversed(inner)
    return tuple(found)


_MOST_PARTS: Final = 12


def _put_together(symbol: Symbol) -> tuple[Symbol, ...] | None:
    """The parts that a symbol joins; None if it is a single part."""
    match symbol.kind:
        case "compound" if symbol.head[0] in _JOINED and symbol.args:
            return symbol.args
        case "attribute" if symbol.head[0] == "parent":
            return (symbol.args[0], _PARENT)
        case "call" if symbol.args:
            callee, args = symbol.args[0], symbol.args[1:]
            name = str(callee.head[-1]).rpartition(".")[2] if callee.head else ""
            if name == "dirname" and args:
                return (args[0], _PARENT)
            if callee.kind == "attribute" and name in _JOINS | _SAME:
                return (callee.args[0], *args) if name in _JOINS else callee.args[:1]
            if callee.kind in ("name", "global") and args and name in _JOINS | _SAME:
                return args if name in _JOINS else args[:1]
    return None


def is_joined(symbol: Symbol) -> bool:
    """Whether a text is put together with `os.path.join`, or is an f-string."""
    if symbol.kind == "call":
        return symbol.args[0].kind == "name" and symbol.args[0].head == ("os.path.join",)
    return symbol.kind == "compound" and symbol.head == ("JoinedStr",)


def is_file_name(symbol: Symbol) -> bool:
    """Whether a path is built from string constants, with a dot in the last one."""
    texts = [part for part in parts(symbol, {}) if part.kind == "constant" and part.head[0] == "str"]
    return _put_together(symbol) is not None and bool(texts) and "." in str(texts[-1].head[1])


def changes(use: str, path: tuple[Symbol, ...], looked: tuple[Symbol, ...]) -> bool:
    """Whether a call that does `use` to one path may change what a look-up of the other one finds."""
    if not path or not looked:
        return False
    path, looked = _names(path), _names(looked)
    if _text(path) is not None and _text(path) == _text(looked):
        return True
    if path[0].kind == "constant" and path[0] is not looked[0]:
        # `"--model_prefix=" + prefix`: a command line, with the path somewhere in it.
        return str(path[0].head[-1]).startswith("-") and looked[0].kind != "constant" and looked[0] in path
    for index, (one, other) in enumerate(zip(path, looked, strict=False)):
        if one is other:
            continue
        if index == 0:
            return False
        if one.kind == other.kind == "constant":
            return _overlap(str(one.head[-1]), str(other.head[-1]))
        return _PARENT not in (one, other)
    below, above = path[len(looked) :], looked[len(path) :]
    if _PARENT in below[:1] or _PARENT in above[:1]:
        # The folder around it, and what else lies there: what is done to it concerns the path only where it goes.
        return below == (_PARENT,) and use == "remove"
    # A folder that is made has nothing in it yet.
    return len(path) >= len(looked) or use not in ("make", "link")


def is_same(one: Symbol, other: Symbol, known: Mapping[Symbol, Symbol]) -> bool:
    """Whether two symbols are the same path, in different spellings."""
    return one is other or _names(parts(one, known)) == _names(parts(other, known))


def is_inside(path: Symbol, folder: Symbol, known: Mapping[Symbol, Symbol]) -> bool:
    """Whether a path is a folder itself, or lies in it."""
    inner, outer = _names(parts(path, known)), _names(parts(folder, known))
    return inner[: len(outer)] == outer and _PARENT not in inner[len(outer) :]


def _names(path: tuple[Symbol, ...]) -> tuple[Symbol, ...]:
    """The root, and the parts below it without separators: `d + "/a.pt"` and `join(d, "a.pt")` are the same path."""
    found = [path[0]]
    for part in path[1:]:
        if part.kind == "constant" and part.head[0] == "str":
            found += [constant(name) for name in str(part.head[1]).split("/") if name not in ("", ".")]
        else:
            found.append(part)
    return tuple(found)


def _text(path: tuple[Symbol, ...]) -> str | None:
    """The text of a path given as a string constant."""
    is_known = all(part.kind == "constant" for part in path)
    return "/".join(str(part.head[-1]) for part in path) if is_known else None


def _overlap(one: str, other: str) -> bool:
    """Whether names may be equal, or one is the beginning of the other."""
    return one.startswith(other) or other.startswith(one) or not _WILD.isdisjoint(one + other)
