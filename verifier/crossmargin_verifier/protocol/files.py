"""The public files of a snapshot and of a statement, each decoded once (SPEC section 6, V1).

A reader of a bundle passes its bytes to this module, and all later code works on decoded values. Committed points and
proofs stay encoded: the multiplication decodes points, and transcripts read proofs.
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
    SUFFIX,
    SnapshotManifest,
    StatementManifest,
    point_file_body,
)

__all__ = ["SnapshotFiles", "StatementFiles"]


class _Files:
    """Files by their bare names; decodes a value on first access, and raises `MalformedError` for a malformed one."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        """Take the bytes; no file may change afterwards."""
        self.bytes = files

    def __contains__(self, name: str) -> bool:
        """Tell whether there is a file of this name."""
        return name in self.bytes

    def __getitem__(self, name: str) -> bytes:
        """Return the bytes of a required file."""
        if name not in self.bytes:
            raise MalformedError(f"{name}: missing")
        return self.bytes[name]

    def check_sizes(self, sizes: Mapping[str, int], *others: str) -> None:
        """Check that there are files of these sizes, and beside these and others no file of the protocol."""
        for name, size in sizes.items():
            if len(self[name]) != size:
                raise MalformedError(f"{name}: {len(self[name])} bytes: must be {size}")
        for name in self.bytes:
            if name.endswith(SUFFIX) and name not in sizes and name not in others:
                raise MalformedError(f"{name}: there is no place for it")


class SnapshotFiles(_Files):
    """Files of `snapshot/`: columns, manifest, positions, record proofs and totals."""

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """Labels of the columns."""
        return decode_columns(self[COLUMNS_FILE])

    @cached_property
    def manifest(self) -> SnapshotManifest:
        """The snapshot manifest."""
        return SnapshotManifest.decode(self[SNAPSHOT_FILE])

    @cached_property
    def positions(self) -> bytes:
        """enc(X_i) of the n accounts in global order, 33 bytes each, one after the other."""
        return point_file_body(self[POSITIONS_FILE], POSITIONS_FILE, self.manifest.accounts)


class StatementFiles(_Files):
    """Files of `statements/NAME/`: relation, manifest, slack rows, shard proofs and auxiliary totals."""

    @cached_property
    def manifest(self) -> StatementManifest:
        """The statement manifest."""
        return StatementManifest.decode(self[STATEMENT_FILE])

    def slack_rows(self, leaves: int) -> bytes:
        """Return enc(R_h) in global order, 33 bytes each; leaves: S N of the snapshot."""
        return point_file_body(self[SLACK_FILE], SLACK_FILE, leaves >> self.manifest.packing)
