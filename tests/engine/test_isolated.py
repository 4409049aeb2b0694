"""Isolated margin: every position alone, options by the standard rule, refusals of what is missing or beyond a knot."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array

from crossmargin.engine.evaluate import Margin, evaluate
from crossmargin.loading import load_parameters
from crossmargin.market.environment import MarketEnvironment
from crossmargin.models import MarginModel, build_policy, parse_model
from crossmargin.models.policies import check_environment
from crossmargin_circuits.compile import CompiledPolicy, compile_policy
from crossmargin_circuits.layout import ColumnKind

EXAMPLES = Path(__file__).parents[2] / "examples"
QUANTA = 10**8
STANDARD = {
    "call": {"rate": "0.15", "floor": "0.1"},
    "put": {"rate": "0.15", "floor": "0.1", "of_mark": "0.075"},
}
TIERS = {"tiers": [{"from": "0", "rate": "0.01"}, {"from": "100000", "rate": "0.02"}]}

Holding = dict[str, int]


@cache
def environment() -> MarketEnvironment:
    return load_parameters(EXAMPLES / "book").environment


def model(**replace: Any) -> MarginModel:
    return parse_model(
        {
            "model": "isolated_margin",
            "version": 1,
            "value_unit": {"currency": "USD", "quantum": "0.00000001"},
            "staleness_limit_seconds": 600,
            "statements": [
                {"name": "maintenance", "factor": "1"},
                {"name": "half", "factor": "0.5"},
                {"name": "buffer", "factor": "1.05"},
            ],
            "futures": {"BTC": TIERS, "ETH": {"rate": "0.02"}, "SOL": {"rate": "0.05"}},
            "options": {"BTC": STANDARD, "ETH": STANDARD, "SOL": STANDARD},
            **replace,
        }
    )


def compiled(chosen: MarginModel, statement: str = "maintenance") -> CompiledPolicy:
    return compile_policy(build_policy("test", environment(), chosen, statement))


@cache
def standard(statement: str = "maintenance") -> CompiledPolicy:
    return compiled(model(), statement)


def margin(relation: CompiledPolicy, *holdings: Holding) -> Margin:
    """Evaluate accounts that hold lots of instruments, and units of assets."""
    layout = relation.policy.layout
    records = np.zeros((len(holdings), len(layout)), dtype=np.int64)
    records[:, 0] = 1
    for row, holding in zip(records, holdings, strict=True):
        for name, amount in holding.items():
            kind = ColumnKind.POSITION if "-" in name else ColumnKind.BALANCE
            row[layout.index(kind, name)] = amount
    return evaluate(relation, csr_array(records))


def needed(relation: CompiledPolicy, **holding: int) -> float:
    """Return the requirement of one account in USD; "__" in a keyword stands for "-"."""
    names = {name.replace("__", "-"): amount for name, amount in holding.items()}
    return float(margin(relation, names).requirement[0]) / QUANTA


def test_long_and_short_contracts_of_one_underlying_are_both_charged() -> None:
    long, short = {"BTC_USDC-PERPETUAL": 500}, {"BTC-PERPETUAL": -4000}
    alone = margin(standard(), long, short, long | short).requirement
    assert alone[0] + alone[1] == alone[2]
    # 0.5 BTC at 85,422.5 USDC of 0.9999 USD; 4,000 contracts of 10 USD: inverse notional is the size.
    assert alone[0] / QUANTA == pytest.approx(0.01 * 0.5 * 85422.5 * 0.9999, abs=1e-5)
    assert alone[1] / QUANTA == 0.01 * 40000


def test_each_instrument_climbs_its_own_tiers() -> None:
    assert needed(standard(), **{"BTC__PERPETUAL": 15000}) == 0.01 * 100000 + 0.02 * 50000
    # Two contracts of 75,000 USD each stay on the first tier.
    assert needed(standard(), **{"BTC__PERPETUAL": 7500, "BTC__25APR25": 7500}) == 0.01 * 150000


def test_a_charge_of_the_instrument_goes_before_that_of_its_underlying() -> None:
    own = compiled(model(futures={**model().model_dump()["futures"], "BTC-PERPETUAL": {"rate": "0.5"}}))
    assert needed(own, **{"BTC__PERPETUAL": 1000}) == 5000
    assert needed(own, **{"BTC__25APR25": 1000}) == 100


# BTC index 85412.37, ETH 1894.16; lots of 0.1 BTC and of 1 ETH.
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # Out of the money by 14,587.63: 0.15 S - otm is below zero, so the floor 0.1 S holds.
        ("BTC-25APR25-100000-C", 0.1 * 0.1 * 85412.37),
        # Out of the money by 2,587.63.
        ("BTC-25APR25-88000-C", 0.1 * (0.15 * 85412.37 - 2587.63)),
        # In the money: no deduction.
        ("BTC-25APR25-80000-C", 0.1 * 0.15 * 85412.37),
        ("BTC-25APR25-80000-P", 0.1 * max(0.15 * 85412.37 - 5412.37, 0.1 * 85412.37)),
        ("ETH-25APR25-1700-P", 0.1 * 1894.16),
        ("ETH-25APR25-1900-P", 0.15 * 1894.16),
    ],
)
def test_short_options_by_the_standard_rule(name: str, expected: float) -> None:
    found = margin(standard(), {name: -1}, {name: -7}).requirement
    assert found[0] / QUANTA == pytest.approx(expected, abs=1e-8)
    assert found[1] == 7 * found[0]


def test_part_of_the_mark_value_of_a_put_where_it_is_more() -> None:
    """7.5 % of the value of a put far in the money, where neither rate nor floor ask for as much."""
    low = {"rate": "0.001", "floor": "0.001", "of_mark": "0.075"}
    relation = compiled(model(options={**model().model_dump()["options"], "BTC": {"call": low, "put": low}}))
    column = relation.policy.layout.index(ColumnKind.POSITION, "BTC-26SEP25-120000-P")
    value = environment().valuation.unit_values()[column]
    assert needed(relation, **{"BTC__26SEP25__120000__P": -1}) == pytest.approx(0.075 * value, abs=1e-8)


@pytest.mark.parametrize("statement", ["maintenance", "buffer"])
def test_long_options_add_nothing_and_take_nothing(statement: str) -> None:
    """With a factor of 1 or more the charge is what equity counts: paid-up options are never short of margin."""
    names = ["BTC-25APR25-80000-C", "ETH-27JUN25-2600-C", "SOL_USDC-27JUN25-140-P"]
    found = margin(
        standard(statement), *({name: 100} for name in names), {"USDC": 10**6, names[0]: 100}, {"USDC": 10**6}
    )
    assert found.equity[:3].min() > 10 * QUANTA
    assert np.abs(found.excess[:3]).max() <= 100
    assert abs(found.excess[3] - found.excess[4]) <= 100


def test_long_options_do_not_pay_for_other_positions() -> None:
    shorted = margin(standard(), {"BTC-PERPETUAL": -5000}, {"BTC-PERPETUAL": -5000, "ETH-27JUN25-1600-C": 50})
    assert shorted.requirement[1] - shorted.requirement[0] == shorted.equity[1] - shorted.equity[0]


def test_a_factor_below_one_leaves_its_rest_of_long_options_as_collateral() -> None:
    half = margin(standard("half"), {"ETH-27JUN25-1600-C": 50})
    assert half.requirement[0] == pytest.approx(half.equity[0] / 2, abs=50)


def test_flat_rates_are_claimed_to_be_coherent_and_tiers_are_not() -> None:
    flat = model(futures={"BTC": {"rate": "0.01"}, "ETH": {"rate": "0.02"}, "SOL": {"tiers": [TIERS["tiers"][0]]}})
    assert flat.coherent == {"translation", "subadditive", "positively homogeneous"}
    assert model().coherent == {"translation"}
    # 75,000 USD twice is 150,000, which is on the second tier.
    pooled = margin(standard(), {"BTC-PERPETUAL": 7500}, {"BTC-PERPETUAL": 15000}).requirement
    assert pooled[1] > 2 * pooled[0]


@cache
def flat_rates() -> CompiledPolicy:
    return compiled(model(futures={"BTC": {"rate": "0.01"}, "ETH": {"rate": "0.02"}, "SOL": {"rate": "0.05"}}))


@given(data=st.data())
def test_flat_rates_are_subadditive_and_homogeneous(data: st.DataObject) -> None:
    catalogue = environment().catalogue
    lots = st.dictionaries(
        st.sampled_from([item.name for item in catalogue.instruments]), st.integers(-50, 50), max_size=6
    )
    first, second, times = data.draw(lots), data.draw(lots), data.draw(st.integers(0, 9))
    pooled = {name: first.get(name, 0) + second.get(name, 0) for name in {*first, *second}}
    found = margin(flat_rates(), first, second, pooled, {n: times * lot for n, lot in first.items()}).requirement
    assert found[2] <= found[0] + found[1]
    assert found[3] == times * found[0]


def fields(chosen: MarginModel) -> dict[str, str]:
    return {problem.field: f"{problem.reason}; {problem.hint}" for problem in check_environment(environment(), chosen)}


def test_missing_and_foreign_charges_are_found() -> None:
    found = fields(
        model(futures={"BTC": TIERS, "SOL": {"rate": "0.05"}, "DOGE": {"rate": "0.1"}}, options={"BTC": STANDARD})
    )
    assert found["futures"] == "no charge for futures on ETH; add futures.ETH"
    assert found["futures.DOGE"].startswith("DOGE is not an instrument or underlying")
    assert found["options"].startswith("no charge for short options on")
    assert fields(model()) == {}


def test_limits_beyond_the_last_knot_are_refused() -> None:
    """SOL_USDC-PERPETUAL may reach 1,000,000 SOL, and the future 300,000."""
    curve = {"base": "0.05", "slope": "0.0000001", "knots": ["1000", "300000"]}
    found = fields(model(futures={**model().model_dump()["futures"], "SOL": {"linear_in_size": curve}}))
    assert list(found) == ["futures.SOL"]
    assert "limits of SOL_USDC-PERPETUAL allow 1e+06 SOL, and the last knot is 300000" in found["futures.SOL"]
    curve["knots"] = ["1000", "300000", "1000000"]
    assert fields(model(futures={**model().model_dump()["futures"], "SOL": {"linear_in_size": curve}})) == {}


@pytest.mark.parametrize("charge", [{}, {"rate": "0.1", **TIERS}])
def test_exactly_one_kind_of_charge(charge: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="write exactly one of rate, tiers, linear_in_size and power"):
        model(futures={"BTC": charge})
