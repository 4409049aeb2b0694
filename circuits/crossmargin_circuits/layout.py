"""The columns of a record: balances, entry values and positions (SPEC S3).

A record is an integer vector x; column v counts units of one asset or lots of one instrument. The label of a position
also states the asset that settles it, so a deposit booked as a contract shows its true asset.
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
    "CURRENCY",
    "MAX_NAME",
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

MAX_NAME = 40
"""Characters of the name of an asset, an instrument or a currency: they stand in lines for people."""

CURRENCY = re.compile(r"[A-Za-z][A-Za-z0-9_./:-]*")
"""Name of a currency: a letter first, so no name reads as part of a number."""

MAX_UNIT = 100
"""Characters of a unit."""

UNIT_SIZE = re.compile(r"(0|[1-9][0-9]{0,39})(\.[0-9]{1,40})?")
"""The number at the start of a unit: "0.00000001" of "0.00000001 BTC"."""

POSITION_NOUNS = ("contract", "lot")
"""The nouns in the unit of a position, so no amount of an asset passes as a position."""

MAGIC = b"CM2C"


class ColumnKind(StrEnum):
    """The quantity that a column counts."""

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
    limit: the largest magnitude in an account (units), an input of the bit budget;
    settled: the asset that settles a position, empty for other columns.
    """

    kind: ColumnKind
    name: str
    unit: str
    limit: int
    settled: str = ""

    @property
    def key(self) -> str:
        """Name of the column in expressions, tables and errors: "balance BTC", "position BTC-PERPETUAL"."""
        return f"{self.kind} {self.name}"

    @property
    def asset(self) -> str:
        """The asset that the column is worth: its own, or the one that settles the position."""
        return self.settled or self.name

    @property
    def label(self) -> str:
        """Label in the columns file: asset or contract, unit, and the settlement asset of a position (SPEC S3)."""
        return f"{self.key} [{self.unit}]" + (f" settled in {self.settled}" if self.settled else "")


@dataclass(frozen=True)
class RecordLayout:
    """Ordered columns of a record, one at least."""

    columns: tuple[Column, ...]
    _index: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Check the assumptions of every reader: keys are distinct, limits in range, and every asset has a balance.

        Raises:
            MalformedError: names the column.
        """
        if not self.columns:
            raise MalformedError("layout: one column at least is needed")
        assets = {column.name for column in self.columns if column.kind is ColumnKind.BALANCE}
        for column in self.columns:
            if not COLUMN_NAME.fullmatch(column.name) or len(column.name) > MAX_NAME:
                raise MalformedError(
                    f"layout: {column.key!r}: a name is at most {MAX_NAME} letters, digits and _ . / : -"
                )
            # The label then determines kind, name, unit and settlement, so columns.cm2 fixes all four.
            if (
                not 0 < len(column.unit) <= MAX_UNIT
                or not column.unit.isascii()
                or not column.unit.isprintable()
                or set(column.unit) & set("[]")
            ):
                raise MalformedError(
                    f"layout: {column.key}: a unit is printable ASCII text without brackets, at most {MAX_UNIT} "
                    "characters"
                )
            if not 0 < column.limit <= MAX_JSON_INTEGER:
                raise MalformedError(f"layout: {column.key}: limit must be in 1 .. 2^53 - 1")
            if column.kind is not ColumnKind.POSITION:
                if column.settled:
                    raise MalformedError(f"layout: {column.key}: only a position is settled in an asset")
                if not any(map(str.isalpha, column.name)):
                    raise MalformedError(f"layout: {column.key}: the name of an asset has a letter")
                # The verdict judges what is owed by balance columns: none of an asset, and nobody would judge it.
                if column.name not in assets:
                    raise MalformedError(f"layout: {column.key}: {column.name} has no balance column")
            elif column.settled not in assets:
                raise MalformedError(
                    f"layout: {column.key}: settled in {column.settled!r}, which has no balance column"
                )
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

    def index(self, kind: ColumnKind, name: str) -> int:
        """Return the number of a column; raises KeyError with the column's key."""
        return self._index[f"{kind} {name}"]

    def find(self, kind: ColumnKind, name: str) -> int | None:
        """Return the number of a column, or None."""
        return self._index.get(f"{kind} {name}")


def encode_columns(labels: Sequence[str]) -> bytes:
    """Return the bytes of `columns.cm2`."""
    writer = Writer(MAGIC).u32(len(labels))
    for label in labels:
        writer.string(label)
    return writer.bytes()


def decode_columns(data: bytes) -> tuple[str, ...]:
    """Parse `columns.cm2`; labels are non-empty, distinct UTF-8 (SPEC V1).

    Raises:
        MalformedError: not the canonical encoding of a list of labels.
    """
    reader = Reader(data, "columns.cm2", MAGIC)
    labels = tuple(reader.string("label") for _ in range(reader.count("number of columns", 3)))
    reader.end()
    if not labels:
        raise MalformedError("columns.cm2: no column")
    check_labels(labels, "columns.cm2: column")
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
