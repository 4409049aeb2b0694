"""The columns of a record: account, balances, entry values and positions (SPEC S3).

A record is an integer vector x; column v counts units of one asset or lots of one instrument. Column 0 is `account`:
1 for every real account and 0 for padding, so that its total is the number of real accounts.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from crossmargin_circuits.digest import tagged_hash
from crossmargin_circuits.encoding import MAX_JSON_INTEGER, Reader, Writer
from crossmargin_circuits.errors import MalformedError

__all__ = [
    "COLUMN_NAME",
    "RECORD_BOUND",
    "Column",
    "ColumnKind",
    "RecordLayout",
    "check_labels",
    "columns_digest",
    "decode_columns",
    "encode_columns",
]

RECORD_BOUND = 2**62
"""Every entry of a record satisfies |x_v| < RECORD_BOUND (SPEC S3)."""

COLUMN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_./:-]*")
"""Name of an asset or an instrument; ASCII, so names that look equal are equal."""

UNIT_SIZE = re.compile(r"(0|[1-9][0-9]{0,39})(\.[0-9]{1,40})?")
"""The number at the start of a unit: "0.00000001" of "0.00000001 BTC"."""

POSITION_NOUNS = ("contract", "lot")
"""The nouns in the unit of a position, so no amount of an asset passes as a position."""

MAGIC = b"CM1C"


class ColumnKind(StrEnum):
    """The quantity that a column counts."""

    ACCOUNT = "account"
    """1 for a real account, 0 for padding."""
    BALANCE = "balance"
    """Wallet balance of an asset, negative where borrowed, in units of the asset."""
    ENTRY = "entry"
    """Entry value of the open positions settled in an asset, in units of the asset, rounded down: the part of
    unrealized PnL that no price moves, minus quantity times entry price for a linear contract."""
    POSITION = "position"
    """Signed position in an instrument, in lots."""


@dataclass(frozen=True)
class Column:
    """One column of the record.

    name: the asset or instrument; kind: what it counts; unit: one unit in words ("0.00000001 BTC");
    limit: the largest magnitude in an account (units), an input of the bit budget.
    """

    kind: ColumnKind
    name: str
    unit: str
    limit: int

    @property
    def key(self) -> str:
        """Name of the column in expressions, tables and errors: "balance BTC", "position BTC-PERPETUAL"."""
        return f"{self.kind} {self.name}" if self.name else str(self.kind)

    @property
    def label(self) -> str:
        """Label in the columns file: asset or contract, and unit (SPEC S3)."""
        return f"{self.key} [{self.unit}]"


@dataclass(frozen=True)
class RecordLayout:
    """Ordered columns of a record; column 0 counts the account itself."""

    columns: tuple[Column, ...]
    _index: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Check the assumptions of every reader: only column 0 counts accounts, keys are distinct, limits are in
        range."""
        kinds = [column.kind for column in self.columns]
        if not kinds or kinds[0] is not ColumnKind.ACCOUNT or kinds.count(ColumnKind.ACCOUNT) > 1:
            raise MalformedError("layout: column 0, and no other, must be the account column")
        for column in self.columns:
            if bool(column.name) != (column.kind is not ColumnKind.ACCOUNT) or (
                column.name and not COLUMN_NAME.fullmatch(column.name)
            ):
                raise MalformedError(f"layout: {column.key!r}: a name is letters, digits and _ . / : -")
            # The label then determines kind, name and unit, so columns.cm1 fixes all three.
            if not column.unit or not column.unit.isascii() or set(column.unit) & set("[]"):
                raise MalformedError(f"layout: {column.key}: a unit is ASCII text without brackets")
            if not 0 < column.limit <= MAX_JSON_INTEGER:
                raise MalformedError(f"layout: {column.key}: limit must be in 1 .. 2^53 - 1")
        self._check_units()
        index = {column.key: number for number, column in enumerate(self.columns)}
        if len(index) != len(self.columns):
            raise MalformedError("layout: two columns have the same kind and name")
        object.__setattr__(self, "_index", index)

    def _check_units(self) -> None:
        """Check that units of an asset's amounts name the asset, and that its entry values share the unit of its
        balance."""
        units: dict[str, str] = {}
        for column in self.columns:
            size, _, noun = column.unit.partition(" ")
            if not UNIT_SIZE.fullmatch(size) or not size.strip("0."):
                raise MalformedError(f"layout: {column.key}: a unit begins with a decimal above zero")
            if column.kind is ColumnKind.ACCOUNT and (size, column.limit) != ("1", 1):
                raise MalformedError("layout: the account column counts 1 for an account: unit and limit 1")
            if column.kind is ColumnKind.POSITION and noun.partition(" ")[0] not in POSITION_NOUNS:
                raise MalformedError(f"layout: {column.key}: a position counts {' or '.join(POSITION_NOUNS)}s")
            if column.kind in (ColumnKind.BALANCE, ColumnKind.ENTRY) and (
                noun != column.name or units.setdefault(column.name, column.unit) != column.unit
            ):
                raise MalformedError(f"layout: {column.key}: the unit must be one decimal of {column.name} for both")

    def __len__(self) -> int:
        """Return V, the number of columns."""
        return len(self.columns)

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels in column order."""
        return tuple(column.label for column in self.columns)

    def index(self, kind: ColumnKind, name: str = "") -> int:
        """Return the number of a column; raises KeyError with the column's key."""
        key = f"{kind} {name}" if name else str(kind)
        return self._index[key]

    def find(self, kind: ColumnKind, name: str = "") -> int | None:
        """Return the number of a column, or None."""
        return self._index.get(f"{kind} {name}" if name else str(kind))


def encode_columns(labels: Sequence[str]) -> bytes:
    """Return the bytes of `columns.cm1`."""
    writer = Writer(MAGIC).u32(len(labels))
    for label in labels:
        writer.string(label)
    return writer.bytes()


def decode_columns(data: bytes) -> tuple[str, ...]:
    """Parse `columns.cm1`; labels are non-empty, distinct UTF-8 (SPEC V1).

    Raises:
        MalformedError: not the canonical encoding of a list of labels.
    """
    reader = Reader(data, "columns.cm1", MAGIC)
    labels = tuple(reader.string("label") for _ in range(reader.count("number of columns", 3)))
    reader.end()
    if not labels:
        raise MalformedError("columns.cm1: no column")
    check_labels(labels, "columns.cm1: column")
    return labels


def check_labels(labels: Sequence[str], what: str) -> None:
    """Refuse an empty or repeated label."""
    seen = set()
    for label in labels:
        if not label:
            raise MalformedError(f"{what}: empty label")
        if label in seen:
            raise MalformedError(f"{what}: label {label!r} twice")
        seen.add(label)


def columns_digest(labels: Sequence[str]) -> bytes:
    """Return H_columns of the columns file."""
    return tagged_hash("columns", encode_columns(labels))
