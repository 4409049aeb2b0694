"""Dynamic ranges: the three tools against procyclicality, each against its own statement, and their bounds."""

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from crossmargin.errors import InputError, InputErrors
from crossmargin.loading import Parameters, load_margin_model, load_parameters
from crossmargin.market.history import PriceHistory
from crossmargin.market.scenarios import ScanRange
from crossmargin.models.dynamic import DynamicRule, round_up
from crossmargin.models.policies import build_policy, rebuild_policy
from crossmargin.models.scenario import ScenarioModel

EXAMPLES = Path(__file__).parents[2] / "examples"
PLAIN: Mapping[str, Any] = {"decay": "0.94", "multiplier": "3", "horizon_days": "1", "minimum_days": "20"}
TOOLS: Mapping[str, Any] = {
    "buffer": {"part": "0.25", "release": "1.2"},
    "stressed": {"weight": "0.25", "days": "20"},
    "floor": "true",
}
LEAST = ScanRange.model_validate({"price_range": "0.0001", "volatility_up": "0.4", "volatility_down": "0.25"})

volatilities = st.floats(0, 0.5)


def rule(**parts: Any) -> DynamicRule:
    return DynamicRule.model_validate({**PLAIN, **parts})


def history(returns: np.ndarray[Any, Any]) -> PriceHistory:
    prices = 1000 * np.exp(np.concatenate(([0.0], np.cumsum(returns))))
    start = datetime(2024, 1, 1, tzinfo=UTC)
    return PriceHistory(
        times=tuple(start + timedelta(days=day) for day in range(len(prices))),
        prices={"BTC": tuple(Decimal(f"{price:.8f}") for price in prices)},
    )


def alternating(*parts: tuple[int, float]) -> np.ndarray[Any, Any]:
    """Returns of a constant size in each part, up and down in turn: every volatility is known."""
    sizes = np.concatenate([np.full(days, size) for days, size in parts])
    return sizes * np.where(np.arange(len(sizes)) % 2, -1.0, 1.0)


@pytest.fixture(scope="module")
def book() -> Parameters:
    return load_parameters(EXAMPLES / "book")


@pytest.fixture(scope="module")
def model() -> ScenarioModel:
    found = load_margin_model(EXAMPLES / "models" / "dynamic_scenario.yaml")
    assert isinstance(found, ScenarioModel)
    return found


def test_volatility_that_stands_still_is_the_range() -> None:
    (found,) = rule(horizon_days="4").ranges({"BTC": LEAST}, history(alternating((100, 0.01)))).values()
    assert found.price_range == Decimal("0.0600")


def test_published_range_is_the_least() -> None:
    wide = LEAST.model_copy(update={"price_range": Decimal("0.2")})
    assert rule().ranges({"BTC": wide}, history(alternating((100, 0.01))))["BTC"].price_range == Decimal("0.2")


def test_stressed_observations_have_their_weight() -> None:
    """30 days at 5 %, long past: a quarter of the mean square is theirs."""
    calm = history(alternating((50, 0.01), (30, 0.05), (400, 0.01)))
    found = rule(stressed={"weight": "0.25", "days": "30"}).volatility(calm, "BTC")
    assert found.short == pytest.approx(0.01, rel=1e-6)
    assert found.stressed == pytest.approx(0.05, rel=1e-6)
    assert found.mixed == pytest.approx((0.75 * 0.01**2 + 0.25 * 0.05**2) ** 0.5, rel=1e-6)


def test_floor_is_the_volatility_of_ten_years_and_no_longer() -> None:
    path = history(alternating((200, 0.2), (1825, 0.03), (1825, 0.01)))
    found = rule(floor="true").volatility(path, "BTC")
    assert found.long == pytest.approx(((0.03**2 + 0.01**2) / 2) ** 0.5, rel=1e-6)
    assert found.floored == found.long > found.short


def test_buffer_is_whole_in_calm_and_used_up_in_stress() -> None:
    held = rule(buffer={"part": "0.25", "release": "1.2"})
    assert held.buffered(0.01, 0.02) == pytest.approx(0.0125)
    assert held.buffered(0.024, 0.02) == pytest.approx(0.03)
    assert held.buffered(0.027, 0.02) == pytest.approx(0.03)
    assert held.buffered(0.03, 0.02) == pytest.approx(0.03)
    assert held.buffered(0.05, 0.02) == 0.05


@given(low=volatilities, more=volatilities, long=volatilities)
def test_buffer_is_monotone_continuous_and_bounded(low: float, more: float, long: float) -> None:
    held = rule(buffer={"part": "0.3", "release": "1.1"})
    below, above = held.buffered(low, long), held.buffered(low + more, long)
    assert below <= above <= below + 1.3 * more + 1e-12
    assert low <= below <= 1.3 * low
    assert held.buffered(low, long) <= held.buffered(low, long + more)


@given(value=st.floats(0, 1), decimals=st.integers(1, 9))
def test_ranges_are_rounded_up_to_the_stated_decimal(value: float, decimals: int) -> None:
    step = Decimal(1).scaleb(-decimals)
    found = round_up(value, decimals)
    assert found == found.quantize(step)
    assert Decimal(value) - step * Decimal("1e-8") <= found < Decimal(value) + step


def test_what_floats_err_by_does_not_move_a_range() -> None:
    assert round_up(0.1 + 0.2, 4) == round_up(0.3, 4) == Decimal("0.3000")
    assert round_up(0.30001, 4) == Decimal("0.3001")


def test_each_tool_lowers_the_peak_to_trough_of_ranges() -> None:
    path = history(alternating((30, 0.05), (170, 0.01), (30, 0.05), (200, 0.01)))

    def peak_to_trough(**tools: Any) -> Decimal:
        found = [
            rule(**tools).ranges({"BTC": LEAST}, path.until(path.times[day]))["BTC"].price_range
            for day in range(120, len(path), 3)
        ]
        return max(found) / min(found)

    bare, together = peak_to_trough(), peak_to_trough(**TOOLS)
    alone = [peak_to_trough(**{name: tool}) for name, tool in TOOLS.items()]
    assert all(each < bare for each in alone)
    assert together < min(alone)


def test_range_that_reaches_zero_is_refused_with_figures(book: Parameters, model: ScenarioModel) -> None:
    assert model.dynamic is not None
    wild = model.model_copy(update={"dynamic": model.dynamic.model_copy(update={"multiplier": Decimal("60")})})
    (problem,) = wild.check(book.environment)
    assert problem.field == "dynamic.multiplier"
    assert "BTC: a price range of 3.3639 (daily volatility 0.0396 times multiplier 60 over 2 days)" in problem.reason
    wide = model.model_copy(update={"dynamic": model.dynamic.model_copy(update={"multiplier": Decimal("10")})})
    (problem,) = wide.check(book.environment)
    assert "times the extreme multiple 2 reaches a price of zero" in problem.reason
    with pytest.raises(InputError, match="reaches a price of zero"):
        build_policy("test", book.environment, wide, "initial")


def test_what_the_history_lacks_is_said(book: Parameters, model: ScenarioModel) -> None:
    assert book.history is not None
    bare = replace(book.environment, history=None)
    assert ["history.csv" in problem.hint for problem in model.check(bare)] == [True]
    short = replace(book.environment, history=book.history.until(book.history.times[40]))
    assert any("41 rows" in problem.reason for problem in model.check(short))
    unnamed = PriceHistory(times=book.history.times, prices={"BTC": book.history.prices["BTC"]})
    missing = model.check(replace(book.environment, history=unnamed))
    assert [problem.reason.split()[-1] for problem in missing] == ["ETH", "SOL"]


def test_prices_after_the_snapshot_change_nothing(book: Parameters, model: ScenarioModel) -> None:
    history = book.history
    assert history is not None
    later = PriceHistory(
        times=(*history.times, history.times[-1] + timedelta(days=1)),
        prices={name: (*prices, prices[-1] * 2) for name, prices in history.prices.items()},
    )
    assert model.ranges(replace(book.environment, history=later)) == model.ranges(book.environment)


def test_policy_is_computed_again_and_follows_the_history(book: Parameters, model: ScenarioModel) -> None:
    policy = build_policy("test", book.environment, model, "initial")
    assert rebuild_policy(policy) == policy
    history = book.history
    assert history is not None
    crashed = history.model_copy(
        update={
            "prices": {
                **history.prices,
                "BTC": (*history.prices["BTC"][:-1], history.prices["BTC"][-1] * Decimal("1.1")),
            }
        }
    )
    other = build_policy("test", replace(book.environment, history=crashed), model, "initial")
    assert other.digest != policy.digest
    assert max(other.array("pnl 11").coefficients) > max(policy.array("pnl 11").coefficients)


@pytest.mark.parametrize(
    ("parts", "field"),
    [
        ({"buffer": {"part": "0.2", "release": "1"}}, "buffer.part"),
        ({"stressed": {"weight": "0.1", "days": "30"}}, "stressed.weight"),
        ({"long_run_days": "4000"}, "long_run_days"),
        ({"decay": "1"}, "decay"),
        ({"multiplier": "0"}, "multiplier"),
        ({"decimals": "0"}, "decimals"),
    ],
)
def test_less_than_the_rule_asks_is_refused(parts: Mapping[str, Any], field: str) -> None:
    with pytest.raises(ValidationError) as caught:
        rule(**parts)
    (found,) = caught.value.errors()
    assert ".".join(map(str, found["loc"])) == field


def test_file_without_history_names_the_line(tmp_path: Path) -> None:
    for name in ("venue", "instruments", "market", "reserves"):
        text = (EXAMPLES / "book" / f"{name}.yaml").read_text(encoding="utf-8")
        (tmp_path / f"{name}.yaml").write_text(text, encoding="utf-8")
    text = (EXAMPLES / "models" / "dynamic_scenario.yaml").read_text(encoding="utf-8")
    (tmp_path / "model.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(InputErrors) as caught:
        load_parameters(tmp_path)
    (problem,) = caught.value.problems
    assert problem.file == "model.yaml"
    assert problem.line == text[: text.index("minimum_days")].count("\n") + 1


def test_calm_days_let_a_range_fall_slowly() -> None:
    """After a shock no day gives back more of the range than the decay allows."""
    path = history(alternating((60, 0.01), (1, 0.08), (60, 0.01)))
    found = [
        rule().ranges({"BTC": LEAST}, path.until(path.times[day]))["BTC"].price_range for day in range(61, len(path))
    ]
    assert all(later >= earlier * Decimal("0.94").sqrt() - Decimal("0.0001") for earlier, later in pairwise(found))


def test_documented_section_loads() -> None:
    text = (EXAMPLES.parent / "docs" / "formats.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```text\ndynamic:\n(.*?)```", text, re.DOTALL)
    assert DynamicRule.model_validate(yaml.load(block, yaml.CBaseLoader)).floor  # noqa: S506 (scalars stay text)
