"""A made-up venue and its book of any size, as a book folder: YAML files, and three tables in Parquet.

Every account is solvent by construction, under strict statements: its balance is twice the notional of its positions,
and no scenario moves a position by more than its notional. The second half of the accounts mirrors the first half, so
that open interest is zero.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.models import MODELS

__all__ = ["BookPlan", "write_book"]

AS_OF = datetime(2025, 3, 28, 8, tzinfo=UTC)

BATCH = 1 << 18
"""Accounts made at a time."""

SIZE_BITS = 13
"""Positions have up to so many bits, in lots; their logarithms are uniform."""

NOTIONAL = 10
"""US dollars of a lot, about."""

FIXED_COLUMNS = 2
"""Balance and entry value: the columns that are no positions."""


@dataclass(frozen=True)
class BookPlan:
    """Parameters of a book.

    positions: of every account, or None for all instruments; rows: one of MODELS; changed: part of the accounts that
    hold one lot more or less of one position than the same book with 0; moved: relative move of all prices.
    """

    accounts: int
    columns: int = 500
    positions: int | None = 10
    rows: int = 16
    changed: float = 0.0
    moved: float = 0.0
    hour: int = 0
    seed: int = 1

    @property
    def instruments(self) -> int:
        """Columns that are positions."""
        return self.columns - FIXED_COLUMNS

    @property
    def held(self) -> int:
        """Positions of an account."""
        return self.instruments if self.positions is None else self.positions

    @property
    def as_of(self) -> datetime:
        """The moment of the snapshot."""
        return AS_OF + timedelta(hours=self.hour)


@dataclass(frozen=True)
class _Instrument:
    """A linear contract; price in cents, contract size such that a lot is worth about NOTIONAL."""

    name: str
    kind: str
    underlying: int
    price: int
    size: str
    expiry: datetime | None = None
    strike: int = 0
    option: str = ""


def write_book(folder: Path, plan: BookPlan) -> None:
    """Write a book folder.

    Raises:
        ValueError: more positions than instruments, an odd number of accounts, or fewer instruments than needed.
    """
    if plan.accounts % 2 or plan.accounts < 2:
        raise ValueError(f"{plan.accounts} accounts: every account has a mirror, so an even number is needed")
    if not 1 <= plan.held <= plan.instruments or plan.instruments < 2 * MODELS[plan.rows].underlyings:
        raise ValueError(f"{plan.held} positions in {plan.instruments} instruments")
    folder.mkdir(parents=True, exist_ok=True)
    instruments = _instruments(plan)
    for name, text in _parameters(plan, instruments).items():
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    _write_tables(folder, plan, instruments)


def _spot(underlying: int) -> int:
    """Return the price of an underlying in cents, before any move."""
    return 5_000_00 + 12_345_67 * underlying


def _instruments(plan: BookPlan) -> list[_Instrument]:
    """Return the instruments: for every underlying a perpetual, then four options to each future."""
    underlyings = MODELS[plan.rows].underlyings
    made = []
    for number in range(plan.instruments):
        underlying, place = number % underlyings, number // underlyings
        spot = _spot(underlying)
        size = f"{NOTIONAL * 100 / spot:.6f}"
        expiry = AS_OF + timedelta(days=30 + 7 * (place // 5))
        if place == 0:
            made.append(_Instrument(f"U{underlying}.perpetual", "perpetual", underlying, spot, size))
        elif place % 5 == 0:
            price = spot + spot * place // 5000
            made.append(_Instrument(f"U{underlying}.future.{place}", "future", underlying, price, size, expiry))
        else:
            strike = spot * (90 + 4 * (place % 5)) // 100
            option = "call" if place % 2 else "put"
            name = f"U{underlying}.option.{place}"
            made.append(_Instrument(name, "option", underlying, spot, size, expiry, strike, option))
    return made


def _parameters(plan: BookPlan, instruments: list[_Instrument]) -> dict[str, str]:
    """Return the YAML files by name."""
    model = MODELS[plan.rows]
    quoted = f"source: benchmarks/book.py, time: {_time(plan.as_of)}"
    moved = round(1000 * plan.moved)

    def price(cents: int) -> str:
        return f'price: "{cents * (1000 + moved) / 100_000:.2f}", {quoted}'

    listed = ["assets:"]
    listed.append('  - {name: USDC, unit: "0.000001", haircut: "0", borrowable: true, limit: "1000000000"}')
    listed.append("instruments:")
    marks, options = ["marks:"], ["options:"]
    for each in instruments:
        terms = f'contract_size: "{each.size}", lot: "1", limit: "500000"'
        if each.expiry is not None:
            terms += f", expiry: {_time(each.expiry)}"
        if each.option:
            terms += f', strike: "{each.strike // 100}", option: {each.option}'
            options.append(f'  {each.name}: {{iv: "0.6", {quoted}}}')
        else:
            marks.append(f"  {each.name}: {{{price(each.price)}}}")
        listed.append(
            f"  - {{name: {each.name}, kind: {each.kind}, contract: linear, underlying: U{each.underlying}, "
            f"settlement: USDC, {terms}}}"
        )
    index = [f"  U{number}: {{{price(_spot(number))}}}" for number in range(model.underlyings)]
    market = [f"as_of: {_time(plan.as_of)}", "index:", f'  USDC: {{price: "1", {quoted}}}', *index, *marks, *options]
    scan = [
        f'  U{number}: {{price_range: "0.15", volatility_up: "0.4", '
        f'volatility_down: "{"0.25" if number < model.falling else "0"}"}}'
        for number in range(model.underlyings)
    ]
    rules = [
        f"model: {model.kind}",
        "version: 1",
        'value_unit: {currency: USD, quantum: "0.00000001"}',
        "staleness_limit_seconds: 600",
        "scan:",
        *scan,
        'extreme: {multiple: "2", covered: "0.35"}',
        'statements: [{name: maintenance, factor: "0.8"}, {name: initial, factor: "1"}, {name: coverage}]',
        "strict: true",
    ]
    files = {
        "venue": ["venue: benchmark", "book: made-up"],
        "instruments": listed,
        "market": [*market, 'rates: {USD: "0.04"}'],
        "model": rules,
        "reserves": ['assets: {USDC: "1000000000000000"}', 'insurance_fund: "0"', "source: made up"],
    }
    return {name: "\n".join([*lines, ""]) for name, lines in files.items()}


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _write_tables(folder: Path, plan: BookPlan, instruments: list[_Instrument]) -> None:
    """Write accounts, balances and positions, in batches so that memory stays bounded."""
    half = plan.accounts // 2
    names = pl.Series("instrument", [each.name for each in instruments])
    prices = np.array([each.price for each in instruments])
    sizes = np.array([float(each.size) for each in instruments])
    is_option = np.array([bool(each.option) for each in instruments])
    changed = np.random.default_rng(plan.seed + 1).permutation(half)[: round(half * plan.changed)]
    parts: dict[str, list[pl.DataFrame]] = {"accounts": [], "balances": [], "positions": []}
    per_batch = max(1, BATCH * 10 // plan.held)
    for start in range(0, half, per_batch):
        count = min(per_batch, half - start)
        generator = np.random.default_rng((plan.seed, start))
        # Sorted draws plus 0, 1, 2, .. are different instruments.
        chosen = generator.integers(0, plan.instruments - plan.held + 1, (count, plan.held))
        chosen = (np.sort(chosen, axis=1) + np.arange(plan.held)).ravel()
        lots = np.exp2(generator.uniform(0, SIZE_BITS, count * plan.held)).astype(np.int64)
        lots *= generator.choice(np.array([-1, 1]), len(lots))
        notional = np.abs(lots) * sizes[chosen] * prices[chosen]
        cash = 2 * notional.reshape(count, plan.held).sum(axis=1).astype(np.int64) + generator.integers(1, 10**8, count)
        entry = (prices[chosen] * generator.uniform(0.97, 1.03, len(lots))).astype(np.int64)
        mine = changed[(changed >= start) & (changed < start + count)] - start
        lots[mine * plan.held] += np.where(lots[mine * plan.held] == -1, -1, 1)
        for sign, first in ((1, start), (-1, half + start)):
            ids = _ids(first, count)
            empty = pl.Series("sub_account", [""]).new_from_index(0, count)
            parts["accounts"].append(pl.DataFrame([ids, empty]))
            balances = {"account": ids, "sub_account": empty, "asset": ["USDC"] * count, "amount": _cents(cash)}
            parts["balances"].append(pl.DataFrame(balances))
            owners = np.repeat(np.arange(count), plan.held)
            frame = pl.DataFrame(
                {
                    "account": ids.gather(owners),
                    "sub_account": empty.gather(owners),
                    "instrument": names.gather(chosen),
                    "quantity": sign * lots,
                    "entry_price": _cents(entry),
                    "is_option": is_option[chosen],
                }
            )
            price = pl.when("is_option").then(None).otherwise(pl.col("entry_price")).alias("entry_price")
            parts["positions"].append(frame.with_columns(price).drop("is_option"))
    for name, frames in parts.items():
        # The mirrored half follows the first one, in the order of the accounts.
        pl.concat([*frames[0::2], *frames[1::2]]).write_parquet(folder / f"{name}.parquet")


def _ids(first: int, count: int) -> pl.Series:
    """Return ids of 16 hexadecimal digits, all different: multiples of an odd number modulo 2^64."""
    numbers = np.arange(first, first + count, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    return pl.Series("account", [f"{number:016x}" for number in numbers.tolist()])


def _cents(amounts: "np.ndarray[tuple[int], np.dtype[np.int64]]") -> pl.Series:
    """Return amounts in cents as decimals with two places."""
    return (pl.Series(amounts).cast(pl.Decimal(20, 0)) / 100).cast(pl.Decimal(20, 2))
