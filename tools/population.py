"""A seeded population of accounts: who holds which contracts, at which entry price, against which collateral.

Wealth is lognormal with a Pareto tail, and position sizes follow it. Ordinary accounts trade a few contracts; a
handful of market makers take the other side of everything and trade among themselves, so that the positions in every
contract sum to zero. Collateral is sized from the estimate of requirement.py: most accounts hold a multiple of it, some
little more than it, a few less than it. Positions and balances are whole numbers of lots and units from the start.
"""

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from tools.contracts import ASSETS, INSTRUMENTS, Instrument, mark
from tools.requirement import Holdings, asset_values, lot_values, requirement

__all__ = ["Population", "populate"]

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

NAMES = [asset.name for asset in ASSETS]
USDC, USDT = NAMES.index("USDC"), NAMES.index("USDT")
COINS = tuple(number for number, name in enumerate(NAMES) if name not in ("USDC", "USDT"))
OPTION = np.array([instrument.kind == "option" for instrument in INSTRUMENTS])
SETTLEMENT = np.array([NAMES.index(instrument.settlement) for instrument in INSTRUMENTS])
LIMITS = np.array([instrument.lots for instrument in INSTRUMENTS])
NOTIONAL = np.array(
    [
        float(
            instrument.contract_size
            * instrument.lot
            * (1 if instrument.contract == "inverse" and not option else mark(instrument))
        )
        for instrument, option in zip(INSTRUMENTS, OPTION, strict=True)
    ]
)
"""US dollars of underlying per lot."""

BASIS_TRADES = tuple(
    (first, second)
    for first, one in enumerate(INSTRUMENTS)
    for second, other in enumerate(INSTRUMENTS)
    if one.kind == "perpetual" and other.kind == "future" and one.underlying == other.underlying
)

SUB_ACCOUNTS = ("", "futures", "hedge", "options")
"""In sorted order: every account has the first; market makers have `futures` and `options`, some traders `hedge`."""
FUTURES, HEDGE, OPTIONS = (SUB_ACCOUNTS.index(name) for name in ("futures", "hedge", "options"))


@dataclass(frozen=True)
class Population:
    """The book, as whole numbers.

    accounts: identifiers; owner, name: account and index into SUB_ACCOUNTS of every row (an account or sub-account);
    position_*: row, instrument, signed lots and entry price in ticks of every open position, sorted; balance_*: row,
    asset and signed units of every balance, sorted; entry: (accounts, assets) entry values in units; shortfall:
    estimate of the maintenance shortfall, US dollars.
    """

    accounts: list[str]
    owner: Integers
    name: Integers
    position_row: Integers
    position_instrument: Integers
    position_lots: Integers
    position_ticks: Integers
    balance_row: Integers
    balance_asset: Integers
    balance_units: Integers
    entry: Integers
    shortfall: float


@dataclass(frozen=True)
class Roles:
    """Numbers of the accounts of each kind.

    makers: market makers; hedgers: traders with a hedge sub-account; trader, dormant: flags of all accounts;
    row: (accounts, SUB_ACCOUNTS) number of the row of an account or sub-account, or -1.
    """

    makers: Integers
    hedgers: Integers
    trader: Flags
    dormant: Flags
    row: Integers


def populate(accounts: int, seed: int) -> Population:
    """Return a population of so many accounts; the same seed gives the same population."""
    rng = np.random.Generator(np.random.PCG64(seed))
    raw = rng.bytes(16 * accounts).hex()
    identifiers = [raw[32 * number : 32 * number + 32] for number in range(accounts)]
    roles = _roles(rng, accounts)
    owner, name = np.nonzero(roles.row >= 0)
    wealth = _wealth(rng, accounts, roles)

    taken = _takers(rng, wealth, roles)
    made = _makers(rng, taken, roles)
    row, instrument, lots = _sum(*(np.concatenate(pair) for pair in zip(taken, made, strict=True)))
    ticks = _entry_prices(rng, instrument, np.isin(owner[row], roles.makers))
    entry = np.zeros((accounts, len(ASSETS)), np.int64)
    np.add.at(entry, (owner[row], SETTLEMENT[instrument]), _entry_values(instrument, lots, ticks))

    units, shortfall = _collateral(rng, wealth, roles, (owner[row], instrument, lots), entry)
    spread = _spread(rng, units, roles, owner, name)
    balance_row, balance_asset = np.nonzero(spread)
    _check_limits(owner[row], instrument, lots, units, entry)
    return Population(
        accounts=identifiers,
        owner=owner,
        name=name,
        position_row=row,
        position_instrument=instrument,
        position_lots=lots,
        position_ticks=ticks,
        balance_row=balance_row,
        balance_asset=balance_asset,
        balance_units=spread[balance_row, balance_asset],
        entry=entry,
        shortfall=shortfall,
    )


def _roles(rng: np.random.Generator, accounts: int) -> Roles:
    """Deal the roles: 0.5 % makers, 1.2 % dormant, 16 % holders of coins alone, 7 % with a hedge sub-account."""
    order = rng.permutation(accounts)
    makers = np.sort(order[: max(1, accounts // 200)])
    dormant = np.zeros(accounts, np.bool_)
    dormant[order[len(makers) :][: accounts // 80]] = True
    trader = rng.random(accounts) >= 0.16
    trader[makers] = False
    trader &= ~dormant
    hedgers = np.flatnonzero(trader & (rng.random(accounts) < 0.08))
    present = np.zeros((accounts, len(SUB_ACCOUNTS)), np.bool_)
    present[:, 0] = True
    present[makers, FUTURES] = present[makers, OPTIONS] = present[hedgers, HEDGE] = True
    row = np.where(present, np.cumsum(present).reshape(present.shape) - 1, -1)
    return Roles(makers, hedgers, trader, dormant, row)


def _wealth(rng: np.random.Generator, accounts: int, roles: Roles) -> Floats:
    """Return the deposits of every account, in US dollars."""
    wealth = rng.lognormal(np.log(5000.0), 1.6, accounts)
    tail = rng.random(accounts) < 0.02
    wealth[tail] *= 1 + 4 * rng.pareto(1.3, int(tail.sum()))
    wealth = np.clip(wealth, 25.0, 1e7)
    wealth[roles.makers] = rng.lognormal(np.log(2.5e6), 0.6, len(roles.makers))
    return wealth


def _takers(rng: np.random.Generator, wealth: Floats, roles: Roles) -> tuple[Integers, Integers, Integers]:
    """Return row, instrument and lots of the trades of ordinary accounts."""
    trader = np.flatnonzero(roles.trader)
    account = np.repeat(trader, 1 + rng.poisson(1.7, len(trader)))
    popularity = np.array([instrument.popularity for instrument in INSTRUMENTS])
    instrument = rng.choice(len(INSTRUMENTS), len(account), p=popularity / popularity.sum())
    leverage = np.minimum(rng.lognormal(np.log(1.4), 0.8, len(wealth)), 10.0)
    size = (wealth * leverage)[account] * rng.exponential(0.6, len(account)) / NOTIONAL[instrument]
    side = np.where(rng.random(len(account)) < 0.55, 1, -1)
    lots = np.minimum(size.astype(np.int64), LIMITS[instrument] // 20) * side
    aside = (rng.random(len(account)) < 0.4) & (roles.row[account, HEDGE] >= 0)
    row = roles.row[account, np.where(aside, HEDGE, 0)]

    pairs = np.array(BASIS_TRADES)[rng.integers(len(BASIS_TRADES), size=len(roles.hedgers))].reshape(-1, 2)
    amount = (wealth * leverage)[roles.hedgers] * rng.uniform(0.8, 2.5, len(roles.hedgers))
    amount[rng.random(len(amount)) < 0.4] = 0.0
    first, second = pairs.T
    long = np.minimum((amount / NOTIONAL[first]).astype(np.int64), LIMITS[first] // 20)
    short = -np.minimum((amount / NOTIONAL[second]).astype(np.int64), LIMITS[second] // 20)
    return (
        np.concatenate((row, roles.row[roles.hedgers, 0], roles.row[roles.hedgers, HEDGE])),
        np.concatenate((instrument, first, second)),
        np.concatenate((lots, long, short)),
    )


def _makers(
    rng: np.random.Generator, taken: tuple[Integers, Integers, Integers], roles: Roles
) -> tuple[Integers, Integers, Integers]:
    """Return row, instrument and lots of the market makers: the other side of all trades, and their own trades."""
    _, instrument, lots = taken
    count, makers = len(INSTRUMENTS), len(roles.makers)
    net = np.zeros(count, np.int64)
    np.add.at(net, instrument, lots)
    share = rng.dirichlet(np.full(makers, 2.0), count)
    held = np.floor(np.abs(net)[:, None] * share).astype(np.int64)
    held[:, 0] += np.abs(net) - held.sum(axis=1)
    held *= -np.sign(net)[:, None]
    gross = np.bincount(instrument, np.abs(lots), minlength=count)
    flow = np.rint(rng.standard_normal((count, makers)) * gross[:, None] / (3 * makers)).astype(np.int64)
    held += flow - np.roll(flow, 1, axis=1)
    row = roles.row[roles.makers][:, np.where(OPTION, OPTIONS, FUTURES)].T
    column, _ = np.indices(held.shape)
    return row.ravel(), column.ravel(), held.ravel()


def _sum(row: Integers, instrument: Integers, lots: Integers) -> tuple[Integers, Integers, Integers]:
    """Return row, instrument and lots with one entry for every row and instrument that has an open position, sorted."""
    key, place = np.unique(row * len(INSTRUMENTS) + instrument, return_inverse=True)
    total = np.zeros(len(key), np.int64)
    np.add.at(total, place, lots)
    key, total = key[total != 0], total[total != 0]
    return key // len(INSTRUMENTS), key % len(INSTRUMENTS), total


def _entry_prices(rng: np.random.Generator, instrument: Integers, maker: Flags) -> Integers:
    """Return entry prices in ticks, nearer to the mark for market makers than for others; 0 for options."""
    centre = np.array([float(mark(one) / one.tick) for one in INSTRUMENTS])[instrument]
    away = rng.standard_normal(len(instrument)) * np.where(maker, 0.006, 0.035)
    return np.where(OPTION[instrument], 0, np.rint(centre * np.exp(away))).astype(np.int64)


def _entry_values(instrument: Integers, lots: Integers, ticks: Integers) -> Integers:
    """Return entry values in units of the settlement asset, rounded down, exactly.

    Linear: -lots * lot * contract_size * price; inverse: lots * lot * contract_size / price; option: 0.
    """
    values = np.zeros(len(lots), np.int64)
    for number, one in enumerate(INSTRUMENTS):
        at = np.flatnonzero(instrument == number)
        if one.kind == "option" or not len(at):
            continue
        factor = _units_per_lot(one)
        price = int(ticks[at].max())
        largest = int(np.abs(lots[at]).max()) * factor.numerator * (price if one.contract == "linear" else 1)
        if max(largest, factor.denominator * price) >= 2**63:
            raise OverflowError(f"{one.name}: entry values leave 64 bits")
        if one.contract == "linear":
            values[at] = -lots[at] * ticks[at] * factor.numerator // factor.denominator
        else:
            values[at] = lots[at] * factor.numerator // (ticks[at] * factor.denominator)
    return values


def _units_per_lot(one: Instrument) -> Fraction:
    """Return the value of one lot at a price of one tick, in units of the settlement asset."""
    unit = ASSETS[NAMES.index(one.settlement)].unit
    price = Fraction(one.tick) if one.contract == "linear" else 1 / Fraction(one.tick)
    return Fraction(one.contract_size) * Fraction(one.lot) * price / Fraction(unit)


def _collateral(
    rng: np.random.Generator,
    wealth: Floats,
    roles: Roles,
    positions: tuple[Integers, Integers, Integers],
    entry: Integers,
) -> tuple[Integers, float]:
    """Return the balances of every account in units, (accounts, assets), and the estimated maintenance shortfall.

    Coins are drawn first, some of them borrowed; then as many USDC or USDT as the account's margin calls for.
    """
    accounts, values = len(wealth), asset_values()
    account, instrument, lots = positions
    coins = _coins(rng, wealth, roles, values)
    kept = np.array([1 - float(asset.haircut) for asset in ASSETS])
    cash = (coins + entry) * np.array([float(asset.unit) for asset in ASSETS])
    settled = (coins + entry) * values
    np.add.at(settled, (account, SETTLEMENT[instrument]), lot_values()[instrument] * lots)
    equity = np.minimum(settled, settled * kept).sum(axis=1)
    losses = requirement(Holdings(accounts, account, instrument, lots, cash))
    required = losses.sum(axis=1)

    free = wealth * rng.uniform(0.0, 0.6, accounts) * (rng.random(accounts) < 0.85)
    target = np.maximum(required * (1.12 + rng.lognormal(np.log(0.9), 1.0, accounts)) - equity, free)
    rich = (equity > 2.5 * required) & (coins.max(axis=1) > 0) & (rng.random(accounts) < 0.12)
    loan = rng.uniform(0.15, 0.6, accounts) * (equity - 1.3 * required)
    target = np.where(rich, -loan, target)

    concentrated = losses.max(axis=1, initial=0.0) > 0.9 * required
    stressable = np.flatnonzero(roles.trader & ~rich & concentrated & (required > 2e3) & (required < 4e4))
    chosen = rng.permutation(stressable)
    under, thin = (accounts + 125) // 250, accounts // 100
    ratio = rng.uniform(0.25, 0.65, len(chosen))
    ratio[:1] = -0.2
    ratio[under:] = rng.uniform(0.85, 0.97, len(ratio[under:]))
    chosen, ratio = chosen[: under + thin], ratio[: under + thin]
    target[chosen] = ratio * required[chosen] - equity[chosen]

    target[roles.dormant] = 0.0
    stable = np.where(rng.random(accounts) < 0.25, USDT, USDC)
    weight = np.where(target > 0, kept[stable], 1.0)
    coins[np.arange(accounts), stable] = np.ceil(target / weight / values[stable]).astype(np.int64)
    shortfall = 0.8 * required - equity - target
    return coins, float(shortfall[shortfall > 0].sum())


def _coins(rng: np.random.Generator, wealth: Floats, roles: Roles, values: Floats) -> Integers:
    """Return the coins of every account in units, (accounts, assets) int64; a few are borrowed, hence negative."""
    shape = (len(wealth), len(COINS))
    liking = rng.exponential(1.0, shape) * (rng.random(shape) < np.array([0.45, 0.38, 0.22]))
    part = rng.uniform(0.1, 0.9, len(wealth))[:, None] * liking / np.maximum(liking.sum(axis=1), 1e-9)[:, None]
    borrowable = np.array([ASSETS[number].borrowable for number in COINS])
    short = (rng.random(shape) < 0.035) & (liking == 0) & roles.trader[:, None] & borrowable
    part[short] = -rng.uniform(0.1, 0.7, int(short.sum()))
    part[roles.dormant] = 0.0
    coins = np.zeros((len(wealth), len(ASSETS)), np.int64)
    coins[:, COINS] = np.trunc(part * wealth[:, None] / values[list(COINS)])
    return coins


def _spread(rng: np.random.Generator, units: Integers, roles: Roles, owner: Integers, name: Integers) -> Integers:
    """Return the balances of every row in units, (rows, assets): sub-accounts hold a part of what is positive."""
    spread = np.where(name[:, None] == 0, units[owner], 0)
    beside = np.flatnonzero(name)
    part = rng.uniform(0.1, 0.45, (len(beside), len(ASSETS)))
    moved = np.floor(np.maximum(units[owner[beside]], 0) * part).astype(np.int64)
    spread[beside] = moved
    np.subtract.at(spread, roles.row[owner[beside], 0], moved)
    return spread


def _check_limits(account: Integers, instrument: Integers, lots: Integers, units: Integers, entry: Integers) -> None:
    """Check that every pooled record is within the limits that the contracts state.

    Raises:
        OverflowError: an account holds more.
    """
    pooled, place = np.unique(account * len(INSTRUMENTS) + instrument, return_inverse=True)
    total = np.zeros(len(pooled), np.int64)
    np.add.at(total, place, lots)
    bounds = np.array([int(Decimal(asset.limit) / asset.unit) for asset in ASSETS])
    if np.any(np.abs(total) > LIMITS[pooled % len(INSTRUMENTS)]):
        raise OverflowError("a position is beyond the limit of its instrument")
    if np.any(np.abs(units) > bounds) or np.any(np.abs(entry) > bounds):
        raise OverflowError("a balance or entry value is beyond the limit of its asset")
