"""Write a book with accounts in the layout of Binance's zkmerkle-proof-of-solvency: spot accounts with debts.

`python -m tools.generate_binance` writes `binance/`: the YAML files of a book folder, and in its folder `binance`
the accounts in one file. Only the layout is that of the published tool, as its sample generator writes it: a running
number, an identifier of 64 hexadecimal digits, six columns for every asset (e_ equity, d_ debt, the net of both, and
the part of the equity that is collateral of a loan, of a margin account and of a portfolio margin account: vl_, m_,
pm_), and the net worth in USDT. The figures are ours.
"""

import argparse
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import yaml

SEED = 20250329
ACCOUNTS = 12

PRICES = {
    "btc": Decimal("85440.10"),
    "eth": Decimal("1894.90"),
    "bnb": Decimal("627.35"),
    "usdt": Decimal("1"),
}
HAIRCUTS = {"btc": "0.05", "eth": "0.08", "bnb": "0.12", "usdt": "0"}
LIMITS = {"btc": "10000", "eth": "400000", "bnb": "1000000", "usdt": "90000000"}
RANGES = {"btc": "0.15", "eth": "0.18", "bnb": "0.24"}
STEP = Decimal("0.00000001")
AS_OF = "2025-03-28T08:00:00Z"
SOURCE = "generate_binance.py"

OUT = Path(__file__).resolve().parent.parent / "examples" / "binance"
"""Where the example lies."""


def main() -> None:
    """Read the options and write the folder."""
    parser = argparse.ArgumentParser(description="Write a book of accounts in the zkmerkle-proof-of-solvency layout.")
    parser.add_argument("--seed", type=int, default=SEED, help="seed of the generator (default %(default)s)")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path(__file__).resolve().parent.parent / "examples" / "binance",
        help="folder to write to",
    )
    options = parser.parse_args()
    folder: Path = options.out / "binance"
    (folder / "binance").mkdir(parents=True, exist_ok=True)
    lines, totals = _accounts(options.seed)
    (folder / "binance" / "sample_users0.csv").write_text("\n".join([_header(), *lines, ""]), encoding="utf-8")
    for name, document in _documents(totals).items():
        text = yaml.safe_dump(document, sort_keys=False, default_flow_style=None, width=10_000)
        head = f"# Made by tools/generate_binance.py --seed {options.seed}\n"
        (folder / f"{name}.yaml").write_text(head + text, encoding="utf-8")


def _header() -> str:
    """Return the names of the columns."""
    each = [f"e_{name},d_{name},{name},vl_{name},m_{name},pm_{name}" for name in PRICES]
    return ",".join(["rn", "id", *each, "total_net_balance_usdt"])


def _accounts(seed: int) -> tuple[list[str], list[Decimal]]:
    """Return a line for every account and the net totals by asset: some accounts have a loan, the last is empty."""
    rng = np.random.Generator(np.random.PCG64(seed))
    prices = list(PRICES.values())
    lines = []
    totals = [Decimal(0)] * len(prices)
    for number in range(ACCOUNTS):
        fields = [str(number), rng.bytes(32).hex()]
        equity = [(_worth(rng) / price).quantize(STEP) for price in prices]
        if number == ACCOUNTS - 1:
            equity = [Decimal(0)] * len(prices)
        pledged = [[(part * amount).quantize(STEP) for part in _parts(rng)] for amount in equity]
        backing = sum(sum(parts) * price for parts, price in zip(pledged, prices, strict=True))
        debts = [Decimal(0)] * len(prices)
        if number % 3 == 1:
            owed = int(rng.choice((0, 1, 3)))
            debts[owed] = (Decimal(f"{rng.uniform(0.2, 0.6):.4f}") * backing / prices[owed]).quantize(STEP)
        net = [amount - debt for amount, debt in zip(equity, debts, strict=True)]
        for amount, debt, rest, parts in zip(equity, debts, net, pledged, strict=True):
            fields += [_text(value) for value in (amount, debt, rest, *parts)]
        worth = sum((rest * price for rest, price in zip(net, prices, strict=True)), Decimal(0))
        lines.append(",".join([*fields, _text(worth.quantize(STEP))]))
        totals = [total + rest for total, rest in zip(totals, net, strict=True)]
    return lines, totals


def _worth(rng: np.random.Generator) -> Decimal:
    """Return the worth of a holding in USDT; every third is zero."""
    return Decimal(f"{rng.lognormal(8.0, 1.5):.2f}") * int(rng.random() < 2 / 3)


def _parts(rng: np.random.Generator) -> list[Decimal]:
    """Return the parts of an equity that are collateral of loans, margin and portfolio margin; together below one."""
    return [Decimal(f"{value:.3f}") for value in rng.uniform(0.0, 0.33, 3)]


def _text(value: Decimal) -> str:
    """Return an amount as the layout writes it: with at least one decimal place."""
    whole, _, fraction = f"{value:f}".partition(".")
    return f"{whole}.{fraction.rstrip('0') or '0'}"


def _documents(totals: list[Decimal]) -> dict[str, Any]:
    """Return the YAML files: the same assets in upper case, their prices, and reserves a little above the totals."""
    return {
        "venue": {"venue": "example-exchange", "book": "spot-with-debts"},
        "instruments": {
            "assets": [
                {
                    "name": name.upper(),
                    "unit": f"{STEP:f}",
                    "haircut": HAIRCUTS[name],
                    "borrowable": True,
                    "limit": LIMITS[name],
                }
                for name in PRICES
            ]
        },
        "market": {
            "as_of": AS_OF,
            "index": {
                name.upper(): {"price": str(price), "source": SOURCE, "time": AS_OF} for name, price in PRICES.items()
            },
        },
        "model": {
            "model": "scenario_portfolio_margin",
            "version": 1,
            "value_unit": {"currency": "USD", "quantum": "0.00000001"},
            "staleness_limit_seconds": 600,
            "scan": {
                name.upper(): {"price_range": reach, "volatility_up": "0", "volatility_down": "0"}
                for name, reach in RANGES.items()
            },
            "extreme": {"multiple": "2", "covered": "0.35"},
            "statements": [{"name": "maintenance", "factor": "0.8"}, {"name": "coverage"}],
            "strict": False,
        },
        "reserves": {
            "assets": {
                name.upper(): _text((total * Decimal("1.01")).quantize(STEP))
                for name, total in zip(PRICES, totals, strict=True)
            },
            "insurance_fund": "10000",
            "source": SOURCE,
        },
    }


if __name__ == "__main__":
    main()
