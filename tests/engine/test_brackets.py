"""Bracket tables against published ones, their rows, and chords against curves and the theory of their over-charge."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from crossmargin.errors import InputError, InputErrors
from crossmargin.loading import Parameters, load_margin_model
from crossmargin.market.environment import MarketEnvironment
from crossmargin.models.brackets import BracketTable, bracketed
from crossmargin.models.chords import LinearInSize, Power, greatest_overcharge
from crossmargin.models.policy_builder import PolicyBuilder, added
from crossmargin_circuits.compile import CompiledPolicy, compile_policy
from crossmargin_circuits.expression import Scale, Sum
from crossmargin_circuits.layout import ColumnKind
from crossmargin_circuits.policy import Policy, PolicyKind, Role, ValueUnit

FIGURES = json.loads((Path(__file__).parents[1] / "vectors" / "binance_brackets.json").read_text(encoding="utf-8"))
TABLES: dict[str, list[dict[str, str]]] = FIGURES["tables"]
BROKEN = "AAVE"
SOUND = sorted(set(TABLES) - {BROKEN})


def table(tiers: Any) -> BracketTable:
    return BracketTable.model_validate({"tiers": tiers})


def without_amounts(tiers: list[dict[str, str]]) -> list[dict[str, str]]:
    return [{"from": tier["from"], "rate": tier["rate"]} for tier in tiers]


def refusal(tiers: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        table(tiers)
    (detail,) = caught.value.errors()
    return f"{detail['ctx']['field']}: {detail['msg']}"


@pytest.mark.parametrize("name", SOUND)
def test_published_amounts_are_the_continuous_ones(name: str) -> None:
    stated = [(Decimal(tier["rate"]), Decimal(tier["amount"])) for tier in TABLES[name]]
    assert list(table(without_amounts(TABLES[name])).pieces) == stated
    assert list(table(TABLES[name]).pieces) == stated


def test_discontinuous_table_is_refused_with_tier_and_figure() -> None:
    """The table of AAVE jumps at 5,000: 5,000 (0.02 - 0.01) is 50, not 75."""
    said = refusal(TABLES[BROKEN])
    assert said.startswith(
        "[1].amount: tier 2 (from 5000) is discontinuous: with amount 75 the requirement jumps by -25"
    )
    assert 'write amount: "50"' in said


def test_every_tier_of_the_broken_table_is_found() -> None:
    """Correcting the amount that is named leads to the next tier that is wrong, and in the end to a table."""
    tiers = [dict(tier) for tier in TABLES[BROKEN]]
    right = ["0", "50", "800", "5800", "12050", "3762050"]
    for number in range(1, len(tiers)):
        said = refusal(tiers)
        assert said.startswith(f"[{number}].amount: tier {number + 1} (from {tiers[number]['from']})")
        assert f'write amount: "{right[number]}"' in said
        tiers[number]["amount"] = right[number]
    assert [amount for _, amount in table(tiers).pieces] == [Decimal(text) for text in right]


@pytest.mark.parametrize("case", FIGURES["lookups"], ids=lambda case: f"{case['symbol']} {case['notional']}")
def test_published_look_ups(case: dict[str, str]) -> None:
    notional = Decimal(case["notional"])
    expected = Decimal(case["rate"]) * notional - Decimal(case["amount"])
    assert table(TABLES[case["symbol"]]).requirement(notional) == expected
    assert table(TABLES[case["symbol"]]).requirement(-notional) == expected


def test_published_amount_of_a_coin_margined_tier() -> None:
    """The FAQ gives one step alone, from 0.56 at 2.5 %; tiers below that lead there are written for the test."""
    step = FIGURES["coin_margined_btcusd"]["tier"]
    below = [
        {"from": "0", "rate": "0.011"},
        {"from": "40", "rate": step["rate_before"], "amount": step["amount_before"]},
    ]
    last = {"from": step["from"], "rate": step["rate"]}
    assert table([*below, last]).pieces[-1] == (Decimal(step["rate"]), Decimal(step["amount"]))
    assert "write amount" in refusal([*below, {**last, "amount": "1.83"}])


@pytest.mark.parametrize(
    ("tiers", "said"),
    [
        ([{"from": "1", "rate": "0.01"}], '[0].from: tier 1 begins at 1; write from: "0"'),
        ([{"from": "0", "rate": "0.01", "amount": "5"}], "[0].amount: tier 1 deducts 5"),
        (
            [{"from": "0", "rate": "0.01"}, {"from": "0", "rate": "0.02"}],
            "[1].from: tier 2 (from 0) does not begin above",
        ),
        (
            [{"from": "0", "rate": "0.02"}, {"from": "100", "rate": "0.01"}],
            "[1].rate: tier 2 (from 100): the rate falls from 0.02 to 0.01, so that the requirement is not convex",
        ),
    ],
)
def test_refused_tables(tiers: list[dict[str, str]], said: str) -> None:
    assert refusal(tiers).startswith(said)


@pytest.mark.parametrize(("amount", "accepted"), [("49.99", True), ("50.01", True), ("49.98", False), ("50.02", False)])
def test_amounts_may_be_rounded_to_a_hundredth(amount: str, accepted: bool) -> None:
    tiers = [{"from": "0", "rate": "0.004"}, {"from": "50000", "rate": "0.005", "amount": amount}]
    if not accepted:
        assert 'write amount: "50"' in refusal(tiers)
        return
    rounded = table(tiers)
    for notional in map(Decimal, ("0", "49990", "50000", "50010", "70000")):
        tier = max((each for each in rounded.tiers if each.start <= notional), key=lambda each: each.start)
        published = tier.rate * notional - (tier.amount or 0)
        assert 0 <= rounded.requirement(notional) - published <= Decimal("0.01")


def test_a_file_is_refused_with_line_and_field(tmp_path: Path) -> None:
    text = Path(__file__).parents[2].joinpath("examples/models/cross_margin.yaml").read_text(encoding="utf-8")
    file = tmp_path / "model.yaml"
    file.write_text(text.replace("amount: '16300'", "amount: '16030'"), encoding="utf-8")
    with pytest.raises(InputErrors) as caught:
        load_margin_model(file)
    (problem,) = caught.value.problems
    assert problem.field == "futures.BTC.tiers[3].amount"
    assert problem.line == 1 + text.split("\n").index(next(x for x in text.split("\n") if "16300" in x))
    assert '"16300"' in problem.hint or '"16300"' in problem.reason


# Rows.


def compiled_terms(environment: MarketEnvironment, tables: list[Any], quantum: str = "0.00000001") -> CompiledPolicy:
    """Return the margins of BTC_USDC-PERPETUAL, lots of 85 USD, by several tables, added up."""
    builder = PolicyBuilder(environment, Decimal(quantum), Decimal(1), "initial")
    notionals = np.zeros(len(builder.layout))
    notionals[builder.layout.index(ColumnKind.POSITION, "BTC_USDC-PERPETUAL")] = 85.0
    needed = added([bracketed(builder, f"P{n}", table(tiers), notionals) for n, tiers in enumerate(tables)])
    requirement = builder.define("requirement", "requirement", Role.REQUIREMENT, needed)
    cash = builder.value("cash", "cash", builder.valuation.unit_values())
    collateral = builder.define("equity", "cash", Role.EQUITY, cash)
    gap = Sum((requirement, Scale(-1, collateral)))
    builder.define("shortfall", "equity - requirement + shortfall >= 0", Role.SHORTFALL, gap)
    return compile_policy(
        Policy(
            kind=PolicyKind.SOLVENCY,
            venue="test",
            title="brackets",
            as_of=0,
            value_unit=ValueUnit("USD", quantum),
            layout=builder.layout,
            arrays=tuple(builder.arrays),
            definitions=tuple(builder.definitions),
            constraints=(),
        )
    )


def requirement(compiled: CompiledPolicy, lots: int) -> int:
    record = [0] * len(compiled.policy.layout)
    record[compiled.policy.layout.index(ColumnKind.POSITION, "BTC_USDC-PERPETUAL")] = lots
    auxiliaries, slacks = compiled.witness(record)
    assert min(slacks) >= 0
    return auxiliaries[compiled.auxiliary_of["requirement"]]


def rising(count: int) -> list[dict[str, str]]:
    """Return tiers at 0, 100000, 200000 .. with rates of 1 %, 2 % .."""
    return [{"from": str(100000 * number), "rate": f"0.0{number + 1}"} for number in range(count)]


@pytest.mark.parametrize("count", range(1, 8))
def test_values_of_both_forms(parameters: Parameters, count: int) -> None:
    """Where the rates are whole quanta, the relation's tight requirement is that of the table exactly."""
    compiled = compiled_terms(parameters.environment, [rising(count), rising(2)])
    assert bool(compiled.policy.with_role(Role.HIDDEN)) == (count > 3)
    for lots in (0, 1, -1, 588, -1177, 2353, 5000, -9000, 10**6, -(10**6)):
        notional = Decimal(85) * lots
        exact = table(rising(count)).requirement(notional) + table(rising(2)).requirement(notional)
        assert requirement(compiled, lots) == exact * 10**8


@pytest.mark.parametrize(("count", "cost"), [(1, 2), (2, 2 * 2), (3, 2 * 3), (4, 4 + 3), (7, 7 + 3)])
def test_cost_of_a_table_in_rows_and_auxiliaries(parameters: Parameters, count: int, cost: int) -> None:
    """2K for the first form, K + 3 for the second, beside a wider maximum."""

    def size(tables: list[Any]) -> int:
        relation = compiled_terms(parameters.environment, tables).relation
        return len(relation.rows) + len(relation.auxiliaries)

    assert size([rising(9), rising(count)]) - size([rising(9)]) == cost


def test_too_coarse_a_quantum_for_a_rate_is_refused(parameters: Parameters) -> None:
    with pytest.raises(InputError, match="more than one part in 1000") as caught:
        compiled_terms(parameters.environment, [rising(2)], quantum="0.01")
    assert caught.value.field == "value_unit.quantum"


def test_uneven_rates_keep_the_exact_form(parameters: Parameters) -> None:
    """Rates whose common divisor is a fraction of a quantum for each lot are written without the notional."""
    tiers = [{"from": str(number * 100000), "rate": f"0.0{number + 1}"} for number in range(5)]
    tiers[2]["rate"] = "0.0312345678"
    compiled = compiled_terms(parameters.environment, [tiers])
    assert not compiled.policy.with_role(Role.HIDDEN)
    for lots in (1000, -2500, 9000):
        exact = table(tiers).requirement(Decimal(85) * lots) * 10**8
        # Half a quantum for a lot, and one for the amount.
        assert abs(requirement(compiled, lots) - exact) <= Decimal(abs(lots)) / 2 + 1


# Chords.


def deribit(knots: list[str]) -> LinearInSize:
    return LinearInSize.model_validate({"base": "0.02", "slope": "0.00005", "knots": knots})


def test_quadratic_overcharge_is_that_of_the_theory() -> None:
    curve = deribit(["25", "50", "100", "200", "350"])
    base, slope = 0.02, 0.00005
    ratio = base / slope
    for low, high in ((25, 50), (50, 100), (100, 200), (200, 350)):
        size = (low * high + (low * high * (low + ratio) * (high + ratio)) ** 0.5) / (low + high + ratio)
        theory = slope * (size - low) * (high - size) / (base + slope * size) / size
        assert greatest_overcharge(curve, low, high) == pytest.approx(theory, rel=1e-6)
    assert greatest_overcharge(curve, 25, 350) == pytest.approx(0.03175, abs=5e-6)
    # Below the first knot 25 s / r at sizes near zero.
    assert greatest_overcharge(curve, 1e-6, 25) == pytest.approx(25 * slope / base, rel=1e-5)


def test_doubling_knots_overcharge_a_power_of_three_halves_by_less_than_4_6_percent() -> None:
    curve = Power.model_validate({"coefficient": "0.001", "exponent": "1.5", "first": "1", "up_to": "1000"})
    assert curve.last == 1024
    peak = 1.5 * (2**1.5 - 2) / (0.5 * (2**1.5 - 1))
    theory = (1 + (2**1.5 - 1) * (peak - 1)) / peak**1.5 - 1
    assert theory == pytest.approx(0.0455, abs=5e-5)
    for low in (1, 2, 32, 512):
        assert greatest_overcharge(curve, low, 2 * low) == pytest.approx(theory, rel=1e-6)


def test_chords_of_a_power_with_a_floor() -> None:
    """max(5 % x, 4 % x + c x^1.5): flat up to 2,500, where the curve takes over."""
    curve = Power.model_validate(
        {"floor": "0.05", "base": "0.04", "coefficient": "0.0002", "exponent": "1.5", "first": "2500", "up_to": "80000"}
    )
    assert curve.table.pieces[0] == (Decimal("0.05"), 0)
    assert greatest_overcharge(curve, 1, 2500) <= 1e-12
    assert 0.012 < greatest_overcharge(curve, 2500, 80000) < 0.0456


@given(
    base=st.decimals("0.001", "0.1", places=4),
    slope=st.decimals("0.0000001", "0.00001", places=7),
    above=st.integers(0, 300),
    knots=st.lists(st.integers(1, 1000), min_size=1, max_size=8, unique=True).map(sorted),
    size=st.decimals("0", "1000", places=3),
)
def test_chords_lie_above_the_curve_and_meet_it_at_knots(
    base: Decimal, slope: Decimal, above: int, knots: list[int], size: Decimal
) -> None:
    curve = LinearInSize.model_validate({"base": base, "slope": slope, "above": above, "knots": knots})

    def exact(x: Decimal) -> Decimal:
        return x * base + x * slope * max(Decimal(0), x - above)

    if size <= curve.last:
        assert curve.table.requirement(size) >= exact(size)
    for knot in map(Decimal, knots):
        assert 0 <= curve.table.requirement(knot) - exact(knot) <= knot * Decimal("1e-12")


def test_beyond_the_last_knot_chords_would_lie_below() -> None:
    """Why limits must end at the last knot: this is the unsafe side."""
    curve = deribit(["100"])
    assert curve.table.requirement(Decimal(101)) < Decimal(101) * (Decimal("0.02") + 101 * Decimal("0.00005"))


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ({"base": "0.02", "slope": "0.01", "knots": ["10", "100"]}, "between sizes 10 and 100 the rate is above 1"),
        ({"base": "0.02", "slope": "0.01", "knots": ["10", "10"]}, "the knots do not rise"),
    ],
)
def test_refused_curves(shape: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        LinearInSize.model_validate(shape)
