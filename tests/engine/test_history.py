"""Price histories: what is read and refused, and moves and volatilities against plain recursions."""

import math
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.errors import InputError
from crossmargin.loading.history import load_history
from crossmargin.market.history import PriceHistory
from crossmargin.market.returns import (
    check_history,
    ewma_volatility,
    exact_move,
    filtered_moves,
    log_returns,
    moves,
    rows_between,
)

START = datetime(2025, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)

PRICES = st.lists(st.integers(1, 10**6).map(lambda cents: Decimal(cents) / 100), min_size=5, max_size=60)


def daily(**prices: list[Decimal]) -> PriceHistory:
    rows = len(next(iter(prices.values())))
    return PriceHistory.model_validate({"times": [START + DAY * row for row in range(rows)], "prices": prices})


def load(folder: Path, text: str | bytes) -> tuple[PriceHistory | None, list[InputError]]:
    path = folder / "history.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    problems: list[InputError] = []
    return load_history(path, problems), problems


def test_history_is_read_exactly(tmp_path: Path) -> None:
    history, problems = load(
        tmp_path, "time,BTC,USDT\n2025-01-01T00:00:00Z,90000.125,0.9998\n2025-01-02T01:00:00+01:00,91000,1\n"
    )
    assert problems == []
    assert history is not None
    assert history.times == (START, START + DAY)
    assert history.prices == {"BTC": (Decimal("90000.125"), Decimal(91000)), "USDT": (Decimal("0.9998"), Decimal(1))}
    assert len(history) == 2
    assert history.missing(("BTC", "ETH")) == ("ETH",)


def test_no_file_is_no_history(tmp_path: Path) -> None:
    problems: list[InputError] = []
    assert load_history(tmp_path / "history.csv", problems) is None
    assert problems == []


ROWS = "time,BTC\n2025-01-01T00:00:00Z,90000\n2025-01-02T00:00:00Z,91000\n"


@pytest.mark.parametrize(
    ("text", "line", "field", "reason"),
    [
        (ROWS + "2025-01-02T00:00:00Z,92000\n", 4, "time", "not later than the time before"),
        (ROWS + "2025-01-03,92000\n", 4, "time", "not a time with a time zone"),
        (ROWS + "2025-01-03T00:00:00Z,0\n", 4, "BTC", "not positive"),
        (ROWS + "2025-01-03T00:00:00Z,-5\n", 4, "BTC", "not positive"),
        (ROWS + "2025-01-03T00:00:00Z,9e4\n", 4, "BTC", "not a finite decimal"),
        (ROWS + "2025-01-03T00:00:00Z,\n", 4, "BTC", "empty where a decimal is needed"),
        (ROWS + "2025-01-03T00:00:00Z\n", 4, "", "1 cells, 2 needed"),
        (ROWS + "2025-01-03T00:00:00Z,92000,1\n", 4, "", "3 cells, 2 needed"),
        (ROWS.replace("BTC", "B C"), 1, "B C", "not a name"),
        (ROWS.replace("time,BTC", "date,BTC"), 1, "", "wrong header"),
        (ROWS.replace("time,BTC", "time,BTC,BTC"), 1, "", "wrong header"),
        ("time\n2025-01-01T00:00:00Z\n", 1, "", "wrong header"),
        ("", 1, "", "wrong header"),
        (ROWS[:-2], 3, "", "the last line does not end: the file may be cut off"),
        (ROWS.replace("BTC", "BTC[7]"), 1, "BTC[7]", "not a name"),
        ("time,BTC\n2025-01-01T00:00:00Z,90000\n", None, "time", ""),
        (b"time,BTC\n\xff\xfe,1\n", None, "", "not UTF-8"),
        ('time,BTC\n"2025,1\n', None, "", "not CSV"),
    ],
)
def test_faults_are_refused_where_they_are(
    tmp_path: Path, text: str | bytes, line: int | None, field: str, reason: str
) -> None:
    history, problems = load(tmp_path, text)
    assert history is None
    assert len(problems) == 1
    assert problems[0].file == "history.csv"
    assert reason in problems[0].reason
    assert problems[0].hint
    if line is not None:
        assert problems[0].line == line
    assert problems[0].field == field


def test_until_keeps_what_was_known() -> None:
    history = daily(BTC=[Decimal(price) for price in (10, 11, 12, 13)])
    known = history.until(START + 2 * DAY)
    assert known.times == history.times[:3]
    assert known.prices["BTC"] == history.prices["BTC"][:3]


@given(prices=PRICES, decay=st.sampled_from([0.0, 0.5, 0.94, 0.99]))
def test_volatility_follows_its_recursion(prices: list[Decimal], decay: float) -> None:
    history = daily(BTC=prices)
    returns = [math.log(after / before) for before, after in pairwise(prices)]
    assert log_returns(history, "BTC") == pytest.approx(returns, rel=1e-9, abs=1e-12)
    variance = sum(each**2 for each in returns[:20]) / len(returns[:20])
    expected = [variance]
    for each in returns:
        variance = decay * variance + (1 - decay) * each**2
        expected.append(variance)
    found = ewma_volatility(history, "BTC", decay)
    assert found == pytest.approx(np.sqrt(expected), rel=1e-9, abs=1e-12)


@given(prices=st.lists(st.integers(1, 10**4).map(Decimal), min_size=30, max_size=60))
def test_volatility_past_the_first_returns_knows_nothing_of_the_future(prices: list[Decimal]) -> None:
    whole = ewma_volatility(daily(BTC=prices), "BTC", 0.9)
    for rows in (21, 25, 30):
        assert ewma_volatility(daily(BTC=prices[:rows]), "BTC", 0.9) == pytest.approx(whole[:rows])


@given(prices=PRICES, horizon=st.integers(1, 4))
def test_moves_are_the_exact_ratios_to_nine_places(prices: list[Decimal], horizon: int) -> None:
    found = moves(daily(BTC=prices), "BTC", horizon)
    assert len(found) == len(prices) - horizon
    for row, move in enumerate(found, start=horizon):
        exact = Fraction(prices[row]) / Fraction(prices[row - horizon]) - 1
        # Half a place, and what the float of a large ratio cannot hold.
        assert abs(exact_move(move) - exact) <= Fraction(1, 10**9) + abs(exact) / 2**50
        assert (exact_move(move) * 10**9).denominator == 1


@given(prices=PRICES, horizon=st.integers(1, 4), decay=st.sampled_from([0.5, 0.94]))
def test_filtered_moves_scale_logarithms_by_the_volatility_before(
    prices: list[Decimal], horizon: int, decay: float
) -> None:
    history = daily(BTC=prices)
    volatility = ewma_volatility(history, "BTC", decay)
    found = filtered_moves(history, "BTC", horizon, decay)
    for row, move in enumerate(found, start=horizon):
        before = volatility[row - horizon]
        scale = volatility[-1] / before if before > 0 else 1.0
        logarithm = math.log(prices[row] / prices[row - horizon]) * scale
        assert move == pytest.approx(math.expm1(logarithm), rel=1e-6, abs=2e-9)


def test_filtered_moves_of_an_even_history_are_its_moves() -> None:
    prices = [Decimal(100) * (Decimal("1.02") if row % 2 else 1) for row in range(40)]
    history = daily(BTC=prices)
    assert filtered_moves(history, "BTC", 1, 0.94) == pytest.approx(moves(history, "BTC", 1), abs=1e-8)


def test_constant_prices_do_not_move() -> None:
    history = daily(USDC=[Decimal(1)] * 30)
    assert not np.any(ewma_volatility(history, "USDC", 0.94))
    assert not np.any(filtered_moves(history, "USDC", 2, 0.94))


def test_a_first_move_after_rest_is_not_scaled() -> None:
    history = daily(USDC=[*([Decimal(1)] * 30), Decimal("0.98"), Decimal("0.99")])
    assert filtered_moves(history, "USDC", 1, 0.94)[29] == moves(history, "USDC", 1)[29] == -0.02


def test_rows_between_two_moments() -> None:
    history = daily(BTC=[Decimal(10)] * 10)
    assert rows_between(history, START + 2 * DAY, START + 4 * DAY) == range(2, 5)
    assert rows_between(history, START + DAY / 2, START + 3.5 * DAY) == range(1, 4)
    assert len(rows_between(history, START + 20 * DAY, START + 30 * DAY)) == 0
    assert len(rows_between(history, START - 3 * DAY, START - DAY)) == 0


def test_check_names_what_is_missing() -> None:
    history = daily(BTC=[Decimal(10)] * 10)
    last = history.times[-1]
    assert check_history(history, ("BTC",), 10, last, "observations") == []
    assert check_history(history, ("BTC",), 10, last + 7 * DAY, "observations") == []
    faults = {
        "no prices of ETH": check_history(history, ("BTC", "ETH"), 10, last, "observations"),
        "10 rows up to as_of, the model needs 12": check_history(history, ("BTC",), 12, last, "observations"),
        "9 rows up to as_of, the model needs 10": check_history(history, ("BTC",), 10, last - DAY, "observations"),
        "more than 7 days before it": check_history(history, ("BTC",), 10, last + 8 * DAY, "observations"),
        "needs a price history of BTC": check_history(None, ("BTC",), 10, last, "observations"),
    }
    for reason, problems in faults.items():
        assert len(problems) == 1
        assert reason in problems[0].reason
        assert problems[0].field == "observations"
    assert "add 2 earlier rows" in faults["10 rows up to as_of, the model needs 12"][0].hint


def test_all_uneven_rows_are_told(tmp_path: Path) -> None:
    path = tmp_path / "history.csv"
    path.write_text(ROWS + "2025-01-03T00:00:00Z\n2025-01-04T00:00:00Z,1,2\n")
    problems: list[InputError] = []
    assert load_history(path, problems) is None
    assert [(each.line, each.reason) for each in problems] == [(4, "1 cells, 2 needed"), (5, "3 cells, 2 needed")]


def test_a_folder_in_place_of_the_history(tmp_path: Path) -> None:
    (tmp_path / "history.csv").mkdir()
    problems: list[InputError] = []
    assert load_history(tmp_path / "history.csv", problems) is None
    assert [str(each) for each in problems] == [
        "history.csv: cannot be read: Is a directory; check the path and its rights"
    ]


@pytest.mark.parametrize("gap", [timedelta(hours=1), timedelta(days=8)])
def test_rows_that_are_no_days_are_refused(gap: timedelta) -> None:
    times = [START, START + DAY, START + DAY + gap]
    history = PriceHistory.model_validate({"times": times, "prices": {"BTC": [Decimal(1)] * 3}})
    problems = check_history(history, ("BTC",), 3, times[-1], "observations")
    assert [problem.reason for problem in problems] == [
        f"the rows of 2025-01-02 00:00 and {times[-1]:%Y-%m-%d %H:%M} in history.csv are no days apart"
    ]
