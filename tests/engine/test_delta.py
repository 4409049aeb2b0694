"""Delta margin against its formula, on books whose exposures are known without Greeks, and on random ones."""

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.loading import Parameters
from crossmargin.market.scenarios import Scenario
from crossmargin.models import build_policy, parse_model
from crossmargin_circuits.evaluate import evaluate_expression
from crossmargin_circuits.expression import Reference
from crossmargin_circuits.policy import Policy

QUANTUM = 1e-8


def policy_of(parameters: Parameters, model: str = "delta_margin", **more: Any) -> Policy:
    data = {
        "model": model,
        "version": 1,
        "value_unit": {"currency": "USD", "quantum": "0.00000001"},
        "staleness_limit_seconds": 600,
        "scan": {"BTC": {"price_range": "0.15", "volatility_up": "0.4", "volatility_down": "0.25"}},
        "statements": [{"name": "initial", "factor": "1"}],
        **more,
    }
    return build_policy("test", parameters.environment, parse_model(data), "initial")


def record(policy: Policy, amounts: Mapping[str, int]) -> list[int]:
    """Return the record with these amounts by key of the column, zero elsewhere."""
    return [1] + [amounts.get(column.key, 0) for column in policy.layout.columns[1:]]


def needed(policy: Policy, vector: list[int], name: str = "requirement") -> float:
    return evaluate_expression(policy, Reference(name), vector) * QUANTUM


def test_futures_cost_the_shock_of_their_net_value(parameters: Parameters) -> None:
    """1,500 contracts of 0.001 BTC at 85,010 against 0.5 BTC held: 0.15 (127,515 + 42,500), or their difference."""
    policy = policy_of(parameters)
    held = {"balance BTC": 50_000_000, "balance USDC": 10**12}
    perpetual = "position BTC_USDC-PERPETUAL"
    assert needed(policy, record(policy, held)) == pytest.approx(0.15 * 42500)
    assert needed(policy, record(policy, {**held, perpetual: 1500})) == pytest.approx(0.15 * (127515 + 42500))
    assert needed(policy, record(policy, {**held, perpetual: -500})) == pytest.approx(0.15 * 5)


def test_only_short_gamma_is_charged(parameters: Parameters) -> None:
    """A short option pays gamma and vega, a long one vega alone, by its own volatility move."""
    policy = policy_of(parameters, gamma=True, vega=True)
    short, long = (record(policy, {"position BTC-27JUN25-100000-C": lots}) for lots in (-10, 10))
    assert needed(policy, short, "delta risk BTC") == needed(policy, long, "delta risk BTC") > 0
    assert needed(policy, short, "gamma risk BTC") > 0 == needed(policy, long, "gamma risk BTC")
    # Volatility up 40 % hurts the short one, down 25 % the long one.
    ratio = needed(policy, short, "vega risk BTC") / needed(policy, long, "vega risk BTC")
    assert ratio == pytest.approx(0.4 / 0.25)
    parts = sum(needed(policy, short, f"{part} risk BTC") for part in ("delta", "gamma", "vega"))
    assert needed(policy, short) == pytest.approx(parts)


@given(st.data())
def test_linear_books_lose_what_full_revaluation_says(parameters: Parameters, data: st.DataObject) -> None:
    """Without options the worst of a rise and a fall by the range is the delta margin, up to rounding of the arrays."""
    policy = policy_of(parameters)
    amounts = st.integers(-(10**6), 10**6)
    vector = [1] + [data.draw(amounts) for _ in policy.layout.columns[1:-1]] + [0]
    losses = []
    for sign in (1, -1):
        scenario = Scenario(1, "move", {"BTC": Fraction(sign * 15, 100)}, {})
        losses.append(-parameters.environment.valuation.scenario_pnl(scenario) @ np.array(vector))
    # An inverse position's mark leg does not move in USD, so the book is linear in the price.
    assert needed(policy, vector) == pytest.approx(max(losses), abs=len(vector) * 10**6 * QUANTUM)


def test_expansion_at_the_shock_is_covered_on_both_sides(parameters: Parameters) -> None:
    """Of any book the charge without vega is at least the second-order loss of a move by the range either way."""
    policy = policy_of(parameters, gamma=True)
    generator = np.random.default_rng(3)
    arrays = {name: np.array(policy.array(f"{name} BTC").coefficients) for name in ("delta", "gamma")}
    for _ in range(200):
        vector = generator.integers(-1000, 1000, len(policy.layout))
        delta, gamma = int(arrays["delta"] @ vector), int(arrays["gamma"] @ vector)
        charged = evaluate_expression(policy, Reference("requirement"), vector.tolist())
        assert charged == abs(delta) + max(-gamma, 0)
        assert charged >= max(-(delta + gamma), delta - gamma)
