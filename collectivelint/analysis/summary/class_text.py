"""Attributes and signal handlers of a class, read from its source without interpreting it."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from ...ir.names import plain
from ...ir.nodes import (
    Attribute,
    Call,
    Compound,
    Constant,
    Name,
    Subscript,
    assignments,
    expressions,
)
from ..domain.recognise import ADDING
from .observed import ClassFacts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from ...ir.nodes import Block, Expr, Function, Span
    from ...program.resolver import Program
    from ...program.target import Target


def class_text(program: Program, owner: Target) -> ClassFacts:
    """The attributes that the methods of a class assign on `self`, and those methods that handle signals."""
    assigned: defaultdict[str, list[str]] = defaultdict(list)
    filled: defaultdict[str, list[str]] = defaultdict(list)
    handlers: dict[str, Span] = {}
    tested: defaultdict[str, list[str]] = defaultdict(list)
    index = program.class_index(owner)
    lowered = program.functions(owner.path)
    for name in index.methods if index is not None else ():
        function = lowered.get(f"{owner.name}.{name}")
        if function is not None and function.params:
            for attribute in dict.fromkeys(_assigned(function.body, function.params[0].name)):
                assigned[attribute].append(function.qualname)
            own = function.params[0].name
            for attribute in dict.fromkeys(_entries(function.body, own)):
                filled[attribute].append(function.qualname)
            for kind, found in dict.fromkeys(_called(function.body, own)):
                handler = lowered.get(f"{owner.name}.{found}") if kind == "handles" else None
                if handler is not None:
                    handlers[handler.qualname] = handler.span
                elif kind == "asks of":
                    attribute, _, name = found.partition(" ")
                    target = program.resolve(owner.path, name)
                    if target is not None and target.kind == "external" and target.name not in tested[attribute]:
                        tested[attribute].append(target.name)
                elif kind == "adds" and function.qualname not in filled[found]:
                    filled[found].append(function.qualname)
    return ClassFacts(
        {attribute: tuple(methods) for attribute, methods in assigned.items()},
        handlers,
        {attribute: tuple(methods) for attribute, methods in filled.items()},
        {attribute: tuple(names) for attribute, names in tested.items()},
        _by_others(lowered.values(), owner.name),
    )


def _by_others(functions: Iterable[Function], owner: str) -> Mapping[str, tuple[tuple[str, str], ...]]:
    """The attributes that functions assign on a parameter annotated with a class of their file."""
    found: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
    for function in functions:
        for parameter in function.params:
            if parameter.annotation is not None and _names(parameter.annotation, owner):
                for attribute in dict.fromkeys(_assigned(function.body, parameter.name)):
                    found[attribute].append((function.qualname, parameter.name))
    return {attribute: tuple(places) for attribute, places in found.items()}


def _names(annotation: Expr, owner: str) -> bool:
    """Whether an annotation is the name of a class, or a string with it."""
    return plain(annotation) == owner or (isinstance(annotation, Constant) and annotation.value == owner)


def _entries(block: Block, self_name: str) -> Iterator[str]:
    """Attributes of `self` whose entries a block sets, or for constant keys the entry: `state['stop']`."""
    for statement in assignments(block):
        for target in statement.targets:
            match target:
                case Subscript(value=Attribute(value=Name(id=owner), name=name), index=index) if owner == self_name:
                    yield f"{name}[{index.value!r}]" if isinstance(index, Constant) else name
                case _:
                    pass


def _called(block: Block, self_name: str) -> Iterator[tuple[str, str]]:
    """Calls in a block that involve methods or attributes of `self`.

    ("handles", method) if it registers the method as a signal handler, ("adds", attribute) if it adds an element to the
    attribute, and ("asks of", "attribute class") if it tests whether the attribute is an instance of a class.
    """
    for expr in expressions(block):
        if not isinstance(expr, Call):
            continue
        match expr:
            case Call(function=Attribute(name="signal"), args=(_, Attribute(value=Name(id=owner), name=method))):
                if owner == self_name:
                    yield "handles", method
            case Call(function=Name(id="isinstance"), args=(Attribute(value=Name(id=owner), name=name), kind)) if (
                owner == self_name
            ):
                for one in kind.parts if isinstance(kind, Compound) else (kind,):
                    written = plain(one)
                    if written is not None:
                        yield "asks of", f"{name} {written}"
            case Call(function=Attribute(value=Attribute(value=Name(id=owner), name=name), name=method)):
                if owner == self_name and method in ADDING:
                    yield "adds", name
            case _:
                pass


def _assigned(block: Block, self_name: str) -> Iterator[str]:
    """Names assigned as `self.name` anywhere in a block."""
    for statement in assignments(block):
        for target in statement.targets:
            for single in target.parts if isinstance(target, Compound) else (target,):
                if isinstance(single, Attribute) and isinstance(single.value, Name) and single.value.id == self_name:
                    yield single.name
