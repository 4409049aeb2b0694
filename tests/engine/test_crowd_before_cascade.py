"""A crowd builds up in calm prices, then a shock and a cascade: the contagion buffer acts before, volatility after.

Forty accounts go long BTC day by day, as far as their initial margin lets them (they reduce when it no longer does);
the rest of the book is small and balanced. Prices move by 1 % a day, up and down in turn. Then BTC falls by 9 % within
a day, and what is liquidated moves the price further. Ranges follow volatility alone, or with the contagion buffer on
them, which reads the totals of the day before.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.sparse import csr_array

from crossmargin.analysis.replay import Replay, environment_at, opened_crowding, replay
from crossmargin.engine.evaluate import evaluate
from crossmargin.liquidation.cascade import Cascade, CascadeConfig, replay_cascade
from crossmargin.liquidation.rule import Rule
from crossmargin.market.environment import MarketEnvironment
from crossmargin.market.history import PriceHistory
from crossmargin.market.instruments import Catalogue
from crossmargin.market.prices import Market
from crossmargin.market.scenarios import Scenario
from crossmargin.models.policies import build_policy
from crossmargin.models.scenario import ScenarioModel
from crossmargin_circuits.compile import compile_policy
from crossmargin_circuits.layout import ColumnKind

CALM_DAYS, CROWD_DAYS = 80, 25
SHOCK = CALM_DAYS + CROWD_DAYS
CROWD, OTHERS = 40, 300
START = datetime(2025, 1, 1, 8, tzinfo=UTC)
UNITS = 1_000_000
"""Units of a USDC."""

CATALOGUE = Catalogue.model_validate(
    {
        "assets": [{"name": "USDC", "unit": "0.000001", "haircut": "0", "borrowable": "true", "limit": "1000000000"}],
        "instruments": [
            {
                "name": f"{name}_USDC-PERPETUAL",
                "kind": "perpetual",
                "contract": "linear",
                "underlying": name,
                "settlement": "USDC",
                "contract_size": size,
                "lot": "1",
                "limit": "1000000",
            }
            for name, size in (("BTC", "0.001"), ("ETH", "0.01"))
        ],
    }
)
LAYOUT = CATALOGUE.layout()
BALANCE, ENTRY = (LAYOUT.index(kind, "USDC") for kind in (ColumnKind.BALANCE, ColumnKind.ENTRY))
BTC, ETH = (LAYOUT.index(ColumnKind.POSITION, f"{name}_USDC-PERPETUAL") for name in ("BTC", "ETH"))
NOW = {"source": "test", "time": START.isoformat().replace("+00:00", "Z")}
MARKET = Market.model_validate(
    {
        "as_of": NOW["time"],
        "index": {name: {"price": price, **NOW} for name, price in (("USDC", "1"), ("BTC", "80000"), ("ETH", "2000"))},
        "marks": {
            f"{name}_USDC-PERPETUAL": {"price": price, **NOW} for name, price in (("BTC", "80000"), ("ETH", "2000"))
        },
    }
)
ENVIRONMENT = MarketEnvironment(CATALOGUE, MARKET)

VOLATILITY: Mapping[str, Any] = {
    "model": "sum_of_underlyings",
    "version": "1",
    "value_unit": {"currency": "USD", "quantum": "0.000001"},
    "staleness_limit_seconds": "600",
    "scan": {name: {"price_range": "0.01", "volatility_up": "0", "volatility_down": "0"} for name in ("BTC", "ETH")},
    "extreme": {"multiple": "1", "covered": "1"},
    "statements": [{"name": "maintenance", "factor": "0.8"}, {"name": "initial", "factor": "1"}],
    "dynamic": {"decay": "0.94", "multiplier": "5", "horizon_days": "2", "minimum_days": "30"},
}
CONTAGION: Mapping[str, Any] = {
    "weights": {"concentration": "0.4", "one_sidedness": "0.2", "leverage": "0.25", "common_exposure": "0.15"},
    "leverage_limit": "3",
    "start": "0.3",
    "maximum": "1",
    "thresholds": {"BTC": "2000000", "ETH": "2000000"},
}
CASCADE = CascadeConfig(depth={"BTC": Decimal(3_000_000_000)}, fund=Decimal(100_000_000))


def model(buffered: bool) -> ScenarioModel:
    return ScenarioModel.model_validate({**VOLATILITY, "contagion": CONTAGION} if buffered else VOLATILITY)


def path(last: Sequence[str] = ()) -> PriceHistory:
    """Calm prices until the day before the shock; `last`: prices of BTC from then on."""
    factor = [Decimal(1) if day % 2 == 0 else Decimal("1.01") for day in range(SHOCK)]
    btc = [80_000 * each for each in factor] + [Decimal(price) for price in last]
    eth = [2_000 * each for each in factor] + [2_000 * factor[-1]] * len(last)
    times = tuple(START + timedelta(days=day) for day in range(len(btc)))
    return PriceHistory(times=times, prices={"BTC": tuple(btc), "ETH": tuple(eth)})


def traded(
    records: NDArray[np.int64], rows: NDArray[np.int64], column: int, lots: Any, environment: MarketEnvironment
) -> None:
    """Change positions to `lots` at the mark, in place."""
    name = LAYOUT.columns[column].name
    instrument = CATALOGUE.instrument(name)
    per_lot = Fraction(instrument.contract_size) * Fraction(environment.market.marks[name].price) * UNITS
    for row, target in zip(rows.tolist(), np.asarray(lots).tolist(), strict=True):
        records[row, ENTRY] += (-(target - int(records[row, column])) * per_lot).__floor__()
        records[row, column] = target


def affordable(
    records: NDArray[np.int64], wanted: NDArray[np.int64], environment: MarketEnvironment, rule: ScenarioModel
) -> Any:
    """Return the most lots of BTC, at most those wanted, with which each crowd account has its initial margin."""
    compiled = compile_policy(build_policy("test", environment, rule, "initial"))
    rows = np.arange(CROWD)
    low, high = np.zeros(CROWD, dtype=np.int64), wanted + 1
    while np.any(high - low > 1):
        middle = (low + high) // 2
        tried = records[:CROWD].copy()
        traded(tried, rows, BTC, middle, environment)
        fits = evaluate(compiled, csr_array(tried)).excess >= 0
        low, high = np.where(fits, middle, low), np.where(fits, high, middle)
    return low


@dataclass(frozen=True)
class Story:
    """What happened under one model."""

    books: Mapping[datetime, csr_array]
    cascade: Cascade
    replay: Replay
    shocked: datetime

    @property
    def lost(self) -> int:
        """Deficits of bankrupt accounts, quanta."""
        return sum(step.deficits for step in self.cascade.steps)


def story(rule: ScenarioModel) -> Story:
    calm = path()
    records = np.zeros((CROWD + OTHERS, len(LAYOUT)), dtype=np.int64)
    records[:, 0] = 1
    records[:CROWD, BALANCE] = 1_000_000 * UNITS
    records[CROWD:, BALANCE] = 100_000 * UNITS
    sides = np.where(np.arange(OTHERS) % 2, 1, -1)
    first = environment_at(ENVIRONMENT, calm, 0, ("BTC", "ETH"))
    traded(records, np.arange(CROWD, CROWD + OTHERS), BTC, 600 * sides, first)
    traded(records, np.arange(CROWD, CROWD + OTHERS), ETH, 4_000 * sides, first)
    final_leverage = np.linspace(3, 14, CROWD)
    books: dict[datetime, csr_array] = {}
    crowding = None
    for day in range(CALM_DAYS, SHOCK):
        here = environment_at(ENVIRONMENT, calm, day, ("BTC", "ETH"))
        own = None if rule.contagion is None else opened_crowding(here, rule, csr_array(records))
        here = replace(here, crowding=crowding or own)
        wanted = (1 + (final_leverage - 1) * (day - CALM_DAYS) / (CROWD_DAYS - 1)) * 1_000_000 / 80
        traded(records, np.arange(CROWD), BTC, affordable(records, wanted.astype(np.int64), here, rule), here)
        books[here.market.as_of] = csr_array(records)
        crowding = None if rule.contagion is None else opened_crowding(here, rule, books[here.market.as_of])
    eve = replace(environment_at(ENVIRONMENT, calm, SHOCK - 1, ("BTC", "ETH")), crowding=crowding)
    shock = Scenario(1, "shock", {"BTC": Fraction(-9, 100)}, {})
    cascade = replay_cascade(Rule("test", rule, "maintenance"), eve, books[eve.market.as_of], shock, CASCADE)
    after = str(cascade.environment.market.index["BTC"].price)
    whole = path((after, after))
    for time in whole.times[SHOCK:]:
        books[time] = cascade.records
    found = replay(ENVIRONMENT, rule, "initial", books.__getitem__, whole, first=CALM_DAYS)
    return Story(books, cascade, found, whole.times[SHOCK])


@pytest.fixture(scope="module")
def by_volatility() -> Story:
    return story(model(buffered=False))


@pytest.fixture(scope="module")
def by_crowding() -> Story:
    return story(model(buffered=True))


def days_before(found: Story, part: str) -> int | None:
    """Return how many days before the shock the range of BTC has risen by more than a part."""
    time = found.replay.risen("BTC", Decimal(part))
    return None if time is None else (found.shocked - time).days


def test_volatility_alone_acts_only_after_the_shock(by_volatility: Story) -> None:
    calm = [step.ranges["BTC"] for step in by_volatility.replay.steps if step.time < by_volatility.shocked]
    assert max(calm) - min(calm) <= Decimal("0.0001")
    assert days_before(by_volatility, "0.01") == 0
    assert by_volatility.replay.ranges("BTC")[-2] > 3 * calm[-1]


def test_buffer_acts_weeks_before_the_shock(by_crowding: Story) -> None:
    """Measured: by 10 % 22 days ahead, by half 16 days ahead, by 79 % on the eve, of a maximum of 100 %."""
    assert days_before(by_crowding, "0.1") == 22
    assert days_before(by_crowding, "0.5") == 16
    found = by_crowding.replay.ranges("BTC")
    assert found[0] == Decimal("0.0704")
    assert Decimal("1.7") * found[0] < found[CROWD_DAYS - 1] <= 2 * found[0]
    other = by_crowding.replay.ranges("ETH")
    assert other[CROWD_DAYS - 1] == other[0]


def test_buffer_lifts_the_requirement_of_the_same_book(by_volatility: Story) -> None:
    """What the crowd of the other story would have been asked for, on the eve of the shock."""
    whole = path(("70000",))
    times = [time for time in whole.times if time in by_volatility.books and time < by_volatility.shocked]

    def required(rule: ScenarioModel) -> tuple[int, ...]:
        eve = whole.until(times[-1])
        return replay(ENVIRONMENT, rule, "initial", by_volatility.books.__getitem__, eve, first=CALM_DAYS).requirement

    plain, buffered = required(model(buffered=False)), required(model(buffered=True))
    assert buffered[0] == plain[0]
    assert all(more >= less for more, less in zip(buffered, plain, strict=True))
    assert buffered[-1] > 1.7 * plain[-1]


def test_fund_loses_less_with_the_buffer(by_volatility: Story, by_crowding: Story) -> None:
    """Smaller positions on the eve, so less is sold, prices fall less, and nobody goes bankrupt."""
    before, after = by_volatility.cascade, by_crowding.cascade
    assert before.quiet and after.quiet
    assert [len(step.bankrupt) for step in before.steps] == [13, 3]
    assert by_volatility.lost > 2_000_000 * UNITS
    assert by_crowding.lost == 0
    sold, less = (sum(step.sold["BTC"] for step in each.steps) for each in (before, after))
    assert less < 0.8 * sold
    low, high = (each.environment.market.index["BTC"].price for each in (before, after))
    assert high > low + 1_000


def test_crowd_of_the_buffered_story_never_lacks_initial_margin(by_crowding: Story) -> None:
    """It reduces when the buffer grows, before anybody has to liquidate it."""
    assert all(step.under_water == 0 for step in by_crowding.replay.steps if step.time < by_crowding.shocked)


def test_totals_are_those_of_the_day_before(by_crowding: Story) -> None:
    steps = by_crowding.replay.steps
    assert all(
        later.crowding is not None and later.crowding.as_of == earlier.time for earlier, later in pairwise(steps)
    )
