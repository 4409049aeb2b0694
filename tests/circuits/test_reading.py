"""One reader of expressions: every algebra agrees with the plainest evaluator; nothing else matches on operators."""

import ast
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array

import crossmargin
import crossmargin_circuits
import crossmargin_prover
import crossmargin_verifier
from crossmargin.book.book import Book, Entries
from crossmargin.engine.evaluate import Bound, Vectors, forms, value_of
from crossmargin.engine.explain import explain
from crossmargin.liquidation.ray import Rays
from crossmargin_circuits.compile import compile_policy
from crossmargin_circuits.errors import PolicyError
from crossmargin_circuits.evaluate import Exact, evaluate_expression, scenario_leaves
from crossmargin_circuits.expression import (
    Abs,
    Amount,
    Expression,
    Linear,
    Max,
    Min,
    PositivePart,
    Reference,
    Scale,
    Sum,
    SumLargest,
)
from crossmargin_circuits.layout import Column, ColumnKind, RecordLayout
from crossmargin_circuits.policy import MAX_EXPANDED_DEPTH, Definition, Policy, PolicyKind, RiskArray, Role, ValueUnit
from crossmargin_circuits.reading import Reading, read

Plain = Callable[[Policy, Expression, Sequence[int]], int]

LAYOUT = RecordLayout(
    (
        Column(ColumnKind.BALANCE, "USD", "0.01 USD", 10**6),
        Column(ColumnKind.POSITION, "A", "1 lot", 10**4, "USD"),
        Column(ColumnKind.POSITION, "B", "1 lot", 10**4, "USD"),
    )
)
COEFFICIENTS = ((1, 0, 0), (0, 3, -2), (5, -4, 1), (-7, 2, 2), (1, -1, -1), (0, -3, 2))
ABBREVIATION = Definition("d", "of both signs", Role.ABBREVIATION, Sum((Linear("a1"), Scale(-2, Linear("a2")))))
AUXILIARY = Definition("u", "never negative", Role.EXPOSURE, Sum((Linear("a3"), Reference("d"), Amount(-900))))


def policy(*definitions: Definition) -> Policy:
    """Return a policy over six arrays; d and u may be referred to."""
    return Policy(
        kind=PolicyKind.CROWDING,
        venue="test",
        title="test",
        as_of=0,
        value_unit=ValueUnit("USD", "0.01"),
        layout=LAYOUT,
        arrays=tuple(RiskArray(f"a{i}", f"array {i}", each) for i, each in enumerate(COEFFICIENTS)),
        definitions=(ABBREVIATION, AUXILIARY, *definitions),
        constraints=(),
    )


POLICY = policy()

arrays = st.sampled_from([*(Linear(f"a{i}") for i in range(6)), Reference("d"), Reference("u")])
leaves: st.SearchStrategy[Expression] = st.one_of(arrays, st.sampled_from([-(10**6), 5, 900]).map(Amount))
signed = st.sampled_from([-3, -1, 1, 2])


def grow(inner: st.SearchStrategy[Expression]) -> st.SearchStrategy[Expression]:
    """Return expressions of every operator over inner ones."""
    many = st.lists(inner, min_size=1, max_size=4).map(tuple)
    return st.one_of(
        many.map(Sum),
        many.map(Max),
        many.map(Min),
        inner.map(Abs),
        inner.map(PositivePart),
        st.builds(Scale, signed, inner),
        many.flatmap(lambda of: st.integers(1, len(of)).map(lambda count: SumLargest(count, of))),
    )


expressions: st.SearchStrategy[Expression] = st.recursive(leaves, grow, max_leaves=12)


def grow_convex(inner: st.SearchStrategy[Expression]) -> st.SearchStrategy[Expression]:
    """Return convex expressions over convex ones."""
    many = st.lists(inner, min_size=1, max_size=4).map(tuple)
    return st.one_of(
        many.map(Sum),
        many.map(Max),
        inner.map(PositivePart),
        st.builds(Scale, st.sampled_from([1, 2, 5]), inner),
        many.map(lambda of: Scale(-1, Min(tuple(Scale(-1, each) for each in of)))),
        st.sampled_from([Abs(Linear("a1")), Abs(Reference("d")), Max((Linear("a1"), Linear("a5")))]),
        many.flatmap(lambda of: st.integers(1, len(of)).map(lambda count: SumLargest(count, of))),
    )


convex: st.SearchStrategy[Expression] = st.recursive(leaves, grow_convex, max_leaves=8)
records = st.tuples(st.integers(-(10**6), 10**6), *[st.integers(-(10**4), 10**4)] * 2)


@given(expression=expressions, record=records)
def test_exact_values(plain_value: Plain, expression: Expression, record: tuple[int, ...]) -> None:
    expected = plain_value(POLICY, expression, record)
    assert read(POLICY, expression, Exact(record)) == evaluate_expression(POLICY, expression, record) == expected


@given(expression=expressions, book=st.lists(records, min_size=1, max_size=6))
def test_vectors_over_a_book(plain_value: Plain, expression: Expression, book: list[tuple[int, ...]]) -> None:
    values = forms(POLICY, csr_array(np.array(book, dtype=np.int64)))
    kept = {name: each.copy() for name, each in values.items()}
    # A constant is one value for all accounts.
    found = np.broadcast_to(read(POLICY, expression, Vectors(values)), len(book))
    assert found.tolist() == [plain_value(POLICY, expression, record) for record in book]
    assert all(np.array_equal(values[name], kept[name]) for name in kept), "a form was changed"
    long = {name: each.astype(object) for name, each in values.items()}
    assert value_of(POLICY, expression, long).tolist() == found.tolist()


@given(expression=expressions, record=records)
def test_bound_of_every_magnitude(plain_value: Plain, expression: Expression, record: tuple[int, ...]) -> None:
    bound = read(POLICY, expression, Bound(POLICY, np.array(COEFFICIENTS, dtype=np.int64)))
    limits = [column.limit for column in LAYOUT.columns]
    extreme = [limit if entry > 0 else -limit for entry, limit in zip(record, limits, strict=True)]
    assert abs(plain_value(POLICY, expression, record)) <= bound
    assert abs(plain_value(POLICY, expression, extreme)) <= bound


@pytest.mark.parametrize("count", [1, 2, 3])
def test_bound_is_reached_by_the_largest(plain_value: Plain, count: int) -> None:
    expression = Scale(-2, SumLargest(count, (Linear("a0"), Linear("a0"), Linear("a0"))))
    bound = read(POLICY, expression, Bound(POLICY, np.array(COEFFICIENTS, dtype=np.int64)))
    assert bound == -plain_value(POLICY, expression, (10**6, 0, 0)) == 2 * count * 10**6


@given(expression=st.recursive(arrays, grow_convex, max_leaves=8), record=records)
def test_leaves_hold_the_value(plain_value: Plain, expression: Expression, record: tuple[int, ...]) -> None:
    """A convex expression is at most the sum of what its arrays are worth at best."""
    found = scenario_leaves(POLICY, expression)
    parts = [factor * plain_value(POLICY, Linear(name), record) for name, factor in found]
    assert plain_value(POLICY, expression, record) <= sum(max(0, part) for part in parts)


@given(expression=convex, record=records, step=st.tuples(*[st.integers(-50, 50)] * 6), at=st.integers(-9, 9))
def test_value_and_slope_along_a_ray(
    plain_value: Plain, expression: Expression, record: tuple[int, ...], step: tuple[int, ...], at: int
) -> None:
    source = policy(Definition("w", "of random form", Role.HIDDEN, expression))
    expression = Sum((Reference("w"), expression))
    rays = Rays(source, expression)
    book = csr_array(np.array([record], dtype=np.int64))
    now = rays.now(book)
    assert now[0] == plain_value(source, expression, record)
    one = np.ones(1, dtype=np.int64)
    ray = rays.along(book, np.zeros(1, dtype=np.int64), 3 * one, np.array(step, dtype=np.int64), now)

    def moved(place: int) -> int:
        # Arrays that move with a column of which the account holds one.
        arrays = tuple(
            RiskArray(each.name, each.meaning, (*each.coefficients, 3 * (place - 1) * by))
            for each, by in zip(POLICY.arrays, step, strict=True)
        )
        wide = RecordLayout((*LAYOUT.columns, Column(ColumnKind.BALANCE, "ONE", "1 ONE", 1)))
        there = replace(source, layout=wide, arrays=arrays)
        return plain_value(there, expression, (*record, 1))

    value, slope = (float(each[0]) for each in ray(np.array([float(at)])))
    assert value == moved(at)
    for other in (at - 2, at - 1, at + 1, at + 7):
        assert moved(other) >= value + slope * (other - at), "no slope of a convex function"


@given(needed=convex, record=records)
def test_explanation_adds_up(plain_value: Plain, needed: Expression, record: tuple[int, ...]) -> None:
    whole = Definition("requirement", "covers it", Role.REQUIREMENT, Sum((needed, Reference("u"))))
    own = Definition("equity", "equity", Role.EQUITY, Sum((Linear("a0"), Min((Linear("a4"), Linear("a2"))))))
    gap = Sum((Reference("requirement"), Scale(-1, Reference("equity"))))
    lacking = Definition("shortfall", "shortfall", Role.SHORTFALL, gap)
    hidden = replace(AUXILIARY, role=Role.HIDDEN)
    try:
        compiled = compile_policy(
            replace(POLICY, kind=PolicyKind.SOLVENCY, definitions=(ABBREVIATION, hidden, own, whole, lacking))
        )
    except PolicyError as error:
        assert "zero for every record" in str(error)
        return
    held = [(0, column, units) for column, units in enumerate(record) if units]
    entries = Entries(*(np.array(part, dtype=np.int64) for part in zip(*held, strict=True))) if held else None
    if entries is None:
        return
    shown = explain(compiled, Book.from_entries(LAYOUT, ["a"], [""], np.array([0]), entries), "a")
    assert shown.equity == plain_value(compiled.policy, Reference("equity"), record)
    assert shown.requirement == plain_value(compiled.policy, Reference("requirement"), record)
    assert sum(part.equity for part in shown.parts) == shown.equity
    assert sum(part.requirement for part in shown.parts) == shown.requirement
    assert sum(part.amount for part in shown.components) == shown.requirement


def test_a_definition_is_read_once() -> None:
    """Abbreviations that double one another are read in as many steps as there are of them."""
    doubled = [Definition("x 0", "x", Role.ABBREVIATION, Linear("a0"))]
    for number in range(1, 12):
        twice = Sum((Reference(f"x {number - 1}"), Reference(f"x {number - 1}")))
        doubled.append(Definition(f"x {number}", "x", Role.ABBREVIATION, twice))
    counted: list[str] = []

    class Counting(Exact):
        def linear(self, array: RiskArray) -> int:
            counted.append(array.name)
            return super().linear(array)

    reading = Reading(policy(*doubled), Counting((7, 0, 0)))
    assert reading.of(Reference("x 11")) == 7 * 2**11
    assert counted == ["a0"]


@pytest.mark.parametrize(
    "operator", [PositivePart, lambda of: Scale(2, of), lambda of: Sum((of,)), lambda of: Max((of,))]
)
def test_deepest_nesting(plain_value: Plain, operator: Callable[[Expression], Expression]) -> None:
    expression: Expression = Linear("a0")
    for _ in range(MAX_EXPANDED_DEPTH - 2):
        expression = operator(expression)
    source = policy(Definition("deep", "deep", Role.ABBREVIATION, expression))
    record = (3, 0, 0)
    expected = plain_value(source, expression, record)
    assert evaluate_expression(source, Reference("deep"), record) == expected
    assert {name for name, _ in scenario_leaves(source, Reference("deep"))} == {"a0"}
    values = {f"a{i}": np.array([3 if i == 0 else 0], dtype=object) for i in range(6)}
    assert value_of(source, Reference("deep"), values).tolist() == [expected]


MATCHING = {"expression.py", "reading.py", "compile.py", "policy.py"}
"""Files of the circuits that know every operator: classes and text, the fold, the rows, the versions of the format."""

OPERATORS = {"Amount", "Max", "Min", "Abs", "PositivePart", "SumLargest"}
"""Beside sums, factors, arrays and references, of which anybody may ask what they are."""


def matched(source: str) -> set[str]:
    """Return the operators that a module distinguishes: in patterns and in tests of classes."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.MatchClass):
            found |= {each.id for each in ast.walk(node.cls) if isinstance(each, ast.Name)}
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("isinstance", "type"):
            found |= {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}
    return found & OPERATORS


def test_matched_operators_are_seen() -> None:
    assert matched("match x:\n    case Max(of) | Min(of): ...\n    case Abs(of): ...") == {"Max", "Min", "Abs"}
    assert matched("isinstance(x, SumLargest | Sum)") == {"SumLargest"}
    assert matched("Max((PositivePart(x),))") == set()


@pytest.mark.parametrize("package", [crossmargin, crossmargin_circuits, crossmargin_verifier, crossmargin_prover])
def test_nothing_but_the_reader_matches_on_operators(package: ModuleType) -> None:
    """A new operator is a class, a case of the reader and rows: every other module reads through an algebra."""
    (root,) = package.__path__
    allowed = MATCHING if package is crossmargin_circuits else set()
    found = {
        str(path.relative_to(root)): sorted(matched(path.read_text(encoding="utf-8")))
        for path in sorted(Path(root).rglob("*.py"))
        if path.name not in allowed
    }
    assert {name: operators for name, operators in found.items() if operators} == {}
