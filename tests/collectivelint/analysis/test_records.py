"""The records of a value: the laws of their joins, and of the value's own."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectivelint.analysis.domain.causes import Cause, Sharded
from collectivelint.analysis.domain.extent import UNMEASURED, Extent
from collectivelint.analysis.domain.flowing import flow
from collectivelint.analysis.domain.joining import join
from collectivelint.analysis.domain.origin import MADE_HERE, Origin
from collectivelint.analysis.domain.symbol import constant, name
from collectivelint.analysis.domain.uniformity import UNIFORM, Uniformity, carried
from collectivelint.analysis.domain.value import NONE, Reference, Value
from collectivelint.ir.span import Span

AXES = [name(text) for text in ("world", "tp", "dp")]
# No more than are kept, so that none is lost by the order.
CAUSES = [Cause("rank", "a.py", Span(1, 0, 1, 4)), Cause("clock", "b.py", Span(2, 0, 2, 4))]

axes = st.frozensets(st.sampled_from(AXES))
causes = st.lists(st.sampled_from(CAUSES), unique=True).map(tuple)
some_axis = st.none() | st.sampled_from(AXES)
uniformities = st.builds(
    Uniformity,
    axes,
    causes,
    st.frozensets(st.sampled_from("xy")),
    st.none() | st.booleans(),
    st.booleans(),
    axes,
    some_axis,
)
shards = st.none() | st.just(Sharded("hand", CAUSES[0]))
origins = st.builds(Origin, causes, st.booleans(), shards, st.booleans())
extents = st.builds(Extent, causes, st.none() | st.just(CAUSES[0]), some_axis)
values = st.builds(
    lambda symbol, uniformity, extent, origin, known: Value(
        symbol, uniformity, constant=known, extent=extent, origin=origin
    ),
    st.sampled_from([name("x"), name("y")]),
    uniformities,
    extents,
    origins,
    st.sampled_from([None, 1, NONE.constant]),
)
RECORDS = st.sampled_from([uniformities, origins, extents])


def unordered(record: Any) -> list[object]:
    """The fields of a record, causes without their order."""
    return [frozenset(value) if isinstance(value, tuple) else value for value in record._fields()]


@given(RECORDS.flatmap(lambda kind: st.tuples(kind, kind, kind)))
def test_a_join_is_commutative_associative_and_idempotent(three: tuple[Any, Any, Any]) -> None:
    a, b, c = three
    assert unordered(a.join(b)) == unordered(b.join(a))
    assert unordered(a.join(b).join(c)) == unordered(a.join(b.join(c)))
    assert a.join(a) is a
    assert a.join(b).join(b) == a.join(b)


@given(st.tuples(uniformities, uniformities))
def test_a_join_of_uniformities_is_above_both(two: tuple[Uniformity, Uniformity]) -> None:
    a, b = two
    joined = a.join(b)
    for part in (a, b):
        assert part.varies <= joined.varies
        assert part.depends <= joined.depends
        assert part.absent <= joined.absent
        assert set(part.causes) <= set(joined.causes)
        assert part.maybe <= joined.maybe


@given(uniformities)
def test_nothing_known_is_neutral_to_what_varies(a: Uniformity) -> None:
    joined = UNIFORM.join(a)
    assert (joined.varies, joined.causes, joined.depends) == (a.varies, a.causes, a.depends)


@given(st.lists(uniformities, max_size=4))
def test_what_is_carried_over_is_the_join_without_what_is_said_of_conditions(several: list[Uniformity]) -> None:
    found = carried(several)
    joined = UNIFORM
    for record in several:
        joined = joined.join(record)
    assert (found.varies, set(found.causes), found.depends) == (joined.varies, set(joined.causes), joined.depends)
    assert (found.one, found.absent, found.present) == (None, frozenset(), None)


@pytest.mark.parametrize("kind", [uniformities, origins, extents])
def test_records_that_are_equal_have_one_hash(kind: st.SearchStrategy[Any]) -> None:
    @given(kind)
    def check(record: Any) -> None:
        copy = record.but()
        assert copy == record
        assert hash(copy) == hash(record)

    check()


@given(values, values)
def test_both_arms_come_into_the_value_after_a_branch(one: Value, other: Value) -> None:
    fresh = name("after")
    after, again = join(one, other, fresh), join(other, one, fresh)
    assert after.uniformity.varies == again.uniformity.varies
    assert after.uniformity.depends == again.uniformity.depends
    assert join(one, one, fresh) is one
    if one.symbol is not other.symbol:
        assert after.uniformity.varies == one.uniformity.varies | other.uniformity.varies


@given(values, values, axes.filter(bool))
def test_a_condition_that_varies_makes_what_it_decides_vary(one: Value, other: Value, over: frozenset[Any]) -> None:
    guard = Value(name("condition"), Uniformity(over, tuple(CAUSES[:1])))
    after = join(one, other, name("after"), guard, CAUSES[1])
    alike = one == other or (one.symbol is other.symbol and one.constant is NONE.constant)
    sized = one.extent.size_of is not None or other.extent.size_of is not None
    if not alike and not sized and one.symbol is not other.symbol:
        assert over <= after.uniformity.varies


@given(st.lists(values, max_size=3))
def test_a_computed_value_varies_as_its_parts_do(parts: list[Value]) -> None:
    found = flow(name("sum"), parts)
    assert found.uniformity.varies == frozenset().union(*(part.uniformity.varies for part in parts))
    assert flow(name("sum"), parts, ranks=False).uniformity is UNIFORM


def test_a_plain_value_shares_the_records_that_say_nothing() -> None:
    plain = Value(name("x"))
    assert plain.uniformity is UNIFORM
    assert plain.origin is MADE_HERE
    assert plain.extent is UNMEASURED
    assert flow(name("y"), [plain, plain]).uniformity is UNIFORM


def test_a_changed_copy_leaves_the_other_records() -> None:
    value = Value(name("x"), Uniformity(frozenset(AXES[:1])), constant=3)
    changed = value.referring(kind="group").sized(size_of=AXES[0]).but(constant=4)
    assert (changed.constant, changed.reference.kind, changed.extent.size_of) == (4, "group", AXES[0])
    assert changed.uniformity is value.uniformity
    assert value.reference == Reference()
    assert changed.varying(varies=frozenset()).uniformity == UNIFORM
    assert constant(4) is constant(4)
