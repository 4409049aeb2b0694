"""The venue's secret state of a snapshot as bytes: .npz archives of arrays, no pickle (docs/formats.md).

plan.npz            digest of what is committed, and the random order of its accounts
shard-NNNNNN.npz    the records, ids, nonces and commitments of a shard
records-NNNNNN.cm2  the record proof of a shard, public and made once
*.cm2               the other public files; `snapshot.cm2` comes last and marks the snapshot as complete
"""

import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from crossmargin_circuits.errors import MalformedError
from crossmargin_circuits.layout import RECORD_BOUND, columns_digest, decode_columns
from crossmargin_prover.backend import Int64Array
from crossmargin_prover.snapshot import COORDINATES_BYTES, CommittedShard, CommittedSnapshot
from crossmargin_prover.vault.store import Store, located
from crossmargin_prover.witness import Records
from crossmargin_verifier.protocol.field import ORDER, SCALAR_BYTES
from crossmargin_verifier.protocol.group import POINT_BYTES
from crossmargin_verifier.protocol.inclusion import NONCE_BYTES
from crossmargin_verifier.protocol.manifests import (
    COLUMNS_FILE,
    POSITIONS_FILE,
    SNAPSHOT_FILE,
    TOTALS_FILE,
    SnapshotManifest,
    point_file_body,
    records_file,
)

__all__ = [
    "SnapshotPlan",
    "StoredShards",
    "decode_arrays",
    "encode_arrays",
    "encode_shard",
    "load_snapshot",
    "shard_name",
]

FORMAT = 3
"""Version of the arrays below."""

PLAN = "plan.npz"

Arrays = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True, repr=False)
class SnapshotPlan:
    """The input of a commitment: digest of the book, digest of all its inputs, and the order of its accounts.

    order: number of the account at every leaf that is not empty; secret.
    """

    book: bytes
    inputs: bytes
    order: Int64Array

    def __repr__(self) -> str:
        """Return a text without the order."""
        return f"SnapshotPlan({len(self.order)} accounts, redacted)"

    def save(self, store: Store) -> None:
        """Write the plan."""
        store[PLAN] = encode_arrays(book=_bytes(self.book), inputs=_bytes(self.inputs), order=self.order)

    @classmethod
    def load(cls, store: Store) -> "SnapshotPlan | None":
        """Return the plan of a store, or None if no run has begun.

        Raises:
            MalformedError: damaged.
        """
        if PLAN not in store:
            return None
        kinds: dict[str, type[np.generic]] = {"book": np.uint8, "inputs": np.uint8, "order": np.int64}
        arrays = decode_arrays(store[PLAN], located(store, PLAN), kinds)
        return cls(arrays["book"].tobytes(), arrays["inputs"].tobytes(), arrays["order"])


@dataclass(frozen=True, repr=False)
class StoredShards(Sequence[CommittedShard]):
    """The shards of a store, read on demand; keeps the last one in memory."""

    store: Store
    manifest: SnapshotManifest
    columns: int
    positions: bytes
    _last: dict[int, CommittedShard] = field(default_factory=dict)

    def __len__(self) -> int:
        """Return the number of shards."""
        return self.manifest.shards

    @overload
    def __getitem__(self, index: int) -> CommittedShard: ...

    @overload
    def __getitem__(self, index: slice) -> list[CommittedShard]: ...

    def __getitem__(self, index: int | slice) -> CommittedShard | list[CommittedShard]:
        """Return a shard, or some.

        Raises:
            MalformedError: it is damaged or missing.
        """
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError("no such shard")
        number = index % len(self)
        if number not in self._last:
            shard = decode_shard(self.store, number, self.columns)
            size = POINT_BYTES * self.manifest.accounts_per_shard
            # The last shard ends where the positions do.
            if shard.encodings != self.positions[size * number : size * (number + 1)]:
                name = located(self.store, shard_name(number))
                raise MalformedError(f"{name}: of another snapshot than {POSITIONS_FILE}: restore the file")
            self._last.clear()
            self._last[number] = shard
        return self._last[number]


def shard_name(number: int) -> str:
    """Return the name of a shard in a store."""
    return f"shard-{number:06d}.npz"


def encode_shard(shard: CommittedShard) -> bytes:
    """Return a shard as bytes; secret."""
    ids = [holder.encode("utf-8") for holder in shard.ids]
    return encode_arrays(
        indptr=shard.records.indptr,
        indices=shard.records.indices,
        data=shard.records.data,
        ids=_bytes(b"".join(ids)),
        id_lengths=np.array([len(holder) for holder in ids], dtype=np.int64),
        nonces=_bytes(shard.nonces),
        order=shard.order,
        points=_bytes(shard.points),
        blinding=_bytes(shard.blinding.to_bytes(SCALAR_BYTES, "big")),
    )


_SHARD: Mapping[str, type[np.generic]] = {
    "indptr": np.int64,
    "indices": np.int64,
    "data": np.int64,
    "ids": np.uint8,
    "id_lengths": np.int64,
    "nonces": np.uint8,
    "order": np.int64,
    "points": np.uint8,
    "blinding": np.uint8,
}


def decode_shard(store: Mapping[str, bytes], number: int, columns: int) -> CommittedShard:
    """Read a shard of a store, and check that its parts fit together.

    Raises:
        MalformedError: the file is missing, of another kind or version, or truncated.
    """
    name = shard_name(number)
    where = located(store, name)
    if name not in store:
        raise MalformedError(f"{where} is missing: the vault is damaged")
    arrays = decode_arrays(store[name], where, _SHARD)
    indptr, indices, data, order = (arrays[part] for part in ("indptr", "indices", "data", "order"))
    lengths, text = arrays["id_lengths"], arrays["ids"].tobytes()
    accounts = len(lengths)
    if not (
        (lengths >= 0).all()
        and int(lengths.sum()) == len(text)
        and len(indptr) == accounts + 1
        and len(order) == accounts
        and len(arrays["nonces"]) == NONCE_BYTES * accounts
        and len(arrays["points"]) == COORDINATES_BYTES * accounts
        and len(arrays["blinding"]) == SCALAR_BYTES
        and indptr[0] == 0
        and indptr[-1] == len(indices) == len(data)
        and (np.diff(indptr) >= 0).all()
        and ((indices >= 0) & (indices < columns)).all()
        and ((data > -RECORD_BOUND) & (data < RECORD_BOUND)).all()
    ):
        raise MalformedError(f"{where}: its parts do not fit together: restore the file")
    return CommittedShard(
        records=Records(indptr, indices, data, columns),
        ids=_decode_ids(text, lengths, where),
        nonces=arrays["nonces"].tobytes(),
        order=order,
        points=arrays["points"].tobytes(),
        blinding=int.from_bytes(arrays["blinding"].tobytes(), "big") % ORDER,
    )


def _decode_ids(text: bytes, lengths: Int64Array, where: str) -> tuple[str, ...]:
    ends = np.cumsum(lengths).tolist()
    starts = [0, *ends[:-1]]
    try:
        # Ids are mostly ASCII, where characters are bytes.
        letters: str | None = text.decode("ascii") if text.isascii() else None
        if letters is not None:
            return tuple(letters[start:end] for start, end in zip(starts, ends, strict=True))
        return tuple(text[start:end].decode("utf-8") for start, end in zip(starts, ends, strict=True))
    except ValueError as error:
        raise _damaged(where, error) from None


def load_snapshot(store: Store) -> CommittedSnapshot:
    """Return the finished snapshot of a store; it reads shards, and builds and compares trees, on demand.

    Raises:
        MalformedError: a file is missing or damaged, or they do not fit together.
    """
    files = {name: store[name] for name in (COLUMNS_FILE, SNAPSHOT_FILE, POSITIONS_FILE, TOTALS_FILE) if name in store}
    for name in (COLUMNS_FILE, SNAPSHOT_FILE, POSITIONS_FILE):
        if name not in files:
            raise MalformedError(f"{located(store, name)} is missing: the vault is damaged")
    manifest = SnapshotManifest.decode(files[SNAPSHOT_FILE])
    columns = decode_columns(files[COLUMNS_FILE])
    positions = bytes(point_file_body(files[POSITIONS_FILE], POSITIONS_FILE, manifest.accounts))
    if columns_digest(columns) != manifest.columns_digest:
        raise MalformedError(f"{COLUMNS_FILE} is not that of {SNAPSHOT_FILE}: the vault is damaged")
    files |= {name: store[name] for name in map(records_file, range(manifest.shards)) if name in store}
    return CommittedSnapshot(manifest, columns, files, StoredShards(store, manifest, len(columns), positions))


def encode_arrays(**arrays: npt.NDArray[Any]) -> bytes:
    """Return arrays as an .npz archive."""
    stream = io.BytesIO()
    np.savez(stream, allow_pickle=False, format=np.array(FORMAT, dtype=np.int64), **arrays)
    return stream.getvalue()


def decode_arrays(data: bytes, name: str, expected: Mapping[str, type[np.generic]]) -> Arrays:
    """Return the arrays of an archive; expected: type of the entries of each, all of one dimension.

    Raises:
        MalformedError: the archive is of another kind or version, truncated, or lacks an expected array.
    """
    try:
        archive = np.load(io.BytesIO(data), allow_pickle=False)
        arrays = {each: archive[each] for each in archive.files}
        version = int(arrays["format"])
    except (
        AttributeError, KeyError, TypeError, ValueError, EOFError, OSError, RuntimeError, zipfile.BadZipFile
    ) as error:  # fmt: skip
        raise _damaged(name, error) from None
    if version != FORMAT:
        raise MalformedError(f"{name}: format {version}, expected {FORMAT}: another version wrote it")
    for each, kind in expected.items():
        if each not in arrays:
            raise MalformedError(f"{name}: no array {each!r}: restore the file")
        if arrays[each].ndim != 1 or arrays[each].dtype != kind:
            raise MalformedError(f"{name}: array {each!r} is not a list of {kind.__name__}: restore the file")
    return arrays


def _bytes(data: bytes) -> npt.NDArray[np.uint8]:
    return np.frombuffer(data, dtype=np.uint8)


def _damaged(name: str, error: Exception) -> MalformedError:
    return MalformedError(f"{name}: not a private file of this version, or cut off: {type(error).__name__}")
