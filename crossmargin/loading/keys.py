"""The sub-account of each row: exact lookup of (account, sub_account) pairs among millions, batch by batch.

A 64-bit hash finds a candidate and its text is compared, so that no answer depends on the hash. Where the candidate
differs (an unknown pair, or two pairs of one hash), an exact join looks the pair up again.
"""

import numpy as np
import polars as pl
from numpy.typing import NDArray

__all__ = ["KEY_COLUMNS", "Keys"]

KEY_COLUMNS = ("account", "sub_account")

Rows = NDArray[np.int64]
Hashes = NDArray[np.uint64]

_BUCKET_BITS = 20
"""The first bits of a hash select its bucket; at a million pairs one or two share a bucket."""

_SHIFT = np.uint64(64 - _BUCKET_BITS)


class Keys:
    """Distinct pairs, numbered from 0 in the order given."""

    def __init__(self, pairs: pl.DataFrame) -> None:
        """Index the pairs; text columns without nulls."""
        self._pairs = pairs.select(KEY_COLUMNS)
        self._named = bool((pairs["sub_account"] != "").any())
        hashes = _hashes(self._pairs)
        self._order = np.argsort(hashes).astype(np.int32)
        self._hashes = hashes[self._order]
        buckets = np.arange(1 << _BUCKET_BITS, dtype=np.uint64) << _SHIFT
        self._starts = np.searchsorted(self._hashes, buckets).astype(np.int32)

    def find(self, pairs: pl.DataFrame) -> Rows:
        """Return the number of every pair, or -1."""
        numbers: Rows = self._order[self._places(_hashes(pairs))].astype(np.int64)
        same = self._same(pairs, numbers)
        if same.all():
            return numbers
        rows = np.flatnonzero(~same)
        numbered = self._pairs.with_columns(number=pl.int_range(pl.len(), dtype=pl.Int64))
        wanted = pairs.select(KEY_COLUMNS).filter(pl.Series(~same))
        joined = wanted.join(numbered, on=KEY_COLUMNS, how="left", maintain_order="left")
        numbers[rows] = joined["number"].fill_null(-1).to_numpy()
        return numbers

    def has_account(self, accounts: pl.Series) -> NDArray[np.bool_]:
        """Return which accounts are part of any pair."""
        known: NDArray[np.bool_] = accounts.is_in(self._pairs["account"].unique().implode()).to_numpy()
        return known

    def _places(self, wanted: Hashes) -> Rows:
        """Return the index of the first hash that is not below the wanted one, or the last index."""
        last = len(self._hashes) - 1
        places: Rows = np.minimum(self._starts[wanted >> _SHIFT].astype(np.int64), last)
        rows = np.flatnonzero((self._hashes[places] < wanted) & (places < last))
        while len(rows):
            places[rows] += 1
            rows = rows[(self._hashes[places[rows]] < wanted[rows]) & (places[rows] < last)]
        return places

    def _same(self, pairs: pl.DataFrame, numbers: Rows) -> NDArray[np.bool_]:
        """Return the pairs of these numbers."""
        sub_account = self._pairs["sub_account"].gather(numbers) if self._named else ""
        same = (self._pairs["account"].gather(numbers) == pairs["account"]) & (pairs["sub_account"] == sub_account)
        result: NDArray[np.bool_] = same.to_numpy()
        return result


def _hashes(pairs: pl.DataFrame) -> Hashes:
    """Return a hash of every pair; equal pairs have equal hashes."""
    account = pairs["account"].hash(0).to_numpy()
    sub_account = pairs["sub_account"].hash(1).to_numpy()
    mixed: Hashes = account ^ (sub_account * np.uint64(0x9E3779B97F4A7C15))
    return mixed
