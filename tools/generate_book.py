"""Write a book folder of a made-up exchange: `python -m tools.generate_book --out build/book`.

The same number of accounts, seed and format give the same files, byte for byte. What is in the book is told in
examples/README.md, the file formats in docs.
"""

import argparse
import sys
from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import ROUND_CEILING, Decimal
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import yaml
from numpy.typing import NDArray

from tools.contracts import AS_OF, ASSETS, INSTRUMENTS, RATE, SCAN, Asset, Instrument, implied_volatility, mark
from tools.population import SUB_ACCOUNTS, Population, populate
from tools.price_path import price_path
from tools.requirement import EXTREME_COVERED, EXTREME_MULTIPLE, option_price

__all__ = ["SEED", "main", "write_book"]

ACCOUNTS = 1000
SEED = 20250328

VENUE = "example-exchange"
BOOK = "cross-margin"
SOURCE = "tools/contracts.py"
INSURANCE_FUND = 2_500
"""US dollars of insurance fund per account of the book."""

EQUITY = 37_100
"""US dollars an account, the day before."""

EXPOSURES = {"BTC": (27_900, 4_150, 310), "ETH": (15_700, 95, 2_040), "SOL": (9_450, 1_960, 2_110)}
"""Gross exposure, and what large accounts are long and short beyond the thresholds of
examples/models/contagion_scenario.yaml, in US dollars an account, the day before."""


def main(arguments: list[str] | None = None) -> None:
    """Read the options, write the book and say what is in it."""
    parser = argparse.ArgumentParser(description="Write a seeded example book.")
    parser.add_argument("--accounts", type=int, default=ACCOUNTS, help="number of accounts (default %(default)s)")
    parser.add_argument("--seed", type=int, default=SEED, help="seed of the generator (default %(default)s)")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument(
        "--format", choices=("csv", "parquet"), default="csv", help="of the tables (default %(default)s)"
    )
    options = parser.parse_args(arguments)
    if options.accounts < 1:
        parser.error("--accounts must be at least 1")
    population = populate(options.accounts, options.seed)
    write_book(population, options.out, options.format, f"--accounts {options.accounts} --seed {options.seed}")
    sys.stdout.write(_summary(population, options.out))


def write_book(population: Population, folder: Path, format: str, how: str) -> None:
    """Write the ten files of a book folder; `how`: the options that made it, for the head of the YAML files."""
    folder.mkdir(parents=True, exist_ok=True)
    documents = {
        "venue": {"venue": VENUE, "book": BOOK},
        "instruments": {
            "assets": [_asset(asset) for asset in ASSETS],
            "instruments": [_instrument(instrument) for instrument in INSTRUMENTS],
        },
        "market": _market(),
        "model": _model(),
        "reserves": _reserves(population),
        "crowding": _crowding(len(population.accounts)),
    }
    for name, document in documents.items():
        text = yaml.safe_dump(document, sort_keys=False, default_flow_style=None, width=10_000)
        (folder / f"{name}.yaml").write_text(f"# Made by tools/generate_book.py {how}\n{text}", encoding="utf-8")
    _history().write_csv(folder / "history.csv", quote_style="never")
    for name, table in _tables(population).items():
        if format == "csv":
            table.write_csv(folder / f"{name}.csv", quote_style="never")
        else:
            table.write_parquet(folder / f"{name}.parquet")


def _asset(asset: Asset) -> dict[str, Any]:
    """Return an asset as instruments.yaml states it."""
    return {
        "name": asset.name,
        "unit": _text(asset.unit),
        "haircut": _text(asset.haircut),
        "borrowable": asset.borrowable,
        "limit": str(asset.limit),
    }


def _instrument(instrument: Instrument) -> dict[str, Any]:
    """Return an instrument as instruments.yaml states it."""
    stated: dict[str, Any] = {
        "name": instrument.name,
        "kind": instrument.kind,
        "contract": instrument.contract,
        "underlying": instrument.underlying,
        "settlement": instrument.settlement,
        "contract_size": _text(instrument.contract_size),
        "lot": _text(instrument.lot),
        "limit": str(instrument.limit),
    }
    if instrument.expiry is not None:
        stated["expiry"] = _moment(instrument.expiry)
    if instrument.strike is not None:
        stated |= {"strike": _text(instrument.strike), "option": instrument.option}
    return stated


def _market() -> dict[str, Any]:
    """Return market.yaml: index prices, marks with a bid and an ask around them, implied volatilities."""
    marks: dict[str, Any] = {}
    options: dict[str, Any] = {}
    for number, instrument in enumerate(INSTRUMENTS):
        observed = {"source": SOURCE, "time": _moment(AS_OF - timedelta(seconds=1 + number % 4))}
        price = mark(instrument)
        if instrument.kind == "option":
            volatility, half = implied_volatility(instrument), Decimal("0.0060")
            options[instrument.name] = {
                "iv": _text(volatility),
                "forward": _text(price),
                "bid": _text(volatility - half),
                "ask": _text(volatility + half),
                "mark_price": f"{option_price(instrument):.2f}",
                **observed,
            }
        else:
            half = instrument.tick * (1 if instrument.kind == "perpetual" else 4)
            marks[instrument.name] = {
                "price": _text(price),
                "bid": _text(price - half),
                "ask": _text(price + half),
                **observed,
            }
    index = {asset.name: {"price": _text(asset.index), "source": SOURCE, "time": _moment(AS_OF)} for asset in ASSETS}
    return {"as_of": _moment(AS_OF), "index": index, "marks": marks, "options": options, "rates": {"USD": _text(RATE)}}


def _model() -> dict[str, Any]:
    """Return model.yaml."""
    return {
        "model": "scenario_portfolio_margin",
        "version": 1,
        "value_unit": {"currency": "USD", "quantum": "0.00000001"},
        "staleness_limit_seconds": 600,
        "scan": {
            underlying: {
                "price_range": _text(scan.price),
                "volatility_up": _text(scan.volatility_up),
                "volatility_down": _text(scan.volatility_down),
            }
            for underlying, scan in SCAN.items()
        },
        "extreme": {"multiple": f"{EXTREME_MULTIPLE:g}", "covered": f"{EXTREME_COVERED:g}"},
        "statements": [
            {"name": "maintenance", "factor": "0.8"},
            {"name": "initial", "factor": "1"},
            {"name": "coverage"},
        ],
        "strict": False,
    }


def _crowding(accounts: int) -> dict[str, Any]:
    """Return crowding.yaml: made-up totals of the day before, near those of the book."""

    def money(amount: int) -> str:
        return _text(Decimal(amount * accounts))

    return {
        "as_of": _moment(AS_OF - timedelta(days=1)),
        "source": "tools/generate_book.py",
        "equity": money(EQUITY),
        "exposures": {
            name: {"gross": money(gross), "large_longs": money(longs), "large_shorts": money(shorts)}
            for name, (gross, longs, shorts) in EXPOSURES.items()
        },
    }


def _history() -> pl.DataFrame:
    """Return history.csv: a year of daily prices, the same for every book."""
    times, prices = price_path()
    columns = {name: [_text(price) for price in path] for name, path in prices.items()}
    return pl.DataFrame({"time": [_moment(time) for time in times], **columns})


def _reserves(population: Population) -> dict[str, Any]:
    """Return reserves.yaml: a little more than the liabilities, which are all balances and entry values together."""
    assets = {}
    for number, asset in enumerate(ASSETS):
        balances = population.balance_units[population.balance_asset == number]
        liability = Decimal(int(balances.sum()) + int(population.entry[:, number].sum())) * asset.unit
        buffer = Decimal("1.004") + Decimal("0.003") * number
        assets[asset.name] = _text(_above(max(liability, Decimal(0)) * buffer, asset))
    fund = INSURANCE_FUND * len(population.accounts)
    return {"assets": assets, "insurance_fund": str(fund), "source": SOURCE}


def _above(amount: Decimal, asset: Asset) -> Decimal:
    """Return an amount rounded up to a hundred smallest units, as custody reports do."""
    step = asset.unit * 100
    return (amount / step).to_integral_value(ROUND_CEILING) * step


def _tables(population: Population) -> Mapping[str, pl.DataFrame]:
    """Return the accounts, balances and positions as tables of strings."""
    accounts = pl.Series("account", population.accounts).gather(population.owner)
    names = pl.Series("sub_account", SUB_ACCOUNTS).gather(population.name)
    rows = pl.DataFrame([accounts, names])
    places = np.array([-int(asset.unit.adjusted()) for asset in ASSETS])
    assets = pl.Series("asset", [asset.name for asset in ASSETS])
    lots, lot_places = _steps([instrument.lot for instrument in INSTRUMENTS])
    ticks, tick_places = _steps([instrument.tick for instrument in INSTRUMENTS])
    instruments = pl.Series("instrument", [instrument.name for instrument in INSTRUMENTS])
    held = population.position_instrument
    price = _decimals("entry_price", population.position_ticks * ticks[held], tick_places[held])
    return {
        "accounts": rows,
        "balances": rows[population.balance_row].with_columns(
            assets.gather(population.balance_asset),
            _decimals("amount", population.balance_units, places[population.balance_asset]),
        ),
        "positions": rows[population.position_row].with_columns(
            instruments.gather(held),
            _decimals("quantity", population.position_lots * lots[held], lot_places[held]),
            price.zip_with(pl.Series(population.position_ticks > 0), pl.Series([""])),
        ),
    }


def _steps(steps: list[Decimal]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return steps as whole numbers of their last decimal place, and the number of decimal places of each."""
    places = [max(0, -int(step.as_tuple().exponent)) for step in steps]
    whole = [int(step.scaleb(place)) for step, place in zip(steps, places, strict=True)]
    return np.array(whole, np.int64), np.array(places, np.int64)


def _decimals(name: str, values: NDArray[np.int64], places: NDArray[np.int64]) -> pl.Series:
    """Return value / 10^places as decimal text without an exponent or trailing zeros."""
    digits = pl.Series(np.abs(values))
    scale = pl.Series(10**places)
    # The leading one keeps the zeros between point and first digit; it is cut off again.
    fraction = (digits % scale + scale).cast(pl.String).str.slice(1).str.strip_chars_end("0")
    text = pl.DataFrame(
        {
            "sign": pl.Series(np.where(values < 0, "-", "")),
            "whole": (digits // scale).cast(pl.String),
            "point": pl.Series(["."]).gather(pl.zeros(len(values), pl.UInt32, eager=True)),
            "fraction": fraction,
        }
    ).select(pl.concat_str("sign", "whole", "point", "fraction").str.strip_chars_end(".").alias(name))
    return text[name]


def _text(value: Decimal) -> str:
    """Return a decimal as text without an exponent or trailing zeros."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _moment(value: datetime) -> str:
    """Return a time in UTC as text with a Z."""
    return value.strftime("%Y-%m-%dT%H:%M:%SZ")


def _summary(population: Population, folder: Path) -> str:
    """Return one line for people."""
    accounts, rows = len(population.accounts), len(population.owner)
    return (
        f"{folder}: {accounts} accounts, {rows - accounts} sub-accounts, {len(population.balance_row)} balances, "
        f"{len(population.position_row)} positions; estimated shortfall {population.shortfall:,.0f} USD\n"
    )


if __name__ == "__main__":
    main()
