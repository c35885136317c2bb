"""Forward passes of sub-modules that depend on an optional input, and the dummy passes that replace them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ...ir.names import plain
from ...ir.nodes import (
    Attribute,
    Branch,
    Call,
    Compare,
    Constant,
    Logical,
    Name,
    Not,
    assignments,
    blocks,
    calls,
    expressions,
)
from ...program.target import Target
from ...record import Record

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ...ir.nodes import Block, Expr, Function, Span
    from ...program.resolver import Program

#: Methods of a module that call a sub-module, one in another.
_DEEPEST: Final = 2


class OptionalPass(Record):
    """A pass of the sub-module `module` at `span`, if the input `given` is present, by the condition at `test`.

    `dummy` is the call that replaces it where the input is absent, if there is one.
    """

    __slots__ = ("dummy", "given", "module", "span", "statement", "test")

    def __init__(
        self, module: str, given: str, span: Span, statement: Span, test: Span, dummy: Span | None = None
    ) -> None:
        self.module: Final = module
        self.given: Final = given
        self.span: Final = span
        self.statement: Final = statement
        self.test: Final = test
        self.dummy: Final = dummy

    def _fields(self) -> tuple[object, ...]:
        return (self.module, self.given, self.span, self.statement, self.test, self.dummy)


class _Arm(Record):
    """The block that runs where an input is present (`holds`) or absent."""

    __slots__ = ("block", "given", "holds", "test")

    def __init__(self, given: str, holds: bool, block: Block, test: Span) -> None:
        self.given: Final = given
        self.holds: Final = holds
        self.block: Final = block
        self.test: Final = test

    def _fields(self) -> tuple[object, ...]:
        return (self.given, self.holds, self.block, self.test)


def optional_passes(program: Program, function: Function) -> list[OptionalPass]:
    """The sub-module passes in a method that take the input whose presence they depend on, in order."""
    if function.owner is None or not function.params:
        return []
    own = function.params[0].name
    arms = list(_arms(function.body))
    if not arms:
        return []
    owner = Target("class", function.path, function.owner)
    modules = _modules(program, owner)
    if not modules:
        return []
    dummies: dict[tuple[str, str], Span] = {}
    for arm in arms:
        if not arm.holds:
            for call in _calls(arm.block):
                for module in _run(program, owner, call, own, modules, _DEEPEST):
                    dummies.setdefault((arm.given, module), call.span)
    found: dict[Span, OptionalPass] = {}
    for arm in arms:
        for statement, call in _with_statements(arm.block) if arm.holds else ():
            if arm.given not in _arguments(call):
                continue
            for module in _run(program, owner, call, own, modules, _DEEPEST):
                dummy = dummies.get((arm.given, module))
                # The innermost condition decides.
                found[call.span] = OptionalPass(module, arm.given, call.span, statement, arm.test, dummy)
    return list(found.values())


def _arms(block: Block) -> Iterator[_Arm]:
    """The arms below tests for the presence of something that has a name, outer ones first."""
    for statement in block:
        if isinstance(statement, Branch):
            for given, holds in _presence(statement.test):
                yield _Arm(given, holds, statement.then, statement.test_span)
                if not isinstance(statement.test, Logical):
                    yield _Arm(given, not holds, statement.orelse, statement.test_span)
        for inner in blocks(statement):
            yield from _arms(inner)


def _presence(test: Expr) -> list[tuple[str, bool]]:
    """The names whose presence a condition tests, and whether each has to be present for it to be true."""
    match test:
        case Compare(op=("is" | "is not") as op, left=Name(id=name), right=Constant(value=None)):
            return [(name, op == "is not")]
        case Not(value=value):
            return [(name, not holds) for name, holds in _presence(value)]
        case Logical(op="and", values=values):
            return [pair for value in values for pair in _presence(value)]
        case _:
            return []


def _modules(program: Program, owner: Target) -> frozenset[str]:
    """The attributes of a module that are modules of the program."""
    found: set[str] = set()
    for base in program.bases(owner):
        constructor = program.functions(base.path).get(f"{base.name}.__init__")
        if constructor is None or not constructor.params:
            continue
        own = constructor.params[0].name
        for name, value in _set(constructor.body, own):
            if isinstance(value, Call) and _makes_module(program, base.path, plain(value.function) or ""):
                found.add(name)
    return frozenset(found)


def _set(block: Block, own: str) -> Iterator[tuple[str, Expr]]:
    for statement in assignments(block):
        for target in statement.targets:
            if isinstance(target, Attribute) and target.value == Name(own):
                yield target.name, statement.value


def _makes_module(program: Program, path: str, name: str) -> bool:
    """Whether a call of this name makes an object of a class of the program with a forward pass: `Tower`, `Tower.from_config`."""
    for written in (name, name.rpartition(".")[0]):
        target = program.resolve(path, written) if written else None
        if target is not None and target.kind == "class":
            return program.method(target, "forward") is not None
    return False


def _run(program: Program, owner: Target, call: Call, own: str, modules: frozenset[str], depth: int) -> Sequence[str]:
    """The sub-modules that a call runs: itself, by one of their methods, or in a method of this module."""
    parts = (plain(call.function) or "").split(".")
    if len(parts) not in (2, 3) or parts[0] != own:
        return ()
    if parts[1] in modules:
        return (parts[1],)
    if len(parts) == 3 or depth == 0:
        return ()
    method = program.method(owner, parts[1])
    function = None if method is None else program.functions(method.path).get(method.name)
    if function is None or not function.params:
        return ()
    first = function.params[0].name
    inner = [
        module for found in _calls(function.body) for module in _run(program, owner, found, first, modules, depth - 1)
    ]
    return tuple(dict.fromkeys(inner))


def _calls(block: Block) -> Iterator[Call]:
    return (expr for expr in expressions(block) if isinstance(expr, Call))


def _with_statements(block: Block) -> Iterator[tuple[Span, Call]]:
    for statement in block:
        yield from ((statement.span, call) for call in calls(statement))
        for inner in blocks(statement):
            yield from _with_statements(inner)


def _arguments(call: Call) -> frozenset[str]:
    """The names in the arguments of a call."""
    given = (*call.args, *(value for _, value in call.keywords))
    return frozenset(name for value in given if (name := plain(value)) is not None)
