"""Instrument names say what the conventions say."""

from datetime import date
from decimal import Decimal

import pytest

from crossmargin.errors import InputError
from crossmargin.market.names import ParsedName, parse_name

JUNE = date(2025, 6, 27)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("BTC-PERPETUAL", ParsedName("BTC", "perpetual", None, None, None, None)),
        ("BTC_USDC-PERPETUAL", ParsedName("BTC", "perpetual", "USDC", None, None, None)),
        ("ETH-27JUN25", ParsedName("ETH", "future", None, JUNE, None, None)),
        ("ETH-7JUN25", ParsedName("ETH", "future", None, date(2025, 6, 7), None, None)),
        ("BTC-27JUN25-100000-C", ParsedName("BTC", "option", None, JUNE, Decimal(100000), "call")),
        ("XRP_USDC-27JUN25-0d625-P", ParsedName("XRP", "option", "USDC", JUNE, Decimal("0.625"), "put")),
        ("BTC-250627-100000-C", ParsedName("BTC", "option", None, JUNE, Decimal(100000), "call")),
        ("BTC/USDC:USDC", ParsedName("BTC", "perpetual", "USDC", None, None, None)),
        ("BTC/USD:BTC-250627", ParsedName("BTC", "future", "BTC", JUNE, None, None)),
        ("BTC/USD:BTC-250627-100000-P", ParsedName("BTC", "option", "BTC", JUNE, Decimal(100000), "put")),
    ],
)
def test_conventions(name: str, expected: ParsedName) -> None:
    assert parse_name(name) == expected


@pytest.mark.parametrize("name", ["BTCUSDT", "BTC-27JUN25-100000-X", "btc-perpetual", "BTC-PERP", "BTC-27JUN2025", ""])
def test_other_names_say_nothing(name: str) -> None:
    assert parse_name(name) is None


@pytest.mark.parametrize("name", ["BTC-31JUN25", "BTC-250631-1-C", "BTC-0JUN25", "BTC/USD:BTC-251301"])
def test_days_that_do_not_exist(name: str) -> None:
    with pytest.raises(InputError, match="does not exist"):
        parse_name(name)
