"""The figures of a verdict: exact decimals with their units, in typed records that JSON and text render alike."""

from dataclasses import dataclass
from fractions import Fraction

from crossmargin_circuits.amounts import format_amount, unit_size
from crossmargin_circuits.layout import Column

__all__ = [
    "Amount",
    "Asset",
    "Exposure",
    "File",
    "Instrument",
    "Relief",
    "Reserves",
    "Run",
    "Share",
    "Snapshot",
    "Statement",
    "plain_decimal",
]


def plain_decimal(amount: Fraction) -> str:
    """Return an exact decimal for programs, without thousands separators."""
    return format_amount(amount).replace(",", "")


@dataclass(frozen=True)
class Amount:
    """An exact decimal and its unit.

    >>> print(Amount.of(Fraction("-1234.5"), "BTC"))
    -1,234.5 BTC
    """

    amount: str
    unit: str

    @classmethod
    def of(cls, amount: Fraction, unit: str) -> "Amount":
        """Return an amount of a unit."""
        return cls(plain_decimal(amount), unit)

    @classmethod
    def in_column(cls, units: int, column: Column) -> "Amount":
        """Return units of a column: an amount of the asset, or of contracts."""
        return cls.of(units * unit_size(column), column.unit.partition(" ")[2])

    @property
    def value(self) -> Fraction:
        """The number."""
        return Fraction(self.amount)

    def __str__(self) -> str:
        """Return the amount for people, with thousands separators."""
        return f"{format_amount(self.value)} {self.unit}"


@dataclass(frozen=True)
class Snapshot:
    """The committed book. id: the venue's words; accounts: committed, made-up ones included; rejected: by the venue."""

    id: str
    as_of: str
    accounts: int
    rejected: int
    shards: int
    totals: str


@dataclass(frozen=True)
class Exposure:
    """A disclosed total of a crowding statement. name: the venue's words."""

    name: str
    total: Amount


@dataclass(frozen=True)
class Relief:
    """What `amount` takes from a definition: at most so much for one account, and n times as much for all."""

    name: str
    account: Amount
    accounts: Amount


@dataclass(frozen=True)
class Statement:
    """A verified statement, in the order of `bundle.json`.

    name, title, factor, formulas: the venue's words. equity: at most what equity counts, from the opened totals and its
    greatest coefficients. strict: whether each account must cover its requirement; None for other kinds.
    """

    number: int
    name: str
    kind: str
    title: str
    factor: str
    quantum: Amount
    prices_of: str
    rows: int
    auxiliaries: int
    strict: bool | None
    equity: Amount | None
    requirement: Amount | None
    shortfall: Amount | None
    exposures: tuple[Exposure, ...]
    reliefs: tuple[Relief, ...]
    formulas: tuple[str, ...]


@dataclass(frozen=True)
class Share:
    """The greatest share of the book's equity under a statement that may rest on an asset, in percent, rounded."""

    statement: int
    percent: str


@dataclass(frozen=True)
class Asset:
    """What the book holds and owes in an asset.

    net: balances and entry values of the whole book; debts: what debtors owe of it, as disclosed; owed: what holders
    are owed at most, net and debts together; reserves: declared; ratio: reserves divided by owed, rounded down.
    A figure that the bundle does not show is None.
    """

    asset: str
    balances: Amount | None
    entry_values: Amount | None
    net: Amount | None
    debts: Amount | None
    owed: Amount | None
    reserves: Amount | None
    ratio: str | None
    shares: tuple[Share, ...]


@dataclass(frozen=True)
class Instrument:
    """A contract, the asset that settles it, and the net of all positions in it. unit: the venue's words."""

    instrument: str
    unit: str
    settled_in: str
    net: Amount | None


@dataclass(frozen=True)
class Reserves:
    """What the venue declares. source: its words."""

    source: str
    insurance_fund: Amount


@dataclass(frozen=True)
class File:
    """A file that the verdict depends on."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Run:
    """How and when the bundle was checked: version of the verifier, arithmetic, start and end."""

    verifier: str
    arithmetic: str
    started: str
    ended: str
