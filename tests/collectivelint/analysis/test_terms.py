"""The algebra of effect terms: its laws on random terms, and its cost in steps."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collectivelint.analysis import effects
from collectivelint.analysis.checks.alignment import merged, plain, raises, same, tokens
from collectivelint.analysis.domain.inlining import Inlining, inline
from collectivelint.analysis.domain.normalise import MOST_ITEMS, continued, summarise, tidy
from collectivelint.analysis.domain.symbol import Symbol, compare, constant, name, parameter
from collectivelint.analysis.domain.value import Value
from collectivelint.analysis.effects import (
    CallSite,
    Choice,
    Event,
    Guard,
    Item,
    Leave,
    Repeat,
    Term,
    events,
    fold,
    map_term,
    parts,
    size,
    walk,
)
from collectivelint.analysis.positions import following, within
from collectivelint.analysis.positions import terms as inner_terms
from collectivelint.ir.nodes import Span
from collectivelint.record import Record

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

RecordT = TypeVar("RecordT", bound=Record)
SPAN = Span(1, 0, 1, 5)
SITE = CallSite("a.py", "f", SPAN, SPAN, "g")


def changed(record: RecordT, number: int, field: object) -> RecordT:
    """A copy with another field in this place."""
    fields = list(record._fields())
    fields[number] = field
    return type(record)(*fields)


def event(op: str, group: str | Symbol = "world", line: int = 1) -> Event:
    span = Span(line, 0, line, 5)
    return Event(op, name(group) if isinstance(group, str) else group, False, "a.py", "f", span, span)


def guard(symbol: str | Symbol) -> Guard:
    symbol = name(symbol) if isinstance(symbol, str) else symbol
    return Guard(symbol, frozenset(), (), symbol.parameters, None, "a.py", SPAN, SPAN)


def choice(symbol: str | Symbol, then: Term, orelse: Term = ()) -> Choice:
    return Choice(guard(symbol), then, orelse)


PARAMETERS = (parameter("p"), parameter("q"))
SYMBOLS = st.sampled_from(
    [*map(name, "abc"), *PARAMETERS, *(compare("==", name("x"), constant(number)) for number in (1, 2, 3))]
)
GROUPS = st.sampled_from([name("world"), *PARAMETERS, name("tp")])
EVENTS = st.builds(event, st.sampled_from(["all_reduce", "barrier", "gather"]), GROUPS, st.integers(1, 9))
LEAVES = st.sampled_from(
    [Leave("return"), Leave("raise"), Leave("break"), Leave("continue"), Leave("return", refused=True)]
)


def terms(exits: st.SearchStrategy[Item] = LEAVES) -> st.SearchStrategy[Term]:
    def larger(inner: st.SearchStrategy[Term]) -> st.SearchStrategy[Term]:
        items: st.SearchStrategy[Item] = st.one_of(
            EVENTS, exits, st.builds(choice, SYMBOLS, inner, inner), st.builds(Repeat, SYMBOLS, inner)
        )
        return st.lists(items, max_size=4).map(tuple)

    return st.recursive(st.lists(st.one_of(EVENTS, exits), max_size=3).map(tuple), larger, max_leaves=12)


def recursive_walk(term: Term) -> Iterator[Item]:
    for item in term:
        yield item
        for part in parts(item):
            yield from recursive_walk(part)


def paths(term: Term) -> set[tuple[tuple[tuple[str, Symbol, str], ...], str]]:
    """The sequences of collectives of all ways through a term, each with how it ends; a loop makes no turn or one."""
    found: set[tuple[tuple[tuple[str, Symbol, str], ...], str]] = {((), "")}
    for item in term:
        following: set[tuple[tuple[tuple[str, Symbol, str], ...], str]] = set()
        for before, end in found:
            if end:
                following.add((before, end))
                continue
            for after, how in _ways(item):
                following.add(((*before, *after), how))
        found = following
    return found


def _ways(item: Item) -> set[tuple[tuple[tuple[str, Symbol, str], ...], str]]:
    match item:
        case Event():
            return {((item.token,), "")}
        case Leave(kind=kind):
            return {((), kind)}
        case Choice(then=then, orelse=orelse):
            return paths(then) | paths(orelse)
        case Repeat(body=body):
            turns = {(found, "" if end in ("break", "continue") else end) for found, end in paths(body)}
            return turns | {((), "")}
        case _:
            return {((), "")}


@given(terms())
def test_walk_and_fold_see_the_same_items_in_order(term: Term) -> None:
    items = list(walk(term))
    assert [id(item) for item in items] == [id(item) for item in recursive_walk(term)]
    assert size(term) == len(items)
    found = fold(
        term,
        lambda item, inner: [item, *(below for part in inner for below in part)],
        lambda results: [item for part in results for item in part],
    )
    assert [id(item) for item in found] == [id(item) for item in items]


@given(terms())
def test_map_with_identity_gives_the_same_items(term: Term) -> None:
    mapped = map_term(term, lambda item: (item,))
    assert len(mapped) == len(term)
    assert all(one is other for one, other in zip(mapped, term, strict=True))


@given(terms())
def test_map_composes(term: Term) -> None:
    def renamed(item: Item) -> Term:
        return (changed(item, 0, f"{item.op}_x"),) if isinstance(item, Event) else (item,)

    def doubled(item: Item) -> Term:
        return (item, item) if isinstance(item, Event) else (item,)

    one_by_one = map_term(map_term(term, renamed), doubled)
    assert one_by_one == map_term(term, lambda item: tuple(new for one in renamed(item) for new in doubled(one)))


@given(terms())
def test_nothing_inside_is_seen_where_it_is_not_entered(term: Term) -> None:
    loops_closed = list(walk(term, effects.is_choice))
    inside = {id(item) for loop in effects.repeats(term) for item in walk(loop.body)}
    outside = {id(item) for item in loops_closed}
    assert [item for item in recursive_walk(term) if id(item) in outside and id(item) not in inside] == [
        item for item in loops_closed if id(item) not in inside
    ]


def recursive_following(term: Term, span: Span) -> list[Event]:
    for index, item in enumerate(term):
        inner = parts(item)
        if isinstance(item, Event) and item.span == span:
            return list(events(term[index + 1 :]))
        if any(event.span == span for part in inner for event in events(part)):
            return [*(event for part in inner for event in recursive_following(part, span)), *events(term[index + 1 :])]
    return []


@given(terms(), st.integers(1, 9))
def test_what_follows_a_call_is_after_it_on_its_way(term: Term, line: int) -> None:
    span = Span(line, 0, line, 5)
    assert list(map(id, following(term, span))) == list(map(id, recursive_following(term, span)))


@given(terms())
def test_each_item_has_the_arms_it_stands_in_around_it(term: Term) -> None:
    outside: tuple[tuple[Item, int], ...] = ()
    found = list(within(term, outside, lambda item, number, around: (*around, (item, number))))
    assert [id(item) for item, _ in found] == [id(item) for item in walk(term)]
    for item, around in found:
        current = term
        for owner, number in around:
            assert any(owner is other for other in current)
            current = parts(owner)[number]
        assert any(item is other for other in current)
    assert sum(map(len, inner_terms(term))) == size(term)


@given(terms(), terms())
def test_terms_are_the_same_where_their_tokens_are(one: Term, two: Term) -> None:
    assert same(one, two) == (tokens(one, plain) == tokens(two, plain))
    copied = map_term(one, lambda item: (changed(item, 0, item._fields()[0]) if item._fields() else type(item)(),))
    assert same(one, copied)


@pytest.mark.slow
def test_chains_deeper_than_the_stack_are_compared() -> None:
    length = 3 * sys.getrecursionlimit()
    assert same(chain_of(length), chain_of(length))
    assert not same(chain_of(length), chain_of(length - 1))
    assert not raises(chain_of(length))
    assert raises(map_term(chain_of(length), lambda item: (Leave("raise"),) if isinstance(item, Event) else (item,)))
    assert merged(deep := chain_of(length), set())[0] is deep[0]


@given(terms())
def test_tidy_is_idempotent(term: Term) -> None:
    once = tidy(term)
    assert tidy(once) == once


@given(terms())
def test_continued_keeps_all_ways(term: Term) -> None:
    assert paths(continued(term)) == paths(term)


@given(
    terms(), st.dictionaries(st.sampled_from("pq"), st.sampled_from([*map(parameter, "rs"), *map(name, ("tp", "dp"))]))
)
def test_inline_commutes_with_renaming(term: Term, renaming: Mapping[str, Symbol]) -> None:
    """Parameters renamed in the callee and given to the call, or given to the call under their old names."""

    def call(arguments: Mapping[str, Symbol]) -> Inlining:
        values = {text: Value(symbol) for text, symbol in arguments.items()}
        return Inlining(SITE, values, arguments, lambda _: (), SPAN)

    fresh = {"p": "p1", "q": "q1"}
    names = {old: parameter(new) for old, new in fresh.items()}

    def renamed(item: Item) -> Term:
        match item:
            case Event():
                return (changed(item, 1, item.group.substitute(names)),)
            case Choice(guard=old):
                depends = frozenset(fresh[text] for text in old.depends)
                return (changed(item, 0, changed(changed(old, 0, old.symbol.substitute(names)), 3, depends)),)
            case Repeat():
                return (changed(item, 0, item.symbol.substitute(names)),)
            case _:
                return (item,)

    arguments = {text: renaming.get(text, name(f"other {text}")) for text in fresh}
    moved = {fresh[text]: symbol for text, symbol in arguments.items()}
    assert inline(term, call(arguments)) == inline(map_term(term, renamed), call(moved))


@settings(max_examples=50)
@given(st.lists(terms(), max_size=3), st.integers(0, 400))
def test_a_summary_is_bounded_and_keeps_its_collectives(several: list[Term], more: int) -> None:
    term: Term = tuple(item for part in several for item in part if not isinstance(item, Leave))
    term = (*term, *(event("barrier", f"g{number}") for number in range(more)))
    summary = summarise(tidy(term))
    assert size(summary) <= MOST_ITEMS + 1
    assert {one.token for one in events(summary)} <= {one.token for one in events(term)}


def chain_of(length: int) -> Term:
    """`if c0: barrier() elif c1: ...`."""
    term: Term = (event("all_reduce"),)
    for number in reversed(range(length)):
        term = (choice(f"c{number}", (event("barrier"),), term),)
    return term


def test_a_chain_deeper_than_the_stack_is_walked_folded_and_mapped() -> None:
    deep = chain_of(3 * sys.getrecursionlimit())
    assert sum(1 for _ in events(deep)) == 3 * sys.getrecursionlimit() + 1
    assert fold(deep, lambda _, inner: 1 + sum(inner), sum) == size(deep)
    assert map_term(deep, lambda item: (item,))[0] is deep[0]


@pytest.mark.parametrize("length", [10, 100, 1_000])
def test_each_item_is_changed_once(length: int) -> None:
    deep = chain_of(length)
    changed: Counter[int] = Counter()

    def count(item: Item) -> Term:
        changed[id(item)] += 1
        return (item,)

    map_term(deep, count)
    assert changed.total() == len(changed) == size(deep) == 2 * length + 1


LARGE = """
from collectivelint.analysis.domain.normalise import summarise
from tests_terms import choice, event
term = tuple(choice(f"c{n % 7}", (event("barrier", f"g{n}", n),), (event("gather", f"h{n}", n),)) for n in range(150))
summary = summarise(term)
assert len(summary) == 1
print(summary)
"""


@pytest.mark.parametrize("other", ["1", "random"])
def test_two_runs_summarise_alike(tmp_path: Path, other: str) -> None:
    """A summary that is too large has a symbol that depends on nothing but the term."""
    (tmp_path / "tests_terms.py").write_bytes(Path(__file__).read_bytes())

    def run(seed: str, before: str) -> str:
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run(
            [sys.executable, "-c", before + LARGE], cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.replace("frozenset()", "")

    # Objects made before shift the addresses of those that follow.
    assert run("0", "") == run(other, "kept = [object() for _ in range(1000)]\n")


def test_two_large_summaries_are_not_equal() -> None:
    one: Term = tuple(choice("c", (event("barrier", f"g{n}"),)) for n in range(150))
    two: Term = (*one, event("barrier"))
    assert isinstance(first := summarise(one)[0], Repeat)
    assert isinstance(second := summarise(two)[0], Repeat)
    assert first.symbol is not second.symbol
    assert summarise(tuple(one))[0] == first
