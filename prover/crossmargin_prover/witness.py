"""The witness: records, auxiliaries, slacks and blindings, and the check that they satisfy the relation.

Everything here is secret: no repr and no error shows an amount, a blinding or an id. Ranges are checked on entry:
|x_v| < 2^62 (SPEC S3), auxiliaries and slacks in [0, 2^64), y = L x + L' aux + c exactly (SPEC S7).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import mul
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from crossmargin_circuits.errors import CrossmarginError
from crossmargin_circuits.layout import RECORD_BOUND
from crossmargin_circuits.relation import VALUE_BITS, Relation
from crossmargin_prover.backend import Int64Array, UInt64Array

__all__ = ["CsrMatrix", "Records", "ShardWitness", "WitnessError", "check_rows", "unsigned_values"]


EXACT_BITS = 62
"""Sums of magnitudes below 2^62 stay inside int64."""

HALF_BITS = 31
"""Records are summed in halves, so that int64 cannot wrap."""


class WitnessError(CrossmarginError):
    """Private input that cannot be committed or does not satisfy the relation; names account and column or row."""


class CsrMatrix(Protocol):
    """The interface of a sparse matrix by rows, such as scipy's `csr_array`."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows and columns."""

    @property
    def indptr(self) -> npt.NDArray[Any]:
        """Where each row starts in `indices` and `data`; rows + 1 entries."""

    @property
    def indices(self) -> npt.NDArray[Any]:
        """Column of each entry."""

    @property
    def data(self) -> npt.NDArray[Any]:
        """Entries."""


@dataclass(frozen=True, repr=False, eq=False)
class Records:
    """Integer records of accounts (rows) over V columns, CSR, int64, |x| < 2^62, in units of the columns."""

    indptr: Int64Array
    indices: Int64Array
    data: Int64Array
    columns: int

    @classmethod
    def of(cls, matrix: CsrMatrix, name_account: Callable[[int], str]) -> "Records":
        """Take the records of a sparse integer matrix, one row per account.

        Raises:
            WitnessError: an entry is not an integer below 2^62 in magnitude, or a column is out of range or repeated.
        """
        if not np.issubdtype(matrix.data.dtype, np.signedinteger):
            raise WitnessError(f"records of type {matrix.data.dtype}: must be signed integers")
        indptr, indices, data = (
            np.asarray(part, dtype=np.int64) for part in (matrix.indptr, matrix.indices, matrix.data)
        )
        accounts, columns = matrix.shape
        steps = np.diff(indptr)
        if len(indptr) != accounts + 1 or indptr[0] or (steps < 0).any() or not indptr[-1] == len(indices) == len(data):
            raise WitnessError("records: not a sparse matrix by rows")

        def owner(entry: int) -> str:
            return name_account(int(np.searchsorted(indptr, entry, side="right")) - 1)

        for wrong, what in (
            ((indices < 0) | (indices >= columns), "a column that does not exist"),
            # Not np.abs, which leaves -2^63 as it is.
            ((data <= -RECORD_BOUND) | (data >= RECORD_BOUND), "magnitude not below 2^62"),
        ):
            if wrong.any():
                at = int(np.argmax(wrong))
                raise WitnessError(f"{owner(at)}: column {int(indices[at])}: {what}")
        inside = np.ones(max(0, len(indices) - 1), dtype=np.bool_)
        starts = indptr[1:-1]
        inside[starts[(starts > 0) & (starts < len(indices))] - 1] = False
        if not (indices[1:] > indices[:-1])[inside].all():
            by_column = np.lexsort((indices, np.repeat(np.arange(accounts), steps)))
            indices, data = indices[by_column], data[by_column]
            twice = (indices[1:] == indices[:-1]) & inside
            if twice.any():
                at = int(np.argmax(twice))
                raise WitnessError(f"{owner(at)}: column {int(indices[at])}: entered twice")
        used = data != 0
        if used.all():
            return cls(indptr, indices, data, columns)
        ends = np.concatenate(([0], np.cumsum(used)))
        return cls(ends[indptr], indices[used], data[used], columns)

    @classmethod
    def empty(cls, accounts: int, columns: int) -> "Records":
        """Return records without entries."""
        nothing = np.zeros(0, dtype=np.int64)
        return cls(np.zeros(accounts + 1, dtype=np.int64), nothing, nothing, columns)

    @classmethod
    def join(cls, parts: Sequence["Records"]) -> "Records":
        """Return the concatenated records of all parts."""
        counts = np.concatenate([np.diff(part.indptr) for part in parts])
        indices, data = (np.concatenate([getattr(part, name) for part in parts]) for name in ("indices", "data"))
        return cls(_starts(counts), indices, data, parts[0].columns)

    def __eq__(self, other: object) -> bool:
        """Return whether all entries are equal."""
        if not isinstance(other, Records) or self.columns != other.columns:
            return False
        return all(np.array_equal(getattr(self, part), getattr(other, part)) for part in ("indptr", "indices", "data"))

    __hash__ = None  # type: ignore[assignment]

    def __len__(self) -> int:
        """Return the number of accounts."""
        return len(self.indptr) - 1

    def __repr__(self) -> str:
        """Return a text without the records."""
        return f"Records({len(self)} accounts, {self.columns} columns, redacted)"

    @property
    def matrix(self) -> "csr_array[Any, tuple[int, int]]":
        """The records as a sparse matrix, over the same arrays."""
        return csr_array((self.data, self.indices, self.indptr), shape=(len(self), self.columns))

    def slice(self, start: int, stop: int) -> "Records":
        """Return the records of accounts start .. stop - 1."""
        low, high = int(self.indptr[start]), int(self.indptr[stop])
        return Records(self.indptr[start : stop + 1] - low, self.indices[low:high], self.data[low:high], self.columns)

    def take(self, order: Sequence[int] | Int64Array) -> "Records":
        """Return the records of these accounts in this order; -1 is an account without entries."""
        rows = np.asarray(order, dtype=np.int64)
        lows = np.where(rows >= 0, self.indptr[rows], 0)
        counts = np.where(rows >= 0, self.indptr[rows + 1], 0) - lows
        starts = _starts(counts)
        entries = np.arange(starts[-1]) - np.repeat(starts[:-1] - lows, counts)
        return Records(starts, self.indices[entries], self.data[entries], self.columns)

    def row(self, account: int) -> tuple[int, ...]:
        """Return the whole record of one account, V integers."""
        record = [0] * self.columns
        for entry in range(int(self.indptr[account]), int(self.indptr[account + 1])):
            record[int(self.indices[entry])] = int(self.data[entry])
        return tuple(record)

    def totals(self) -> tuple[int, ...]:
        """Return the exact sum of every column."""
        # Sums of fewer than 2^32 halves of 31 bits stay inside int64.
        sums = []
        for half in np.divmod(self.data, 1 << HALF_BITS):
            part = np.zeros(self.columns, dtype=np.int64)
            np.add.at(part, self.indices, half)
            sums.append(part.tolist())
        return tuple((high << HALF_BITS) + low for high, low in zip(*sums, strict=True))


@dataclass(frozen=True, repr=False)
class ShardWitness:
    """The secrets of one shard.

    records: cnt accounts; values: uint64 (N, J), the slacks of an account, then its auxiliaries, zeros for empty
    leaves; position_blindings: r_i (cnt); slack_blindings: s_h (N / G).
    """

    records: Records
    values: UInt64Array
    position_blindings: list[int]
    slack_blindings: list[int]

    def __repr__(self) -> str:
        """Return a text without the secrets."""
        return f"ShardWitness({len(self.records)} accounts, redacted)"

    def encode(self) -> bytes:
        """Return bytes that determine the witness, to bind random draws to it; secret."""
        parts = [self.records.indptr, self.records.indices, self.records.data, self.values]
        scalars = [*self.position_blindings, *self.slack_blindings]
        return b"".join(part.tobytes() for part in parts) + b"".join(value.to_bytes(32, "big") for value in scalars)


def unsigned_values(
    values: npt.ArrayLike, accounts: int, labels: Sequence[str], what: str, name_account: Callable[[int], str]
) -> UInt64Array:
    """Return values as uint64 (accounts, labels); refuse any value that is not an integer in [0, 2^64).

    what: "row" or "auxiliary", for errors.

    Raises:
        WitnessError: wrong shape or type, or a value out of range.
    """
    array = np.asarray(values)
    if array.size == 0:
        array = array.reshape(accounts, len(labels)) if accounts * len(labels) == 0 else array
    if array.shape != (accounts, len(labels)):
        raise WitnessError(f"{what} values of shape {array.shape}: must be {(accounts, len(labels))}")
    if array.size == 0 or array.dtype == np.uint64:
        return array.astype(np.uint64)
    if array.dtype == object:
        good = np.array([[isinstance(v, int | np.integer) and 0 <= v < 1 << VALUE_BITS for v in row] for row in array])
    elif np.issubdtype(array.dtype, np.integer):
        good = array >= 0
    else:
        raise WitnessError(f"{what} values of type {array.dtype}: must be integers")
    if not good.all():
        account, label = (int(part) for part in np.argwhere(~good)[0])
        raise WitnessError(f"{name_account(account)}: {what} {labels[label]!r}: not in [0, 2^64)")
    return array.astype(np.uint64)


def check_rows(
    relation: Relation,
    records: Records,
    auxiliaries: UInt64Array,
    slacks: UInt64Array,
    name_account: Callable[[int], str],
) -> None:
    """Check y = L x + L' aux + c for every account and row, in exact integers (SPEC S7).

    Raises:
        WitnessError: names account and row; states whether the row is negative, too large or wrongly computed.
    """
    for account in _not_shown_exact(relation, records, auxiliaries, slacks):
        _check_account(relation, records, auxiliaries, slacks, account, name_account)


def _not_shown_exact(relation: Relation, records: Records, auxiliaries: UInt64Array, slacks: UInt64Array) -> list[int]:
    """Return the accounts whose rows 64-bit arithmetic cannot confirm; exact integers check these one by one."""
    base, coupling = [row.base for row in relation.rows], [row.auxiliary for row in relation.rows]
    coefficients = [
        *(abs(entry) for row in (*base, *coupling) for entry in row),
        *(abs(row.offset) for row in relation.rows),
    ]
    everybody = list(range(len(records)))
    if max(coefficients, default=0) >= 1 << EXACT_BITS:
        return everybody
    rows = records.matrix
    matrix = np.array(base, dtype=np.int64).T
    added = np.array(coupling, dtype=np.int64).reshape(len(relation.rows), len(relation.auxiliaries)).T
    offsets = np.array([row.offset for row in relation.rows], dtype=np.int64)
    # An upper bound of every partial sum of an account in floats; their rounding is far below the spare bit.
    largest = float(max(map(abs, coefficients), default=0))
    bound = (
        np.asarray(abs(rows).astype(np.float64).sum(axis=1)).ravel() + auxiliaries.astype(np.float64).sum(axis=1) + 1
    )
    exact = bound * largest < float(1 << EXACT_BITS)
    if not exact.all():
        fine = abs(rows).astype(np.float64) @ np.abs(matrix).astype(np.float64)
        fine = fine + auxiliaries.astype(np.float64) @ np.abs(added).astype(np.float64) + np.abs(offsets)
        exact = (fine < float(1 << EXACT_BITS)).all(axis=1)
    y = rows @ matrix + auxiliaries.astype(np.int64) @ added + offsets
    shown = exact & (y >= 0).all(axis=1) & (y.astype(np.uint64) == slacks).all(axis=1)
    return np.flatnonzero(~shown).tolist()


def _check_account(
    relation: Relation,
    records: Records,
    auxiliaries: UInt64Array,
    slacks: UInt64Array,
    account: int,
    name_account: Callable[[int], str],
) -> None:
    """Check the rows of one account in unbounded integers."""
    record, own = records.row(account), auxiliaries[account].tolist()
    for row, given in zip(relation.rows, slacks[account].tolist(), strict=True):
        exact = sum(map(mul, row.base, record)) + sum(map(mul, row.auxiliary, own)) + row.offset
        if exact == given:
            continue
        reason = "the slack is not L x + L' aux + c"
        if exact < 0:
            reason = "the account does not satisfy the row: L x + L' aux + c is negative"
        elif exact >= 1 << VALUE_BITS:
            reason = "L x + L' aux + c is not below 2^64"
        raise WitnessError(f"{name_account(account)}: row {row.label!r}: {reason}")


def _starts(counts: Int64Array) -> Int64Array:
    starts = np.zeros(len(counts) + 1, dtype=np.int64)
    np.cumsum(counts, out=starts[1:])
    return starts
