"""Losses without a graph to the model, on ranks whose own data select nothing."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from ...ir.names import plain
from ...ir.nodes import (
    Assign,
    Attribute,
    Branch,
    Call,
    Compare,
    Conditional,
    Constant,
    Exit,
    Name,
    Not,
    blocks,
    expressions,
    parts,
    walk,
)
from ...record import Record

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ...ir.nodes import Block, Expr, Function, Span, Statement
    from ..summary.facts import FunctionFacts

#: What says how many elements a tensor selects, or has.
_ASKING: Final = frozenset({"any", "count_nonzero", "nelement", "nonzero", "numel", "sum"})
#: Functions that make a tensor of their own.
_MAKING: Final = frozenset({"full", "tensor", "zeros"})
#: Calls between a loss and the pass back through the model.
_DEEPEST: Final = 4


class LostGraph(Record):
    """A value that is a new constant, at `constant`, where the condition at `test` says that `tensor` selects nothing.

    In the other arm it is computed from the model's output. `facts` are those of the function, `loss` the function of
    the file, itself or a caller, whose name or backward pass shows that a loss is computed from the value.
    """

    __slots__ = ("constant", "facts", "loss", "statement", "tensor", "test")

    def __init__(
        self, facts: FunctionFacts, tensor: str, test: Span, constant: Span, statement: Span, loss: Function
    ) -> None:
        self.facts: Final = facts
        self.tensor: Final = tensor
        self.test: Final = test
        self.constant: Final = constant
        self.statement: Final = statement
        self.loss: Final = loss

    def _fields(self) -> tuple[object, ...]:
        same = (self.facts, self.tensor, self.test, self.constant)
        return (*same, self.statement, self.loss)


class _Arms(Record):
    """Two expressions that a condition on `tensor` chooses between: `constant` where nothing is selected."""

    __slots__ = ("constant", "other", "span", "statement", "tensor", "test")

    def __init__(self, tensor: str, constant: Expr, other: Expr, test: Span, span: Span, statement: Span) -> None:
        self.tensor: Final = tensor
        self.constant: Final = constant
        self.other: Final = other
        self.test: Final = test
        self.span: Final = span
        self.statement: Final = statement

    def _fields(self) -> tuple[object, ...]:
        return (self.tensor, self.constant, self.other, self.test, self.span, self.statement)


def lost_graphs(functions: Iterable[FunctionFacts], backward: frozenset[str]) -> Iterator[LostGraph]:
    """For each function that computes a loss: the first value that is a constant where a rank's own mask is empty.

    Callers are looked up in the same file, by name alone. Functions that run collectives themselves are skipped.
    """
    every = list(functions)
    for facts in every:
        arms = (
            None
            if facts.events
            else next(filter(partial(_is_lost, facts.function), _chosen(facts.function.body)), None)
        )
        if arms is None:
            continue
        loss = _loss(facts, [one for one in every if one.function.path == facts.function.path], backward)
        if loss is not None:
            yield LostGraph(facts, arms.tensor, arms.test, arms.span, arms.statement, loss)


def _is_lost(function: Function, arms: _Arms) -> bool:
    """Whether one arm is a new constant without a gradient, and the other one is computed from a tensor."""
    computed = any(isinstance(part, Name) and part.id not in ("torch", arms.tensor) for part in walk(arms.other))
    silent = any(
        "no_grad" in (plain(part) or "") or "inference_mode" in (plain(part) or "") for part in _marks(function)
    )
    return _is_new(arms.constant) and computed and not _is_new(arms.other) and not silent


def _marks(function: Function) -> Sequence[Expr]:
    """The decorators, without their arguments."""
    return [part.function if isinstance(part, Call) else part for part in function.decorators]


def _is_new(value: Expr) -> bool:
    """Whether it is a tensor made of constants that does not require a gradient."""
    if not isinstance(value, Call) or any(name == "requires_grad" for name, _ in value.keywords):
        return False
    name = (plain(value.function) or "").rpartition(".")[2]
    if isinstance(value.function, Attribute) and name in ("to", "float", "type_as"):
        return _is_new(value.function.value)
    is_made = name.removeprefix("new_") in _MAKING
    return is_made and not any(isinstance(part, Name) for given in value.args for part in walk(given))


def _chosen(block: Block) -> Iterator[_Arms]:
    """The pairs of expressions between which a condition on the elements of a tensor chooses, in order."""
    returned = [part.value for part in _exits(block) if part.value is not None]
    for statement in _statements(block):
        for part in (part for expr in parts(statement) for part in walk(expr)):
            if isinstance(part, Conditional) and (asked := _asked(part.test)) is not None:
                tensor, is_empty = asked
                constant, other = (part.then, part.orelse) if is_empty else (part.orelse, part.then)
                yield _Arms(tensor, constant, other, part.test_span, part.span, statement.span)
        if not isinstance(statement, Branch) or (asked := _asked(statement.test)) is None:
            continue
        tensor, is_empty = asked
        empty, full = (statement.then, statement.orelse) if is_empty else (statement.orelse, statement.then)
        for inner in empty:
            others: list[Expr] = []
            if isinstance(inner, Exit) and inner.kind == "return":
                others = [value for value in returned if value != inner.value]
            elif isinstance(inner, Assign):
                others = [one.value for one in full if isinstance(one, Assign) and one.targets == inner.targets]
            made = inner.value if isinstance(inner, (Assign, Exit)) else None
            if made is not None:
                for other in others:
                    yield _Arms(tensor, made, other, statement.test_span, inner.span, inner.span)


def _statements(block: Block) -> Iterator[Statement]:
    for statement in block:
        yield statement
        for inner in blocks(statement):
            yield from _statements(inner)


def _exits(block: Block) -> Iterator[Exit]:
    return (statement for statement in _statements(block) if isinstance(statement, Exit) and statement.kind == "return")


def _asked(test: Expr) -> tuple[str, bool] | None:
    """The tensor whose elements a condition counts, and whether it is true when there are none: `mask.sum() == 0`."""
    match test:
        case Not(value=value):
            found = _asked(value)
            return None if found is None else (found[0], not found[1])
        case (
            Compare(op=("==" | "<="), left=left, right=Constant(value=0))
            | Compare(op="<", left=left, right=Constant(value=1))
        ):
            name = _counted(left)
            return None if name is None else (name, True)
        case (
            Compare(op=(">" | "!="), left=left, right=Constant(value=0))
            | Compare(op=">=", left=left, right=Constant(value=1))
        ):
            name = _counted(left)
            return None if name is None else (name, False)
        case Call():
            name = _counted(test)
            return None if name is None else (name, False)
        case _:
            return None


def _counted(expr: Expr) -> str | None:
    """The tensor whose elements are counted: `mask.sum()`, `torch.any(mask)`, `mask.sum().item()`."""
    match expr:
        case (
            Call(function=Attribute(value=inner, name="item"), args=())
            | Call(function=Name(id="bool" | "int" | "float"), args=(inner,))
        ):
            return _counted(inner)
        case Call(function=Attribute(value=Name(id="torch"), name=name), args=(tensor, *_)) if name in _ASKING:
            return _root(tensor)
        case Call(function=Attribute(value=tensor, name=name)) if name in _ASKING:
            return _root(tensor)
        case _:
            return None


def _root(tensor: Expr) -> str | None:
    """The variable that a tensor is, or is compared from: `mask`, `(mask > 0)`."""
    names = [part.id for part in walk(tensor) if isinstance(part, Name) and part.id != "torch"]
    return names[0] if len(set(names)) == 1 else None


def _loss(facts: FunctionFacts, functions: Sequence[FunctionFacts], backward: frozenset[str]) -> Function | None:
    """The nearest function, this one or a caller by name, that computes a loss, by its name or a backward pass."""
    called = {one.function.qualname: _called(one.function) for one in functions}
    seen = {facts.function.qualname}
    level = [facts.function]
    for _ in range(_DEEPEST):
        for function in level:
            words = function.qualname.rpartition(".")[2].lower().split("_")
            if "loss" in words or not called[function.qualname].isdisjoint(backward):
                return function
        names = {function.qualname.rpartition(".")[2] for function in level}
        level = [
            one.function
            for one in functions
            if one.function.qualname not in seen and not called[one.function.qualname].isdisjoint(names)
        ]
        seen |= {function.qualname for function in level}
    return None


def _called(function: Function) -> frozenset[str]:
    """The last parts of the names that a function calls something by."""
    made = [part.function for part in expressions(function.body) if isinstance(part, Call)]
    return frozenset(part.name if isinstance(part, Attribute) else plain(part) or "" for part in made)
