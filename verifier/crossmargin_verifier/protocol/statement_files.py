"""The files of one statement, each decoded once (SPEC section 6, V1).

A reader of a statement passes its bytes to this module, and all later code works on decoded values. Committed points
and proofs stay encoded: the multiplication decodes points, and transcripts read proofs.
"""

from collections.abc import Mapping
from functools import cached_property

from crossmargin_circuits.layout import decode_columns
from crossmargin_verifier.protocol.errors import MalformedError
from crossmargin_verifier.protocol.manifests import (
    COLUMNS_FILE,
    POSITIONS_FILE,
    SLACK_FILE,
    SNAPSHOT_FILE,
    STATEMENT_FILE,
    SnapshotManifest,
    StatementManifest,
    point_file_body,
)
from crossmargin_verifier.protocol.weights import files_digest

__all__ = ["StatementFiles"]


class StatementFiles:
    """Files by name; decodes a value on first access, and raises `MalformedError` for a malformed one."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        """Take the bytes; no file may change afterwards."""
        self._files = files

    def __contains__(self, name: str) -> bool:
        """Tell whether there is a file of this name."""
        return name in self._files

    def __getitem__(self, name: str) -> bytes:
        """Return the bytes of a required file."""
        if name not in self._files:
            raise MalformedError(f"{name}: missing")
        return self._files[name]

    def sized(self, name: str, size: int) -> bytes:
        """Return the bytes of a required file and have one size."""
        data = self[name]
        if len(data) != size:
            raise MalformedError(f"{name}: {len(data)} bytes: must be {size}")
        return data

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """Labels of the columns."""
        return decode_columns(self[COLUMNS_FILE])

    @cached_property
    def snapshot(self) -> SnapshotManifest:
        """The snapshot manifest."""
        return SnapshotManifest.decode(self[SNAPSHOT_FILE])

    @cached_property
    def positions(self) -> bytes:
        """enc(X_i) in global order, 33 bytes each, one after the other."""
        return point_file_body(self[POSITIONS_FILE], POSITIONS_FILE, self.snapshot.leaves)

    @cached_property
    def statement(self) -> StatementManifest:
        """The statement manifest."""
        return StatementManifest.decode(self[STATEMENT_FILE])

    @cached_property
    def slack_rows(self) -> bytes:
        """enc(R_h) in global order, 33 bytes each, one after the other."""
        return point_file_body(self[SLACK_FILE], SLACK_FILE, self.snapshot.leaves >> self.statement.packing)

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 over names and bytes of all files: the part of the seed of V9 that binds them."""
        return files_digest(self._files)
