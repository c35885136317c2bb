"""Seeds of random numbers: after a seed that is the same on all ranks, so are the numbers drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ...ir.names import plain
from ...ir.nodes import Branch, Call, Constant, Evaluate
from ..domain.flowing import flow
from ..domain.symbol import WORLD
from ..domain.value import Value

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from ...ir.nodes import Block, Span
    from ..transfer.state import Frame

#: The variable, which no program can name, that has the seed: branches and loops join it as any other.
SEED: Final = "<random.seed>"


def seed(frame: Frame, values: Sequence[Value], span: Span) -> None:
    """Random numbers are seeded with the first of these values; without one, each rank has another seed."""
    given = values[0] if values and values[0].constant is not None else None
    if given is None:
        cause = frame.cause("random", span)
        given = Value(frame.fresh("seed", span)).varying(varies=frozenset({WORLD}), causes=(cause,))
    around = [value for _, value in frame.guards]
    frame.variables[SEED] = flow(frame.fresh("seed", span), (given, *around))


def drawn(frame: Frame, name: str, span: Span) -> Value | None:
    """A random number that is the same on all ranks that share the seed; None if the seed is not known or varies."""
    # Of all that seeds the numbers of Python, the function that stands beside the one that draws them.
    own = {made for made in frame.context.catalog.seeds if made.rpartition(".")[0] == name.rpartition(".")[0]}
    if not own:
        return None
    known = frame.variables.get(SEED) or frame.closure.get(SEED)
    if known is not None:
        return None if known.uniformity.varies else flow(frame.fresh(name, span), (known,))
    module = frame.context.program.functions(frame.path).get("<module>")
    return Value(frame.fresh(name, span)) if module is not None and _seeds(module.body, own) else None


def _seeds(block: Block, seeds: Collection[str]) -> bool:
    """Whether a module's statements, including those under `__main__`, seed random numbers with a constant."""
    for statement in block:
        match statement:
            case Evaluate(value=Call(function=function, args=(Constant(value=value), *_))):
                if value is not None and plain(function) in seeds:
                    return True
            case Branch(then=then) if _seeds(then, seeds):
                return True
    return False
