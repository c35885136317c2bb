"""Terms in normal form: without what has no effect, with what follows an exit in the arms that get there, and bounded."""

from __future__ import annotations

from dataclasses import replace
from hashlib import blake2b
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from ..effects import Choice, Event, Fails, Leave, Repeat, events, exits, map_term, matters, size, walk
from .symbol import Symbol, make

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ..effects import Item, Term

#: A summary larger than this is reduced to the set of its collectives: calls would multiply it.
MOST_ITEMS: Final = 200


def tidy(term: Term, known: Mapping[Symbol, bool] = MappingProxyType({})) -> Term:
    """Drop what has no effect: empty loops, choices without collectives or exits, what follows a return.

    Inside an arm the outcome of its condition is `known`: the same condition there is no choice any more.
    """
    kept: list[Item] = []
    for item in term:
        match item:
            case Choice(guard=guard, then=then, orelse=orelse) if (holds := _known(guard.symbol, known)) is not None:
                kept.extend(tidy(then if holds else orelse, known))
                if kept and isinstance(kept[-1], Leave):
                    break
            case Choice(guard=guard, then=then, orelse=orelse):
                then = tidy(then, {**known, guard.symbol: True})
                orelse = tidy(orelse, {**known, guard.symbol: False})
                if then or orelse:
                    kept.append(Choice(guard, then, orelse))
                if then and orelse and isinstance(then[-1], Leave) and isinstance(orelse[-1], Leave):
                    break
                # After `if c: return` the rest knows that c does not hold.
                if then and isinstance(then[-1], Leave):
                    known = {**known, guard.symbol: False}
                elif orelse and isinstance(orelse[-1], Leave):
                    known = {**known, guard.symbol: True}
            case Repeat(body=body):
                body = tidy(body, known)
                if _leaves(body) or matters(body):
                    kept.append(replace(item, body=body))
            case Leave():
                kept.append(item)
                break
            case Fails():
                continue
            case _:
                kept.append(item)
    return tuple(kept)


def _known(symbol: Symbol, known: Mapping[Symbol, bool]) -> bool | None:
    """The outcome of a condition that follows from others: what is equal to one constant is not equal to another."""
    if symbol in known or not known:
        return known.get(symbol)
    if symbol.kind != "compare" or symbol.head != ("==",):
        return None
    for other, holds in known.items():
        same = holds and other.kind == "compare" and other.head == ("==",) and other.args[0] is symbol.args[0]
        if same and _distinct(symbol.args[1], other.args[1]):
            return False
    return None


def _distinct(one: Symbol, other: Symbol) -> bool:
    """Two literals that differ, or two members of one class."""
    if one.kind == other.kind == "constant":
        literals = ("int", "float", "complex", "str", "bytes")
        return one is not other and one.head[0] in literals and other.head[0] in literals
    mine, theirs = _member(one), _member(other)
    if mine is None or theirs is None or mine[0] != theirs[0] or mine[2] == theirs[2]:
        return False
    return mine[1][:1].isupper()


def _member(symbol: Symbol) -> tuple[object, str, str] | None:
    """The owner of an attribute, the last part of the owner's name, and the attribute's name."""
    if symbol.kind == "attribute":
        owner = symbol.args[0]
        called = str(owner.head[-1]) if owner.kind in ("attribute", "global", "name") else ""
        return owner, called.rpartition(".")[2], str(symbol.head[0])
    if symbol.kind in ("name", "global"):
        prefix, dot, last = str(symbol.head[-1]).rpartition(".")
        return ((*symbol.head[:-1], prefix), prefix.rpartition(".")[2], last) if dot else None
    return None


def _leaves(term: Term) -> bool:
    """Whether the term ends the function, also from inside a loop."""
    return any(isinstance(item, Leave) and item.kind in ("return", "raise") for item in walk(term))


def summarise(term: Term) -> Term:
    """The term as callers see it: tidy, bounded, and with what follows an early return in the arms that get there."""
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
    """What a term is, in a few characters: the same in every run, and another one for nearly every other term."""
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
    """What of a term runs on all its ways."""
    return map_term(
        term, lambda item: () if isinstance(item, Choice) else (item,), lambda item: isinstance(item, Repeat)
    )


def continued(term: Term, rest: Term = ()) -> Term:
    """`term` followed by `rest`, with `if c: return` + more turned into `if c: return else: more`."""
    result = rest
    for item in reversed(term):
        match item:
            case Leave():
                result = (item,)
            case Repeat(body=body):
                result = (replace(item, body=continued(body)), *result)
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
