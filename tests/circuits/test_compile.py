"""Compilation of expressions to rows: tight auxiliaries, curvature, bit budget (SPEC S7)."""

import dataclasses
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmargin_circuits.compile import compile_policy
from crossmargin_circuits.errors import BudgetError, CurvatureError, MalformedError, PolicyError
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
    expression_from_json,
    expression_to_json,
    format_expression,
)
from crossmargin_circuits.layout import Column, ColumnKind, RecordLayout
from crossmargin_circuits.policy import Constraint, Definition, Policy, PolicyKind, RiskArray, Role, ValueUnit

Plain = Callable[[Policy, Expression, Sequence[int]], int]

LAYOUT = RecordLayout(
    (
        Column(ColumnKind.BALANCE, "USD", "0.01 USD", 10**9),
        Column(ColumnKind.POSITION, "A", "1 lot", 10**6, "USD"),
        Column(ColumnKind.POSITION, "B", "1 lot", 10**6, "USD"),
    )
)


COEFFICIENTS = ((1, 0, 0), (0, 3, -2), (5, -4, 1), (-7, 2, 2), (1, -1, -1), (0, 1, 0))


def policy(
    *definitions: Definition, constraints: tuple[Constraint, ...] = (), kind: PolicyKind = PolicyKind.CROWDING
) -> Policy:
    """Return a policy over small fixed arrays a0 .. a5."""
    return Policy(
        kind=kind,
        venue="test",
        title="test",
        as_of=0,
        value_unit=ValueUnit("USD", "0.01"),
        layout=LAYOUT,
        arrays=tuple(RiskArray(f"a{i}", f"array {i}", each) for i, each in enumerate(COEFFICIENTS)),
        definitions=definitions,
        constraints=constraints,
    )


def define(expression: Expression, role: Role = Role.EXPOSURE, name: str = "u") -> Definition:
    """Return a definition with a meaning."""
    return Definition(name, f"{name} covers it", role, expression)


leaves: st.SearchStrategy[Expression] = st.one_of(
    st.integers(0, 5).map(lambda i: Linear(f"a{i}")), st.sampled_from([-(10**6), -1, 7]).map(Amount)
)


def affine() -> st.SearchStrategy[Expression]:
    """Affine expressions."""
    return st.recursive(
        leaves,
        lambda inner: (
            st.lists(inner, min_size=1, max_size=3).map(lambda of: Sum(tuple(of)))
            | st.tuples(st.sampled_from([-3, -1, 2]), inner).map(lambda pair: Scale(*pair))
        ),
        max_leaves=3,
    )


def negated(convex: st.SearchStrategy[Expression]) -> st.SearchStrategy[Expression]:
    """Convex expressions written as minus a minimum."""
    return st.lists(convex, min_size=1, max_size=3).map(
        lambda of: Scale(-1, Min(tuple(Scale(-2, child) for child in of)))
    )


def largest(convex: st.SearchStrategy[Expression]) -> st.SearchStrategy[Expression]:
    """Sums of the largest, of every count that a list allows."""
    return st.lists(convex, min_size=1, max_size=4).flatmap(
        lambda of: st.integers(1, len(of)).map(lambda count: SumLargest(count, tuple(of)))
    )


convex = st.recursive(
    affine(),
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3).map(lambda of: Max(tuple(of)))
        | st.lists(inner, min_size=1, max_size=3).map(lambda of: Sum(tuple(of)))
        | inner.map(PositivePart)
        | affine().map(Abs)
        | inner.map(lambda of: Scale(3, of))
        | negated(inner)
        | largest(inner)
    ),
    max_leaves=8,
)
records = st.tuples(st.integers(-(10**9), 10**9), st.integers(-(10**6), 10**6), st.integers(-(10**6), 10**6))


@given(expression=convex, record=records)
def test_tight_auxiliary_is_the_value(plain_value: Plain, expression: Expression, record: tuple[int, ...]) -> None:
    source = policy(define(PositivePart(Sum((expression, Linear("a5"))))), define(Linear("a0"), name="v"))
    try:
        compiled = compile_policy(source)
    except PolicyError as error:
        assert "zero for every record" in str(error)
        return
    auxiliaries, slacks = compiled.witness(record)
    expected = plain_value(source, source.definition("u").expression, record)
    assert auxiliaries[compiled.auxiliary_of["u"]] == expected
    assert min(slacks) >= 0
    assert slacks == compiled.relation.slacks(record, auxiliaries)
    for slack, bound in zip(slacks, compiled.row_bounds, strict=True):
        assert abs(slack) <= bound
    for auxiliary, bound in zip(auxiliaries, compiled.auxiliary_bounds, strict=True):
        assert 0 <= auxiliary <= bound


@given(convex, records)
def test_smaller_auxiliary_breaks_a_row(expression: Expression, record: tuple[int, ...]) -> None:
    source = policy(define(Sum((expression, Linear("a0")))))
    try:
        compiled = compile_policy(source)
    except PolicyError:
        return
    auxiliaries, _ = compiled.witness(record)
    number = compiled.auxiliary_of["u"]
    if auxiliaries[number]:
        auxiliaries[number] -= 1
        assert min(compiled.relation.slacks(record, auxiliaries)) < 0


SOLVENT = (
    define(Linear("a0"), Role.EQUITY, "equity"),
    define(Linear("a5"), Role.REQUIREMENT, "requirement"),
)
GAP = Sum((Reference("requirement"), Scale(-1, Reference("equity"))))


@given(expression=convex, record=records)
def test_constraint_holds_exactly_when_the_expression_is_not_negative(
    plain_value: Plain, expression: Expression, record: tuple[int, ...]
) -> None:
    constraint = Constraint("solvency", "equity covers the requirement", Scale(-1, GAP))
    equity = define(Sum((Linear("a0"), Scale(-1, expression))), Role.EQUITY, "equity")
    source = policy(equity, SOLVENT[1], constraints=(constraint,), kind=PolicyKind.SOLVENCY)
    _, slacks = compile_policy(source).witness(record)
    assert (min(slacks) >= 0) == (plain_value(source, constraint.expression, record) >= 0)


@given(convex)
def test_json_round_trip(expression: Expression) -> None:
    assert expression_from_json(expression_to_json(expression), "x") == expression
    source = policy(define(Sum((expression, Linear("a0")))))
    again = Policy.decode(source.encoded)
    assert again == source
    assert again.encoded == source.encoded
    assert again.digest == source.digest


@pytest.mark.parametrize(
    ("expression", "path"),
    [
        (Min((Linear("a0"), Linear("a1"))), "u: min"),
        (Sum((Linear("a0"), Min((Linear("a1"), Linear("a2"))))), "u > sum[2]: min"),
        (Scale(-1, Max((Linear("a0"), Linear("a1")))), "u > scale: max"),
        (Max((Linear("a0"), Scale(-2, Abs(Linear("a1"))))), "u > max[2] > scale: abs"),
        (Abs(PositivePart(Linear("a0"))), "u > abs: positive-part"),
        (PositivePart(Scale(-1, PositivePart(Linear("a0")))), "u > positive-part > scale: positive-part"),
        (Scale(-1, SumLargest(1, (Linear("a0"), Linear("a1")))), "u > scale: sum-largest"),
        (SumLargest(1, (Linear("a0"), Min((Linear("a1"), Linear("a2"))))), "u > sum-largest[2]: min"),
        (Abs(SumLargest(2, (Linear("a0"), Linear("a1")))), "u > abs: sum-largest"),
    ],
)
def test_non_convex_node_is_refused_with_its_path_and_an_alternative(expression: Expression, path: str) -> None:
    with pytest.raises(CurvatureError) as error:
        policy(define(expression))
    assert str(error.value).startswith(path)
    assert "disjunction" in str(error.value)
    assert "safe bound" in str(error.value)


def test_auxiliary_may_not_be_credited() -> None:
    with pytest.raises(CurvatureError, match="only bounded from below"):
        policy(define(Linear("a0")), define(Scale(-1, Reference("u")), name="v"))


def test_abbreviation_is_checked_where_it_is_used() -> None:
    least = define(Min((Linear("a0"), Linear("a1"))), Role.ABBREVIATION, "least")
    policy(least, define(Scale(-1, Reference("least"))))
    with pytest.raises(CurvatureError, match="u > least: min"):
        policy(least, define(Reference("least")))


def test_equity_must_be_concave() -> None:
    requirement, gap = SOLVENT[1], define(GAP, Role.SHORTFALL, "shortfall")
    convex_equity = define(Max((Linear("a0"), Linear("a1"))), Role.EQUITY, "equity")
    with pytest.raises(CurvatureError, match="equity: max is convex"):
        policy(convex_equity, requirement, gap, kind=PolicyKind.SOLVENCY)


def test_row_beyond_the_budget_is_refused_by_its_label() -> None:
    source = policy(define(Linear("a0")))
    wide = dataclasses.replace(source, arrays=(RiskArray("a0", "too wide", (2**52, 0, 0)), *source.arrays[1:]))
    with pytest.raises(BudgetError, match=r"u covers it.*83 bits.*63"):
        compile_policy(wide)


def test_labels_are_for_people() -> None:
    source = policy(define(Max((Linear("a1"), Linear("a2"), Amount(-7)))))
    relation = compile_policy(source).relation
    assert [row.label for row in relation.rows] == [f"{each}: u covers it" for each in ("array 1", "array 2", "amount")]
    assert [row.offset for row in relation.rows] == [0, 0, 7]
    assert relation.auxiliaries[0].label == "u"
    assert relation.auxiliaries[0].disclosed


def test_formula() -> None:
    formula = Sum((Scale(2, PositivePart(Linear("a"))), Scale(-1, Min((Linear("b"), Linear("c")))), Abs(Linear("d"))))
    assert format_expression(formula) == "2 * max(0, a) - min(b, c) + |d|"


@pytest.mark.parametrize(
    "tree",
    [
        [],
        {"op": "linear"},
        {"op": "linear", "array": ""},
        {"op": "linear", "array": "a", "extra": 1},
        {"op": "scale", "by": 0, "of": {"op": "linear", "array": "a"}},
        {"op": "scale", "by": True, "of": {"op": "linear", "array": "a"}},
        {"op": "max", "of": []},
        {"op": "max", "of": {"op": "linear", "array": "a"}},
        {"op": "exp", "of": {"op": "linear", "array": "a"}},
        {"op": "sum-largest", "of": [{"op": "linear", "array": "a"}]},
        {"op": "sum-largest", "count": 1, "of": []},
        {"op": "sum-largest", "count": 1, "of": {"op": "linear", "array": "a"}},
        {"op": "sum-largest", "count": 0, "of": [{"op": "linear", "array": "a"}]},
        {"op": "sum-largest", "count": 2, "of": [{"op": "linear", "array": "a"}]},
        {"op": "sum-largest", "count": -1, "of": [{"op": "linear", "array": "a"}]},
        {"op": "sum-largest", "count": True, "of": [{"op": "linear", "array": "a"}]},
        {"op": "sum-largest", "count": "1", "of": [{"op": "linear", "array": "a"}]},
        {"op": "sum-largest", "count": [1], "of": [{"op": "linear", "array": "a"}]},
        {"op": "amount"},
        {"op": "amount", "amount": 0},
        {"op": "amount", "amount": True},
        {"op": "amount", "amount": 1.0},
        {"op": "amount", "amount": "1"},
        {"op": "amount", "amount": 2**53},
        {"op": "amount", "amount": -(2**53)},
        {"op": "amount", "amount": 1, "of": []},
        {"op": "sum", "count": 1, "of": [{"op": "linear", "array": "a"}]},
    ],
)
def test_malformed_tree_is_refused(tree: object) -> None:
    with pytest.raises(MalformedError):
        expression_from_json(tree, "policy")


def test_equal_labels_are_numbered() -> None:
    terms = tuple(Scale(by, Linear("a1")) for by in (1, 2, 3))
    source = policy(define(Max(terms)))
    labels = [row.label for row in compile_policy(source).relation.rows]
    assert labels == ["array 1: u covers it", "array 1: u covers it (2)", "array 1: u covers it (3)"]


def test_doubling_abbreviations_are_refused_before_they_are_expanded() -> None:
    bomb = [define(Linear("a0"), Role.ABBREVIATION, "d0")]
    for level in range(1, 60):
        both = Sum((Reference(f"d{level - 1}"), Reference(f"d{level - 1}")))
        bomb.append(define(both, Role.ABBREVIATION, f"d{level}"))
    with pytest.raises(PolicyError, match="too large with abbreviations written out"):
        policy(*bomb)


def test_long_chain_of_abbreviations_is_refused() -> None:
    chain = [define(Linear("a0"), Role.ABBREVIATION, "d0")]
    chain += [define(Reference(f"d{level - 1}"), Role.ABBREVIATION, f"d{level}") for level in range(1, 300)]
    with pytest.raises(PolicyError, match="200 levels"):
        policy(*chain)
