"""Terms in normal form: bounded, without items that have no effect, early exits turned into arms."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Final, TypeAlias

from ..effects import Choice, Event, Fails, Leave, Repeat, events, exits, map_term, matters, size, walk
from .path_condition import ANYWHERE, PathCondition
from .symbol import Symbol, both, make

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..effects import Item, Term

#: A summary larger than this is reduced to the set of its collectives: calls would multiply it.
MOST_ITEMS: Final = 200


def tidy(term: Term, known: PathCondition = ANYWHERE) -> Term:
    """Drop what has no effect: empty loops, choices without collectives or exits, what follows a return.

    Inside an arm the outcome of its condition is `known`: a nested choice on the same condition is resolved.
    """
    return _tidied(term, known)[0]


#: A condition under which a term surely ends the block around it, with how many others stand around the innermost part of it.
_Exit: TypeAlias = "tuple[Symbol, int]"
#: Conditions in each other, of which the rest of a block knows that not all of them hold.
_DEEPEST_EXIT: Final = 6


def _tidied(term: Term, known: PathCondition) -> tuple[Term, list[_Exit]]:
    """The tidy term, and the conditions on which it leaves its block: `if a: if b: return` does on `a and b`."""
    # No fold: what is known comes from around a term and from before it, and an arm that is not taken is not looked into.
    kept: list[Item] = []
    exits_: list[_Exit] = []
    for item in term:
        match item:
            case Choice(guard=guard, then=then, orelse=orelse) if (holds := known.outcome(guard.symbol)) is not None:
                inner, inside = _tidied(then if holds else orelse, known)
                kept.extend(inner)
                exits_ += inside
                if kept and isinstance(kept[-1], Leave):
                    break
            case Choice(guard=guard, then=then, orelse=orelse):
                then, one = _tidied(then, known.given(guard.symbol, holds=True))
                orelse, other = _tidied(orelse, known.given(guard.symbol, holds=False))
                if then or orelse:
                    kept.append(Choice(guard, then, orelse))
                if then and orelse and isinstance(then[-1], Leave) and isinstance(orelse[-1], Leave):
                    break
                # After `if c: return` the rest knows that c does not hold.
                inside = [*_leaving(guard.symbol, then, one), *_leaving(guard.symbol.negate(), orelse, other)]
                for symbol, _ in inside:
                    known = known.given(symbol, holds=False)
                exits_ += inside
            case Repeat(body=body):
                body, _ = _tidied(body, known)
                if _leaves(body) or matters(body):
                    kept.append(item.with_body(body))
            case Leave():
                kept.append(item)
                break
            case Fails():
                continue
            case _:
                kept.append(item)
    return tuple(kept), exits_


def _leaving(condition: Symbol, arm: Term, inside: list[_Exit]) -> list[_Exit]:
    """The conditions under which an arm leaves its block."""
    if arm and isinstance(arm[-1], Leave):
        return [(condition, 1)]
    return [(both("and", (condition, symbol)), depth + 1) for symbol, depth in inside if depth < _DEEPEST_EXIT]


def _leaves(term: Term) -> bool:
    """Whether the term ends the function, also from inside a loop."""
    return any(isinstance(item, Leave) and item.kind in ("return", "raise") for item in walk(term))


def summarise(term: Term) -> Term:
    """The term as callers see it: tidy, bounded, and with the code after an early return in the arms that reach it."""
    term = tidy(continued(term))
    if not matters(term):
        # Callers care about collectives only; how this function ends is its own affair.
        return ()
    if size(term) > MOST_ITEMS:
        seen: dict[tuple[str, Symbol, str], Event] = {}
        always = {id(event) for event in events(_unconditional(term))}
        for event in events(term):
            # A group that is made below a condition is mostly made once, where it is first needed.
            if event.kind != "create" or id(event) in always:
                seen.setdefault(event.token, event)
        # Order and conditions are unknown from here on: a loop of unknown length that is equal to nothing else.
        return (Repeat(make("loop", ("unknown", _digest(term))), tuple(list(seen.values())[:MOST_ITEMS])),)
    return term


def _digest(term: Term) -> str:
    """A short digest of a term: the same in every run, and different for nearly every other term."""
    return blake2b("\n".join(_lines(term)).encode(errors="surrogateescape"), digest_size=12).hexdigest()


def _lines(term: Term) -> Iterator[str]:
    for item in walk(term):
        match item:
            case Event(path=path, span=span, chain=chain):
                yield f"{item.op} {item.group.digest.hex()} {item.why} {path} {span} {len(chain)}"
            case Choice(guard=guard, then=then):
                yield f"choice {guard.symbol.digest.hex()} {len(then)} {len(item.orelse)}"
            case Repeat(symbol=symbol, body=body):
                yield f"loop {symbol.digest.hex()} {len(body)}"
            case Leave(kind=kind):
                yield kind


def _unconditional(term: Term) -> Term:
    """The items of a term that run on every path."""
    return map_term(
        term, lambda item: () if isinstance(item, Choice) else (item,), lambda item: isinstance(item, Repeat)
    )


def continued(term: Term, rest: Term = ()) -> Term:
    """`term` followed by `rest`, with `if c: return` + more turned into `if c: return else: more`."""
    # No fold: what follows a choice goes into its arms before they are rewritten.
    result = rest
    for item in reversed(term):
        match item:
            case Leave():
                result = (item,)
            case Repeat(body=body):
                result = (item.with_body(continued(body)), *result)
            case Choice(guard=guard, then=then, orelse=orelse) if exits((item,)):
                ends = any(arm and isinstance(arm[-1], Leave) for arm in (then, orelse))
                if not ends and size(result) > MOST_ITEMS // 4:
                    # Splitting would double a long continuation; several of these in a row would explode.
                    result = (item, *result)
                else:
                    result = (Choice(guard, continued(then, result), continued(orelse, result)),)
            case _:
                result = (item, *result)
    return result
