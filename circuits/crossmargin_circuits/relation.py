"""The integer relation y = L x + L' aux + c, y >= 0: the statement about every account (SPEC S7).

Base columns x are committed once per snapshot; auxiliaries and slacks y are 64-bit numbers, committed by their bits.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from crossmargin_circuits.digest import tagged_hash
from crossmargin_circuits.encoding import Reader, Writer
from crossmargin_circuits.errors import MalformedError
from crossmargin_circuits.layout import check_labels, columns_digest

__all__ = ["COEFFICIENT_BYTES", "CURVE_ORDER", "VALUE_BITS", "Auxiliary", "Relation", "Row"]

HIDDEN_ARRAYS = 0
"""M, the hidden risk arrays of a relation: the file has a place for their coefficients in each row, before c."""

CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
"""Order r of secp256k1: the modulus of the row equations."""

VALUE_BITS = 64
"""Slacks and auxiliaries are in [0, 2^64)."""

COEFFICIENT_BYTES = 16
"""Bytes of a coefficient in the file."""

MAGIC = b"CM2L"


@dataclass(frozen=True)
class Auxiliary:
    """An unsigned 64-bit column besides the record; the total of a disclosed one is published."""

    label: str
    disclosed: bool


@dataclass(frozen=True)
class Row:
    """One row: base coefficients (V), auxiliary coefficients (Q) and an offset for each account, all integers."""

    label: str
    base: tuple[int, ...]
    auxiliary: tuple[int, ...]
    offset: int = 0


@dataclass(frozen=True)
class Relation:
    """Labelled integer rows over labelled columns; V columns, Q auxiliaries, K rows."""

    columns: tuple[str, ...]
    auxiliaries: tuple[Auxiliary, ...]
    rows: tuple[Row, ...]

    def __post_init__(self) -> None:
        """Check shapes and labels (SPEC V1)."""
        if not self.columns or not self.rows:
            raise MalformedError("relation: at least one column and one row")
        check_labels(self.columns, "relation: column")
        check_labels([auxiliary.label for auxiliary in self.auxiliaries], "relation: auxiliary")
        check_labels([row.label for row in self.rows], "relation: row")
        for row in self.rows:
            if len(row.base) != len(self.columns) or len(row.auxiliary) != len(self.auxiliaries):
                raise MalformedError(f"relation: row {row.label!r}: wrong number of coefficients")

    @property
    def values(self) -> int:
        """J = K + Q, the 64-bit values of one account: its slacks, then its auxiliaries."""
        return len(self.rows) + len(self.auxiliaries)

    @property
    def disclosed(self) -> tuple[int, ...]:
        """Numbers of the auxiliaries with disclosed totals, in order."""
        return tuple(number for number, aux in enumerate(self.auxiliaries) if aux.disclosed)

    def slacks(self, record: Sequence[int], auxiliaries: Sequence[int]) -> list[int]:
        """Return y = L x + L' aux + c, K integers of any size and sign."""
        if len(record) != len(self.columns) or len(auxiliaries) != len(self.auxiliaries):
            raise ValueError("record or auxiliaries of the wrong length")
        return [
            sum(a * x for a, x in zip(row.base, record, strict=True) if a and x)
            + sum(a * u for a, u in zip(row.auxiliary, auxiliaries, strict=True) if a and u)
            + row.offset
            for row in self.rows
        ]

    @cached_property
    def encoded(self) -> bytes:
        """The bytes of `relation.cm2`: labels, and each row as L, L', one coefficient per hidden array (none), c."""
        writer = Writer(MAGIC).raw(columns_digest(self.columns))
        writer.u32(len(self.columns)).u32(len(self.auxiliaries)).u32(HIDDEN_ARRAYS).u32(len(self.rows))
        for auxiliary in self.auxiliaries:
            writer.string(auxiliary.label).u8(auxiliary.disclosed)
        for row in self.rows:
            writer.string(row.label)
            # A row at a time: single coefficients as parts would take four times the file's memory.
            writer.raw(
                b"".join(
                    c.to_bytes(COEFFICIENT_BYTES, "big", signed=True) for c in (*row.base, *row.auxiliary, row.offset)
                )
            )
        return writer.bytes()

    @cached_property
    def digest(self) -> bytes:
        """H_relation of the relation file."""
        return tagged_hash("relation", self.encoded)

    @classmethod
    def decode(cls, data: bytes, columns: tuple[str, ...]) -> "Relation":
        """Parse `relation.cm2` over the columns of `columns.cm2`.

        Raises:
            MalformedError: not canonical, about other columns, or with hidden arrays.
        """
        reader = Reader(data, "relation.cm2", MAGIC)
        if reader.raw(32, "columns digest") != columns_digest(columns):
            raise reader.refuse("columns digest", "the relation is about other columns")
        if reader.u32("number of columns") != len(columns):
            raise reader.refuse("number of columns", f"expected {len(columns)}")
        width = reader.count("number of auxiliaries", 4)
        hidden = reader.u32("number of hidden arrays")
        if hidden != HIDDEN_ARRAYS:
            raise reader.refuse("number of hidden arrays", f"expected {HIDDEN_ARRAYS}, found {hidden}")
        count = reader.u32("number of rows")
        if count * (3 + COEFFICIENT_BYTES * (len(columns) + width + 1)) > reader.left:
            raise reader.refuse("number of rows", f"{count} rows do not fit into the file")
        auxiliaries = []
        for _ in range(width):
            label = reader.string("auxiliary label")
            flag = reader.u8("disclosed")
            if flag > 1:
                raise reader.refuse("disclosed", "must be 0 or 1")
            auxiliaries.append(Auxiliary(label, bool(flag)))
        rows = []
        for _ in range(count):
            label = reader.string("row label")
            base = tuple(reader.i128("coefficient") for _ in columns)
            auxiliary = tuple(reader.i128("auxiliary coefficient") for _ in range(width))
            rows.append(Row(label, base, auxiliary, reader.i128("offset")))
        reader.end()
        return cls(columns, tuple(auxiliaries), tuple(rows))
