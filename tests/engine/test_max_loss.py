"""Maximum loss of options by expiry: the worst settlement, and why the lesser of two rules is refused."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.sparse import csr_array

from crossmargin.engine.evaluate import evaluate
from crossmargin.loading import load_parameters
from crossmargin.market.environment import MarketEnvironment
from crossmargin.market.instruments import Instrument, Kind, OptionType
from crossmargin.models import MarginModel, build_policy, parse_model
from crossmargin.models.policies import check_environment
from crossmargin_circuits.compile import CompiledPolicy, compile_policy
from crossmargin_circuits.layout import ColumnKind

EXAMPLES = Path(__file__).parents[2] / "examples"
QUANTA = 10**8
STANDARD = {"call": {"rate": "0.15", "floor": "0.1"}, "put": {"rate": "0.15", "floor": "0.1"}}
UNPAIRED = 0.2
MAX_LOSS = {"max_loss": {"unpaired": str(UNPAIRED)}}


@cache
def environment() -> MarketEnvironment:
    return load_parameters(EXAMPLES / "book").environment


def model(options: dict[str, Any]) -> MarginModel:
    names = ("BTC", "ETH", "SOL")
    return parse_model(
        {
            "model": "cross_margin",
            "version": 1,
            "value_unit": {"currency": "USD", "quantum": "0.00000001"},
            "staleness_limit_seconds": 600,
            "by": "underlying",
            "statements": [{"name": "maintenance", "factor": "1"}],
            "futures": {name: {"rate": "0.02"} for name in names},
            "options": dict.fromkeys(names, options),
        }
    )


@cache
def compiled(kind: str) -> CompiledPolicy:
    chosen = model(MAX_LOSS if kind == "max loss" else STANDARD)
    assert check_environment(environment(), chosen) == []
    return compile_policy(build_policy("test", environment(), chosen, "maintenance"))


def expiry_of(name: str) -> list[Instrument]:
    """Return the options of the first expiry of an underlying."""
    items = [
        each for each in environment().catalogue.instruments if each.kind is Kind.OPTION and each.underlying == name
    ]
    first = min(each.expiry for each in items if each.expiry is not None)
    return [each for each in items if each.expiry == first]


def needed(kind: str, holding: dict[str, int]) -> float:
    layout = environment().catalogue.layout()
    record = np.zeros((1, len(layout)), dtype=np.int64)
    record[0, 0] = 1
    for name, lots in holding.items():
        record[0, layout.index(ColumnKind.POSITION, name)] = lots
    return int(evaluate(compiled(kind), csr_array(record)).requirement[0]) / QUANTA


def loss_at(price: float, holding: dict[str, int]) -> float:
    """Return what a holding loses from its marks to a settlement, USD."""
    layout, values = environment().catalogue.layout(), environment().valuation.unit_values()
    lost = 0.0
    for name, lots in holding.items():
        item = environment().catalogue.instrument(name)
        strike = float(item.strike or 0)
        payoff = max(0.0, price - strike if item.option is OptionType.CALL else strike - price)
        size = float(item.lot * item.contract_size)
        lost += lots * (values[layout.index(ColumnKind.POSITION, name)] - size * payoff)
    return lost


@given(data=st.data())
def test_no_settlement_loses_more_than_what_is_charged(data: st.DataObject) -> None:
    """Up to the last strike; beyond it the excess calls are charged a part of the index price, as stated."""
    items = expiry_of(data.draw(st.sampled_from(["BTC", "ETH"])))
    lots = data.draw(st.lists(st.integers(-50, 50), min_size=len(items), max_size=len(items)))
    holding = {item.name: count for item, count in zip(items, lots, strict=True) if count}
    strikes = [float(item.strike or 0) for item in items]
    grid = [*np.linspace(0, max(strikes), 400).tolist(), *strikes]
    worst = max(0.0, *(loss_at(price, holding) for price in grid))
    calls = sum(
        lots
        * float(environment().catalogue.instrument(name).lot * environment().catalogue.instrument(name).contract_size)
        for name, lots in holding.items()
        if environment().catalogue.instrument(name).option is OptionType.CALL
    )
    index = float(environment().market.index[items[0].underlying].price)
    unpaired = UNPAIRED * index * max(0.0, -calls)
    assert needed("max loss", holding) == pytest.approx(worst + unpaired, abs=1e-3)


def verticals() -> tuple[Instrument, Instrument]:
    """Return two calls of one expiry, the lower strike first."""
    calls = sorted(
        (item for item in expiry_of("BTC") if item.option is OptionType.CALL), key=lambda item: item.strike or 0
    )
    return calls[0], calls[-1]


def test_a_spread_that_is_paid_for_risks_its_price_alone() -> None:
    low, high = verticals()
    values, layout = environment().valuation.unit_values(), environment().catalogue.layout()
    price = {item.name: values[layout.index(ColumnKind.POSITION, item.name)] for item in (low, high)}
    bought = needed("max loss", {low.name: 10, high.name: -10})
    assert bought == pytest.approx(10 * (price[low.name] - price[high.name]), abs=1e-3)
    width = float((high.strike or 0) - (low.strike or 0)) * float(low.lot * low.contract_size)
    sold = needed("max loss", {low.name: -10, high.name: 10})
    assert sold == pytest.approx(10 * width - bought, abs=1e-3)
    assert sold < needed("standard", {low.name: -10, high.name: 10})


def test_lesser_of_two_rules_is_not_convex() -> None:
    """Each rule is; the lesser is not, so that no relation states it, and a file that asks for it is refused."""
    low, high = verticals()
    first, second = {low.name: 10, high.name: -30}, {low.name: 30, high.name: -30}
    mean = {low.name: 20, high.name: -30}

    def lesser(holding: dict[str, int]) -> float:
        return min(needed("standard", holding), needed("max loss", holding))

    for rule in ("standard", "max loss"):
        assert 2 * needed(rule, mean) <= needed(rule, first) + needed(rule, second) + 1e-3
    assert 2 * lesser(mean) > lesser(first) + lesser(second) + 1
    with pytest.raises(ValidationError, match=r"no convex requirement states; keep max_loss, or call and put"):
        model({**STANDARD, **MAX_LOSS})
    with pytest.raises(ValidationError, match="no charge for a short put"):
        model({"call": STANDARD["call"]})
