"""Reuse of an earlier snapshot by re-randomization (docs/adr/0014).

Every snapshot has fresh nonces and a fresh order (SPEC S4), so an observer cannot tell which accounts changed. A
commitment can still be re-randomized instead of recomputed: with the earlier X and r of an account and the change d of
its record,

    X' = X + sum_v d_v A_v + (r' - r) H,

which costs one multiplication of H and one per changed entry.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.sparse import csr_array

from crossmargin_circuits.layout import RECORD_BOUND
from crossmargin_prover.backend import Backend
from crossmargin_prover.snapshot import COORDINATES_BYTES, CommittedSnapshot
from crossmargin_prover.snapshot import blindings as earlier_blindings
from crossmargin_prover.witness import Records
from crossmargin_verifier.protocol.field import ORDER
from crossmargin_verifier.protocol.group import Point, batch_add
from crossmargin_verifier.protocol.inclusion import NONCE_BYTES

__all__ = ["Earlier", "Origins"]


NOWHERE = -1
"""Stands for the leaf of an account without an earlier commitment."""


@dataclass(frozen=True, repr=False)
class Origins:
    """The inputs of some accounts' commitments; secret.

    changes: records less the earlier ones (n, V), the records themselves where there is no earlier one; points: earlier
    X, 64 n bytes; sid, ids, nonces: the inputs of the earlier blindings; is_earlier: whether there is an earlier X.
    """

    changes: Records
    points: bytes
    sid: str
    ids: tuple[str, ...]
    nonces: bytes
    is_earlier: tuple[bool, ...]

    def __repr__(self) -> str:
        """Return a text without the secrets."""
        return f"Origins({len(self.ids)} accounts, redacted)"

    def commit(self, blindings: Sequence[int], backend: Backend) -> list[Point]:
        """Return the commitments with these new blindings."""
        points: list[Point] = []
        differences = []
        earlier = earlier_blindings(self.sid, self.ids, self.nonces)
        for number, (blinding, before, is_earlier) in enumerate(zip(blindings, earlier, self.is_earlier, strict=True)):
            if not is_earlier:
                points.append(None)
                differences.append(blinding)
                continue
            differences.append((blinding - before) % ORDER)
            start = COORDINATES_BYTES * number
            x, y = (int.from_bytes(self.points[at : at + 32], "big") for at in (start, start + 32))
            points.append((x, y))
        changes = self.changes
        return batch_add(points, backend.commit_sparse(changes.indptr, changes.indices, changes.data, differences))


@dataclass(repr=False)
class Earlier:
    """An earlier snapshot by account id; `unchanged` and `changed` count the accounts reused so far."""

    snapshot: CommittedSnapshot
    unchanged: int = field(default=0, init=False)
    changed: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        """Read the whole snapshot, and check that the commitments of each shard add up to those of its records.

        Raises:
            MalformedError: a shard is damaged.
        """
        for number, shard in enumerate(self.snapshot.shards):
            shard.check_opening(self.snapshot.manifest.sid, f"shard {number} of the earlier snapshot")
        self._whole = self.snapshot.whole()
        self._leaves = {holder: leaf for leaf, holder in enumerate(self._whole.ids)}

    def __repr__(self) -> str:
        """Return a text without accounts."""
        return "Earlier(redacted)"

    def origins(self, records: Records, ids: Sequence[str]) -> Origins:
        """Return the inputs of these accounts' commitments.

        Reuse the earlier commitment if no entry changed, or if the changed entries are fewer than those of the record
        and no change is too large.
        """
        leaves = np.array([self._leaves.get(holder, NOWHERE) for holder in ids], dtype=np.int64)
        changes = _difference(records, self._whole.records.take(leaves))
        owners = np.repeat(np.arange(len(records)), np.diff(changes.indptr))
        too_large = np.zeros(len(records), dtype=np.bool_)
        too_large[owners[(changes.data <= -RECORD_BOUND) | (changes.data >= RECORD_BOUND)]] = True
        entries = np.diff(changes.indptr)
        cheaper = ((entries < np.diff(records.indptr)) | (entries == 0)) & ~too_large
        leaves = np.where(cheaper, leaves, NOWHERE)
        changes = _difference(records, self._whole.records.take(leaves))
        kept = leaves != NOWHERE
        entries = np.diff(changes.indptr)
        self.unchanged += int(np.count_nonzero(kept & (entries == 0)))
        self.changed += int(np.count_nonzero(kept & (entries > 0)))
        return Origins(
            changes=changes,
            points=_rows(self._whole.points, COORDINATES_BYTES, leaves),
            sid=self.snapshot.manifest.sid,
            ids=tuple(ids),
            nonces=_rows(self._whole.nonces, NONCE_BYTES, leaves),
            is_earlier=tuple(kept.tolist()),
        )


def _difference(records: Records, earlier: Records) -> Records:
    """Return records - earlier; |x| < 2^62 on both sides, so int64 cannot wrap."""
    difference = csr_array(records.matrix - earlier.matrix)
    difference.sort_indices()
    difference.eliminate_zeros()
    indptr, indices, data = (
        np.asarray(part, dtype=np.int64) for part in (difference.indptr, difference.indices, difference.data)
    )
    return Records(indptr, indices, data, records.columns)


def _rows(data: bytes, width: int, rows: "np.ndarray[tuple[int], np.dtype[np.int64]]") -> bytes:
    """Return rows of a table of bytes; zeros for NOWHERE."""
    table = np.frombuffer(data, dtype=np.uint8).reshape(-1, width)
    taken = table[np.maximum(rows, 0)]
    taken[rows == NOWHERE] = 0
    return taken.tobytes()
