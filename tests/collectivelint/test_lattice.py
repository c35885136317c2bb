"""The laws of the lattice of summaries: what a fixpoint rests on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hypothesis import given
from hypothesis import strategies as st

from collectivelint.analysis.domain.causes import Cause
from collectivelint.analysis.domain.symbol import attribute, make, name, operation, parameter, place
from collectivelint.analysis.domain.value import NONE, Value
from collectivelint.analysis.effects import Choice, Event, Guard, Repeat, events
from collectivelint.analysis.summary.lattice import effect_leq, join, join_effects, leq
from collectivelint.analysis.summary.observed import ParameterEffect, Summary, Writing
from collectivelint.ir.nodes import Span

if TYPE_CHECKING:
    from collectivelint.analysis.effects import Term

_SPANS: Final = st.integers(1, 4).map(lambda line: Span(line, 0, line, 9))
_CAUSES: Final = st.builds(Cause, st.sampled_from(["rank", "data", "clock"]), st.sampled_from(["a.py", "b.py"]), _SPANS)
_EVENTS: Final = st.builds(
    lambda op, group, span: Event(op, group, False, "a.py", "f", span, span),
    st.sampled_from(["barrier", "all_reduce", "broadcast"]),
    st.sampled_from([name("world"), parameter("group"), attribute(parameter("self"), "group")]),
    _SPANS,
)
_GUARD: Final = Guard(
    parameter("x"), frozenset(), (), frozenset({"x"}), None, "a.py", Span(1, 0, 1, 9), Span(1, 0, 1, 9)
)
_TERMS: Final = st.recursive(
    st.lists(_EVENTS, max_size=3).map(tuple),
    lambda inner: (
        st.builds(lambda one, two: (Choice(_GUARD, one, two),), inner, inner)
        | st.builds(lambda body: (Repeat(make("loop", ("for",), (parameter("x"),)), body),), inner)
    ),
    max_leaves=4,
)
_VALUES: Final = st.builds(
    lambda symbol, varies, causes, given: Value(symbol).varying(varies=varies, causes=tuple(causes), depends=given),
    st.sampled_from(
        [parameter("x"), parameter("y"), place("x", "a.py", "f", 1, 1), operation("get_rank", (name("world"),))]
    ),
    st.sampled_from([frozenset(), frozenset({name("world")}), frozenset({name("tp"), name("world")})]),
    st.lists(_CAUSES, max_size=2, unique=True),
    st.sampled_from([frozenset(), frozenset({"x"})]),
) | st.just(NONE)
_NAMES: Final = st.lists(st.sampled_from("xyz"), max_size=2, unique=True).map(tuple)
_SUMMARIES: Final = st.builds(
    Summary,
    _TERMS,
    st.none() | _VALUES,
    st.dictionaries(st.sampled_from("ab"), _VALUES),
    st.just({}),
    st.builds(ParameterEffect, _NAMES, _NAMES, st.just(()), st.none() | _CAUSES),
    st.none() | st.builds(Writing, _CAUSES, st.just(frozenset())),
    st.none() | _CAUSES,
    st.none() | _CAUSES,
    _NAMES,
)


@given(_TERMS, _TERMS, _TERMS)
def test_the_join_of_effects_is_a_semilattice(one: Term, two: Term, three: Term) -> None:
    assert join_effects(one, one) == one
    assert join_effects(one, ()) == join_effects((), one) == one
    assert join_effects(one, two) == join_effects(two, one)
    assert join_effects(join_effects(one, two), three) == join_effects(one, join_effects(two, three))


@given(_TERMS, _TERMS, _TERMS)
def test_effects_are_partially_ordered(one: Term, two: Term, three: Term) -> None:
    assert effect_leq((), one)
    assert effect_leq(one, one)
    assert effect_leq(one, join_effects(one, two))
    if effect_leq(one, two) and effect_leq(two, one):
        assert one == two
    if effect_leq(one, two) and effect_leq(two, three):
        assert effect_leq(one, three)


@given(_TERMS, _TERMS)
def test_a_join_of_effects_loses_no_collective(one: Term, two: Term) -> None:
    tokens = {event.token for term in (one, two) for event in events(term)}
    assert {event.token for event in events(join_effects(one, two))} == tokens


@given(_SUMMARIES, _SUMMARIES)
def test_a_join_of_summaries_covers_both(one: Summary, two: Summary) -> None:
    assert join(one, one, name("f")) == one
    assert leq(one, one, name("f"))
    assert leq(Summary(), one, name("f"))
    joined = join(one, two, name("f"))
    assert leq(one, joined, name("f"))
    assert leq(two, joined, name("f"))


@given(st.lists(_SUMMARIES, min_size=1, max_size=12))
def test_a_chain_of_joined_summaries_only_grows_and_ends(chain: list[Summary]) -> None:
    """Whatever a function's summary is next, and however often: it changes as often as there are things to add."""
    current = Summary()
    for summary in chain * 2:
        before, current = current, join(current, summary, name("f"))
        assert leq(before, current, name("f"))
    for summary in chain:
        assert join(current, summary, name("f")) == current
