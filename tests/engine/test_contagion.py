"""The contagion buffer: monotone, bounded, replayable, zero without crowding; and the charges beside it."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.sparse import csr_array

from crossmargin.engine.evaluate import evaluate
from crossmargin.loading import Parameters, load_margin_model, load_parameters
from crossmargin.market.crowding import Crowding, ExposureTotals
from crossmargin.market.exposures import exposures
from crossmargin.models.base import MarginModel
from crossmargin.models.contagion import ContagionRule, Indicators
from crossmargin.models.policies import build_policy, rebuild_policy
from crossmargin.models.scan import ScanModel
from crossmargin.models.scenario import ScenarioModel
from crossmargin_circuits.compile import compile_policy
from crossmargin_circuits.layout import ColumnKind
from crossmargin_circuits.policy import Policy

EXAMPLES = Path(__file__).parents[2] / "examples"
NAMES = ("BTC", "ETH", "SOL")
TOO_HEAVY = {"concentration": "0.4", "one_sidedness": "0.4", "leverage": "0.4", "common_exposure": "0"}

parts = st.fractions(0, 1, max_denominator=1000)
amounts = st.integers(0, 10**9)


def decimals(highest: str = "1") -> st.SearchStrategy[Decimal]:
    return st.decimals("0", highest, places=3)


@st.composite
def rules(draw: st.DrawFn) -> ContagionRule:
    raw = [draw(st.integers(0, 250)) for _ in range(4)]
    return ContagionRule.model_validate(
        {
            "weights": dict(
                zip(
                    ("concentration", "one_sidedness", "leverage", "common_exposure"),
                    (Decimal(each) / 1000 for each in raw),
                    strict=True,
                )
            ),
            "leverage_limit": draw(st.decimals("0.1", "20", places=2)),
            "start": draw(decimals("0.9")),
            "maximum": draw(decimals("2")),
            "thresholds": dict.fromkeys(NAMES, Decimal(1000)),
            "spill_over": {
                name: {other: draw(decimals()) for other in NAMES if other != name and draw(st.booleans())}
                for name in NAMES
            },
        }
    )


@st.composite
def totals(draw: st.DrawFn) -> ExposureTotals:
    longs, shorts, small = draw(amounts), draw(amounts), draw(amounts)
    return ExposureTotals(
        gross=Decimal(longs + shorts + small), large_longs=Decimal(longs), large_shorts=Decimal(shorts)
    )


@st.composite
def crowdings(draw: st.DrawFn) -> Crowding:
    return Crowding(
        as_of=datetime(2025, 3, 27, tzinfo=UTC),
        source="test",
        equity=Decimal(draw(amounts)),
        exposures={name: draw(totals()) for name in NAMES},
    )


def with_totals(crowding: Crowding, name: str, **changes: Decimal) -> Crowding:
    changed = crowding.exposures[name].model_copy(update=changes)
    return crowding.model_copy(update={"exposures": {**crowding.exposures, name: changed}})


@pytest.fixture(scope="module")
def book() -> Parameters:
    return load_parameters(EXAMPLES / "book")


@pytest.fixture(scope="module")
def model() -> ScenarioModel:
    found = load_margin_model(EXAMPLES / "models" / "contagion_scenario.yaml")
    assert isinstance(found, ScenarioModel)
    return found


@given(rule=rules(), crowding=crowdings())
def test_indicators_and_buffers_are_bounded(rule: ContagionRule, crowding: Crowding) -> None:
    for each in rule.indicators(crowding).values():
        assert all(0 <= value <= 1 for value in vars(each).values())
        assert 0 <= rule.index(each) <= 1
    assert all(0 <= buffer <= Fraction(rule.maximum) for buffer in rule.buffers(crowding).values())


@given(rule=rules(), first=st.lists(parts, min_size=4, max_size=4), more=st.lists(parts, min_size=4, max_size=4))
def test_index_is_monotone_in_every_indicator(rule: ContagionRule, first: list[Fraction], more: list[Fraction]) -> None:
    low = Indicators(*first)
    high = Indicators(*(min(Fraction(1), value + rise) for value, rise in zip(first, more, strict=True)))
    assert rule.index(low) <= rule.index(high)


@given(rule=rules(), low=st.lists(parts, min_size=3, max_size=3), more=st.lists(parts, min_size=3, max_size=3))
def test_buffer_is_monotone_in_every_index(rule: ContagionRule, low: list[Fraction], more: list[Fraction]) -> None:
    """Its own and those that spill over; and it is at its maximum at the index 1."""
    before = dict(zip(NAMES, low, strict=True))
    after = {name: min(Fraction(1), value + rise) for (name, value), rise in zip(before.items(), more, strict=True)}
    for name in NAMES:
        assert rule.buffer(rule.spilled(name, before)) <= rule.buffer(rule.spilled(name, after))
    assert rule.buffer(Fraction(1)) == Fraction(rule.maximum)
    assert rule.buffer(Fraction(rule.start)) == 0


@given(rule=rules(), crowding=crowdings(), times=st.integers(1, 50))
def test_grows_when_all_exposures_grow_in_proportion(rule: ContagionRule, crowding: Crowding, times: int) -> None:
    grown = crowding.model_copy(
        update={
            "exposures": {
                name: ExposureTotals(
                    gross=each.gross * times,
                    large_longs=each.large_longs * times,
                    large_shorts=each.large_shorts * times,
                )
                for name, each in crowding.exposures.items()
            }
        }
    )
    before, after = rule.buffers(crowding), rule.buffers(grown)
    assert all(before[name] <= after[name] for name in NAMES)


@given(rule=rules(), crowding=crowdings(), lost=st.integers(0, 10**9))
def test_grows_when_equity_falls(rule: ContagionRule, crowding: Crowding, lost: int) -> None:
    poorer = crowding.model_copy(update={"equity": max(Decimal(0), crowding.equity - lost)})
    before, after = rule.buffers(crowding), rule.buffers(poorer)
    assert all(before[name] <= after[name] for name in NAMES)


@given(rule=rules(), crowding=crowdings(), name=st.sampled_from(NAMES), added=amounts)
def test_grows_when_large_accounts_add_on_the_dominating_side(
    rule: ContagionRule, crowding: Crowding, name: str, added: int
) -> None:
    each = crowding.exposures[name]
    side = "large_longs" if each.large_longs >= each.large_shorts else "large_shorts"
    crowded = with_totals(crowding, name, gross=each.gross + added, **{side: getattr(each, side) + added})
    assert rule.buffers(crowding)[name] <= rule.buffers(crowded)[name]


def test_not_monotone_in_gross_alone(model: ScenarioModel) -> None:
    """Small accounts dilute the concentration, as the module's text says."""
    rule = model.contagion
    assert rule is not None
    even = ExposureTotals(gross=Decimal(100), large_longs=Decimal(80), large_shorts=Decimal(0))
    crowding = crowding_with(even, equity=10**6)
    diluted = crowding_with(even.model_copy(update={"gross": Decimal(1000)}), equity=10**6)
    assert rule.buffers(diluted)["BTC"] < rule.buffers(crowding)["BTC"]


def crowding_with(btc: ExposureTotals, equity: int) -> Crowding:
    nothing = ExposureTotals(gross=Decimal(0), large_longs=Decimal(0), large_shorts=Decimal(0))
    return Crowding(
        as_of=datetime(2025, 3, 27, tzinfo=UTC),
        source="test",
        equity=Decimal(equity),
        exposures={"BTC": btc, "ETH": nothing, "SOL": nothing},
    )


@given(rule=rules())
def test_nothing_without_crowding(rule: ContagionRule) -> None:
    nothing = ExposureTotals(gross=Decimal(0), large_longs=Decimal(0), large_shorts=Decimal(0))
    assert set(rule.buffers(crowding_with(nothing, equity=0)).values()) == {Fraction(0)}


def test_figures_worked_by_hand(model: ScenarioModel) -> None:
    """gross 400, large 200 + 40, equity 500: C 0.6, O 2/3, L 0.8, X 1."""
    rule = model.contagion
    assert rule is not None
    crowding = crowding_with(
        ExposureTotals(gross=Decimal(400), large_longs=Decimal(200), large_shorts=Decimal(40)), equity=500
    )
    found = rule.indicators(crowding)["BTC"]
    assert found == Indicators(Fraction(3, 5), Fraction(2, 3), Fraction(4, 5), Fraction(1))
    index = Fraction(24, 100) + Fraction(2, 15) + Fraction(1, 5) + Fraction(15, 100)
    assert rule.index(found) == index
    assert rule.buffers(crowding)["BTC"] == Fraction(1, 2) * (index - Fraction(3, 10)) / Fraction(7, 10)
    assert rule.spilled("ETH", {"BTC": index, "ETH": Fraction(0), "SOL": Fraction(0)}) == index / 10


def test_ranges_are_wider_by_the_buffer_and_rounded_up(book: Parameters, model: ScenarioModel) -> None:
    rule, crowding = model.contagion, book.crowding
    assert rule is not None and crowding is not None
    held = model.ranges(book.environment)
    for name, buffer in rule.buffers(crowding).items():
        stated = model.scan[name]
        exact = Fraction(stated.price_range) * (1 + buffer)
        assert exact <= Fraction(held[name].price_range) < exact + Fraction(1, 10**rule.decimals)
        assert held[name].volatility_up >= stated.volatility_up
        assert stated.volatility_down <= held[name].volatility_down < 1
    assert held["BTC"].price_range > model.scan["BTC"].price_range


def test_downward_volatility_stays_below_one(book: Parameters, model: ScenarioModel) -> None:
    rule, crowding = model.contagion, book.crowding
    assert rule is not None and crowding is not None
    deep = {name: each.model_copy(update={"volatility_down": Decimal("0.95")}) for name, each in model.scan.items()}
    full = rule.model_copy(update={"start": Decimal(0), "maximum": Decimal("0.9")})
    assert full.ranges(deep, crowding)["BTC"].volatility_down == Decimal("0.9999")


def test_range_beyond_the_price_is_refused_with_figures(book: Parameters, model: ScenarioModel) -> None:
    rule = model.contagion
    assert rule is not None
    wide = {name: each.model_copy(update={"price_range": Decimal("0.46")}) for name, each in model.scan.items()}
    (problem,) = model.model_copy(update={"scan": wide}).check(book.environment)
    assert "BTC: a price range of 0.5" in problem.reason and "extreme multiple 2" in problem.reason


def requirement_of(book: Parameters, model: MarginModel, records: Any) -> list[int]:
    compiled = compile_policy(build_policy("test", book.environment, model, "initial"))
    return [int(each) for each in evaluate(compiled, csr_array(np.array(records, dtype=np.int64))).requirement]


def test_charge_is_the_rate_on_what_is_beyond_the_threshold(book: Parameters, model: ScenarioModel) -> None:
    rule, crowding = model.contagion, book.crowding
    assert rule is not None and crowding is not None
    layout = book.catalogue.layout()
    column = layout.index(ColumnKind.POSITION, "BTC_USDC-PERPETUAL")
    records = [[1] + [0] * (len(layout) - 1) for _ in range(4)]
    for record, lots in zip(records, (11_000, 12_500, -20_000, 500_000), strict=True):
        record[column] = lots
    with_charge = requirement_of(book, model, records)
    without = requirement_of(
        book, model.model_copy(update={"contagion": rule.model_copy(update={"rates": {}})}), records
    )
    rate = float(Fraction(rule.rates["BTC"]) * rule.buffers(crowding)["BTC"] / Fraction(rule.maximum))
    delta = exposures(book.environment.valuation, "BTC").delta[column]
    for record, charged, plain in zip(records, with_charge, without, strict=True):
        expected = rate * max(0.0, abs(delta * record[column]) - 1_000_000) / 1e-8
        assert charged - plain == pytest.approx(expected, rel=1e-6, abs=1e6)
    assert with_charge[0] == without[0] and with_charge[2] > without[2]


def test_policy_is_a_function_of_the_published_files(book: Parameters, model: ScenarioModel) -> None:
    policy = build_policy("test", book.environment, model, "initial")
    assert rebuild_policy(policy) == policy
    crowding = book.crowding
    assert crowding is not None
    other = crowding.model_copy(update={"equity": crowding.equity - 1})
    assert build_policy("test", replace(book.environment, crowding=other), model, "initial").digest != policy.digest


def test_buffer_is_at_its_maximum_before_totals_are_opened(book: Parameters, model: ScenarioModel) -> None:
    """The first crowding statement needs no earlier one, and nobody gains by withholding the totals."""
    rule, first = model.contagion, replace(book.environment, crowding=None)
    assert rule is not None and book.crowding is not None
    assert model.check(first) == []
    assert set(rule.buffers(None).values()) == {Fraction(rule.maximum)}
    assert all(rule.buffers(book.crowding)[name] <= most for name, most in rule.buffers(None).items())
    for name, each in model.ranges(first).items():
        assert each.price_range >= model.ranges(book.environment)[name].price_range
        assert abs(Fraction(each.price_range) / Fraction(model.scan[name].price_range) - 1 - Fraction(rule.maximum)) < 1
    policy = build_policy("test", first, model, "initial")
    assert "crowding" not in policy.inputs
    assert rebuild_policy(Policy.decode(policy.encoded)) == policy


def test_what_is_missing_is_said(book: Parameters, model: ScenarioModel) -> None:
    rule, crowding = model.contagion, book.crowding
    assert rule is not None and crowding is not None

    def said(**changes: Any) -> list[str]:
        return [problem.reason for problem in model.check(replace(book.environment, **changes))]

    assert said() == []
    fewer = {name: each for name, each in crowding.exposures.items() if name != "SOL"}
    assert said(crowding=crowding.model_copy(update={"exposures": fewer})) == ["no totals of SOL in crowding.yaml"]
    stale = crowding.model_copy(update={"as_of": crowding.as_of - timedelta(days=30)})
    assert said(crowding=stale) == ["the totals are 31.0 days old, the limit is 2"]
    early = crowding.model_copy(update={"as_of": crowding.as_of + timedelta(days=2)})
    assert said(crowding=early) == ["the totals are dated 86400 s after as_of"]
    foreign = rule.model_copy(update={"spill_over": {"BTC": {"DOGE": Decimal("0.1")}}})
    problems = model.model_copy(update={"contagion": foreign}).check(book.environment)
    assert [(each.field, each.reason) for each in problems] == [
        ("contagion.spill_over.BTC.DOGE", "DOGE is not an underlying")
    ]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"weights": TOO_HEAVY}, "the weights add up to 1.2"),
        ({"spill_over": {"BTC": {"ETH": "1.1"}}}, "spill_over.BTC.ETH"),
        ({"spill_over": {"BTC": {"BTC": "0.5"}}}, "itself"),
        ({"rates": {"DOGE": "0.1"}}, "no threshold"),
        ({"start": "1"}, "start"),
        ({"leverage_limit": "0"}, "leverage_limit"),
        ({"thresholds": {"BTC": "0"}}, "thresholds.BTC"),
    ],
)
def test_rules_without_the_proven_properties_are_refused(
    model: ScenarioModel, changes: dict[str, Any], reason: str
) -> None:
    assert model.contagion is not None
    with pytest.raises(ValidationError) as caught:
        ContagionRule.model_validate({**model.contagion.model_dump(mode="json"), **changes})
    assert reason in str(caught.value)


SCANNED = [
    path.stem
    for path in sorted((EXAMPLES / "models").glob("*.yaml"))
    if isinstance(load_margin_model(path), ScanModel) and not path.stem.startswith(("dynamic", "contagion"))
]


@pytest.mark.parametrize("name", SCANNED)
def test_buffer_acts_in_every_architecture_with_ranges(name: str, book: Parameters, model: ScenarioModel) -> None:
    """A linear position needs 1 + b times as much, up to rounding the range up and charges that read no range."""
    rule, crowding = model.contagion, book.crowding
    assert rule is not None and crowding is not None
    plain = load_margin_model(EXAMPLES / "models" / f"{name}.yaml")
    crowded = plain.model_copy(update={"contagion": rule})
    assert crowded.check(book.environment) == []
    layout = book.catalogue.layout()
    record = [1] + [0] * (len(layout) - 1)
    record[layout.index(ColumnKind.POSITION, "BTC_USDC-PERPETUAL")] = -5_000
    (before,), (after,) = (requirement_of(book, each, [record]) for each in (plain, crowded))
    buffer = float(rule.buffers(crowding)["BTC"])
    assert 1 + 0.9 * buffer < after / before < 1.001 * (1 + buffer)


def test_documented_sections_load() -> None:
    text = (EXAMPLES.parent / "docs" / "formats.md").read_text(encoding="utf-8")
    (section,) = re.findall(r"```text\ncontagion:\n(.*?)```", text, re.DOTALL)
    (file,) = re.findall(r"```text\n(as_of: .*?exposures:.*?)```", text, re.DOTALL)
    rule = ContagionRule.model_validate(yaml.load(section, yaml.CBaseLoader))  # noqa: S506 (scalars stay text)
    totals = Crowding.model_validate(yaml.load(file, yaml.CBaseLoader))  # noqa: S506
    assert 0 < rule.buffers(totals)["BTC"] < rule.maximum
