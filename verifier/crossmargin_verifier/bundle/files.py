"""The files of a bundle in an open folder; a check reads and decodes each one once, on first use."""

from functools import cached_property

from crossmargin_circuits.policy import POLICY_FILE, Policy
from crossmargin_circuits.relation import Relation
from crossmargin_verifier.bundle.declarations import BUNDLE_FILE, RESERVES_FILE, BundleManifest, DeclaredReserves
from crossmargin_verifier.bundle.folder import Folder
from crossmargin_verifier.bundle.limits import (
    MAX_COLUMNS_BYTES,
    MAX_DECLARATION_BYTES,
    MAX_MANIFEST_BYTES,
    MAX_POLICY_BYTES,
    MAX_PROOF_BYTES,
    MAX_RELATION_BYTES,
)
from crossmargin_verifier.protocol.manifests import (
    AUXILIARY_TOTALS_FILE,
    BOOK,
    COLUMNS_FILE,
    POSITIONS_FILE,
    RELATION_FILE,
    SLACK_FILE,
    SNAPSHOT_FILE,
    STATEMENT_FILE,
    TOTALS_FILE,
    StatementManifest,
    point_file_size,
    shard_file,
)
from crossmargin_verifier.protocol.shape import Shape
from crossmargin_verifier.protocol.statement_files import StatementFiles

__all__ = ["BundleFolder", "StatementFolder"]


class StatementFolder:
    """The folder of one statement; other files in it are ignored, links are not followed."""

    def __init__(self, folder: Folder) -> None:
        """Take an open folder."""
        self._folder = folder
        self._files: dict[str, bytes] = {}
        self._decoded = StatementFiles(self._files)

    @cached_property
    def policy(self) -> Policy:
        """The content of `policy.json`."""
        return Policy.decode(self._folder.read(POLICY_FILE, MAX_POLICY_BYTES))

    @property
    def snapshot_file(self) -> bytes:
        """The bytes of `snapshot.cm1`."""
        return self._read(SNAPSHOT_FILE, MAX_MANIFEST_BYTES)

    @property
    def columns_file(self) -> bytes:
        """The bytes of `columns.cm1`."""
        return self._read(COLUMNS_FILE, MAX_COLUMNS_BYTES)

    @property
    def statement(self) -> StatementManifest:
        """The content of `statement.cm1`."""
        self._read(STATEMENT_FILE, MAX_MANIFEST_BYTES)
        return self._decoded.statement

    def read(self, relation: Relation | None = None) -> StatementFiles:
        """Read the files that a verifier of the statement needs, sizes first.

        relation: the verifier's own, which fixes the size of a shard file before it is read, and the totals of a book.

        Raises:
            CannotCheckError: a file that the statement needs is missing or unreadable.
            MalformedError: a manifest is not canonical, or a file is not a regular file or has an impossible size.
        """
        self._read(SNAPSHOT_FILE, MAX_MANIFEST_BYTES)
        self._read(COLUMNS_FILE, MAX_COLUMNS_BYTES)
        self._read(RELATION_FILE, MAX_RELATION_BYTES)
        snapshot, statement = self._decoded.snapshot, self.statement
        for name, points in ((POSITIONS_FILE, snapshot.leaves), (SLACK_FILE, snapshot.leaves >> statement.packing)):
            self._read(name, point_file_size(points), exactly=True)
        shape = None if relation is None else Shape.of(snapshot, statement, relation)
        size = MAX_PROOF_BYTES if shape is None else shape.shard_size
        # A statement about another relation has shard files of other sizes; V2 gives the clearer error.
        exactly = relation is not None and statement.relation_digest == relation.digest
        for shard in range(snapshot.shards):
            self._read(shard_file(shard), size, exactly=exactly)
        needed = {TOTALS_FILE: statement.mode == BOOK and relation is not None}
        needed[AUXILIARY_TOTALS_FILE] = needed[TOTALS_FILE] and relation is not None and bool(relation.disclosed)
        for name, is_needed in needed.items():
            read = self._folder.read if is_needed else self._folder.find
            data = read(name, MAX_PROOF_BYTES)
            if data is not None:
                self._files[name] = data
        return self._decoded

    def _read(self, name: str, limit: int, *, exactly: bool = False) -> bytes:
        """Return the bytes of a file, reading it once."""
        if name not in self._files:
            self._files[name] = self._folder.read(name, limit, exactly=exactly)
        return self._files[name]


class BundleFolder:
    """The folder of a bundle."""

    def __init__(self, folder: Folder) -> None:
        """Take an open folder."""
        self._folder = folder
        self._statements: dict[str, StatementFolder] = {}

    @cached_property
    def manifest(self) -> BundleManifest:
        """The content of `bundle.json`."""
        return BundleManifest.decode(self._folder.read(BUNDLE_FILE, MAX_DECLARATION_BYTES))

    @cached_property
    def reserves(self) -> DeclaredReserves:
        """The content of `reserves.json`."""
        return DeclaredReserves.decode(self._folder.read(RESERVES_FILE, MAX_DECLARATION_BYTES))

    def statement(self, name: str) -> StatementFolder:
        """Return the folder of a statement.

        Raises:
            CannotCheckError: there is none. MalformedError: a link.
        """
        if name not in self._statements:
            self._statements[name] = StatementFolder(self._folder.inner(name))
        return self._statements[name]

    def forget(self, name: str) -> None:
        """Release the bytes of a statement: a large book has many."""
        self._statements.pop(name, None)

    def summary(self, name: str) -> bytes | None:
        """Return the bytes of a summary, or None if the bundle has none."""
        return self._folder.find(name, MAX_DECLARATION_BYTES)
