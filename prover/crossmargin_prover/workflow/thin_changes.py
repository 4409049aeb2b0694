"""Columns in which few accounts changed between two snapshots: the difference of their totals shows what they did."""

import numpy as np
from scipy.sparse import csr_array

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
    before, after = (_matrix(each, labels, numbers) for each in (earlier, snapshot))
    accounts = len(numbers)
    before.resize((accounts, len(labels)))
    after.resize((accounts, len(labels)))
    difference = csr_array(after - before)
    difference.eliminate_zeros()
    counts = np.bincount(difference.indices, minlength=len(labels)).tolist()
    return [
        f"{label}: accounts that changed it: {count}"
        for label, count in zip(labels, counts, strict=True)
        if 0 < count < THIN
    ]


def _matrix(snapshot: CommittedSnapshot, labels: list[str], numbers: dict[str, int]) -> csr_array:
    """Return the records with a row for each account, by its number, and a column for each label.

    numbers: number of each account by its id; takes the new ones.
    """
    columns = np.array([labels.index(label) for label in snapshot.columns], dtype=np.int64)
    rows, places, data = [], [], []
    for shard in snapshot.shards:
        here = np.array([numbers.setdefault(holder, len(numbers)) for holder in shard.ids], dtype=np.int64)
        rows.append(np.repeat(here, np.diff(shard.records.indptr)))
        places.append(columns[shard.records.indices])
        data.append(shard.records.data)
    entries = (np.concatenate(data), (np.concatenate(rows), np.concatenate(places)))
    return csr_array(entries, shape=(len(numbers), len(labels)))
