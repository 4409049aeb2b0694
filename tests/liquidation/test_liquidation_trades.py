"""Records after trades: what the loader makes of the same positions, and rounding that never favours the account."""

from fractions import Fraction
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.liquidation.trades import (
    Trade,
    after_trades,
    ceil_times,
    fee_units,
    floor_times,
    price_of,
    realise,
    value_per_lot,
)
from crossmargin.loading import Inputs, load_folder
from crossmargin.loading.cells import entry_values
from crossmargin_circuits.layout import ColumnKind

BOOK = Path(__file__).parents[2] / "examples" / "book"
FUTURES = ["BTC_USDC-PERPETUAL", "BTC_USDT-PERPETUAL", "BTC-PERPETUAL", "ETH-27JUN25", "SOL_USDC-27JUN25"]
CALL = "BTC-27JUN25-85000-C"


@cache
def example() -> Inputs:
    return load_folder(BOOK)


@pytest.fixture(scope="module")
def book() -> Inputs:
    return example()


def empty(book: Inputs) -> list[int]:
    return [0] * len(book.catalogue.layout())


def column(book: Inputs, kind: ColumnKind, name: str) -> int:
    return book.catalogue.layout().index(kind, name)


@given(name=st.sampled_from(FUTURES), lots=st.integers(-(10**5), 10**5), cents=st.integers(1, 10**7))
def test_opening_is_what_the_loader_enters(name: str, lots: int, cents: int) -> None:
    book = example()
    number = [each.name for each in book.catalogue.instruments].index(name)
    instrument = book.catalogue.instruments[number]
    one = np.ones(1, dtype=np.int64)
    loaded = entry_values(one * lots, one * number, one * cents, one * 2, book.catalogue)
    opened = after_trades(book.environment, empty(book), [Trade(name, lots, Fraction(cents, 100))])
    assert opened[column(book, ColumnKind.ENTRY, instrument.settlement)] == loaded[0]
    assert opened[column(book, ColumnKind.POSITION, name)] == lots
    # Back at the same price: nothing is left but rounding, against the account.
    closed = after_trades(book.environment, opened, [Trade(name, -lots, Fraction(cents, 100))])
    assert closed[column(book, ColumnKind.POSITION, name)] == 0
    assert closed[column(book, ColumnKind.ENTRY, instrument.settlement)] in (0, -1)


def test_profit_fee_and_premium_by_hand(book: Inputs) -> None:
    """10 lots of 0.001 BTC from 80,000 to 90,000 USDC earn 100; the fee of 0.05 % is paid on 800 and on 900 USDC."""
    fee = Fraction(5, 10_000)
    name = "BTC_USDC-PERPETUAL"
    trades = [Trade(name, 10, Fraction(80_000), fee), Trade(name, -10, Fraction(90_000), fee)]
    after = after_trades(book.environment, empty(book), trades)
    assert after[column(book, ColumnKind.ENTRY, "USDC")] == 100 * 10**6
    assert after[column(book, ColumnKind.BALANCE, "USDC")] == -(400_000 + 450_000)
    settled = realise(book.environment, after)
    assert settled[column(book, ColumnKind.ENTRY, "USDC")] == 0
    assert settled[column(book, ColumnKind.BALANCE, "USDC")] == 100 * 10**6 - 850_000
    # An inverse contract: 100 of 10 USD from 80,000 to 100,000 earn 1000/80,000 - 1000/100,000 BTC.
    inverse = [Trade("BTC-PERPETUAL", 100, Fraction(80_000)), Trade("BTC-PERPETUAL", -100, Fraction(100_000))]
    assert after_trades(book.environment, empty(book), inverse)[column(book, ColumnKind.ENTRY, "BTC")] == 250_000
    # An option of 0.1 BTC sold at 8,500 USD per BTC brings 850 USD in BTC at the index.
    index = Fraction(book.market.index["BTC"].price)
    sold = after_trades(book.environment, empty(book), [Trade(CALL, -1, Fraction(8_500))])
    assert sold[column(book, ColumnKind.BALANCE, "BTC")] == (850 / index * 10**8).__floor__()
    assert sold[column(book, ColumnKind.POSITION, CALL)] == -1


def test_open_positions_keep_their_entry_value(book: Inputs) -> None:
    held = after_trades(book.environment, empty(book), [Trade("BTC_USDC-PERPETUAL", 3, Fraction(80_000))])
    assert realise(book.environment, held) == held


@pytest.mark.parametrize("name", [*FUTURES, CALL, "SOL_USDC-27JUN25-140-P"])
@pytest.mark.parametrize("side", [1, -1])
def test_closing_at_the_mark_costs_the_fee_and_rounding(book: Inputs, name: str, side: int) -> None:
    environment = book.environment
    instrument = environment.catalogue.instrument(name)
    values = environment.valuation.unit_values()
    price, fee = price_of(environment, instrument, values), Fraction(7, 10_000)
    balance = column(book, ColumnKind.BALANCE, instrument.settlement)
    record = empty(book)
    record[balance] = 10**10
    record[column(book, ColumnKind.POSITION, name)] = 37 * side
    after = after_trades(environment, record, [Trade(name, -37 * side, price, fee)])
    before, then = (
        sum(Fraction(value) * amount for value, amount in zip(values.tolist(), each, strict=True))
        for each in (record, after)
    )
    unit = float(values[balance])
    paid = float(fee * abs(37 * value_per_lot(environment, instrument, price))) * unit
    lost = float(before - then)
    assert paid * (1 - 1e-9) <= lost <= paid * (1 + 1e-9) + 2 * unit


@given(
    top=st.integers(-(10**30), 10**30),
    bottom=st.integers(1, 10**25),
    lots=st.lists(st.integers(-(2**40), 2**40), min_size=1, max_size=5),
)
def test_exact_products(top: int, bottom: int, lots: list[int]) -> None:
    factor = Fraction(top, bottom)
    if max(abs(each) for each in lots) * abs(factor) >= 2**62:
        return
    array = np.array(lots, dtype=np.int64)
    for down, up, each in zip(
        floor_times(factor, array).tolist(), ceil_times(factor, array).tolist(), lots, strict=True
    ):
        assert down <= factor * each <= up
        assert factor * each - down < 1
        assert up - factor * each < 1


def test_fees_round_up(book: Inputs) -> None:
    assert fee_units(3, Fraction(-10, 7), Fraction(1, 100)) == 1
    assert fee_units(-700, Fraction(1), Fraction(1, 100)) == 7
    assert fee_units(5, Fraction(1), Fraction(0)) == 0
    with pytest.raises(ValueError, match="not positive"):
        after_trades(book.environment, empty(book), [Trade("BTC-PERPETUAL", 1, Fraction(0))])
