"""Write a small file of spot accounts with debts in the layout of Binance's zkmerkle-proof-of-solvency.

`python examples/generate_binance.py --out examples/binance` writes `users.csv` and `cex_assets_info.csv`. Only the
layout is that of the published tool, as its sample generator writes it: a running number, an identifier of 64
hexadecimal digits, six columns for every asset (e_ equity, d_ debt, the net of both, and the part of the equity that is
collateral of a loan, of a margin account and of a portfolio margin account: vl_, m_, pm_), and the net worth in USDT.
The figures are ours.
"""

import argparse
from decimal import Decimal
from pathlib import Path

import numpy as np

SEED = 20250329
ACCOUNTS = 12

PRICES = {
    "btc": Decimal("85440.10"),
    "eth": Decimal("1894.90"),
    "bnb": Decimal("627.35"),
    "usdt": Decimal("1"),
}
STEP = Decimal("0.00000001")
LOANS, MARGIN, PORTFOLIO = (
    "[0-1000000:95,1000000-5000000:85,5000000-20000000:60]",
    "[0-2000000:90,2000000-10000000:75]",
    "[0-5000000:100,5000000-50000000:80]",
)
"""Tiers of collateral value in USDT, each with the percentage of it that counts."""


def main() -> None:
    """Read the options and write the two files."""
    parser = argparse.ArgumentParser(description="Write a sample in the zkmerkle-proof-of-solvency layout.")
    parser.add_argument("--seed", type=int, default=SEED, help="seed of the generator (default %(default)s)")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "users.csv").write_text("\n".join([_header(), *_users(options.seed), ""]), encoding="utf-8")
    (options.out / "cex_assets_info.csv").write_text("\n".join([*_assets(), ""]), encoding="utf-8")


def _header() -> str:
    """Return the names of the columns."""
    each = [f"e_{name},d_{name},{name},vl_{name},m_{name},pm_{name}" for name in PRICES]
    return ",".join(["rn", "id", *each, "total_net_balance_usdt"])


def _users(seed: int) -> list[str]:
    """Return one line for every account: some without debts, some with a loan against coins, one empty."""
    rng = np.random.Generator(np.random.PCG64(seed))
    lines = []
    for number in range(ACCOUNTS):
        fields = [str(number), rng.bytes(32).hex()]
        equity = [_amount(_worth(rng), price) for price in PRICES.values()]
        if number == ACCOUNTS - 1:
            equity = [Decimal(0)] * len(PRICES)
        pledged = [[(part * amount).quantize(STEP) for part in _parts(rng)] for amount in equity]
        backing = sum(sum(parts) * price for parts, price in zip(pledged, PRICES.values(), strict=True))
        debts = [Decimal(0)] * len(PRICES)
        if number % 3 == 1:
            owed = int(rng.choice((0, 1, 3)))
            price = list(PRICES.values())[owed]
            debts[owed] = (Decimal(f"{rng.uniform(0.2, 0.6):.4f}") * backing / price).quantize(STEP)
        net = Decimal(0)
        for amount, debt, parts, price in zip(equity, debts, pledged, PRICES.values(), strict=True):
            fields += [_text(value) for value in (amount, debt, amount - debt, *parts)]
            net += (amount - debt) * price
        lines.append(",".join([*fields, f"{_text(net.quantize(STEP))}"]))
    return lines


def _worth(rng: np.random.Generator) -> Decimal:
    """Return the worth of a holding in USDT; every third is zero."""
    return Decimal(f"{rng.lognormal(8.0, 1.5):.2f}") * int(rng.random() < 2 / 3)


def _amount(worth: Decimal, price: Decimal) -> Decimal:
    """Return how much of an asset that is worth."""
    return (worth / price).quantize(STEP)


def _parts(rng: np.random.Generator) -> list[Decimal]:
    """Return the parts of an equity that are collateral of loans, margin and portfolio margin; together below one."""
    return [Decimal(f"{value:.3f}") for value in rng.uniform(0.0, 0.33, 3)]


def _text(value: Decimal) -> str:
    """Return an amount as the layout writes it: at least one decimal place."""
    whole, _, fraction = f"{value:f}".partition(".")
    return f"{whole}.{fraction.rstrip('0') or '0'}"


def _assets() -> list[str]:
    """Return the file of prices and collateral tiers that goes with the accounts."""
    tiers = ",".join(f'"{text}"' for text in (LOANS, MARGIN, PORTFOLIO))
    head = "symbol,usdt_price,loan_tiers_ratio,margin_tiers_ratio,portfolio_tiers_ratio"
    return [head, *(f"{name},{price:.8f},{tiers}" for name, price in PRICES.items())]


if __name__ == "__main__":
    main()
