"""Full-revaluation scenario margin: today's sixteen scenarios, and every optional part against its formula."""

import hashlib
from decimal import Decimal
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from crossmargin.loading import Parameters, load_parameters
from crossmargin.market.exposures import forward_deltas
from crossmargin.market.scenarios import Scenario
from crossmargin.market.valuation import Valuation
from crossmargin.models import build_policy, parse_model
from crossmargin.models.delta_shock import DeltaShock, published_shock, shock_bound
from crossmargin_circuits.encoding import dump_canonical
from crossmargin_circuits.evaluate import evaluate_expression
from crossmargin_circuits.expression import Reference, expression_to_json
from crossmargin_circuits.layout import ColumnKind
from crossmargin_circuits.policy import Policy

BOOK = Path(__file__).parents[2] / "examples" / "book"
QUANTUM = 1e-8

SCAN = {
    "BTC": {"price_range": "0.15", "volatility_up": "0.4", "volatility_down": "0.25"},
    "ETH": {"price_range": "0.18", "volatility_up": "0.4", "volatility_down": "0.25"},
    "SOL": {"price_range": "0.24", "volatility_up": "0.45", "volatility_down": "0.28"},
}
EXTREME = {"multiple": "2", "covered": "0.35"}
TWO_POINTS = {"price_steps": ["1", "-1"], "volatility": ["unchanged"]}
WIDTHS = {name: Fraction(each["price_range"]) for name, each in SCAN.items()}


@cache
def book() -> Parameters:
    return load_parameters(BOOK)


def data(**more: Any) -> dict[str, Any]:
    return {
        "model": "scenario_portfolio_margin",
        "version": 1,
        "value_unit": {"currency": "USD", "quantum": "0.00000001"},
        "staleness_limit_seconds": 600,
        "scan": SCAN,
        "statements": [{"name": "initial", "factor": "1"}, {"name": "maintenance", "factor": "0.8"}],
        **more,
    }


def policy_of(statement: str = "initial", **more: Any) -> Policy:
    model = parse_model(data(**more))
    assert model.check(book().environment) == []
    return build_policy("test", book().environment, model, statement)


def needed(policy: Policy, vector: list[int], name: str = "requirement") -> float:
    return evaluate_expression(policy, Reference(name), vector) * QUANTUM


def random_record(policy: Policy, seed: int, size: int = 1000) -> list[int]:
    generator = np.random.default_rng(seed)
    amounts: list[int] = generator.integers(-size, size + 1, len(policy.layout)).tolist()
    kept = generator.random(len(amounts)) < 0.3
    coins = [column.kind in (ColumnKind.BALANCE, ColumnKind.ENTRY) for column in policy.layout.columns]
    scaled = [amount * 10**6 if coin else amount for amount, coin in zip(amounts, coins, strict=True)]
    return [amount if keep else 0 for amount, keep in zip(scaled, kept, strict=True)]


def pnl(vector: list[int], prices: dict[str, Fraction], **more: Any) -> float:
    scenario = Scenario(1, "test", prices, more.pop("volatilities", {}), **more)
    return float(book().environment.valuation.scenario_pnl(scenario) @ np.array(vector))


# The integers of the sixteen scenarios on the example book, and the expression, before there were any optional parts.
BEFORE = {
    ("scenario_portfolio_margin", "maintenance"): "3cae39dc352dd5557659d9f2cc2e46fd54b94dccd1c9922938a6928110588ade",
    ("scenario_portfolio_margin", "initial"): "9608630230ff85c7295dbadcb851915838b330f69049a6f168c4969c606da792",
    ("sum_of_underlyings", "maintenance"): "51d1688abfb948c69d9fa146e7be63283ace5559fb0eb47468952b0ded149ea4",
    ("sum_of_underlyings", "initial"): "adcd342674887818f47ea0e26639e344ca43c77b223e6428d32f6553416e8f70",
}


@pytest.mark.parametrize(("model", "statement"), BEFORE)
def test_without_optional_parts_nothing_has_changed(model: str, statement: str) -> None:
    policy = policy_of(statement, model=model, extreme=EXTREME)
    arrays = [
        {"name": array.name, "meaning": array.meaning, "coefficients": list(array.coefficients)}
        for array in policy.arrays
        if array.name.startswith("pnl")
    ]
    requirement = expression_to_json(policy.definition("requirement").expression)
    digest = hashlib.sha256(dump_canonical({"arrays": arrays, "requirement": requirement})).hexdigest()
    assert digest == BEFORE[model, statement]


@given(st.integers(0, 10**6))
@settings(max_examples=10)
def test_tails_count_in_part_and_less_their_dampener(seed: int) -> None:
    tails = [
        {"multiple": "-3", "covered": "0.25", "dampener": "2500"},
        {"move": "0.5", "dampener": "10000", "volatility": "up"},
    ]
    policy = policy_of(grid=TWO_POINTS, tails=tails)
    half = policy_of("maintenance", grid=TWO_POINTS, tails=tails)
    vector = random_record(policy, seed)
    up = {name: Fraction(each["volatility_up"]) for name, each in SCAN.items()}
    losses = [
        -pnl(vector, WIDTHS),
        -pnl(vector, {name: -width for name, width in WIDTHS.items()}),
        -0.25 * pnl(vector, {name: -3 * width for name, width in WIDTHS.items()}) - 2500,
        -pnl(vector, dict.fromkeys(WIDTHS, Fraction(1, 2)), volatilities=up) - 10000,
    ]
    slack = QUANTUM * sum(map(abs, vector))
    assert needed(policy, vector) == pytest.approx(max(0, *losses), abs=slack)
    assert needed(half, vector) == pytest.approx(0.8 * max(0, *losses), abs=slack)


@given(st.integers(0, 10**6), st.sampled_from(["0", "0.3", "0.9"]))
@settings(max_examples=12)
def test_gains_of_an_underlying_count_in_part(seed: int, offset: str) -> None:
    tails = [{"multiple": "2", "dampener": "5000"}]
    policy = policy_of(grid=TWO_POINTS, tails=tails, offset=offset)
    vector, part = random_record(policy, seed), float(offset)
    worst = 0.0
    for step, dampener in ((1, 0), (-1, 0), (2, 5000)):
        gains = [pnl(vector, {name: step * width}) for name, width in WIDTHS.items()]
        worst = max(worst, sum(max(-gain - dampener, 0 if dampener else -part * gain) for gain in gains))
    assert needed(policy, vector) == pytest.approx(worst, abs=2 * QUANTUM * sum(map(abs, vector)) * len(WIDTHS))


@pytest.mark.parametrize("offset", ["0", "0.6"])
def test_what_a_dampened_offset_charges_over_the_published_rule(offset: str) -> None:
    """A dead zone of the dampener on both sides: nothing more for losses, the part that would count of gains beyond."""
    free, part = 100_000, float(offset)
    tails = [{"multiple": sign, "dampener": str(free)} for sign in ("1", "-1")]
    policy = policy_of(grid={"price_steps": ["0"], "volatility": ["unchanged"]}, tails=tails, offset=offset)
    columns = [policy.layout.index(ColumnKind.POSITION, f"{name}_USDC-PERPETUAL") for name in ("BTC", "ETH")]
    seen = set()
    for lots in range(-60_000, 60_001, 5000):
        vector = [0] * len(policy.layout)
        vector[columns[0]], vector[columns[1]] = lots, 100_000
        sides = [[pnl(vector, {name: sign * WIDTHS[name]}) for name in WIDTHS] for sign in (Fraction(1), Fraction(-1))]
        published = max(0, *(sum(max(-g - free, 0) - part * max(g - free, 0) for g in each) for each in sides))
        credit = max(part * sum(max(g - free, 0) for g in each) for each in sides)
        over = needed(policy, vector) - published
        assert -0.01 <= over <= credit + 0.01
        seen.add(round(over) > 0)
    assert seen == ({True, False} if part else {False})
    assert needed(policy, [0] * len(policy.layout)) == 0


@given(st.integers(0, 10**6))
@settings(max_examples=10)
def test_offset_lies_between_joint_and_none(seed: int) -> None:
    policies = [policy_of(grid=TWO_POINTS, offset=part) for part in ("1", "0.9", "0")]
    vector = random_record(policies[0], seed)
    slack = 10 * QUANTUM * sum(map(abs, vector))
    joint, part, none = (needed(policy, vector) for policy in policies)
    alone = needed(policy_of(model="sum_of_underlyings", grid=TWO_POINTS), vector)
    assert joint - slack <= part <= none + slack
    assert none <= alone + slack


@given(st.integers(0, 10**6), st.sampled_from(["floor", "added"]), st.sampled_from(["joint", "alone"]))
@settings(max_examples=16)
def test_minimums(seed: int, rule: str, netting: str) -> None:
    """Rate of the notional of every option sold, USD a unit of the underlying of every contract held."""
    model = "scenario_portfolio_margin" if netting == "joint" else "sum_of_underlyings"
    rates, amounts = {"BTC": 0.03, "SOL": 0.075}, {"BTC": 400.0, "ETH": 9.0}
    minimums = {
        "short_option": {name: str(rate) for name, rate in rates.items()},
        "contract": {name: str(amount) for name, amount in amounts.items()},
        "rule": rule,
    }
    policy = policy_of(model=model, grid=TWO_POINTS, minimums=minimums)
    vector = random_record(policy, seed, 20)
    held = dict(zip((column.name for column in policy.layout.columns), vector, strict=True))
    expected = 0.0
    for members in [tuple(SCAN)] if netting == "joint" else [(name,) for name in SCAN]:
        scan = max(
            0,
            *(-pnl(vector, {name: sign * WIDTHS[name] for name in members}) for sign in (Fraction(1), Fraction(-1))),
        )
        short = contract = 0.0
        for item in book().catalogue.instruments:
            if item.underlying not in members:
                continue
            index = float(book().market.index[item.underlying].price)
            units = float(item.contract_size * item.lot) * held[item.name]
            if item.kind == "option":
                short += rates.get(item.underlying, 0) * index * max(-units, 0)
            elif item.contract == "inverse":
                units /= index
            contract += amounts.get(item.underlying, 0) * abs(units)
        expected += scan + short + contract if rule == "added" else max(scan, short, contract)
    assert needed(policy, vector) == pytest.approx(expected, abs=len(SCAN) * QUANTUM * sum(map(abs, vector)))


def test_roll_risk_by_hand() -> None:
    """100 June futures against as many of September: the index rests, and both are charged by their time."""
    policy = policy_of(grid=TWO_POINTS, roll={"BTC": {"minimum": "0.01", "annual": "0.075"}})
    keys = [column.key for column in policy.layout.columns]
    vector = [1] + [0] * (len(keys) - 1)
    vector[keys.index("position BTC-25APR25")], vector[keys.index("position BTC-26SEP25")] = 1000, -1000
    index = float(book().market.index["BTC"].price)
    # 28 days at 7.5 % a year is less than the minimum of 1 %, 182 days are more.
    april = 1000 * 10 / 85819.5 * index * 0.01
    september = 1000 * 10 / 88094 * index * 0.075 * 182 / 365
    assert needed(policy, vector, "roll risk BTC") == pytest.approx(april + september, rel=1e-6)
    assert needed(policy, vector) == pytest.approx(
        needed(policy, vector, "scanning risk") + april + september, rel=1e-6
    )


@given(st.integers(0, 10**6))
@settings(max_examples=10)
def test_roll_risk_nets_within_an_expiry_alone(seed: int) -> None:
    policy = policy_of(grid=TWO_POINTS, roll={"ETH": {"minimum": "0", "annual": "0.5"}})
    vector = random_record(policy, seed)
    expected = 0.0
    for expiry, deltas in forward_deltas(book().environment.valuation, "ETH").items():
        if expiry is not None:
            years = (expiry - book().market.as_of).total_seconds() / (365 * 86400)
            expected += 0.5 * years * abs(deltas @ np.array(vector))
    assert needed(policy, vector, "roll risk ETH") == pytest.approx(expected, abs=1e-4)


def test_basis_moves_the_dated_against_the_index() -> None:
    policy = policy_of(grid=TWO_POINTS, basis={"BTC": "0.2"})
    keys = [column.key for column in policy.layout.columns]
    linear, inverse = ([1] + [0] * (len(keys) - 1) for _ in range(2))
    linear[keys.index("position BTC_USDC-27JUN25")] = 1000
    inverse[keys.index("position BTC-27JUN25")] = -1000
    years, index, cash = 91 / 365, 85412.37, 0.9999
    assert needed(policy, linear, "basis risk BTC") == pytest.approx(86743 * cash * 0.2 * years, rel=1e-6)
    # Short 10,000 USD of coins at their forward: the mark leg is an asset in coins, worth less where the forward rises.
    value = 1000 * 10 / 86743 * index
    assert needed(policy, inverse, "basis risk BTC") == pytest.approx(value * (1 - 1 / (1 + 0.2 * years)), rel=1e-6)


def test_basis_leaves_spot_and_perpetuals() -> None:
    scenario = Scenario(1, "basis", {}, {}, basis_moves={"BTC": Fraction(1, 5)})
    moved = book().environment.valuation.scenario_pnl(scenario)
    for column, change in zip(book().catalogue.layout().columns, moved, strict=True):
        dated = column.kind is ColumnKind.POSITION and "25" in column.name and column.name.startswith("BTC")
        assert bool(change) == dated, column.key


def test_near_volatilities_move_more() -> None:
    """Thirty days move as published, nearer ones by (30 / days)^short, farther ones by (30 / days)^long."""
    term = {"short": "0.3", "long": "0.13", "minimum": "0.9"}
    model = parse_model(data(grid={"price_steps": ["0"], "volatility": ["up", "down"]}, volatility_term=term))
    up, down = model.points(book().environment)
    for days, power in ((28, 0.3), (91, 0.13), (182, 0.13)):
        rise = 1.2 * (1 + 0.4 * (30 / days) ** power)
        assert up.volatility_term.moved(1.2, 0.4, days / 365) == pytest.approx(rise)
    assert up.volatility_term.moved(0.5, 0.4, 91 / 365) == 0.9
    assert down.volatility_term.moved(0.5, -0.25, 91 / 365) < 0.5
    assert down.volatility_term.moved(0.5, -0.9, 0.5 / 365) == 0
    name = "BTC-27JUN25-100000-C"
    moved = book().market.options[name].model_copy(update={"iv": Decimal("0.9")})
    market = book().market.model_copy(update={"options": {**book().market.options, name: moved}})
    number = book().catalogue.layout().index(ColumnKind.POSITION, name)
    lifted = book().environment.valuation.unit_values(up.only("BTC"))
    assert lifted[number] == pytest.approx(Valuation(book().catalogue, market).unit_values()[number])


SHOCK = {"threshold": "20000000", "slope": "0.0000000006", "cap": "0.1", "rule": "bound"}


def test_delta_shock_is_charged_beyond_the_threshold() -> None:
    policy = policy_of(grid=TWO_POINTS, delta_shock={"BTC": SHOCK})
    number = policy.layout.index(ColumnKind.POSITION, "BTC_USDC-PERPETUAL")
    for lots in (0, 200_000, 1_000_000, -1_000_000):
        vector = [0] * len(policy.layout)
        vector[number] = lots
        delta = abs(lots * 0.001 * 85422.5 * 0.9999)
        expected = (0.0000000006 * 20e6 + 0.1) * max(delta - 20e6, 0)
        assert needed(policy, vector, "delta shock BTC") == pytest.approx(expected, rel=1e-6)


@given(st.integers(0, 10**8), st.integers(1, 10**4), st.integers(1, 100))
def test_delta_shock_bound(threshold: int, slope: int, cap: int) -> None:
    """On or above the rule, equal at the threshold and where the cap begins, over it by what the formulas say."""
    shock = DeltaShock.model_validate(
        {"threshold": str(threshold), "slope": f"{slope / 10**12:.12f}", "cap": f"{cap / 100:.2f}", "rule": "bound"}
    )
    t, m, c = float(threshold), slope / 10**12, cap / 100
    k = t + c / m
    sizes = np.linspace(0, 3 * k, 2001)
    rule, bound = published_shock(shock, sizes), shock_bound(shock, sizes)
    over = bound - rule
    assert np.all(over >= -1e-9 * k)
    inside = (sizes >= t) & (sizes <= k)
    np.testing.assert_allclose(over[inside], (m * (sizes - t) * (k - sizes))[inside], atol=1e-8 * k)
    np.testing.assert_allclose(over[sizes > k], (m * t * (sizes - k))[sizes > k], atol=1e-8 * k)
    assert over[inside].max(initial=0) <= c * c / (4 * m) * (1 + 1e-9)
    part = over[sizes > 0] / sizes[sizes > 0]
    assert part[sizes[sizes > 0] <= k].max() <= m * (np.sqrt(k) - np.sqrt(t)) ** 2 + 1e-9
    for same in (t, k):
        assert shock_bound(shock, same) == pytest.approx(published_shock(shock, same), abs=1e-9 * k)


def test_published_delta_shock_is_not_convex() -> None:
    """Counted: of random pairs of deltas, how often the one between needs more than the mean."""
    shock = DeltaShock.model_validate(SHOCK)
    first, second = np.random.default_rng(1).uniform(-500e6, 500e6, (2, 20000))
    middle = (first + second) / 2
    rule = published_shock(shock, middle) - (published_shock(shock, first) + published_shock(shock, second)) / 2
    bound = shock_bound(shock, middle) - (shock_bound(shock, first) + shock_bound(shock, second)) / 2
    assert np.count_nonzero(rule > 1) == 3891
    assert np.all(bound < 1e-6)


REFUSED = {
    "extreme": (data(), "neither extreme nor grid"),
    "offset": (data(extreme=EXTREME, offset="1.2"), "the lesser of two charges, which is not convex"),
    "offset below": (data(extreme=EXTREME, offset="-0.1"), "a gain that is charged"),
    "offset alone": (data(model="sum_of_underlyings", extreme=EXTREME, offset="0.9"), "remove offset"),
    "tail": (data(extreme=EXTREME, tails=[{"multiple": "-5"}]), "reaches a price of zero"),
    "tail of nothing": (data(extreme=EXTREME, tails=[{"covered": "0.5"}]), "either multiple"),
    "tail twice": (data(extreme=EXTREME, tails=[{"move": "0.5", "multiple": "2"}]), "either multiple"),
    "minimums": (data(extreme=EXTREME, minimums={"rule": "floor"}), "no minimum"),
    "step twice": (data(grid={"price_steps": ["1", "1.0"], "volatility": ["up"]}), "a value twice"),
    "direction": (data(grid={"price_steps": ["1"], "volatility": ["sideways"]}), "neither up, unchanged nor down"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    content, reason = REFUSED[case]
    with pytest.raises(ValidationError, match=reason):
        parse_model(content)


def test_capped_delta_shock_is_refused_with_its_bound() -> None:
    published = {key: value for key, value in SHOCK.items() if key != "rule"}
    with pytest.raises(ValidationError) as caught:
        parse_model(data(extreme=EXTREME, delta_shock={"BTC": published}))
    text = str(caught.value)
    # K = 20m + 0.1 / 6e-10, slope from 6e-10 * 20m + 0.2 to 0.1, rate 0.112, c^2 / 4m, m t / c.
    for figure in ("186,666,666.667", "0.212", "0.112", "4,166,666.66667", "12.00%", "rule: bound"):
        assert figure in text


def test_names_and_moves_that_the_environment_does_not_fit() -> None:
    model = parse_model(
        data(
            extreme=EXTREME,
            roll={"DOGE": {"minimum": "0.01", "annual": "0.1"}},
            basis={"BTC": "2.5"},
            minimums={"short_option": {"USDC": "0.03"}},
            delta_shock={"USDT": SHOCK},
        )
    )
    found = {problem.field: problem for problem in model.check(book().environment)}
    assert set(found) == {"roll.DOGE", "basis.BTC", "minimums.short_option.USDC", "delta_shock.USDT"}
    assert "0.4986 years" in found["basis.BTC"].reason
    assert found["basis.BTC"].hint == "write less than 2.005"


def test_what_holds_depends_on_the_parts() -> None:
    everything = {"subadditive", "monotone", "positively homogeneous", "translation"}
    assert parse_model(data(extreme=EXTREME)).coherent == everything
    assert parse_model(data(extreme=EXTREME, offset="0.9")).coherent == everything
    damped = parse_model(data(extreme=EXTREME, tails=[{"multiple": "3", "dampener": "1"}]))
    assert damped.coherent == {"monotone", "translation"}
    floored = parse_model(data(extreme=EXTREME, minimums={"contract": {"BTC": "1"}}))
    assert floored.coherent == everything - {"monotone"}
