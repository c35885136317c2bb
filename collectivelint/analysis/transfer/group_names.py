"""Whether a value named `group` is a process group. The name is believed unless there is evidence to the contrary.

Such evidence is an annotation, a default, its uses in the function (an optimizer's `group["lr"]`, `group.items()`, `for
rank in group`, `match.group(1)`), and the arguments that functions of its file pass (an entry of `param_groups`).
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Final

from ...ir.names import plain
from ...ir.nodes import (
    Assign,
    Attribute,
    Call,
    Compare,
    Compound,
    Comprehension,
    Constant,
    Loop,
    Name,
    Subscript,
    blocks,
    expressions,
)
from ..checks.group_sites import absolute

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ...catalog.model import Catalog
    from ...ir.nodes import Block, Expr, Function
    from ...program.resolver import Program
    from ...program.target import Target
    from .state import Frame

_PLAIN: Final = frozenset(
    {"bool", "bytes", "complex", "dict", "float", "frozenset", "int", "list", "set", "str", "tuple", "type"}
)
#: What computes with containers, numbers or texts, and with nothing else.
_COMPUTING: Final = frozenset(
    {
        *("len", "range", "int", "float", "sorted", "list", "tuple", "set", "dict", "frozenset", "sum", "min", "max"),
        *("enumerate", "zip", "iter", "next", "reversed", "any", "all", "open", "ord"),
    }
)
_LIBRARIES: Final = ("os.", "json.", "re.", "math.", "shutil.", "pathlib.")
_ARITHMETIC: Final = frozenset({"Add", "Sub", "Mult", "Div", "FloorDiv", "Mod", "Pow", "augmented"})
#: Types around other types, by the last part of their name.
_AROUND: Final = frozenset({"Optional", "Union", "Annotated", "ClassVar", "Final"})


def is_otherwise(frame: Frame, path: str, annotation: Expr | None = None, default: Expr | None = None) -> bool:
    """Whether there is evidence that the expression `path` in this function is no process group, despite its name."""
    if annotation is not None and is_other_type(frame, annotation):
        return True
    if default is not None and not _may_be_group(default):
        return True
    uses = frame.context.other_uses(frame.path, frame.function.qualname)
    if path in uses:
        return True
    head, _, name = path.partition(".")
    own = frame.function.params[0].name if frame.function.owner is not None and frame.function.params else None
    if name and head == own:
        return _is_other_attribute(frame, name)
    return not name and _is_passed_otherwise(frame, path)


def _may_be_group(default: Expr) -> bool:
    match default:
        case Constant(value=value):
            return value is None
        case Compound() | Comprehension() | Compare():
            return False
        case _:
            return True


def is_other_type(frame: Frame, annotation: Expr) -> bool:
    """Whether an annotation is a type that cannot be a process group; a None in it is ignored."""
    parts = [part for part in _alternatives(annotation) if part != Constant(None)]
    return bool(parts) and all(_is_other(frame, part) for part in parts)


def _alternatives(annotation: Expr) -> Iterator[Expr]:
    """The types that an annotation allows: each member of a union, and a string as the type that it names."""
    match annotation:
        case Constant(value=str(text)):
            try:
                tree = ast.parse(text.strip(), mode="eval")
            except (SyntaxError, ValueError, RecursionError):
                yield Name("?")
                return
            from ...ir.lower import expression

            yield from _alternatives(expression(tree.body))
        case Compound(kind="BitOr", parts=parts):
            for part in parts:
                yield from _alternatives(part)
        case Subscript(value=head, index=index) if (plain(head) or "").rpartition(".")[2] in _AROUND:
            inside = index.parts if isinstance(index, Compound) and index.kind == "Tuple" else (index,)
            for part in inside[:1] if (plain(head) or "").endswith("Annotated") else inside:
                yield from _alternatives(part)
        case _:
            yield annotation


def _is_other(frame: Frame, annotation: Expr) -> bool:
    from .annotated import annotated_target

    name = plain(annotation.value if isinstance(annotation, Subscript) else annotation)
    if name is None:
        return False
    target = annotated_target(frame, Name(name) if "." not in name else _dotted(name))
    catalog = frame.context.catalog
    if target is None:
        return name in _PLAIN
    known = catalog.class_of(target.name)
    if known is not None and catalog.classes[known] in ("group", "mesh", "ops"):
        return False
    # `ProcessGroupNCCL`, and the same class imported from somewhere else.
    groups = tuple(of.rpartition(".")[2] for of, meaning in catalog.classes.items() if meaning == "group")
    if target.name.rpartition(".")[2].startswith(groups) or target.name in _ANYTHING:
        return False
    return target.kind in ("class", "external")


_ANYTHING: Final = frozenset({"typing.Any", "typing.TypeVar", "typing_extensions.Any", "builtins.object"})


def _dotted(name: str) -> Expr:
    head, *rest = name.split(".")
    found: Expr = Name(head)
    for part in rest:
        found = Attribute(found, part)
    return found


# --------------------------------------------------------------------------------------------------------- its uses


def other_uses(program: Program, catalog: Catalog, function: Function) -> frozenset[str]:
    """The names and attribute chains that a function uses in ways that no process group allows."""
    found = (plain(expr) for expr in _used(program, catalog, function))
    return frozenset(path for path in found if path is not None)


def _used(program: Program, catalog: Catalog, function: Function) -> Iterator[Expr]:
    yield from _iterated(function.body)
    for expr in expressions(function.body):
        match expr:
            case Subscript(value=value):
                yield value
            case Attribute(value=value, name=name) if name not in catalog.group_members and name[:1] != "_":
                yield value
            case Comprehension(iterables=iterables):
                yield from iterables
            case Compare(left=left, op=op, right=right):
                if op in ("in", "not in"):
                    yield right
                elif op in ("<", "<=", ">", ">=") or (isinstance(right, Constant) and right.value is not None):
                    yield left
                if op in ("in", "not in") and isinstance(right, Compound) and _are_plain(right):
                    yield left
            case Compound(kind=kind, parts=(left, right)) if kind in _ARITHMETIC:
                if not (isinstance(left, Constant) and kind == "Mod"):
                    yield from (left, right)
            case Call(function=callee, args=args, keywords=keywords):
                yield callee
                given = (*args, *(value for _, value in keywords))
                if any(isinstance(arg, (Name, Attribute)) for arg in given):
                    yield from _given(program, catalog, function, expr)
            case _:
                pass


def _iterated(block: Block) -> Iterator[Expr]:
    for statement in block:
        if isinstance(statement, Loop) and statement.target is not None:
            yield statement.iterable
        for inner in blocks(statement):
            yield from _iterated(inner)


def _are_plain(expr: Compound) -> bool:
    return bool(expr.parts) and all(isinstance(part, Constant) and part.value is not None for part in expr.parts)


def _given(program: Program, catalog: Catalog, function: Function, call: Call) -> Iterator[Expr]:
    """The arguments of a call that are known to be numbers, texts, containers or lists of ranks."""
    name = plain(call.function)
    if name in _COMPUTING:
        yield from call.args
        return
    full = absolute(program, function.path, function, name)
    if full is None:
        return
    if full.startswith(_LIBRARIES):
        yield from call.args
    api = catalog.apis.get(full)
    if api is not None and api.category == "group_constructor" and api.params[:1] == ("ranks",):
        yield from call.args[:1]
        yield from (value for word, value in call.keywords if word == "ranks")


# ------------------------------------------------------------------------------------- attributes, and what is passed


def _is_other_attribute(frame: Frame, name: str) -> bool:
    """Whether the class gives evidence against an attribute, in a field's annotation or in a method."""
    owner = frame.function.owner
    for function in frame.context.program.functions(frame.path).values():
        if function.qualname == f"{owner}.<class>":
            for statement in function.body:
                if isinstance(statement, Assign) and Name(name) in statement.targets:
                    if statement.annotation is not None:
                        return is_other_type(frame, statement.annotation)
                    return not _may_be_group(statement.value)
        elif function.owner == owner and function.params:
            uses = frame.context.other_uses(frame.path, function.qualname)
            if f"{function.params[0].name}.{name}" in uses:
                return True
    return False


def _is_passed_otherwise(frame: Frame, name: str) -> bool:
    """Whether the calls in this file pass something else for this parameter: a text, a number, an entry of a table."""
    function = frame.function
    names = [parameter.name for parameter in function.params if parameter.kind == "positional"]
    if name not in [parameter.name for parameter in function.params]:
        return False
    shift = 1 if function.owner is not None else 0
    position = names.index(name) - shift if name in names else None
    for caller, call in frame.context.calls_in(frame.path, function.qualname.rpartition(".")[2]):
        given = dict(call.keywords).get(name)
        if given is None and position is not None and 0 <= position < len(call.args) and not call.spread:
            given = call.args[position]
        if given is not None and (not _may_be_group(given) or _is_entry(frame, caller, given)):
            return True
    return False


def _is_entry(frame: Frame, caller: Function, given: Expr) -> bool:
    """Whether it is an entry of a list of dicts: `optimizer.param_groups[0]`, or the variable of a loop over them."""
    tables = frame.context.catalog.tables
    if isinstance(given, Subscript):
        return _is_table(given.value, tables)
    return isinstance(given, Name) and any(
        (given == target or given in getattr(target, "parts", ())) and _is_table(iterable, tables)
        for target, iterable in _loops(caller.body)
    )


def _is_table(expr: Expr, tables: frozenset[str]) -> bool:
    match expr:
        case Attribute(name=name) | Name(id=name):
            return name in tables
        case Call(args=args):
            # `enumerate(self.param_groups)`
            return any(_is_table(arg, tables) for arg in args)
        case Subscript(value=value):
            return _is_table(value, tables)
        case _:
            return False


def _loops(block: Block) -> Iterator[tuple[Expr, Expr]]:
    """The targets of the loops and comprehensions of a block, each with its iterable."""
    for expr in expressions(block):
        if isinstance(expr, Comprehension):
            yield from zip(expr.targets, expr.iterables, strict=True)
    for statement in block:
        if isinstance(statement, Loop) and statement.target is not None:
            yield statement.target, statement.iterable
        for inner in blocks(statement):
            yield from _loops(inner)


def named_calls(program: Program, path: str) -> dict[str, list[tuple[Function, Call]]]:
    """The calls in one file by the last part of the callee's name, each with its function."""
    found: dict[str, list[tuple[Function, Call]]] = {}
    for function in program.functions(path).values():
        for expr in expressions(function.body):
            if isinstance(expr, Call) and isinstance(expr.function, (Name, Attribute)):
                name = expr.function.id if isinstance(expr.function, Name) else expr.function.name
                found.setdefault(name, []).append((function, expr))
    return found


def is_other_variable(frame: Frame, target: Target) -> bool:
    """Whether the file of a global variable uses or sets it in a way that no process group allows."""
    for function in frame.context.program.functions(target.path).values():
        if target.name in {parameter.name for parameter in function.params}:
            continue
        if target.name in frame.context.other_uses(target.path, function.qualname):
            return True
    return False
