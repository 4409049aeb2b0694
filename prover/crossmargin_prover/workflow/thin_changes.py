"""Columns in which few accounts changed between two snapshots: the difference of their totals shows what they did."""

from collections.abc import Sequence

import numpy as np
from scipy.sparse import csr_array

from crossmargin_prover.backend import Int64Array
from crossmargin_prover.snapshot import CommittedSnapshot
from crossmargin_prover.workflow.thin_totals import THIN

__all__ = ["thin_changes"]


def thin_changes(earlier: CommittedSnapshot, snapshot: CommittedSnapshot) -> list[str]:
    """Return the columns in which so few accounts changed that the totals show something about a single one.

    An account that is new or gone has changed in every column that it holds. A column of one snapshot alone counts as
    zero in the other.
    """
    labels = list(dict.fromkeys((*earlier.columns, *snapshot.columns)))
    numbers: dict[str, int] = {}
    entries = [_entries(each, labels, numbers) for each in (earlier, snapshot)]
    before, after = (csr_array(each, shape=(len(numbers), len(labels))) for each in entries)
    difference = csr_array(after - before)
    difference.eliminate_zeros()
    counts = np.bincount(difference.indices, minlength=len(labels)).tolist()
    return [
        f"{label}: accounts that changed it: {count}"
        for label, count in zip(labels, counts, strict=True)
        if 0 < count < THIN
    ]


def _entries(
    snapshot: CommittedSnapshot, labels: Sequence[str], numbers: dict[str, int]
) -> tuple[Int64Array, tuple[Int64Array, Int64Array]]:
    """Return the entries of all records that are not zero, and the number of account and label of each.

    numbers: number of each account by its id; takes the new ones.
    """
    places_of = {label: place for place, label in enumerate(labels)}
    columns = np.array([places_of[label] for label in snapshot.columns], dtype=np.int64)
    rows, places, data = [], [], []
    for shard in snapshot.shards:
        here = np.array([numbers.setdefault(holder, len(numbers)) for holder in shard.ids], dtype=np.int64)
        rows.append(np.repeat(here, np.diff(shard.records.indptr)))
        places.append(columns[shard.records.indices])
        data.append(shard.records.data)
    return np.concatenate(data), (np.concatenate(rows), np.concatenate(places))
