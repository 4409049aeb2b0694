"""The sum of the largest: rows that force it whatever the threshold, its budget and its limits."""

import dataclasses
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmargin_circuits.compile import compile_policy
from crossmargin_circuits.derivation import Threshold
from crossmargin_circuits.errors import BudgetError, MalformedError, PolicyError
from crossmargin_circuits.evaluate import evaluate_expression, scenario_leaves, worst_scenario
from crossmargin_circuits.expression import (
    Amount,
    Expression,
    Linear,
    Max,
    PositivePart,
    Reference,
    Scale,
    Sum,
    SumLargest,
    format_expression,
)
from crossmargin_circuits.layout import Column, ColumnKind, RecordLayout
from crossmargin_circuits.policy import Definition, Policy, PolicyKind, RiskArray, Role, ValueUnit

LAYOUT = RecordLayout(
    (
        Column(ColumnKind.BALANCE, "USD", "1 USD", 1),
        *(Column(ColumnKind.POSITION, f"P{number}", "1 lot", 10**6, "USD") for number in range(3)),
    )
)


def policy(*definitions: Definition, scenarios: int = 5, seed: int = 1, scale: int = 100) -> Policy:
    """Return a policy over random scenario arrays s0, s1, .. that leave the balance out."""
    drawn = np.random.default_rng(seed).integers(-scale, scale, (scenarios, 3))
    arrays = tuple(
        RiskArray(f"s{number}", f"scenario {number}", (0, *map(int, row))) for number, row in enumerate(drawn)
    )
    return Policy(PolicyKind.CROWDING, "test", "test", 0, ValueUnit("USD", "0.01"), LAYOUT, arrays, definitions, ())


def scenarios(count: int) -> tuple[Expression, ...]:
    return tuple(Linear(f"s{number}") for number in range(count))


def define(expression: Expression, role: Role = Role.EXPOSURE, name: str = "u") -> Definition:
    return Definition(name, f"{name} covers it", role, expression)


positions = st.tuples(st.just(0), *[st.integers(-(10**6), 10**6) for _ in range(3)])


@given(st.data(), positions, st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_no_threshold_and_no_excesses_lower_the_value(
    data: st.DataObject, record: tuple[int, ...], count: int, seed: int
) -> None:
    """Whatever auxiliaries satisfy the rows, the value is at least the sum of the largest: chosen here, not derived."""
    source = policy(define(SumLargest(count, (*scenarios(4), Max(scenarios(5))))), seed=seed)
    compiled = compile_policy(source)
    losses = [evaluate_expression(source, each, record) for each in (*scenarios(4), Max(scenarios(5)))]
    true = max(sum(chosen) for chosen in combinations(losses, count))
    auxiliaries, _ = compiled.witness(record)
    number = compiled.auxiliary_of["u"]
    assert auxiliaries[number] == max(0, true)
    if 1 < count < 5:
        above, below = data.draw(st.integers(0, 10**9)), data.draw(st.integers(0, 10**9))
        excesses = [max(0, loss - above + below) + data.draw(st.integers(0, 5)) for loss in losses]
        auxiliaries[:7] = [above, below, *excesses]
        bought = count * (above - below) + sum(excesses)
        assert bought >= true
        auxiliaries[number] = max(0, bought)
        assert min(compiled.relation.slacks(record, auxiliaries)) >= 0
        if bought > 0:
            auxiliaries[number] -= 1
            assert min(compiled.relation.slacks(record, auxiliaries)) < 0


@pytest.mark.parametrize("which", range(5))
def test_excess_below_its_operand_breaks_a_row(which: int) -> None:
    source = policy(define(SumLargest(2, scenarios(5))))
    compiled = compile_policy(source)
    for record in ((0, 500, -300, 77), (0, -40, 10**6, 3), (0, 0, 0, -9)):
        auxiliaries, _ = compiled.witness(record)
        if auxiliaries[2 + which]:
            auxiliaries[2 + which] -= 1
            assert min(compiled.relation.slacks(record, auxiliaries)) < 0


def test_one_and_all_of_the_operands_cost_no_threshold() -> None:
    def rows(expression: Expression) -> list[tuple[Any, ...]]:
        relation = compile_policy(policy(define(expression))).relation
        assert len(relation.auxiliaries) == 1
        return [(row.base, row.auxiliary) for row in relation.rows]

    assert rows(SumLargest(1, scenarios(5))) == rows(Max(scenarios(5)))
    assert rows(SumLargest(5, scenarios(5))) == rows(Sum(scenarios(5)))
    assert rows(SumLargest(1, scenarios(1))) == rows(Linear("s0"))


def test_expected_shortfall_costs_two_auxiliaries_and_one_for_each_scenario() -> None:
    compiled = compile_policy(policy(define(PositivePart(SumLargest(7, scenarios(250)))), scenarios=250))
    assert len(compiled.relation.auxiliaries) == 250 + 2 + 1
    assert len(compiled.relation.rows) == 250 + 1
    assert [type(each) for each in compiled.derivations[:2]] == [Threshold, Threshold]


def test_reference_beside_its_own_sum_of_the_largest() -> None:
    """An abbreviation that is used twice is compiled twice; an auxiliary once, and earlier."""
    shared = define(SumLargest(2, scenarios(4)), Role.ABBREVIATION, "shared")
    first = define(PositivePart(Reference("shared")), name="first")
    second = define(SumLargest(2, (Reference("first"), Reference("shared"), Linear("s4"))), name="second")
    source = policy(shared, first, second)
    compiled = compile_policy(source)
    for record in ((0, 5, -3, 8), (0, -500, 100, 1), (0, 0, 0, 0)):
        auxiliaries, slacks = compiled.witness(record)
        assert min(slacks) >= 0
        for name in ("first", "second"):
            expected = max(0, evaluate_expression(source, source.definition(name).expression, record))
            assert auxiliaries[compiled.auxiliary_of[name]] == expected


def test_excesses_of_many_scenarios_do_not_exhaust_the_budget() -> None:
    """Of 250 excesses six are above zero at most: the bound is some three times the requirement, not hundreds."""
    compiled = compile_policy(policy(define(SumLargest(7, scenarios(250))), scenarios=250))
    largest = max(sum(abs(c) * 10**6 for c in row.base) for row in compiled.relation.rows)
    assert compiled.auxiliary_bounds[-1] <= 3 * 7 * largest
    # 300 * 10^6 * 2^32, seven times, is 2^63.
    with pytest.raises(BudgetError):
        compile_policy(policy(define(SumLargest(7, scenarios(250))), scenarios=250, scale=2**40))


def test_bounds_hold_at_the_limits() -> None:
    """At records of the greatest magnitude, all signs: no auxiliary and no slack is beyond its bound."""
    compiled = compile_policy(policy(define(SumLargest(3, scenarios(5)))))
    for signs in range(8):
        record = (0, *((1 if signs >> bit & 1 else -1) * 10**6 for bit in range(3)))
        auxiliaries, slacks = compiled.witness(record)
        assert all(abs(slack) <= bound for slack, bound in zip(slacks, compiled.row_bounds, strict=True))
        assert all(each <= bound for each, bound in zip(auxiliaries, compiled.auxiliary_bounds, strict=True))


def test_formula_of_many_scenarios_is_short_only_where_they_are_numbered() -> None:
    def losses(*numbers: int) -> tuple[Expression, ...]:
        return tuple(Scale(-1, Linear(f"pnl {number}")) for number in numbers)

    assert format_expression(SumLargest(3, losses(*range(5, 26)))) == "sum of the 3 largest of (-pnl 5, .., -pnl 25)"
    few = format_expression(Max(losses(*range(1, 21))))
    assert few.count("pnl") == 20
    gap = format_expression(Max(losses(*range(1, 21), 22)))
    assert gap.count("pnl") == 21
    other = format_expression(Max((*losses(*range(1, 21)), Linear("pnl 21"))))
    assert other.count("pnl") == 21


nested = st.recursive(
    st.one_of(
        st.integers(0, 4).map(lambda number: Linear(f"s{number}")), st.sampled_from([-(10**8), 5, 10**8]).map(Amount)
    ),
    lambda inner: (
        st.lists(inner, min_size=2, max_size=4).flatmap(
            lambda of: st.integers(1, len(of)).map(lambda count: SumLargest(count, tuple(of)))
        )
        | st.lists(inner, min_size=1, max_size=3).map(lambda of: Sum(tuple(of)))
        | st.lists(inner, min_size=1, max_size=3).map(lambda of: Max(tuple(of)))
        | inner.map(lambda of: Scale(3, of))
        | inner.map(PositivePart)
    ),
    max_leaves=10,
)


@given(nested, nested, st.integers(0, 2**32 - 1), st.lists(positions, min_size=1, max_size=5))
def test_bounds_hold_for_every_partial_sum(
    first: Expression, second: Expression, seed: int, records: list[tuple[int, ...]]
) -> None:
    """The magnitudes of all terms of a row, added up, stay within its bound, so every order of adding them does."""
    other = Sum((SumLargest(2, (Reference("u"), Linear("s1"), Linear("s2"))), second))
    source = policy(define(first), define(other, name="v"), seed=seed)
    try:
        compiled = compile_policy(source)
    except PolicyError:
        return
    corners = [(0, *(10**6 if signs >> bit & 1 else -(10**6) for bit in range(3))) for signs in range(8)]
    for record in (*records, *corners):
        auxiliaries, slacks = compiled.witness(record)
        assert min(slacks) >= 0
        assert all(each <= bound for each, bound in zip(auxiliaries, compiled.auxiliary_bounds, strict=True))
        for row, bound in zip(compiled.relation.rows, compiled.row_bounds, strict=True):
            parts = [abs(c * x) for c, x in zip(row.base, record, strict=True)]
            parts += [abs(c * u) for c, u in zip(row.auxiliary, auxiliaries, strict=True)]
            assert sum(parts) + abs(row.offset) <= bound
        for name in ("u", "v"):
            value = evaluate_expression(source, source.definition(name).expression, record)
            assert auxiliaries[compiled.auxiliary_of[name]] == max(0, value)


def test_coefficient_of_an_auxiliary_that_is_always_zero_is_within_the_budget() -> None:
    """Nothing but the budget bounds it: the coefficients of a relation have 128 bits in its file."""
    zero: Expression = SumLargest(2, tuple(Linear("none") for _ in range(3)))
    for _ in range(3):
        zero = Scale(2**53 - 1, zero)
    none, some = RiskArray("none", "nothing", (0, 0, 0, 0)), RiskArray("some", "something", (0, 1, 0, 0))
    charged = define(Sum((zero, Linear("some"))))
    base = policy(define(Linear("s0")))
    source = dataclasses.replace(base, arrays=(none, some), definitions=(charged,))
    with pytest.raises(BudgetError):
        compile_policy(source)


def test_formula_of_a_long_operand_before_many_is_shown() -> None:
    """A run is compared operand by operand: 20,000 times the text of the first one would be 20 GB."""
    first = Sum(tuple(Linear("s " + 490 * "a " + "1") for _ in range(1_000)))
    shown = format_expression(Max((first, *(Linear("s0") for _ in range(20_000)))))
    assert shown.endswith(", s0)")


def test_pieces_with_many_auxiliaries_are_refused() -> None:
    wide = tuple(Linear(f"s{number}") for number in range(600))
    expression: Expression = Sum((SumLargest(2, wide), Max(wide)))
    chain = []
    for level in range(6):
        for _ in range(28):
            expression = Scale(1, expression)
        chain.append(define(expression, Role.ABBREVIATION, f"d{level}"))
        expression = Reference(f"d{level}")
    with pytest.raises(PolicyError, match="too much work"):
        compile_policy(policy(*chain, define(expression), scenarios=600))


def test_formula_and_worst_scenario() -> None:
    expression = Sum((Scale(2, SumLargest(2, scenarios(3))), Scale(-1, Linear("s3"))))
    assert format_expression(expression) == "2 * sum of the 2 largest of (s0, s1, s2) - s3"
    assert list(scenario_leaves(policy(define(expression)), expression)) == [
        ("s0", 2),
        ("s1", 2),
        ("s2", 2),
        ("s3", -1),
    ]
    source = policy(define(expression))
    record = (0, 100, 0, 0)
    losses = [evaluate_expression(source, each, record) for each in scenarios(5)]
    found = worst_scenario(source, SumLargest(3, scenarios(5)), record)
    assert found == f"s{losses.index(max(losses))}"


@pytest.mark.parametrize("count", [0, 6, -1, True, 1.0])
def test_count_beyond_the_operands_is_refused(count: Any) -> None:
    with pytest.raises(MalformedError, match="from 1 to 5"):
        SumLargest(count, scenarios(5))


def test_thousands_of_nested_operands_are_refused() -> None:
    """More auxiliaries times rows than a relation may have, wide or deep; and more nodes than a policy may have."""
    with pytest.raises(BudgetError, match="needs more than 2097152 coefficients"):
        compile_policy(policy(define(SumLargest(2, tuple(Linear("s0") for _ in range(3_000))))))
    with pytest.raises(BudgetError, match="needs more than 2097152 coefficients"):
        compile_policy(policy(define(Sum(tuple(SumLargest(2, scenarios(3)) for _ in range(3_000))))))
    deep: Expression = Linear("s0")
    for _ in range(12):
        deep = SumLargest(2, (deep, *scenarios(5), Max((Linear("s1"), deep))))
    with pytest.raises((BudgetError, PolicyError)):
        compile_policy(policy(define(deep)))


def test_exposures_are_opened_and_any_number_of_them() -> None:
    source = policy(*(define(Max(scenarios(2)), Role.EXPOSURE, f"gross {number}") for number in range(3)))
    compiled = compile_policy(source)
    assert compiled.relation.disclosed == (0, 1, 2)
    assert str(source.definitions[0]) == "gross 0 >= max(s0, s1)  (exposure, total opened)"


def test_exposure_has_no_subject() -> None:
    with pytest.raises(PolicyError, match="subject"):
        policy(Definition("gross", "gross", Role.EXPOSURE, Linear("s0"), "BTC"))
