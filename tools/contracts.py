"""Assets, contracts and market of the made-up exchange that every example book trades on.

Contract sizes, lots and names follow the conventions of coin-margined and USDC-margined venues (an inverse perpetual
of USD 10, an option on one coin, `BTC-27JUN25-100000-C`). Prices and volatilities are invented, but of a plausible size
and consistent with one another: a future lies on its carry curve, an implied volatility on a smile with a term
structure. Numbers are `Decimal` or integers, so that a price is the same on every machine.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from functools import cache

__all__ = [
    "ASSETS",
    "AS_OF",
    "INSTRUMENTS",
    "RATE",
    "SCAN",
    "Asset",
    "Instrument",
    "Scan",
    "implied_volatility",
    "mark",
]

AS_OF = datetime(2025, 3, 28, 8, tzinfo=UTC)
RATE = Decimal("0.04")
"""Continuously compounded US dollar rate."""


@dataclass(frozen=True)
class Asset:
    """A currency that accounts hold.

    unit: smallest amount; limit: largest balance of one account, in the asset; index: US dollars for one.
    """

    name: str
    unit: Decimal
    haircut: Decimal
    borrowable: bool
    limit: int
    index: Decimal


@dataclass(frozen=True)
class Instrument:
    """A contract.

    tick: step of its price, for an option that of its forward; limit: largest position of one account, in contracts;
    popularity: relative number of trades; basis: mark of a perpetual relative to the index.
    """

    name: str
    kind: str
    contract: str
    underlying: str
    settlement: str
    contract_size: Decimal
    lot: Decimal
    tick: Decimal
    limit: int
    popularity: float
    basis: Decimal = Decimal(0)
    expiry: datetime | None = None
    strike: Decimal | None = None
    option: str | None = None

    @property
    def lots(self) -> int:
        """Largest position of one account, in lots."""
        return int(self.limit / self.lot)

    @property
    def days(self) -> int:
        """Whole days to expiry; 0 for a perpetual."""
        return 0 if self.expiry is None else (self.expiry - AS_OF).days

    @property
    def years(self) -> Decimal:
        """Time to expiry, actual/365."""
        return Decimal(self.days) / 365


@dataclass(frozen=True)
class Scan:
    """Relative scan ranges of an underlying: its price, and its implied volatilities upwards and downwards."""

    price: Decimal
    volatility_up: Decimal
    volatility_down: Decimal


ASSETS = (
    Asset("USDC", Decimal("0.000001"), Decimal("0"), True, 1_000_000_000, Decimal("0.9999")),
    Asset("USDT", Decimal("0.000001"), Decimal("0.01"), True, 500_000_000, Decimal("0.9996")),
    Asset("BTC", Decimal("0.00000001"), Decimal("0.05"), True, 5_000, Decimal("85412.37")),
    Asset("ETH", Decimal("0.00000001"), Decimal("0.08"), True, 100_000, Decimal("1894.16")),
    Asset("SOL", Decimal("0.000001"), Decimal("0.15"), False, 1_000_000, Decimal("132.48")),
)

SCAN = {
    "BTC": Scan(Decimal("0.15"), Decimal("0.40"), Decimal("0.25")),
    "ETH": Scan(Decimal("0.18"), Decimal("0.40"), Decimal("0.25")),
    "SOL": Scan(Decimal("0.24"), Decimal("0.45"), Decimal("0.28")),
}

CARRY = {"BTC": Decimal("0.062"), "ETH": Decimal("0.055"), "SOL": Decimal("0.048")}
"""Annual growth of the forward curve over the index."""

AT_THE_MONEY = {
    ("BTC", 28): Decimal("0.502"),
    ("BTC", 91): Decimal("0.541"),
    ("BTC", 182): Decimal("0.568"),
    ("ETH", 28): Decimal("0.664"),
    ("ETH", 91): Decimal("0.697"),
    ("SOL", 91): Decimal("0.883"),
}
"""Implied volatility at the forward, by underlying and days to expiry."""

SKEW = Decimal("-0.028")
CURVATURE = Decimal("0.046")

APRIL, JUNE, SEPTEMBER = (AS_OF + timedelta(days=days) for days in (28, 91, 182))


def _futures() -> Iterator[Instrument]:
    """Yield the perpetuals and dated futures, linear ones first."""
    for name, underlying, settlement, size, tick, limit, popularity, basis in (
        ("BTC_USDC-PERPETUAL", "BTC", "USDC", "0.001", "0.5", 2_000_000, 20.0, "0.00012"),
        ("ETH_USDC-PERPETUAL", "ETH", "USDC", "0.01", "0.05", 10_000_000, 15.0, "0.00009"),
        ("SOL_USDC-PERPETUAL", "SOL", "USDC", "0.1", "0.01", 10_000_000, 10.0, "-0.00021"),
        ("BTC_USDT-PERPETUAL", "BTC", "USDT", "0.001", "0.5", 1_000_000, 8.0, "0.00031"),
    ):
        yield Instrument(
            name, "perpetual", "linear", underlying, settlement, Decimal(size), Decimal(1), Decimal(tick), limit,
            popularity, Decimal(basis),
        )  # fmt: skip
    for underlying, size, tick, limit, popularity, basis in (
        ("BTC", "10", "0.5", 20_000_000, 12.0, "0.00008"),
        ("ETH", "1", "0.05", 100_000_000, 8.0, "-0.00005"),
    ):
        yield Instrument(
            f"{underlying}-PERPETUAL", "perpetual", "inverse", underlying, underlying, Decimal(size), Decimal(1),
            Decimal(tick), limit, popularity, Decimal(basis),
        )  # fmt: skip
    for underlying, expiry, size, tick, limit, popularity in (
        ("BTC", JUNE, "0.001", "0.5", 1_000_000, 3.0),
        ("SOL", JUNE, "0.1", "0.01", 3_000_000, 1.5),
    ):
        yield Instrument(
            f"{underlying}_USDC-{_date(expiry)}", "future", "linear", underlying, "USDC", Decimal(size), Decimal(1),
            Decimal(tick), limit, popularity, expiry=expiry,
        )  # fmt: skip
    for underlying, expiry, size, tick, limit, popularity in (
        ("BTC", APRIL, "10", "0.5", 8_000_000, 2.5),
        ("BTC", JUNE, "10", "0.5", 8_000_000, 4.0),
        ("BTC", SEPTEMBER, "10", "0.5", 5_000_000, 1.5),
        ("ETH", APRIL, "1", "0.05", 50_000_000, 1.5),
        ("ETH", JUNE, "1", "0.05", 50_000_000, 2.5),
        ("ETH", SEPTEMBER, "1", "0.05", 30_000_000, 1.0),
    ):
        yield Instrument(
            f"{underlying}-{_date(expiry)}", "future", "inverse", underlying, underlying, Decimal(size), Decimal(1),
            Decimal(tick), limit, popularity, expiry=expiry,
        )  # fmt: skip


def _options() -> Iterator[Instrument]:
    """Yield the options: coin-settled on BTC and ETH, USDC-settled on SOL; a call and a put for every strike."""
    for underlying, expiry, strikes, lot, tick, limit, popularity in (
        ("BTC", APRIL, (80_000, 88_000, 100_000), "0.1", "0.5", 1_000, 1.6),
        ("BTC", JUNE, (70_000, 85_000, 100_000), "0.1", "0.5", 1_000, 1.6),
        ("BTC", SEPTEMBER, (70_000, 90_000, 120_000), "0.1", "0.5", 1_000, 1.2),
        ("ETH", APRIL, (1_700, 1_900, 2_200), "1", "0.05", 10_000, 0.8),
        ("ETH", JUNE, (1_600, 2_000, 2_600), "1", "0.05", 10_000, 0.8),
        ("SOL", JUNE, (140,), "1", "0.01", 20_000, 0.8),
    ):
        linear = underlying == "SOL"
        for strike in strikes:
            for option in ("call", "put"):
                yield Instrument(
                    f"{underlying}{'_USDC' if linear else ''}-{_date(expiry)}-{strike}-{option[0].upper()}",
                    "option",
                    "linear" if linear else "inverse",
                    underlying,
                    "USDC" if linear else underlying,
                    Decimal(10 if linear else 1),
                    Decimal(lot),
                    Decimal(tick),
                    limit,
                    popularity,
                    expiry=expiry,
                    strike=Decimal(strike),
                    option=option,
                )


def _date(expiry: datetime) -> str:
    """Return an expiry as contracts name it: 27JUN25."""
    return expiry.strftime("%d%b%y").upper()


INSTRUMENTS = (*_futures(), *_options())

_INDEX = {asset.name: asset.index for asset in ASSETS}


def _round(value: Decimal, step: Decimal) -> Decimal:
    """Return the multiple of `step` nearest to a value."""
    return (value / step).quantize(Decimal(1), ROUND_HALF_EVEN) * step


@cache
def _forward(underlying: str, years: Decimal, tick: Decimal) -> Decimal:
    """Return the forward price of an underlying, rounded to a tick: index * exp(carry * years)."""
    return _round(_INDEX[underlying] * (CARRY[underlying] * years).exp(), tick)


@cache
def mark(instrument: Instrument) -> Decimal:
    """Return the mark price of a perpetual or future; for an option, the forward of its expiry."""
    if instrument.kind == "perpetual":
        return _round(_INDEX[instrument.underlying] * (1 + instrument.basis), instrument.tick)
    return _forward(instrument.underlying, instrument.years, instrument.tick)


@cache
def implied_volatility(instrument: Instrument) -> Decimal:
    """Return an option's implied volatility: a parabola in ln(strike / forward) / sqrt(years)."""
    if instrument.strike is None:
        raise ValueError(f"{instrument.name} is no option")
    money = (instrument.strike / mark(instrument)).ln() / instrument.years.sqrt()
    smile = AT_THE_MONEY[instrument.underlying, instrument.days] + SKEW * money + CURVATURE * money * money
    return _round(smile, Decimal("0.0001"))
