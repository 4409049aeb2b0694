"""Cross margin: net by underlying or contract by contract, the factor as a buffer, and what netting saves."""

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
SHORT = {"rate": "0.075", "floor": "0.075"}
TIERS = {"tiers": [{"from": "0", "rate": "0.01"}, {"from": "100000", "rate": "0.02"}]}


@cache
def environment() -> MarketEnvironment:
    return load_parameters(EXAMPLES / "book").environment


def model(**replace: Any) -> MarginModel:
    return parse_model(
        {
            "model": "cross_margin",
            "version": 1,
            "value_unit": {"currency": "USD", "quantum": "0.00000001"},
            "staleness_limit_seconds": 600,
            "by": "underlying",
            "statements": [{"name": "maintenance", "factor": "1"}, {"name": "buffer", "factor": "1.05"}],
            "futures": {name: {"rate": "0.02"} for name in ("BTC", "ETH", "SOL")},
            "options": {name: {"call": SHORT, "put": SHORT} for name in ("BTC", "ETH", "SOL")},
            **replace,
        }
    )


@cache
def compiled(kind: str, tiered: bool = False, statement: str = "maintenance") -> CompiledPolicy:
    replace: dict[str, Any] = {"by": kind} if kind in ("underlying", "instrument") else {"model": kind}
    if tiered:
        replace["futures"] = dict.fromkeys(("BTC", "ETH", "SOL"), TIERS)
    chosen = model(**replace) if "by" in replace else isolated(**replace)
    return compile_policy(build_policy("test", environment(), chosen, statement))


def isolated(**replace: Any) -> MarginModel:
    data = {**model().model_dump(mode="json", exclude_none=True), **replace}
    del data["by"]
    return parse_model(data)


def margin(relation: CompiledPolicy, *holdings: dict[str, int]) -> Margin:
    """Evaluate accounts that hold lots of instruments."""
    layout = relation.policy.layout
    records = np.zeros((len(holdings), len(layout)), dtype=np.int64)
    records[:, 0] = 1
    for row, holding in zip(records, holdings, strict=True):
        for name, lots in holding.items():
            row[layout.index(ColumnKind.POSITION, name)] = lots
    return evaluate(relation, csr_array(records))


def test_expiries_and_contract_kinds_net_by_underlying() -> None:
    spread = {"BTC-PERPETUAL": 5000, "BTC-27JUN25": -5000}
    mixed = {"BTC_USDC-PERPETUAL": 1000, "BTC-PERPETUAL": -8000}
    found = margin(compiled("underlying"), spread, mixed).requirement
    assert found[0] == 0
    # 1 BTC at 85,422.5 USDC of 0.9999 USD against 80,000 USD.
    assert found[1] / QUANTA == pytest.approx(0.02 * (85422.5 * 0.9999 - 80000), abs=1e-5)
    assert margin(compiled("instrument"), spread).requirement[0] == 0.02 * 100000 * QUANTA


def test_underlyings_do_not_offset_each_other() -> None:
    btc, eth = {"BTC-PERPETUAL": 5000}, {"ETH-PERPETUAL": -50000}
    found = margin(compiled("underlying"), btc, eth, btc | eth).requirement
    assert found[2] == found[0] + found[1] == 0.02 * 100000 * QUANTA


def test_tiers_are_climbed_by_the_net_notional() -> None:
    """Two contracts of 75,000 USD are 150,000 of the underlying; a spread of millions is nothing."""
    both = {"BTC-PERPETUAL": 7500, "BTC-25APR25": 7500}
    spread = {"BTC-PERPETUAL": 10**6, "BTC-25APR25": -(10**6)}
    assert margin(compiled("underlying", True), both, spread).requirement.tolist() == [2000 * QUANTA, 0]
    assert margin(compiled("instrument", True), both).requirement[0] == 1500 * QUANTA


def test_a_buffer_is_a_factor() -> None:
    held = {"BTC_USDC-PERPETUAL": -300, "ETH-PERPETUAL": 123456, "BTC-25APR25-88000-C": -3}
    plain = margin(compiled("underlying", True), held).requirement[0]
    assert margin(compiled("underlying", True, "buffer"), held).requirement[0] == pytest.approx(1.05 * plain, abs=1e6)


@given(data=st.data())
def test_netting_saves_and_pooling_by_contract_does_not(data: st.DataObject) -> None:
    """At one flat rate the net requirement is at most that of each contract alone; by contract they are the same."""
    names = [item.name for item in environment().catalogue.instruments]
    held = data.draw(st.dictionaries(st.sampled_from(names), st.integers(-1000, 1000), max_size=8))
    alone = margin(compiled("isolated_margin"), held).requirement[0]
    assert margin(compiled("underlying"), held).requirement[0] <= alone
    assert margin(compiled("instrument"), held).requirement[0] == alone


def test_charges_by_underlying_name_underlyings() -> None:
    chosen = model(futures={**model().model_dump()["futures"], "BTC-PERPETUAL": {"rate": "0.5"}})
    (problem,) = check_environment(environment(), chosen)
    assert problem.field == "futures.BTC-PERPETUAL"
    assert check_environment(environment(), model()) == []


def test_limits_of_a_whole_underlying_must_end_at_the_last_knot() -> None:
    """1,000,000 SOL of the perpetual and 300,000 of the future are pooled."""
    curve = {"base": "0.05", "slope": "0.0000001", "knots": ["1000", "1000000"]}
    data = model().model_dump()["futures"]
    (problem,) = check_environment(environment(), model(futures={**data, "SOL": {"linear_in_size": curve}}))
    assert "limits of SOL allow 1.3e+06 SOL, and the last knot is 1000000" in problem.reason
    curve["knots"] = ["1000", "1300000"]
    assert check_environment(environment(), model(futures={**data, "SOL": {"linear_in_size": curve}})) == []


def test_by_is_one_of_two_words() -> None:
    with pytest.raises(ValueError, match="instrument"):
        model(by="asset")


def test_a_statement_may_have_charges_of_its_own() -> None:
    """Initial rates beside maintenance brackets: only what the statement names is charged otherwise."""
    statements = [{"name": "maintenance", "factor": "1"}, {"name": "initial", "factor": "1"}]
    chosen = model(statements=statements, of_statement={"initial": {"BTC": {"rate": "0.1"}}})
    assert check_environment(environment(), chosen) == []
    layout = environment().catalogue.layout()
    for name, times in (("BTC_USDC-PERPETUAL", 5), ("ETH_USDC-PERPETUAL", 1)):
        record = np.zeros((1, len(layout)), dtype=np.int64)
        record[0, [0, layout.index(ColumnKind.POSITION, name)]] = 1, -700
        needed = {
            statement: int(
                evaluate(
                    compile_policy(build_policy("test", environment(), chosen, statement)), csr_array(record)
                ).requirement[0]
            )
            for statement in ("maintenance", "initial")
        }
        assert needed["maintenance"] > 0
        assert abs(needed["initial"] - times * needed["maintenance"]) <= times * 700


@pytest.mark.parametrize(
    ("table", "field", "reason"),
    [
        ({"stress": {"BTC": {"rate": "0.1"}}}, "of_statement.stress", "stress is not a margin statement"),
        ({"buffer": {"DOGE": {"rate": "0.1"}}}, "of_statement.buffer.DOGE", "DOGE is not an instrument or underlying"),
    ],
)
def test_foreign_charges_of_statements_are_refused(table: dict[str, Any], field: str, reason: str) -> None:
    (problem,) = check_environment(environment(), model(of_statement=table))
    assert (problem.field, problem.reason) == (field, reason)
