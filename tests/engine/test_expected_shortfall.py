"""Expected shortfall against the plain mean of the largest losses, its properties, and what is refused and why."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import ValidationError
from scipy.sparse import csr_array

from crossmargin.engine.evaluate import evaluate, witness
from crossmargin.loading import Inputs, load_folder, load_margin_model
from crossmargin.market.environment import MarketEnvironment
from crossmargin.market.history import PriceHistory
from crossmargin.market.instruments import Catalogue
from crossmargin.market.prices import Market
from crossmargin.market.returns import filtered_moves, moves, rows_between
from crossmargin.market.scenarios import Scenario
from crossmargin.market.valuation import black76
from crossmargin.models import build_policy
from crossmargin.models.expected_shortfall import ExpectedShortfallModel
from crossmargin_circuits.compile import CompiledPolicy, compile_policy
from crossmargin_circuits.layout import ColumnKind

Floats = NDArray[np.float64]

EXAMPLES = Path(__file__).parents[2] / "examples"
AS_OF = datetime(2025, 3, 28, 8, tzinfo=UTC)
DAY = timedelta(days=1)
ROWS = 61
SPOT = {"BTC": 80_000.0, "ETH": 2_000.0}
QUANTUM = 1e-6


def random_history() -> PriceHistory:
    """Return prices of BTC and ETH whose volatility doubles in the middle of the path."""
    rng = np.random.Generator(np.random.PCG64(11))
    width = np.where((np.arange(ROWS - 1) > 20) & (np.arange(ROWS - 1) < 40), 0.06, 0.03)
    prices = {}
    for name, last in SPOT.items():
        path = np.exp(np.concatenate(([0.0], np.cumsum(width * rng.standard_normal(ROWS - 1)))))
        prices[name] = [Decimal(f"{price:.2f}") for price in path * last / path[-1]]
    times = [AS_OF - DAY * (ROWS - 1 - row) for row in range(ROWS)]
    return PriceHistory.model_validate({"times": times, "prices": prices})


HISTORY = random_history()


def venue(history: PriceHistory | None = HISTORY) -> MarketEnvironment:
    """Swaps of one coin on BTC and ETH, and a call on BTC; USDC, which has no history and stands still."""

    def contract(name: str, underlying: str, **more: str) -> dict[str, str]:
        return {
            "name": name,
            "kind": "perpetual",
            "contract": "linear",
            "underlying": underlying,
            "settlement": "USDC",
            "contract_size": "1",
            "lot": "0.001",
            "limit": "1000",
            **more,
        }

    quote = {"source": "test", "time": AS_OF}
    call = contract("BTC_CALL", "BTC", kind="option", option="call", strike="90000", expiry="2025-06-27T08:00:00Z")
    catalogue = Catalogue.model_validate(
        {
            "assets": [
                {"name": "USDC", "unit": "0.000001", "haircut": "0", "borrowable": True, "limit": "100000000"},
                {"name": "BTC", "unit": "0.00001", "haircut": "0.1", "borrowable": True, "limit": "1000"},
            ],
            "instruments": [contract("BTC_SWAP", "BTC"), contract("ETH_SWAP", "ETH"), call],
        }
    )
    market = Market.model_validate(
        {
            "as_of": AS_OF,
            "index": {name: {"price": str(SPOT.get(name, 1)), **quote} for name in ("USDC", "BTC", "ETH")},
            "marks": {f"{name}_SWAP": {"price": str(price), **quote} for name, price in SPOT.items()},
            "options": {"BTC_CALL": {"iv": "0.6", **quote}},
            "rates": {"USD": "0.03"},
        }
    )
    return MarketEnvironment(catalogue, market, history)


ENVIRONMENT = venue()


def model(**more: Any) -> ExpectedShortfallModel:
    return ExpectedShortfallModel.model_validate(
        {
            "model": "expected_shortfall",
            "version": 1,
            "value_unit": {"currency": "USD", "quantum": "0.000001"},
            "staleness_limit_seconds": 600,
            "tail": "0.1",
            "observations": 40,
            "still": ["USDC"],
            "statements": [{"name": "initial", "factor": "1"}, {"name": "maintenance", "factor": "0.8"}],
            **more,
        }
    )


def compiled(chosen: ExpectedShortfallModel, statement: str = "initial") -> CompiledPolicy:
    assert chosen.check(ENVIRONMENT) == []
    return compile_policy(build_policy("test", ENVIRONMENT, chosen, statement))


def record(coins: Mapping[str, float]) -> csr_array:
    """Return a record of coins by column: USDC, BTC, BTC_SWAP, ETH_SWAP, BTC_CALL."""
    layout = ENVIRONMENT.catalogue.layout()
    row = np.zeros((1, len(layout)), np.int64)
    row[0, 0] = 1
    units = {"USDC": 10**6, "BTC": 10**5}
    for number, column in enumerate(layout.columns):
        if column.kind in (ColumnKind.BALANCE, ColumnKind.POSITION):
            row[0, number] = round(coins.get(column.name, 0) * units.get(column.name, 1000))
    return csr_array(row)


def requirement(policy: CompiledPolicy, coins: Mapping[str, float]) -> float:
    return float(evaluate(policy, record(coins)).requirement[0]) * QUANTUM


def prices_of(name: str) -> Floats:
    return np.array([float(price) for price in HISTORY.prices[name]])


def shortfall(losses: Floats, count: int) -> float:
    return float(np.sort(losses)[-count:].mean())


def swap_losses(coins: Mapping[str, float], by_name: Mapping[str, Floats]) -> Floats:
    total = np.zeros(len(by_name["BTC"]))
    for name, each in by_name.items():
        held = coins.get(f"{name}_SWAP", 0) + (coins.get("BTC", 0) if name == "BTC" else 0)
        total -= held * SPOT[name] * each
    return total


def rounding(coins: Mapping[str, float], largest: int = 6) -> float:
    """Return how far rounded arrays may be off, USD: half a quantum for each unit and each of the largest losses."""
    units = sum(abs(each) * (10**5 if name == "BTC" else 1000) for name, each in coins.items())
    return 2 * largest * (units + 1) / 2 * QUANTUM


COINS = st.fixed_dictionaries(
    {name: st.integers(-5000, 5000).map(lambda lots: lots / 1000) for name in ("BTC", "BTC_SWAP", "ETH_SWAP")}
)


@pytest.mark.parametrize("horizon", [1, 5])
@given(coins=COINS)
def test_requirement_is_the_mean_of_the_largest_losses(horizon: int, coins: dict[str, float]) -> None:
    policy = compiled(model(horizon_days=horizon))
    changes = {name: (prices_of(name)[horizon:] / prices_of(name)[:-horizon] - 1)[-40:] for name in SPOT}
    expected = max(0.0, shortfall(swap_losses(coins, changes), 4))
    assert requirement(policy, coins) == pytest.approx(expected, abs=rounding(coins))
    numbers = policy.auxiliary_of
    proof = witness(policy, record({**coins, "USDC": 10**6}))
    assert int(proof.auxiliaries[0, numbers["requirement"]]) * QUANTUM == pytest.approx(requirement(policy, coins))


@given(coins=COINS)
def test_filtered_moves_are_scaled_to_the_volatility_of_now(coins: dict[str, float]) -> None:
    policy = compiled(model(filter_decay="0.9"))
    changes = {}
    for name in SPOT:
        returns = np.log(prices_of(name)[1:] / prices_of(name)[:-1])
        variance = [float(np.mean(returns[:20] ** 2))]
        for each in returns:
            variance.append(0.9 * variance[-1] + 0.1 * each**2)
        before = np.sqrt(np.array(variance[:-1]))
        changes[name] = np.expm1(returns * math.sqrt(variance[-1]) / before)[-40:]
    expected = max(0.0, shortfall(swap_losses(coins, changes), 4))
    assert requirement(policy, coins) == pytest.approx(expected, abs=rounding(coins))


@given(coins=COINS)
def test_stressed_part_is_mixed_in(coins: dict[str, float]) -> None:
    window = {"from": HISTORY.times[22], "until": HISTORY.times[41], "tail": "0.1", "weight": "0.25"}
    chosen = model(stressed=window, filter_decay=None)
    policy = compiled(chosen)
    changes = {name: prices_of(name)[1:] / prices_of(name)[:-1] - 1 for name in SPOT}
    recent = shortfall(swap_losses(coins, {name: each[-40:] for name, each in changes.items()}), 4)
    stress = shortfall(swap_losses(coins, {name: each[21:41] for name, each in changes.items()}), 2)
    expected = max(0.0, 0.75 * recent + 0.25 * stress)
    assert requirement(policy, coins) == pytest.approx(expected, abs=rounding(coins))
    assert ExpectedShortfallModel.model_validate(chosen.model_dump(mode="json", exclude_none=True)) == chosen


@given(coins=COINS)
def test_netting_by_underlying_adds_up_what_each_needs(coins: dict[str, float]) -> None:
    policy = compiled(model(netting="by_underlying"))
    joint = compiled(model())
    changes = {name: (prices_of(name)[1:] / prices_of(name)[:-1] - 1)[-40:] for name in SPOT}
    alone = [shortfall(swap_losses(coins, {**changes, other: 0 * changes[other]}), 4) for other in SPOT]
    found = requirement(policy, coins)
    assert found == pytest.approx(sum(max(0.0, each) for each in alone), abs=rounding(coins))
    assert found >= requirement(joint, coins) - 2 * rounding(coins)


@pytest.mark.parametrize("beta", ["0", "-2", "30e-1"])
def test_volatilities_follow_prices_by_beta(beta: str) -> None:
    given_beta = str(float(beta))
    policy = compiled(model(volatility_beta={"BTC": given_beta}))
    changes = (prices_of("BTC")[1:] / prices_of("BTC")[:-1] - 1)[-40:]
    ivs = 0.6 * (1 + np.maximum(-0.9, float(beta) * changes))
    years = 91 / 365
    forwards = SPOT["BTC"] * math.exp(0.03 * years)
    shocked = black76(forwards * (1 + changes), 90_000, ivs, years, 0.03, True)
    now = black76(forwards, 90_000, 0.6, years, 0.03, True)
    for side in (1.0, -2.0):
        expected = max(0.0, shortfall(-side * (shocked - now), 4))
        assert requirement(policy, {"BTC_CALL": side}) == pytest.approx(expected, rel=1e-6, abs=0.01)


def test_statement_factor_scales_and_unmoved_cash_does_not_count() -> None:
    coins = {"BTC_SWAP": 1.0, "ETH_SWAP": -12.0}
    whole = requirement(compiled(model()), coins)
    assert whole > 0
    assert requirement(compiled(model(), "maintenance"), coins) == pytest.approx(0.8 * whole, rel=1e-4)
    assert requirement(compiled(model()), {**coins, "USDC": 5_000.0}) == whole


@given(first=COINS, second=COINS)
def test_requirement_is_subadditive_and_positively_homogeneous(
    first: dict[str, float], second: dict[str, float]
) -> None:
    policy = compiled(model(filter_decay="0.9"))
    together = {name: first[name] + second[name] for name in first}
    assert requirement(policy, together) <= requirement(policy, first) + requirement(policy, second) + QUANTUM
    doubled = {name: 2 * each for name, each in first.items()}
    assert requirement(policy, doubled) == pytest.approx(2 * requirement(policy, first))


@given(coins=COINS, more=st.integers(0, 3000))
def test_a_gain_in_every_scenario_lowers_the_requirement(coins: dict[str, float], more: int) -> None:
    """Where BTC fell every day, being shorter of it gains in all of them."""
    falling = tuple(Decimal(80_000 + (ROWS - 1 - row) * 700 + row % 5 * 90) for row in range(ROWS - 1))
    prices = {**HISTORY.prices, "BTC": (*falling, Decimal(80_000))}
    environment = venue(HISTORY.model_copy(update={"prices": prices}))
    assert all(after < before for before, after in pairwise(prices["BTC"]))
    policy = compile_policy(build_policy("test", environment, model(), "initial"))
    shorter = {**coins, "BTC_SWAP": coins["BTC_SWAP"] - more / 1000}
    assert requirement(policy, shorter) <= requirement(policy, coins)


def test_value_at_risk_is_not_convex_and_is_refused() -> None:
    """On 40 random scenarios of three instruments: 5 % quantile and shortfall of random pairs and their midpoints."""
    rng = np.random.Generator(np.random.PCG64(3))
    profits = rng.standard_normal((40, 3))
    ends = rng.integers(-10, 11, (2, 20_000, 3)).astype(float)
    middle = ends.mean(axis=0)

    def largest(positions: Floats) -> Floats:
        return np.sort(-positions @ profits.T, axis=1)[:, ::-1]

    def violations(measure: Any) -> int:
        return int(
            np.sum(measure(largest(middle)) > (measure(largest(ends[0])) + measure(largest(ends[1]))) / 2 + 1e-9)
        )

    quantile = violations(lambda losses: losses[:, 1])
    assert violations(lambda losses: losses[:, :2].mean(axis=1)) == 0
    assert quantile > 500
    with pytest.raises(ValidationError, match="value at risk is a quantile and not convex") as refused:
        model(measure="value_at_risk")
    assert f"{quantile:,} of 20,000" in refused.value.errors()[0]["msg"]
    assert "write measure: expected_shortfall" in refused.value.errors()[0]["msg"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"tail": "0.025"}, None),
        ({"tail": "0.03"}, "0.03 of 40 observations is not a whole number; write observations: 100, or another tail"),
        ({"observations": 45, "tail": "0.1"}, "write observations: 40 or 50, or another tail"),
        ({"tail": "0"}, "not in 0 < value <= 1"),
        ({"measure": "median"}, "not a measure"),
        ({"netting": "none"}, "'joint' or 'by_underlying'"),
        ({"filter_decay": "1"}, "not in 0.5 <= value < 1"),
        (
            {"stressed": {"from": AS_OF, "until": AS_OF - DAY, "tail": "0.5", "weight": "0.25"}},
            "until is before from",
        ),
    ],
)
def test_parameters_are_checked_alone(change: dict[str, Any], reason: str | None) -> None:
    if reason is None:
        model(**change)
        return
    with pytest.raises(ValidationError, match=reason):
        model(**change)


def stressed(first: datetime, until: datetime, tail: str) -> dict[str, Any]:
    return {"stressed": {"from": first, "until": until, "tail": tail, "weight": "0.25"}}


@pytest.mark.parametrize(
    ("change", "environment", "field", "reason"),
    [
        ({}, venue(None), "observations", "the model needs a price history of BTC, ETH"),
        ({"observations": 70}, ENVIRONMENT, "observations", "61 rows up to as_of, the model needs 71"),
        ({"horizon_days": 22}, ENVIRONMENT, "observations", "61 rows up to as_of, the model needs 62"),
        ({"volatility_beta": {"XRP": "1"}}, ENVIRONMENT, "volatility_beta.XRP", "XRP is not an underlying"),
        ({"still": []}, ENVIRONMENT, "still", "no prices of USDC, and the model does not hold it still"),
        ({"still": ["USDC", "BTC"]}, ENVIRONMENT, "still[1]", "BTC is an underlying, which moves"),
        (stressed(AS_OF - 9 * DAY, AS_OF, "0.5"), ENVIRONMENT, "", ""),
        (
            stressed(AS_OF - 10 * DAY, AS_OF, "0.5"),
            ENVIRONMENT,
            "stressed.tail",
            "0.5 of the 11 moves that end in the window is not a whole number",
        ),
        (
            stressed(AS_OF + DAY, AS_OF + 9 * DAY, "0.5"),
            ENVIRONMENT,
            "stressed.from",
            "no moves that end in the stressed window",
        ),
        (
            {"value_unit": {"currency": "USD", "quantum": "0.1"}},
            ENVIRONMENT,
            "value_unit.quantum",
            "rounding the 4 losses that count",
        ),
    ],
)
def test_environment_is_checked(
    change: dict[str, Any], environment: MarketEnvironment, field: str, reason: str
) -> None:
    problems = model(**change).check(environment)
    if not field:
        assert problems == []
        return
    assert [problem.field for problem in problems] == [field]
    assert reason in problems[0].reason
    assert problems[0].hint


def test_missing_names_are_stated() -> None:
    history = HISTORY.model_copy(update={"prices": {"BTC": HISTORY.prices["BTC"]}})
    problems = model().check(venue(history))
    assert [problem.reason for problem in problems] == ["history.csv has no prices of ETH"]


def test_a_price_that_cannot_be_is_refused() -> None:
    prices = list(HISTORY.prices["ETH"])
    prices[-5] = Decimal("0.01")
    problems = model().check(venue(HISTORY.model_copy(update={"prices": {**HISTORY.prices, "ETH": tuple(prices)}})))
    assert [problem.reason for problem in problems] == ["ETH moves by -100.00% in the moves of the 1 day to 2025-03-24"]


def test_an_asset_with_prices_moves_unless_it_is_still() -> None:
    prices = {**HISTORY.prices, "USDC": tuple(Decimal(1) - Decimal(row % 7) / 100 for row in range(ROWS))}
    environment = venue(HISTORY.model_copy(update={"prices": prices}))
    needs = []
    for still in ([], ["USDC"]):
        chosen = model(still=still, value_unit={"currency": "USD", "quantum": "0.000000001"})
        assert chosen.check(environment) == []
        policy = compile_policy(build_policy("test", environment, chosen, "initial"))
        needs.append(requirement(policy, {"USDC": 1000.0}) / 1000)
    path = np.array([1 - row % 7 / 100 for row in range(ROWS)])
    losses = 1000 * (1 - path[1:] / path[:-1])[-40:]
    # Half a quantum for each of 10^9 units and four losses: as much as `check` lets through.
    assert needs == [pytest.approx(shortfall(losses, 4), abs=2.0), 0.0]


def test_rows_after_as_of_are_not_used() -> None:
    later = PriceHistory.model_validate(
        {
            "times": [*HISTORY.times, AS_OF + DAY],
            "prices": {name: [*each, each[-1] * 2] for name, each in HISTORY.prices.items()},
        }
    )
    known, told = (build_policy("test", venue(each), model(), "initial") for each in (HISTORY, later))
    assert known.arrays == told.arrays


@pytest.fixture(scope="module")
def book() -> Inputs:
    return load_folder(EXAMPLES / "book")


def test_example_on_the_book_costs_a_row_for_each_scenario_and_rounds_little(book: Inputs) -> None:
    chosen = load_margin_model(EXAMPLES / "models" / "expected_shortfall.yaml")
    assert isinstance(chosen, ExpectedShortfallModel)
    assert chosen.check(book.environment) == []
    policy = compile_policy(build_policy("test", book.environment, chosen, "initial"))
    # 250 and 40 scenarios: an excess and a row each, two columns for each threshold.
    assert len(policy.relation.rows) < 300
    assert len(policy.relation.auxiliaries) < 300
    found = evaluate(policy, book.book.records).requirement * float(chosen.value_unit.quantum)
    history = book.history
    assert history is not None
    names = ("BTC", "ETH", "SOL")
    filtered = {name: filtered_moves(history, name, 1, 0.97)[-250:] for name in names}
    window = rows_between(history, datetime(2024, 8, 1, tzinfo=UTC), datetime(2024, 9, 10, tzinfo=UTC))
    plain = {name: moves(history, name, 1)[window.start - 1 : window.stop - 1] for name in names}
    exact = 0.75 * mean_largest(book, filtered, 5) + 0.25 * mean_largest(book, plain, 2)
    exact = np.maximum(exact, 0.0)
    units = np.asarray(abs(book.book.records).sum(axis=1)).ravel()
    assert np.all(np.abs(found - exact) <= (5 + 2) / 2 * float(chosen.value_unit.quantum) * units + 0.01)
    assert found.sum() == pytest.approx(exact.sum(), rel=1e-3)
    # Stablecoins are what the quantum is too coarse for.
    moving = chosen.model_copy(update={"still": ()}).check(book.environment)
    assert ["balance USDC" in problem.reason for problem in moving] == [True]
    assert "hold the asset still" in (moving[0].hint or "")


def mean_largest(book: Inputs, by_name: Mapping[str, Floats], count: int) -> Floats:
    """Return the mean of the largest losses of every account in floats, USD; volatilities as in the example."""
    now = book.environment.valuation.unit_values()
    beta = {"BTC": -0.8, "ETH": -0.8, "SOL": -0.6}
    profits = []
    for day in range(len(by_name["BTC"])):
        prices = {name: Fraction(float(each[day])) for name, each in by_name.items()}
        volatilities = {name: max(Fraction(-9, 10), Fraction(each) * prices[name]) for name, each in beta.items()}
        profits.append(book.environment.valuation.unit_values(Scenario(1, "day", prices, volatilities)) - now)
    losses = np.sort(-np.asarray(book.book.records @ np.array(profits).T), axis=1)
    result: Floats = losses[:, -count:].mean(axis=1)
    return result
