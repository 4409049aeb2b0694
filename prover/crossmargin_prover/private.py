"""The venue's secret state of a snapshot as one .npz file: arrays only, no pickle, readable by its owner alone."""

import os
import secrets
import stat
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from crossmargin_circuits.errors import MalformedError
from crossmargin_circuits.layout import columns_digest, decode_columns
from crossmargin_prover.snapshot import CommittedSnapshot
from crossmargin_prover.witness import Records
from crossmargin_verifier.inclusion import NONCE_BYTES
from crossmargin_verifier.statement import (
    COLUMNS_FILE,
    POSITIONS_FILE,
    SNAPSHOT_FILE,
    TOTALS_FILE,
    SnapshotManifest,
)

__all__ = ["load_private", "save_private"]

FORMAT = 1
"""Version of the arrays below."""

_FILES = (COLUMNS_FILE, SNAPSHOT_FILE, POSITIONS_FILE, TOTALS_FILE)


def save_private(snapshot: CommittedSnapshot, path: Path) -> None:
    """Write the secret state atomically, with file mode 0600."""
    ids = [holder.encode("utf-8") for holder in snapshot.ids]
    arrays: dict[str, npt.NDArray[Any]] = {
        "format": np.array(FORMAT, dtype=np.int64),
        "indptr": snapshot.records.indptr,
        "indices": snapshot.records.indices,
        "data": snapshot.records.data,
        "ids": np.frombuffer(b"".join(ids), dtype=np.uint8),
        "id_lengths": np.array([len(holder) for holder in ids], dtype=np.int64),
        "nonces": np.frombuffer(snapshot.nonces, dtype=np.uint8),
        "order": np.array(snapshot.order, dtype=np.int64),
    }
    for name in _FILES:
        arrays[name] = np.frombuffer(snapshot.files.get(name, b""), dtype=np.uint8)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, stat.S_IRUSR | stat.S_IWUSR)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            np.savez(stream, allow_pickle=False, **arrays)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def load_private(path: Path) -> CommittedSnapshot:
    """Read the state that `save_private` wrote, and check that it fits together and to the position root.

    Raises:
        MalformedError: not such a file, truncated, or of another version.
        OSError: the file cannot be read.
    """
    with path.open("rb") as stream:
        try:
            archive = np.load(stream, allow_pickle=False)
            arrays = {name: archive[name] for name in archive.files}
        except (AttributeError, ValueError, EOFError, OSError, RuntimeError, zipfile.BadZipFile) as error:
            raise MalformedError(f"{path}: not a private snapshot: {type(error).__name__}") from None
    try:
        if int(arrays["format"]) != FORMAT:
            raise MalformedError(f"{path}: format {int(arrays['format'])}, expected {FORMAT}")
        return _restore(path, arrays)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise MalformedError(f"{path}: not a private snapshot: {type(error).__name__}") from None


def _restore(path: Path, arrays: dict[str, npt.NDArray[Any]]) -> CommittedSnapshot:
    files = {name: arrays[name].tobytes() for name in _FILES if arrays[name].size}
    manifest = SnapshotManifest.decode(files[SNAPSHOT_FILE])
    columns = decode_columns(files[COLUMNS_FILE])
    ends = np.cumsum(arrays["id_lengths"]).tolist()
    text = arrays["ids"].tobytes()
    ids = tuple(text[start:end].decode("utf-8") for start, end in zip([0, *ends], ends, strict=False))
    records = Records(
        arrays["indptr"].astype(np.int64),
        arrays["indices"].astype(np.int64),
        arrays["data"].astype(np.int64),
        len(columns),
    )
    snapshot = CommittedSnapshot(
        manifest=manifest,
        columns=columns,
        files=files,
        records=records,
        ids=ids,
        nonces=arrays["nonces"].tobytes(),
        order=tuple(arrays["order"].tolist()),
    )
    leaves = manifest.leaves
    if not (
        len(records) == len(ids) == len(snapshot.order) == leaves
        and len(snapshot.nonces) == NONCE_BYTES * leaves
        and records.indptr[-1] == len(records.indices) == len(records.data)
        and columns_digest(columns) == manifest.columns_digest
        and snapshot.tree.root == manifest.position_root
    ):
        raise MalformedError(f"{path}: the parts of the private snapshot do not fit together")
    return snapshot
