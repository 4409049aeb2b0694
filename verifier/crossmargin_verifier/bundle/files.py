"""Reading files of strangers: plain ones alone, their size looked at before anything is allocated."""

import os
from contextlib import suppress
from pathlib import Path
from stat import S_ISREG

from crossmargin_circuits.relation import Relation
from crossmargin_verifier.protocol.errors import MalformedError
from crossmargin_verifier.protocol.limits import (
    MAX_COLUMNS_BYTES,
    MAX_MANIFEST_BYTES,
    MAX_PROOF_BYTES,
    MAX_RELATION_BYTES,
)
from crossmargin_verifier.protocol.manifests import (
    AUXILIARY_TOTALS_FILE,
    COLUMNS_FILE,
    POSITIONS_FILE,
    RELATION_FILE,
    SLACK_FILE,
    SNAPSHOT_FILE,
    STATEMENT_FILE,
    TOTALS_FILE,
    SnapshotManifest,
    StatementManifest,
    point_file_size,
    shard_file,
)
from crossmargin_verifier.protocol.shape import Shape

__all__ = ["read_plain_file", "read_statement"]

# Some systems lack some of these. A pipe is opened without waiting for whoever writes it, and refused.
_FLAGS = os.O_RDONLY
for _name in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY"):
    _FLAGS |= getattr(os, _name, 0)


def read_plain_file(path: Path, limit: int, *, exactly: bool = False) -> bytes:
    """Return the bytes of a file, at most `limit`, or with `exactly` as many.

    Raises:
        OSError: the file is missing or unreadable.
        MalformedError: a link, a pipe, a folder or a device; another size; or the file changed while it was read.
    """
    if not hasattr(os, "O_NOFOLLOW") and path.is_symlink():
        raise MalformedError(f"{path.name}: not a plain file")
    try:
        descriptor = os.open(path, _FLAGS)
    except OSError as error:
        # Links and sockets do not open; a folder does not open everywhere.
        if path.is_symlink() or (path.exists() and not path.is_file()):
            raise MalformedError(f"{path.name}: not a plain file") from error
        raise
    try:
        status = os.fstat(descriptor)
        if not S_ISREG(status.st_mode):
            raise MalformedError(f"{path.name}: not a plain file")
        size = status.st_size
        if size > limit or (exactly and size != limit):
            raise MalformedError(f"{path.name}: {size} bytes: {'must be' if exactly else 'at most'} {limit}")
        with os.fdopen(descriptor, "rb", closefd=False) as stream:
            data = stream.read(size)
            grew = stream.read(1)
    finally:
        os.close(descriptor)
    if len(data) != size or grew:
        raise MalformedError(f"{path.name}: changed while it was read")
    return data


def read_statement(folder: Path, relation: Relation | None = None) -> dict[str, bytes]:
    """Read the files of one statement, sizes first; other files of the folder are ignored, links are not followed.

    relation: the verifier's own, which fixes the size of a shard file before it is read.

    Raises:
        OSError: a file that every statement has is missing or unreadable.
        MalformedError: a manifest is not canonical, or a file is no plain file or has a size that it cannot have.
    """
    files = {
        SNAPSHOT_FILE: read_plain_file(folder / SNAPSHOT_FILE, MAX_MANIFEST_BYTES),
        STATEMENT_FILE: read_plain_file(folder / STATEMENT_FILE, MAX_MANIFEST_BYTES),
        COLUMNS_FILE: read_plain_file(folder / COLUMNS_FILE, MAX_COLUMNS_BYTES),
        RELATION_FILE: read_plain_file(folder / RELATION_FILE, MAX_RELATION_BYTES),
    }
    snapshot = SnapshotManifest.decode(files[SNAPSHOT_FILE])
    statement = StatementManifest.decode(files[STATEMENT_FILE])
    for name, points in ((POSITIONS_FILE, snapshot.leaves), (SLACK_FILE, snapshot.leaves >> statement.packing)):
        files[name] = read_plain_file(folder / name, point_file_size(points), exactly=True)
    shape = None if relation is None else Shape.of(snapshot, statement, relation)
    size = MAX_PROOF_BYTES if shape is None else shape.shard_size
    # A statement about another relation has shard files of other sizes; V2 says so better than they do.
    exactly = relation is not None and statement.relation_digest == relation.digest
    for shard in range(snapshot.shards):
        files[shard_file(shard)] = read_plain_file(folder / shard_file(shard), size, exactly=exactly)
    for name in (TOTALS_FILE, AUXILIARY_TOTALS_FILE):
        with suppress(FileNotFoundError):
            files[name] = read_plain_file(folder / name, MAX_PROOF_BYTES)
    return files
