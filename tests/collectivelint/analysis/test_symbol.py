"""The algebra of symbols: interning, negation, substitution, implication, path conditions, and what is forgotten."""

from __future__ import annotations

import ast
import gc
import pickle
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collectivelint.analysis.domain import show, sweep
from collectivelint.analysis.domain.implication import implies
from collectivelint.analysis.domain.path_condition import ANYWHERE
from collectivelint.analysis.domain.recognise import launched
from collectivelint.analysis.domain.show import shown
from collectivelint.analysis.domain.symbol import (
    DEEPEST,
    LAUNCHED,
    TABLE,
    Symbol,
    attribute,
    both,
    call,
    compare,
    compound,
    constant,
    make,
    name,
    parameter,
    place,
    rank_in,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.conftest import Project

_NAMES: Final = ("x", "y", "z")
_INTEGERS: Final = st.integers(-2, 3)


def _literals() -> st.SearchStrategy[Symbol]:
    """Conditions on integers: each parameter alone, in a comparison with a literal or another one, or in a set of literals."""
    parameters = st.sampled_from(_NAMES).map(parameter)
    operators = st.sampled_from(["==", "<", "<=", ">", ">="])
    numbers = _INTEGERS.map(constant)
    return st.one_of(
        parameters,
        st.builds(compare, operators, parameters, numbers),
        st.builds(compare, operators, numbers, parameters),
        st.builds(compare, st.sampled_from(["==", "<"]), parameters, parameters),
        st.builds(
            lambda left, right: compare("in", left, compound("Tuple", right)),
            parameters,
            st.lists(numbers, min_size=1, max_size=3),
        ),
    )


_CONDITIONS: Final = st.recursive(
    _literals(),
    lambda inner: st.one_of(
        inner.map(Symbol.negate),
        st.builds(both, st.sampled_from(["and", "or"]), st.lists(inner, min_size=2, max_size=3)),
    ),
    max_leaves=5,
)
_EXPRESSIONS: Final = st.recursive(
    st.one_of(_literals(), _INTEGERS.map(constant)),
    lambda inner: st.one_of(
        inner.map(Symbol.negate),
        st.builds(attribute, inner, st.sampled_from(["rank", "group"])),
        st.builds(lambda left, right: compound("Add", (left, right)), inner, inner),
        st.builds(lambda callee, args: call(callee, args), inner, st.lists(inner, max_size=2)),
        st.builds(compare, st.sampled_from(["==", "is", "<"]), inner, inner),
        st.builds(both, st.sampled_from(["and", "or"]), st.lists(inner, min_size=2, max_size=3)),
    ),
    max_leaves=8,
)
_ARGUMENTS: Final = st.dictionaries(st.sampled_from(_NAMES), _EXPRESSIONS)


_COMPARISONS: Final[Mapping[str, Callable[[int, int], bool]]] = {
    "==": lambda left, right: left == right,
    "<": lambda left, right: left < right,
    "<=": lambda left, right: left <= right,
    ">": lambda left, right: left > right,
    ">=": lambda left, right: left >= right,
}


def _value(symbol: Symbol, values: Mapping[str, int]) -> int:
    """What a condition or a number is under an assignment; this is Python's own meaning, written a second time."""
    match symbol.kind:
        case "parameter":
            return values[str(symbol.head[0])]
        case "constant":
            found = symbol.head[1]
            assert isinstance(found, int)
            return found
        case "not":
            return not _value(symbol.args[0], values)
        case "and":
            return all(_value(arg, values) for arg in symbol.args)
        case "or":
            return any(_value(arg, values) for arg in symbol.args)
    left = _value(symbol.args[0], values)
    if symbol.head[0] == "in":
        return left in [_value(arg, values) for arg in symbol.args[1].args]
    return _COMPARISONS[str(symbol.head[0])](left, _value(symbol.args[1], values))


_ASSIGNMENTS: Final = [
    dict(zip(_NAMES, (x, y, z), strict=True)) for x in range(-3, 5) for y in (-1, 0, 2) for z in (0, 1)
]


@given(_EXPRESSIONS)
def test_negation_is_an_involution(symbol: Symbol) -> None:
    assert symbol.negate().negate() is symbol
    assert symbol.negate() is not symbol
    assert symbol.negate().parameters == symbol.parameters


def test_negation_can_be_taken_back_at_any_depth() -> None:
    symbol = parameter("x")
    for _ in range(3 * DEEPEST):
        symbol = attribute(symbol, "next")
        assert symbol.negate().negate() is symbol


@given(_EXPRESSIONS)
def test_equal_symbols_are_one_object(symbol: Symbol) -> None:
    assert make(symbol.kind, symbol.head, symbol.args) is symbol
    assert pickle.loads(pickle.dumps(symbol)) is symbol  # what has just been pickled


@given(_EXPRESSIONS, _ARGUMENTS)
def test_substitution_replaces_parameters_and_nothing_else(symbol: Symbol, arguments: Mapping[str, Symbol]) -> None:
    assert symbol.substitute({text: parameter(text) for text in _NAMES}) is symbol
    given_ = {text: arguments.get(text, constant(0)) for text in _NAMES}
    found = symbol.substitute(given_)
    assert found.parameters == frozenset().union(*(given_[text].parameters for text in symbol.parameters))


@given(_EXPRESSIONS, _ARGUMENTS, _ARGUMENTS)
def test_substitutions_compose(symbol: Symbol, inner: Mapping[str, Symbol], outer: Mapping[str, Symbol]) -> None:
    whole = {text: inner.get(text, constant(1)) for text in _NAMES}
    outside = {text: outer.get(text, constant(2)) for text in _NAMES}
    composed = {text: argument.substitute(outside) for text, argument in whole.items()}
    assert symbol.substitute(whole).substitute(outside) is symbol.substitute(composed)


@given(_CONDITIONS, _ARGUMENTS)
def test_substitution_commutes_with_negation(symbol: Symbol, arguments: Mapping[str, Symbol]) -> None:
    assert symbol.negate().substitute(arguments) is symbol.substitute(arguments).negate()


def test_a_parameter_without_an_argument_belongs_to_another_function() -> None:
    found = attribute(parameter("x"), "group").substitute({})
    assert not found.parameters
    assert found is not attribute(parameter("x"), "group")


@pytest.mark.parametrize("length", [3, DEEPEST - 1, DEEPEST, DEEPEST + 1, 5 * DEEPEST])
def test_a_deep_expression_is_still_itself_whatever_its_parameters_are_called(length: int) -> None:
    def long(text: str, last: str = "end") -> Symbol:
        found = parameter(text)
        for index in range(length):
            found = compound("Add", (found, attribute(parameter("config"), f"section_{index}")))
        return compare("==", found, name(last))

    assert long("x") is long("x")
    assert long("x") is not long("y")
    assert long("x") is not long("x", "other")
    assert long("x").parameters == {"x", "config"}
    assert long("x").substitute({"x": parameter("y"), "config": parameter("config")}) is long("y")
    assert long("x").depth <= DEEPEST


def test_what_doubles_in_every_line_stays_small() -> None:
    before = len(TABLE)
    found = parameter("x")
    for _ in range(2_000):
        found = call(name("f"), (found, found))
    assert len(TABLE) - before < 5_000
    assert found.parameters == {"x"}
    assert len(shown(found)) < 1_000


_DIGESTS: Final = """
from collectivelint.analysis.domain.symbol import *
deep = parameter("x")
for index in range(200):
    deep = compound("Add", (deep, attribute(parameter("config"), f"a{index}")))
for symbol in (deep, compare("==", parameter("b"), parameter("a")), place("x", "m.py", "f", 1, 2), constant(1.5)):
    print(symbol.digest.hex(), symbol)
"""


def test_symbols_are_the_same_in_every_process() -> None:
    runs = [
        subprocess.run(
            [sys.executable, "-c", _DIGESTS], check=True, capture_output=True, text=True, env={"PYTHONHASHSEED": seed}
        ).stdout
        for seed in ("1", "2")
    ]
    assert runs[0] == runs[1] != ""


def test_what_is_written_the_other_way_round_is_the_same() -> None:
    x, y, three = parameter("x"), parameter("y"), constant(3)
    assert compare("<", three, x) is compare(">", x, three)
    assert compare("==", x, y) is compare("==", y, x)
    assert compare("<", x, y) is not compare("<", y, x)
    assert both("and", (both("and", (x, y)), three)) is both("and", (x, both("and", (y, three))))


# ------------------------------------------------------------------------------------------------------- implication


@given(_CONDITIONS)
def test_a_condition_implies_itself(symbol: Symbol) -> None:
    assert implies(symbol, symbol)


@settings(max_examples=400)
@given(_CONDITIONS, _CONDITIONS)
def test_implication_is_sound(one: Symbol, other: Symbol) -> None:
    if implies(one, other):
        assert all(_value(other, values) for values in _ASSIGNMENTS if _value(one, values))


@settings(max_examples=400)
@given(_literals(), _literals(), st.booleans(), st.booleans())
def test_what_follows_for_literals_of_one_subject_is_found(
    one: Symbol, other: Symbol, first: bool, second: bool
) -> None:
    """Complete for numbers, where no integer makes the difference: the integers between are found between literals too."""
    one, other = one if first else one.negate(), other if second else other.negate()
    literals = (one.positive, other.positive)
    if len(one.parameters | other.parameters) != 1 or any(
        literal.kind == "parameter" or literal.args[1].kind == "parameter" for literal in literals
    ):
        return
    halves = [dict.fromkeys(_NAMES, half / 2) for half in range(-8, 12)]
    nan = [dict.fromkeys(_NAMES, float("nan"))]
    expected = all(_value(other, values) for values in (*halves, *nan) if _value(one, values))  # type: ignore[arg-type]
    assert implies(one, other) == expected


@settings(max_examples=400)
@given(_CONDITIONS, _CONDITIONS, _CONDITIONS)
def test_implication_is_transitive(one: Symbol, two: Symbol, three: Symbol) -> None:
    if implies(one, two) and implies(two, three):
        assert implies(one, three)


@given(_CONDITIONS, _CONDITIONS)
def test_implication_and_negation_turn_around(one: Symbol, other: Symbol) -> None:
    assert implies(one, other) == implies(other.negate(), one.negate())


_RANK: Final = rank_in(name("world"))
_MODE: Final = parameter("mode")
_RED, _BLUE = (make("global", ("m.py", f"Color.{text}")) for text in ("RED", "BLUE"))
_NONE: Final = constant(None)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (compare("==", _RANK, constant(0)), compare("<", _RANK, constant(2))),
        (compare("<", _RANK, constant(2)), compare("<=", _RANK, constant(1))),
        (compare(">", _RANK, constant(0)), compare(">=", _RANK, constant(1))),
        (compare(">", _MODE, constant(3)), compare(">=", _MODE, constant(3))),
        (compare("==", _MODE, constant("a")), compare("==", _MODE, constant("b")).negate()),
        (
            compare("==", _MODE, constant("a")),
            compare("in", _MODE, compound("Tuple", (constant("a"), constant("b")))),
        ),
        (compare("==", _MODE, _RED), compare("==", _MODE, _BLUE).negate()),
        (compare("==", _MODE, _RED), compare("in", _MODE, compound("List", (_RED, _BLUE)))),
        (_MODE, compare("is", _MODE, _NONE).negate()),
        (compare("is", _MODE, _NONE), _MODE.negate()),
        (compare("==", _MODE, constant(2)), _MODE),
        (both("and", (parameter("a"), parameter("b"), _MODE)), both("and", (_MODE, parameter("a")))),
        (both("or", (parameter("a"), _MODE)), both("or", (parameter("b"), _MODE, parameter("a")))),
        (both("or", (parameter("a"), _MODE)).negate(), _MODE.negate()),
    ],
)
def test_what_follows(one: Symbol, other: Symbol) -> None:
    assert implies(one, other)
    assert not implies(one, other.negate())
    known = ANYWHERE.given(one, holds=True)
    assert known.outcome(other) is True
    assert known.outcome(other.negate()) is False
    assert ANYWHERE.given(other, holds=False).outcome(one) is False


@pytest.mark.parametrize(
    ("one", "other"),
    [
        # NaN is neither less than a number nor not.
        (compare("<", _MODE, constant(3)).negate(), compare(">=", _MODE, constant(3))),
        (compare(">", _MODE, constant(3)), compare(">=", _MODE, constant(4))),
        (compare("==", _MODE, name("a.b")), compare("==", _MODE, name("a.c")).negate()),
        (compare("==", _MODE, _RED), compare("==", _MODE, constant(1)).negate()),
        (compare("is", _MODE, _NONE).negate(), _MODE),
        (_MODE, compare("==", _MODE, constant(1))),
        (both("or", (parameter("a"), _MODE)), _MODE),
        (place("x", "m.py", "f", 1, 0), place("x", "m.py", "f", 2, 0)),
    ],
)
def test_what_does_not_follow(one: Symbol, other: Symbol) -> None:
    assert not implies(one, other)
    assert ANYWHERE.given(one, holds=True).outcome(other) is None


@settings(max_examples=300)
@given(st.lists(st.tuples(_CONDITIONS, st.booleans()), max_size=4), _CONDITIONS)
def test_a_path_condition_is_sound(facts: list[tuple[Symbol, bool]], asked: Symbol) -> None:
    known = ANYWHERE
    for condition, holds in facts:
        known = known.given(condition, holds=holds)
    there = [values for values in _ASSIGNMENTS if all(bool(_value(one, values)) == holds for one, holds in facts)]
    outcome = known.outcome(asked)
    if outcome is not None:
        assert all(bool(_value(asked, values)) == outcome for values in there)
    if facts and there:
        assert known.outcome(facts[0][0]) is facts[0][1]


def test_launched_is_recognised_with_any_number_of_operands() -> None:
    available, ready = (make("launched", (text,)) for text in ("is_available", "is_initialized"))
    assert launched(both("and", (available, ready, LAUNCHED))) is True
    assert launched(both("or", (available.negate(), ready.negate(), LAUNCHED.negate()))) is False
    assert launched(both("and", (available, ready, parameter("x")))) is None
    assert launched(both("and", (available, ready)).negate()) is False
    assert launched(parameter("launched")) is launched(name("launched")) is None


# --------------------------------------------------------------------------------------------------- what is forgotten


def test_symbols_that_nothing_holds_are_forgotten_and_the_others_stay_the_same() -> None:
    kept = [attribute(parameter("kept"), f"a{index}").negate() for index in range(10)]
    for index in range(1_000):
        deep = parameter(f"dropped{index}")
        for _ in range(3):
            deep = attribute(deep, "next").negate()
    del deep
    gc.collect()
    sweep._left[0] = 0  # as in a new process
    sweep.sweep(few=0)
    assert not any(key[0] == "parameter" and str(key[1][0]).startswith("dropped") for key in TABLE)
    assert [attribute(parameter("kept"), f"a{index}").negate() for index in range(10)] == kept
    assert attribute(parameter("kept"), "a3") is kept[3].negate()


def test_of_the_fresh_symbols_those_are_dropped_that_nothing_holds() -> None:
    sweep.drop_fresh(few=0)
    kept = attribute(attribute(parameter("fresh"), "kept").negate(), "too")
    for index in range(100):
        attribute(attribute(parameter(f"fresh{index}"), "next").negate(), "last")
    known = len(TABLE)
    sweep.drop_fresh(few=1_000)
    assert len(TABLE) == known
    sweep.drop_fresh(few=0)
    assert not any(
        key[0] == "parameter" and str(key[1][0]).startswith("fresh") for key in TABLE if key[1] != ("fresh",)
    )
    assert attribute(attribute(parameter("fresh"), "kept").negate(), "too") is kept


# ------------------------------------------------------------------------------------------ no text is parsed back


_ROOT: Final = Path(__file__).parents[3]
_CODE: Final = [
    path
    for folder in ("collectivelint/analysis", "collectivelint/findings", "collectivelint/fixes", "rules")
    for path in sorted((_ROOT / folder).rglob("*.py"))
]
#: Modules that show symbols to people.
_SHOWING: Final = {"collectivelint/analysis/domain/show.py"}


def _texts_used(tree: ast.AST) -> list[int]:
    """The lines that make a symbol a text in order to look into it: all uses but those inside of an f-string or a return."""
    found: list[int] = []
    shown_here: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FormattedValue):
            shown_here.update(ast.walk(node.value))
        if isinstance(node, (ast.Return, ast.IfExp)) and isinstance(
            node.value if isinstance(node, ast.Return) else node.body, (ast.Call, ast.IfExp)
        ):
            inner = node.value if isinstance(node, ast.Return) else node.body
            shown_here.add(inner)  # type: ignore[arg-type]
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in ("form", "forms"):
            found.append(node.lineno)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node not in shown_here:
            about = [part.attr for arg in node.args for part in ast.walk(arg) if isinstance(part, ast.Attribute)]
            names_it = any(attr in ("symbol", "written", "group_key") for attr in about[:1])
            if node.func.id == "shown" or (node.func.id in ("str", "repr", "format") and names_it):
                found.append(node.lineno)
    return found


@pytest.mark.parametrize("path", _CODE, ids=lambda path: path.relative_to(_ROOT).as_posix())
def test_no_text_of_a_symbol_is_looked_into(path: Path) -> None:
    if path.relative_to(_ROOT).as_posix() not in _SHOWING:
        assert not _texts_used(ast.parse(path.read_text()))


@pytest.mark.parametrize(
    "code",
    [
        'value.form.startswith("not ")',
        "guard.form[4:]",
        'shown(guard.symbol).startswith("not ")',
        'str(value.symbol).partition(" == ")',
        '"mesh" in repr(call.group.symbol)',
    ],
)
def test_looking_into_a_text_is_noticed(code: str) -> None:
    assert _texts_used(ast.parse(code))


_EVERY_CASE: Final = sorted((_ROOT / "tests/rules/cases").glob("*.md"))


@pytest.mark.parametrize("page", _EVERY_CASE, ids=lambda page: page.stem)
def test_findings_do_not_depend_on_what_symbols_look_like(
    project: Project, monkeypatch: pytest.MonkeyPatch, page: Path
) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```$", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    project.write({f"case{number}.py": block for number, block in enumerate(blocks)})
    expected = project.lint(select=["ALL"]).findings
    monkeypatch.setattr(show, "_text", lambda symbol, room, places: "not [turns of world] == $x@:]")
    found = project.lint(select=["ALL"]).findings
    assert [(one.path, one.location, one.code) for one in found] == [
        (one.path, one.location, one.code) for one in expected
    ]


def test_a_symbol_has_no_text_and_is_compared_by_identity() -> None:
    assert not [text for text, kind in Symbol.__annotations__.items() if kind == "str"]
    assert Symbol.__eq__ is object.__eq__
    assert Symbol.__hash__ is object.__hash__
    assert Symbol.__str__ is object.__str__
    with pytest.raises(TypeError):
        assert "x" in parameter("x")  # type: ignore[operator]
    with pytest.raises(TypeError):
        assert parameter("x") < parameter("y")  # type: ignore[operator]


_DIVERGENT: Final = """
import torch.distributed as dist


def inner(config, x, group):
    if {condition}:
        dist.barrier(group=group)


def outer(config, x, y, group):
    if {again}:
        pass
    else:
        inner(config, {passed}, group)


def run(config, x, y, group: dist.ProcessGroup):
    if dist.get_rank(group) == 0:
        outer(config, x, y, group)
"""


def _codes(project: Project) -> list[str]:
    return [code for _, _, code in project.found(select=["CL2"])]


def _long(length: int, text: str = "x") -> str:
    return " + ".join([text, *(f"config.section_number_{index}.value_of_it" for index in range(length))])


@pytest.mark.parametrize("length", [1, 8, 20, 62, 63, 64, 65, 200])
def test_a_longer_condition_gives_the_same_findings(project: Project, length: int) -> None:
    condition = f"{_long(length)} == 3"
    project.write(_DIVERGENT.format(condition=condition, again=condition, passed="y"))
    assert _codes(project) == ["CL201"]
    # What `inner` asks has been answered by then: no barrier is reached.
    project.write(_DIVERGENT.format(condition=condition, again=condition, passed="x"))
    assert _codes(project) == []
    # The same under another name of the parameter.
    project.write(_DIVERGENT.format(condition=condition, again=f"{_long(length, 'y')} == 3", passed="y"))
    assert _codes(project) == []


_SPELT: Final = """
import torch.distributed as dist


def run(x, mode, group: dist.ProcessGroup):
    rank = dist.get_rank(group)
    if {one}:
        dist.barrier(group=group)
    if {other}:
        dist.barrier(group=group)
"""


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("rank == 0", "rank != 0"),
        ("rank == 0", "not 0 == rank"),
        ("rank == 0", "rank > 0"),
        ("rank == 0", "0 < rank"),
        ("rank <= 0", "rank >= 1"),
        ("rank < 2", "rank > 1"),
        ("1 >= rank", "2 <= rank"),
        ("not rank", "rank"),
    ],
)
def test_conditions_that_complete_each_other_are_silent_however_they_are_spelt(
    project: Project, one: str, other: str
) -> None:
    project.write(_SPELT.format(one=one, other=other))
    assert _codes(project) == []
    project.write(_SPELT.format(one=one, other="x"))
    assert _codes(project)


_ORDERED: Final = """
import torch.distributed as dist


def run(a, b, c, group: dist.ProcessGroup):
    if {exit}:
        return
    if dist.get_rank(group) == 0:
        if {asked}:
            dist.barrier(group=group)
"""


@pytest.mark.parametrize(
    ("leaving", "asked"),
    [
        ("a is None", "a is None"),
        ("a and b and c", "a and b and c"),
        ("a and b and c", "c and b and a"),
        ("a and b and c", "a and (b and c)"),
        ("a or b or c", "b or a"),
        ("not (a or b or c)", "not a and not b and not c"),
        ("a == 3", "a in (3,)"),
        ("a > 3", "a > 5"),
        ("a >= 3", "5 == a"),
    ],
)
def test_what_the_way_to_a_condition_has_decided_is_known(project: Project, leaving: str, asked: str) -> None:
    project.write(_ORDERED.format(exit=leaving, asked=asked))
    assert _codes(project) == []
    project.write(_ORDERED.format(exit=f"not ({leaving})", asked=f"{asked} or a.ready"))
    assert _codes(project) == ["CL201"]
