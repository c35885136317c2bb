"""Terms in normal form: without what has no effect, with what follows an exit in the arms that get there, and bounded."""

from __future__ import annotations

import re
from dataclasses import replace
from hashlib import blake2b
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from ..effects import Choice, Event, Fails, Leave, Repeat, events, exits, map_term, matters, size, walk

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ..effects import Item, Term

#: A summary larger than this is reduced to the set of its collectives: calls would multiply it.
MOST_ITEMS: Final = 200


def tidy(term: Term, known: Mapping[str, bool] = MappingProxyType({})) -> Term:
    """Drop what has no effect: empty loops, choices without collectives or exits, what follows a return.

    Inside an arm the outcome of its condition is `known`: the same condition there is no choice any more.
    """
    kept: list[Item] = []
    for item in term:
        match item:
            case Choice(guard=guard, then=then, orelse=orelse) if (holds := _known(guard.form, known)) is not None:
                kept.extend(tidy(then if holds else orelse, known))
                if kept and isinstance(kept[-1], Leave):
                    break
            case Choice(guard=guard, then=then, orelse=orelse):
                then = tidy(then, {**known, guard.form: True})
                orelse = tidy(orelse, {**known, guard.form: False})
                if then or orelse:
                    kept.append(Choice(guard, then, orelse))
                if then and orelse and isinstance(then[-1], Leave) and isinstance(orelse[-1], Leave):
                    break
                # After `if c: return` the rest knows that c does not hold.
                if then and isinstance(then[-1], Leave):
                    known = {**known, guard.form: False}
                elif orelse and isinstance(orelse[-1], Leave):
                    known = {**known, guard.form: True}
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


def _known(form: str, known: Mapping[str, bool]) -> bool | None:
    """The outcome of a condition that follows from others: what is equal to one constant is not equal to another."""
    if form in known or not known:
        return known.get(form)
    subject, equals, constant = form.partition(" == ")
    if not equals:
        return None
    for other, holds in known.items():
        same, _, value = other.partition(" == ")
        if holds and same == subject and _distinct(constant, value):
            return False
    return None


def _distinct(one: str, other: str) -> bool:
    """Two literals that differ, or two members of one class."""
    literal = "'\"-0123456789"
    if one[:1] in literal and other[:1] in literal:
        return one != other
    prefix, dot, _ = one.rpartition(".")
    owner = re.split(r"[.:]", prefix)[-1]
    return bool(dot) and one != other and other.rpartition(".")[0] == prefix and owner[:1].isupper()


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
        seen: dict[tuple[str, ...], Event] = {}
        always = {id(event) for event in events(_unconditional(term))}
        for event in events(term):
            # A group that is made below a condition is mostly made once, where it is first needed.
            if event.kind != "create" or id(event) in always:
                seen.setdefault(event.token, event)
        # Order and conditions are unknown from here on: a loop of unknown length that is equal to nothing else.
        return (Repeat(f"unknown {_digest(term)}", tuple(list(seen.values())[:MOST_ITEMS])),)
    return term


def _digest(term: Term) -> str:
    """What a term is, in a few characters: the same in every run, and another one for nearly every other term."""
    return blake2b("\n".join(_lines(term)).encode(errors="surrogateescape"), digest_size=12).hexdigest()


def _lines(term: Term) -> Iterator[str]:
    for item in walk(term):
        match item:
            case Event(path=path, span=span, chain=chain):
                yield f"{' '.join(item.token)} {path} {span} {len(chain)}"
            case Choice(guard=guard, then=then):
                yield f"choice {guard.form} {len(then)} {len(item.orelse)}"
            case Repeat(form=form, body=body):
                yield f"loop {form} {len(body)}"
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
