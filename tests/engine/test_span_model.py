"""The SPAN-type model against its rule: spread charges and credits by brute force, and what is refused and why."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import ValidationError
from scipy.sparse import csr_array

from crossmargin.engine.evaluate import evaluate, forms
from crossmargin.errors import InputError
from crossmargin.loading import load_folder, load_margin_model
from crossmargin.market.environment import MarketEnvironment
from crossmargin.market.instruments import Catalogue
from crossmargin.market.prices import Market
from crossmargin.market.scenarios import Scenario
from crossmargin.market.valuation import Valuation
from crossmargin.models import build_policy
from crossmargin.models.composite_delta import DeltaWeights, composite_deltas
from crossmargin.models.span import SpanModel
from crossmargin_circuits.compile import compile_policy
from crossmargin_circuits.layout import ColumnKind

Floats = NDArray[np.float64]

EXAMPLES = Path(__file__).parents[2] / "examples"
NOW = "2025-03-28T08:00:00Z"
JUNE, SEPTEMBER = "2025-06-27T08:00:00Z", "2025-09-26T08:00:00Z"
PRICES = {"USDC": "1", "BTC": "80000", "ETH": "2000"}
RANGES = {"BTC": "0.15", "ETH": "0.18"}


def venue(options: bool = False) -> MarketEnvironment:
    """Linear contracts of one coin on BTC and ETH, one of them perpetual, the others of June and September."""

    def contract(underlying: str, kind: str, expiry: str | None = None, **more: str) -> dict[str, str]:
        name = "_".join(filter(None, (underlying, expiry or "SWAP", more.get("strike"))))
        stated = {
            "name": name,
            "kind": kind,
            "contract": "linear",
            "underlying": underlying,
            "settlement": "USDC",
            "contract_size": "1",
            "lot": "0.001",
            "limit": "1000",
        }
        return stated | ({} if expiry is None else {"expiry": expiry}) | more

    instruments = [
        contract(name, kind, expiry)
        for name in ("BTC", "ETH")
        for kind, expiry in (("perpetual", None), ("future", JUNE), ("future", SEPTEMBER))
    ]
    quotes = {}
    if options:
        instruments.append(contract("BTC", "option", JUNE, strike="90000", option="call"))
        instruments.append(contract("BTC", "option", JUNE, strike="70000", option="put"))
        quotes = {each["name"]: {"iv": "0.6", "source": "test", "time": NOW} for each in instruments[-2:]}
    catalogue = Catalogue.model_validate(
        {
            "assets": [
                {"name": "USDC", "unit": "0.000001", "haircut": "0", "borrowable": True, "limit": "100000000"},
                {"name": "BTC", "unit": "0.00000001", "haircut": "0", "borrowable": True, "limit": "1000"},
            ],
            "instruments": instruments,
        }
    )

    def price(value: str) -> dict[str, str]:
        return {"price": value, "source": "test", "time": NOW}

    market = Market.model_validate(
        {
            "as_of": NOW,
            "index": {name: price(value) for name, value in PRICES.items()},
            "marks": {
                each["name"]: price(PRICES[each["underlying"]]) for each in instruments if each["kind"] != "option"
            },
            "options": quotes,
            "rates": {"USD": "0.03"},
        }
    )
    return MarketEnvironment(catalogue, market)


FUTURES, WITH_OPTIONS = venue(), venue(options=True)


def model(**more: Any) -> SpanModel:
    return SpanModel.model_validate(
        {
            "model": "span",
            "version": 1,
            "value_unit": {"currency": "USD", "quantum": "0.000001"},
            "staleness_limit_seconds": 600,
            "scan": {
                name: {"price_range": width, "volatility_up": "0.3", "volatility_down": "0.3"}
                for name, width in RANGES.items()
            },
            "extreme": {"multiple": "2", "covered": "0.35"},
            "statements": [{"name": "initial", "factor": "1"}],
            **more,
        }
    )


def requirement(environment: MarketEnvironment, chosen: SpanModel, coins: Mapping[str, float]) -> float:
    """Return the requirement, USD, of an account that holds coins and contracts of one coin, by column name."""
    assert chosen.check(environment) == []
    compiled = compile_policy(build_policy("test", environment, chosen, "initial"))
    record = np.zeros((1, len(environment.catalogue.layout())), np.int64)
    record[0, 0] = 1
    for number, column in enumerate(environment.catalogue.layout().columns):
        per_coin = 10**8 if column.kind is ColumnKind.BALANCE else 1000
        if column.kind in (ColumnKind.BALANCE, ColumnKind.POSITION):
            record[0, number] = round(coins.get(column.name, 0) * per_coin)
    return float(evaluate(compiled, csr_array(record)).requirement[0]) * 1e-6


def rule(legs: Mapping[str, Floats], charges: Mapping[str, float], credit: tuple[float, float, float] | None) -> float:
    """Return scanning risk + c min(long, short) - credit by its definition; legs: coins by expiry, of BTC and ETH.

    credit: rate, and coins of BTC and of ETH in one spread.
    """
    total, outright = 0.0, {}
    for name, each in legs.items():
        price, width = float(PRICES[name]), float(RANGES[name])
        outright[name] = width * price
        total += width * price * abs(each.sum())
        matched = min(each[each > 0].sum(), -each[each < 0].sum())
        total += charges.get(name, 0.0) * price * matched
    if credit is not None:
        rate, btc, eth = credit
        a, b = legs["BTC"].sum(), legs["ETH"].sum()
        spreads = min(abs(a) / btc, abs(b) / eth) if a * b < 0 else 0.0
        total -= rate * (outright["BTC"] * btc + outright["ETH"] * eth) * spreads
    return total


COINS = st.lists(st.integers(-9000, 9000).map(lambda lots: lots / 1000), min_size=6, max_size=6)
CREDIT = {"legs": {"BTC": "1", "ETH": "40"}, "rate": "0.6"}
MONTHS = {"BTC": {"charge": "0.05", "rule": "exact"}, "ETH": {"charge": "0.02", "rule": "exact"}}


@pytest.mark.parametrize(
    ("months", "credit"),
    [({}, None), (MONTHS, None), ({}, CREDIT), (MONTHS, CREDIT), ({"BTC": {"charge": "0.3", "rule": "exact"}}, None)],
)
@given(coins=COINS)
def test_exact_forms_are_the_rule(months: dict[str, Any], credit: dict[str, Any] | None, coins: list[float]) -> None:
    chosen = model(inter_month=months, inter_commodity=[] if credit is None else [credit])
    names = [item.name for item in FUTURES.catalogue.instruments]
    found = requirement(FUTURES, chosen, dict(zip(names, coins, strict=True)))
    legs = {"BTC": np.array(coins[:3]), "ETH": np.array(coins[3:])}
    charges = {name: float(each["charge"]) for name, each in months.items()}
    stated = None if credit is None else (float(credit["rate"]), 1.0, 40.0)
    assert found == pytest.approx(rule(legs, charges, stated), rel=1e-9, abs=0.05)


@given(coins=COINS)
def test_bound_charges_more_by_half_the_charge_on_the_net(coins: list[float]) -> None:
    months = {"BTC": {"charge": "0.05", "rule": "bound"}, "ETH": {"charge": "0.02", "rule": "bound"}}
    names = [item.name for item in FUTURES.catalogue.instruments]
    found = requirement(FUTURES, model(inter_month=months), dict(zip(names, coins, strict=True)))
    legs = {"BTC": np.array(coins[:3]), "ETH": np.array(coins[3:])}
    charges = {"BTC": 0.05, "ETH": 0.02}
    over = sum(charges[name] / 2 * float(PRICES[name]) * abs(each.sum()) for name, each in legs.items())
    assert found - rule(legs, charges, None) == pytest.approx(over, rel=1e-9, abs=0.05)


def test_coins_are_an_expiry_of_their_own() -> None:
    charged = model(inter_month={"BTC": {"charge": "0.01", "rule": "exact"}})
    assert requirement(FUTURES, charged, {"BTC": 2, f"BTC_{JUNE}": -2}) == pytest.approx(0.01 * 80000 * 2)
    assert requirement(FUTURES, charged, {f"BTC_{JUNE}": 2, f"BTC_{SEPTEMBER}": -2}) == pytest.approx(1600)


@pytest.mark.parametrize("months", [{}, MONTHS])
@pytest.mark.parametrize("credit", [None, CREDIT])
def test_coins_on_a_chain_are_coins(months: dict[str, Any], credit: dict[str, Any] | None) -> None:
    """Where they are held changes no exposure, in the exact forms as little as in the scenarios."""
    data = FUTURES.catalogue.model_dump(mode="json", exclude_none=True)
    bitcoin = next(each for each in data["assets"] if each["name"] == "BTC")
    data["assets"].append({**bitcoin, "name": "BTC.side", "of": "BTC", "chain": "side"})
    data["chains"] = [{"name": "side", "haircut": "0.1", "finalized": 1}]
    environment = MarketEnvironment(Catalogue.model_validate(data), FUTURES.market)
    chosen = model(inter_month=months, inter_commodity=[] if credit is None else [credit])
    for coins in ({}, {f"BTC_{JUNE}": -3.0}, {f"BTC_{JUNE}": -3.0, f"ETH_{JUNE}": -50.0}):
        here = requirement(environment, chosen, {**coins, "BTC": 2})
        assert requirement(environment, chosen, {**coins, "BTC.side": 2}) == pytest.approx(here)
        assert here != pytest.approx(requirement(environment, chosen, coins))


@pytest.mark.parametrize(("quantum", "fits"), [("0.000001", False), ("0.00000001", False), ("0.0000000001", True)])
def test_a_range_that_rounding_would_change_is_refused(quantum: str, fits: bool) -> None:
    """At 10^-8 a millionth of a dollar that moves by 1.4 % loses 1.4 quanta, of which one would be charged."""
    still = {"volatility_up": "0", "volatility_down": "0"}
    scan = {name: {"price_range": width, **still} for name, width in {**RANGES, "USDC": "0.014"}.items()}
    problems = model(scan=scan, value_unit={"currency": "USD", "quantum": quantum}).check(FUTURES)
    assert [problem.field for problem in problems] == ([] if fits else ["scan.USDC.price_range"])


def test_a_condition_that_fails_at_moved_prices_is_refused_there() -> None:
    """A credit that is convex today is not where one leg has lost half its price; what is not convex has no rows."""
    chosen = model(inter_commodity=[{**CREDIT, "rate": "0.9"}])
    assert chosen.check(FUTURES) == []
    moved = FUTURES.moved(Scenario(1, "apart", {"BTC": Fraction(1, 2), "ETH": Fraction(-1, 2)}, {}))
    with pytest.raises(InputError, match=r"inter_commodity\[0\]\.rate: half the credit of one spread, 11340 USD"):
        build_policy("test", moved, chosen, "initial")


def convexity_violations(rule_of: Any, dimension: int, pairs: int = 20_000) -> int:
    """Count random pairs whose midpoint needs more than the mean of the two."""
    rng = np.random.Generator(np.random.PCG64(1))
    ends = rng.integers(-10, 11, (2, pairs, dimension)).astype(float)
    first, second = rule_of(ends[0]), rule_of(ends[1])
    middle = rule_of((ends[0] + ends[1]) / 2)
    return int(np.sum(middle > (first + second) / 2 + 1e-9 * (1 + np.abs(middle))))


def spread_rule(width: float, charge: float) -> Any:
    def value(legs: Floats) -> Floats:
        net, gross = np.abs(legs.sum(axis=1)), np.abs(legs).sum(axis=1)
        result: Floats = width * net + charge * (gross - net) / 2
        return result

    return value


@pytest.mark.parametrize(("charge", "refused"), [("0.1", False), ("0.3", False), ("0.31", True), ("0.6", True)])
def test_inter_month_charge_is_refused_where_it_is_not_convex(charge: str, refused: bool) -> None:
    problems = model(inter_month={"BTC": {"charge": charge, "rule": "exact"}}).check(FUTURES)
    assert (convexity_violations(spread_rule(0.15, float(charge)), 3) > 0) == refused
    assert bool(problems) == refused
    if refused:
        assert problems[0].field == "inter_month.BTC.charge"
        assert f"the charge of {charge} is more than twice the price scan range of 0.15" in problems[0].reason
        assert "rule: bound" in (problems[0].hint or "")
        assert model(inter_month={"BTC": {"charge": charge, "rule": "bound"}}).check(FUTURES) == []


def test_extreme_move_counts_into_the_price_scan_range() -> None:
    months = {"BTC": {"charge": "0.4", "rule": "exact"}}
    assert model(inter_month=months).check(FUTURES) != []
    assert model(inter_month=months, extreme={"multiple": "3", "covered": "0.5"}).check(FUTURES) == []


def credit_rule(rate: float, eth: float, charge: float) -> Any:
    """BTC in two expiries, ETH in one; coins, one BTC against `eth` ETH."""
    btc_risk, eth_risk = 0.15 * 80000, 0.18 * 2000

    def value(legs: Floats) -> Floats:
        a, b = legs[:, 0] + legs[:, 1], legs[:, 2] * eth
        gross = np.abs(legs[:, :2]).sum(axis=1)
        spreads = np.where(a * b < 0, np.minimum(np.abs(a), np.abs(b) / eth), 0.0)
        total = btc_risk * np.abs(a) + eth_risk * np.abs(b) + charge * 80000 * (gross - np.abs(a)) / 2
        result: Floats = total - rate * (btc_risk + eth_risk * eth) * spreads
        return result

    return value


@pytest.mark.parametrize(
    ("rate", "eth", "charge", "refused"),
    [
        ("0.9", "40", "0", False),
        # 2 * 12000 / (12000 + 14400) = 0.90909..
        ("0.909", "40", "0", False),
        ("0.91", "40", "0", True),
        ("0.95", "40", "0", True),
        ("0.6", "10", "0", True),
        # With a charge: 2 * (12000 - 4000) / 26400 = 0.60606..
        ("0.6", "40", "0.1", False),
        ("0.65", "40", "0.1", True),
    ],
)
def test_credit_is_refused_where_it_is_not_convex(rate: str, eth: str, charge: str, refused: bool) -> None:
    months = {} if charge == "0" else {"BTC": {"charge": charge, "rule": "exact"}}
    chosen = model(inter_month=months, inter_commodity=[{"legs": {"BTC": "1", "ETH": eth}, "rate": rate}])
    problems = chosen.check(FUTURES)
    assert (convexity_violations(credit_rule(float(rate), float(eth), float(charge)), 3) > 0) == refused
    assert bool(problems) == refused
    if refused:
        hint = problems[0].hint or ""
        assert problems[0].field == "inter_commodity[0].rate"
        assert "half the credit of one spread" in problems[0].reason
        assert "remove the credit" in hint
        allowed = hint.split("lower the rate to ")[1].split()[0]
        mended = model(inter_month=months, inter_commodity=[{"legs": {"BTC": "1", "ETH": eth}, "rate": allowed}])
        assert mended.check(FUTURES) == []


def test_spreads_with_options_are_refused_and_are_not_convex() -> None:
    """On random risk arrays and deltas of options scanning risk with either spread rule bends the wrong way."""
    rng = np.random.Generator(np.random.PCG64(2))
    arrays, deltas = rng.normal(size=(16, 4)), rng.uniform(-1, 1, 4)

    def scan(positions: Floats) -> Floats:
        result: Floats = np.maximum(0.0, (-positions @ arrays.T).max(axis=1))
        return result

    def charged(positions: Floats) -> Floats:
        legs = positions * deltas
        net, gross = np.abs(legs.sum(axis=1)), np.abs(legs).sum(axis=1)
        result: Floats = scan(positions) + 0.5 * (gross - net)
        return result

    def credited(positions: Floats) -> Floats:
        a, b = positions[:, :2] @ deltas[:2], positions[:, 2:] @ deltas[2:]
        spreads = np.where(a * b < 0, np.minimum(np.abs(a), np.abs(b)), 0.0)
        result: Floats = scan(positions) - 0.5 * spreads
        return result

    assert convexity_violations(scan, 4) == 0
    assert convexity_violations(charged, 4) > 100
    assert convexity_violations(credited, 4) > 100
    months = model(inter_month={"BTC": {"charge": "0.01", "rule": "exact"}}).check(WITH_OPTIONS)
    assert [problem.field for problem in months] == ["inter_month.BTC.rule"]
    assert "rule: bound" in (months[0].hint or "")
    credits = model(inter_commodity=[CREDIT]).check(WITH_OPTIONS)
    assert [problem.field for problem in credits] == ["inter_commodity[0].legs.BTC"]
    assert "remove the credit" in (credits[0].hint or "")


@pytest.mark.parametrize(
    ("change", "field", "reason"),
    [
        ({"short_option_minimum": {"XRP": "0.03"}}, "short_option_minimum.XRP", "not an underlying"),
        ({"inter_month": {"USDC": {"charge": "0.1", "rule": "bound"}}}, "inter_month.USDC", "not an underlying"),
        (
            {"inter_commodity": [{"legs": {"BTC": "1", "XRP": "2"}, "rate": "0.5"}]},
            "inter_commodity[0].legs.XRP",
            "not an underlying",
        ),
        ({"extreme": {"multiple": "6", "covered": "0.35"}}, "scan.ETH", "reaches a price of zero"),
    ],
)
def test_what_does_not_fit_the_environment_is_refused(change: dict[str, Any], field: str, reason: str) -> None:
    problems = model(**change).check(FUTURES)
    assert [(problem.field, reason in problem.reason) for problem in problems] == [(field, True)]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"inter_commodity": [CREDIT, {"legs": {"ETH": "1", "SOL": "9"}, "rate": "0.1"}]}, "by priority"),
        ({"inter_commodity": [{"legs": {"BTC": "1"}, "rate": "0.5"}]}, "at least 2"),
        ({"inter_month": {"BTC": {"charge": "0.01", "rule": "tight"}}}, "'exact' or 'bound'"),
        ({"delta_weights": {"at_rest": "0.271"}}, "add up to 1.001"),
    ],
)
def test_parameters_that_make_no_rule_are_refused(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        model(**change)


def test_short_option_minimum_holds_where_the_scan_is_lower() -> None:
    """NSE Clearing takes 3 % of the notional for options on indices; long options do not take off from it."""
    chosen = model(short_option_minimum={"BTC": "0.03"})
    call, put = f"BTC_{JUNE}_90000", f"BTC_{JUNE}_70000"
    scan_alone = requirement(WITH_OPTIONS, model(), {call: -1})
    assert scan_alone > 2400
    assert requirement(WITH_OPTIONS, chosen, {call: -1}) == pytest.approx(scan_alone)
    high = model(short_option_minimum={"BTC": "0.5"})
    assert requirement(WITH_OPTIONS, high, {call: -1}) == pytest.approx(40_000)
    assert requirement(WITH_OPTIONS, high, {call: -2, put: -1}) == pytest.approx(120_000)
    assert requirement(WITH_OPTIONS, high, {call: 5, put: -1}) == pytest.approx(40_000)
    assert requirement(WITH_OPTIONS, high, {call: 1, put: 1}) < 40_000


def analytic_delta(spot: float, strike: float, call: bool, iv: float, years: float, rate: float) -> float:
    """Return dV/dS of Black-76 with a forward of spot * exp(rate * years): N(d1), or N(d1) - 1."""
    forward = spot * math.exp(rate * years)
    deviation = iv * math.sqrt(years)
    d1 = math.log(forward / strike) / deviation + deviation / 2
    return math.erfc(-d1 / math.sqrt(2)) / 2 - (0 if call else 1)


def test_composite_delta_is_the_weighted_mean_of_black_76_deltas() -> None:
    layout = WITH_OPTIONS.catalogue.layout()
    ranges = {name: Fraction(width) for name, width in RANGES.items()}
    june = composite_deltas(WITH_OPTIONS.valuation, ranges, DeltaWeights())["BTC"][datetime(2025, 6, 27, 8, tzinfo=UTC)]
    weights = {0: 0.270, 1: 0.217, 2: 0.111, 3: 0.037}
    for strike, call in ((90_000, True), (70_000, False)):
        mean = sum(
            weights[abs(step)] * analytic_delta(80_000 * (1 + 0.15 * step / 3), strike, call, 0.6, 91 / 365, 0.03)
            for step in range(-3, 4)
        )
        found = june[layout.index(ColumnKind.POSITION, f"BTC_{JUNE}_{strike}")] / (0.001 * 80_000)
        assert found == pytest.approx(mean, abs=2e-6)
        assert found * 10**6 == pytest.approx(round(found * 10**6), abs=1e-6)


def test_exposures_without_options_are_the_profit_of_a_price_move() -> None:
    """Inverse contracts too: the sum over the expiries is what the whole record gains per relative move."""
    inputs = load_folder(EXAMPLES / "book")
    catalogue, market = inputs.catalogue, inputs.market
    ranges = {name: Fraction(1, 5) for name in catalogue.underlyings}
    found = composite_deltas(Valuation(catalogue, market), ranges, DeltaWeights())
    futures = np.array(
        [
            column.kind is not ColumnKind.POSITION or catalogue.instrument(column.name).strike is None
            for column in catalogue.layout().columns
        ]
    )
    for name in catalogue.underlyings:
        move = Scenario(1, "up", {name: Fraction(1, 10)}, {})
        profit = Valuation(catalogue, market).scenario_pnl(move) * 10
        total = sum(found[name].values())
        assert np.allclose(np.asarray(total)[futures], profit[futures], rtol=1e-9, atol=1e-12)
    months = {expiry.strftime("%b") for expiry in found["BTC"] if expiry is not None}
    assert months == {"Apr", "Jun", "Sep"}
    # Long one inverse future at its mark: the exposure is in its expiry, none is left in coins.
    layout = catalogue.layout()
    position = layout.index(ColumnKind.POSITION, "BTC-27JUN25")
    size = float(market.index["BTC"].price) * 10 / float(market.marks["BTC-27JUN25"].price)
    june = found["BTC"][datetime(2025, 6, 27, 8, tzinfo=UTC)]
    assert june[position] == pytest.approx(size)
    assert found["BTC"][None][position] == pytest.approx(-size)


def test_over_charge_of_the_bound_on_the_example_book() -> None:
    inputs = load_folder(EXAMPLES / "book")
    chosen = load_margin_model(EXAMPLES / "models" / "span.yaml")
    policy = build_policy("test", inputs.environment, chosen, "initial")
    needed = evaluate(compile_policy(policy), inputs.book.records).requirement.astype(float)
    values = {name: each.astype(float) for name, each in forms(policy, inputs.book.records).items()}
    over = np.zeros(len(needed))
    for name in inputs.catalogue.underlyings:
        over += np.abs(sum(each for array, each in values.items() if array.startswith(f"inter-month {name} ")))
    # Each account is charged at most this much more than by the rule, whichever of minimum and scan decides.
    assert np.all(over >= 0)
    assert 0 < over.sum() / needed.sum() < 0.05
