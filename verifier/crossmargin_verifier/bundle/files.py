"""The files of a bundle in an open folder: each is read and decoded once, on first use, and compared with the anchor.

    anchor.json       lists every file that decides a claim, with its SHA-256; the receipt key signs it
    any other file    is refused if its SHA-256 is another one, if it is missing though listed, or if it has no place

So the bundle digest, SHA-256(anchor.json), covers all that a verdict depends on. Files of other kinds are ignored.
"""

import hashlib
from collections.abc import Iterator
from functools import cached_property

from crossmargin_circuits.policy import POLICY_FILE, Policy
from crossmargin_circuits.relation import Relation
from crossmargin_verifier.bundle.anchor import (
    ANCHOR_FILE,
    ANCHOR_SIGNATURE_FILE,
    SNAPSHOT_FOLDER,
    STATEMENTS_FOLDER,
    Anchor,
    anchor_message,
)
from crossmargin_verifier.bundle.declarations import (
    BUNDLE_FILE,
    RESERVES_FILE,
    BundleManifest,
    DeclaredReserves,
    Totals,
)
from crossmargin_verifier.bundle.folder import Folder, MissingFileError
from crossmargin_verifier.bundle.limits import (
    MAX_ANCHOR_BYTES,
    MAX_BUNDLE_BYTES,
    MAX_COLUMNS_BYTES,
    MAX_DECLARATION_BYTES,
    MAX_MANIFEST_BYTES,
    MAX_POLICY_BYTES,
    MAX_PROOF_BYTES,
    MAX_RELATION_BYTES,
)
from crossmargin_verifier.bundle.signature import SIGNATURE_BYTES, verify_signature
from crossmargin_verifier.protocol.errors import MalformedError, RejectedError
from crossmargin_verifier.protocol.files import SnapshotFiles, StatementFiles
from crossmargin_verifier.protocol.manifests import (
    AUXILIARY_TOTALS_FILE,
    COLUMNS_FILE,
    POSITIONS_FILE,
    RELATION_FILE,
    SLACK_FILE,
    SNAPSHOT_FILE,
    STATEMENT_FILE,
    SUFFIX,
    TOTALS_FILE,
    StatementManifest,
    point_file_size,
    records_file,
    shard_file,
)
from crossmargin_verifier.protocol.records import RecordShape
from crossmargin_verifier.protocol.shape import Shape, totals_size

__all__ = ["BundleFolder", "StatementFolder"]

MAX_FACTOR_CHARACTERS = 40
"""Characters of the factor of a statement that are shown."""


class BundleFolder:
    """The folder of a bundle; links are not followed."""

    def __init__(self, folder: Folder) -> None:
        """Take an open folder."""
        self._folder = folder
        self._statements: dict[str, StatementFolder] = {}
        self._snapshot: dict[str, bytes] = {}
        self._left = MAX_BUNDLE_BYTES
        self.sizes: dict[str, int] = {}
        """Bytes of every listed file that was read, by its path."""

    @cached_property
    def manifest(self) -> BundleManifest:
        """The content of `bundle.json`."""
        # Decoded before the anchor is read: a bundle of the first version has none, and is refused as what it is.
        data = self._folder.read(BUNDLE_FILE, MAX_DECLARATION_BYTES)
        manifest = BundleManifest.decode(data)
        self._compare(BUNDLE_FILE, data)
        return manifest

    @cached_property
    def reserves(self) -> DeclaredReserves:
        """The content of `reserves.json`."""
        return DeclaredReserves.decode(self.read(RESERVES_FILE, MAX_DECLARATION_BYTES))

    @cached_property
    def anchor_file(self) -> bytes:
        """The bytes of `anchor.json`, whose SHA-256 is the bundle digest."""
        return self._required(ANCHOR_FILE, MAX_ANCHOR_BYTES)

    @cached_property
    def anchor(self) -> Anchor:
        """The content of `anchor.json`."""
        return Anchor.decode(self.anchor_file)

    @property
    def snapshot_file(self) -> bytes:
        """The bytes of `snapshot.cm2`."""
        return self._read_snapshot(SNAPSHOT_FILE, MAX_MANIFEST_BYTES)

    @property
    def columns_file(self) -> bytes:
        """The bytes of `columns.cm2`."""
        return self._read_snapshot(COLUMNS_FILE, MAX_COLUMNS_BYTES)

    def check_anchor(self) -> None:
        """Check that the receipt key signed the anchor, and that every file of the protocol is one that it lists.

        Raises:
            MalformedError: the anchor or its signature is not canonical.
            RejectedError: the signature does not hold, or V10: a file is missing, another one, or without a place.
        """
        manifest, anchor = self.manifest, self.anchor
        signature = self._required(ANCHOR_SIGNATURE_FILE, SIGNATURE_BYTES, exactly=True)
        try:
            verify_signature(manifest.receipt_key, anchor_message(self.anchor_file), signature)
        except RejectedError as error:
            raise RejectedError(error.step, f"{ANCHOR_FILE}: {error.reason}") from None
        if anchor.venue != manifest.venue:
            raise RejectedError("V10", f"{ANCHOR_FILE} names another venue than {BUNDLE_FILE}")
        if anchor.snapshot_digest != manifest.snapshot_digest:
            raise RejectedError("V10", f"{ANCHOR_FILE} is about another snapshot than {BUNDLE_FILE}")
        if tuple(each.name for each in anchor.statements) != manifest.statements:
            raise RejectedError("V10", f"{ANCHOR_FILE} lists other statements than {BUNDLE_FILE}")
        for path in self._found():
            if path.endswith(SUFFIX) and path not in anchor.files:
                raise RejectedError("V10", f"{path}: there is no place for it in this bundle")

    def check_all_read(self) -> None:
        """Check that the anchor lists no file but those that the verdict depends on.

        Raises:
            RejectedError: V10, names a file without a place.
        """
        for path in self.anchor.files:
            if path not in self.sizes:
                raise RejectedError("V10", f"{ANCHOR_FILE} lists {path[:200]!a}, which has no place in this bundle")

    def snapshot(self) -> SnapshotFiles:
        """Read the files of the snapshot, sizes first.

        Raises:
            RejectedError: a file is missing or another one. MalformedError: a file has an impossible size.
        """
        files = SnapshotFiles(self._snapshot)
        for name, limit in ((SNAPSHOT_FILE, MAX_MANIFEST_BYTES), (COLUMNS_FILE, MAX_COLUMNS_BYTES)):
            self._read_snapshot(name, limit)
        manifest, columns = files.manifest, files.columns
        records = RecordShape(manifest.accounts_per_shard, len(columns))
        self._read_snapshot(POSITIONS_FILE, point_file_size(manifest.accounts), exactly=True)
        for shard in range(manifest.shards):
            self._read_snapshot(records_file(shard), records.size, exactly=True)
        if self.manifest.totals is Totals.OPENED:
            self._read_snapshot(TOTALS_FILE, totals_size(len(columns)), exactly=True)
        return files

    def statement(self, name: str) -> "StatementFolder":
        """Return the folder of a statement."""
        if name not in self._statements:
            self._statements[name] = StatementFolder(self, name)
        return self._statements[name]

    def read(self, path: str, limit: int, *, exactly: bool = False) -> bytes:
        """Return the bytes of a listed file, at most `limit`, or with `exactly` as many.

        Raises:
            RejectedError: V10, the anchor does not list it, or it is missing or another one.
            MalformedError: a link, a pipe, a folder or a device; or not the exact size.
            CannotCheckError: it is unreadable, larger than this verifier reads, or changed while it was read.
        """
        if path not in self.anchor.files:
            raise RejectedError("V10", f"{ANCHOR_FILE} does not list {path}")
        data = self._required(path, limit, exactly=exactly)
        self._compare(path, data)
        return data

    def _read_snapshot(self, name: str, limit: int, *, exactly: bool = False) -> bytes:
        if name not in self._snapshot:
            self._snapshot[name] = self.read(f"{SNAPSHOT_FOLDER}/{name}", limit, exactly=exactly)
        return self._snapshot[name]

    def _compare(self, path: str, data: bytes) -> None:
        """Check that a file is the one that the anchor lists, and count its bytes."""
        if self.anchor.files.get(path) != hashlib.sha256(data).digest():
            raise RejectedError("V10", f"{path} is not the file that {ANCHOR_FILE} lists")
        self.sizes[path] = len(data)

    def _required(self, path: str, limit: int, *, exactly: bool = False) -> bytes:
        """Return the bytes of a file without which the bundle is none."""
        if self._left < limit:
            limit, exactly = self._left, False
        folder = self._folder
        *inner, name = path.split("/")
        try:
            for each in inner:
                folder = folder.inner(each)
            data = folder.read(name, limit, exactly=exactly)
        except MissingFileError:
            raise RejectedError("V10", f"{path}: missing, and a bundle is not whole without it") from None
        self._left -= len(data)
        return data

    def _found(self) -> Iterator[str]:
        """Yield the paths in the folders that files of the protocol may lie in."""
        yield from self._folder.names()
        for place in (SNAPSHOT_FOLDER, STATEMENTS_FOLDER):
            folder = self._inside(self._folder, place)
            for name in folder.names() if folder is not None else ():
                yield f"{place}/{name}"
                inner = self._inside(folder, name) if place == STATEMENTS_FOLDER else None
                for file in inner.names() if inner is not None else ():
                    yield f"{place}/{name}/{file}"

    @staticmethod
    def _inside(folder: Folder | None, name: str) -> Folder | None:
        """Return a folder inside another one, or None if there is none: a file or a link has no place to be listed."""
        try:
            return None if folder is None else folder.inner(name)
        except (MissingFileError, MalformedError):
            return None


class StatementFolder:
    """The folder of one statement."""

    def __init__(self, bundle: BundleFolder, name: str) -> None:
        """Take the bundle and the name of the statement."""
        self._bundle = bundle
        self._place = f"{STATEMENTS_FOLDER}/{name}"
        self._files: dict[str, bytes] = {}
        self._decoded = StatementFiles(self._files)
        self.factor = ""
        """The factor on the requirement in the venue's inputs, once the policy was read; nothing depends on it."""
        self.policy_bytes = 0
        """The size of `policy.json`, once it was read."""

    @cached_property
    def policy(self) -> Policy:
        """The content of `policy.json`, without the inputs, which only its digest needs."""
        data = self._bundle.read(f"{self._place}/{POLICY_FILE}", MAX_POLICY_BYTES)
        self.policy_bytes = len(data)
        policy = Policy.decode(data)
        self.factor = _factor(policy)
        return policy.without_inputs()

    @property
    def statement(self) -> StatementManifest:
        """The content of `statement.cm2`."""
        self._read(STATEMENT_FILE, MAX_MANIFEST_BYTES)
        return self._decoded.manifest

    @property
    def relation_bytes(self) -> int:
        """The size of `relation.cm2`, which bounds what a policy may compile to."""
        return len(self._read(RELATION_FILE, MAX_RELATION_BYTES))

    def read(self, snapshot: SnapshotFiles, relation: Relation) -> StatementFiles:
        """Read the files that a verifier of the statement needs, sizes first.

        relation: the verifier's own, which fixes the sizes of slack rows, shard proofs and auxiliary totals.

        Raises:
            RejectedError: a file is missing or another one. MalformedError: a manifest is not canonical, or a file is
                not a regular file or has an impossible size.
        """
        self._read(RELATION_FILE, MAX_RELATION_BYTES)
        statement, manifest = self.statement, snapshot.manifest
        shape = Shape.of(manifest, statement, relation)
        # A statement about another relation has files of other sizes; V2 gives the clearer error.
        exactly = statement.relation_digest == relation.digest
        self._read(SLACK_FILE, point_file_size(shape.leaves >> statement.packing), exactly=True)
        for shard in range(manifest.shards):
            self._read(shard_file(shard), shape.shard_size if exactly else MAX_PROOF_BYTES, exactly=exactly)
        if self._bundle.manifest.totals is Totals.OPENED and shape.disclosed:
            size = shape.auxiliary_totals_size if exactly else MAX_PROOF_BYTES
            self._read(AUXILIARY_TOTALS_FILE, size, exactly=exactly)
        return self._decoded

    def _read(self, name: str, limit: int, *, exactly: bool = False) -> bytes:
        """Return the bytes of a file, reading it once."""
        if name not in self._files:
            self._files[name] = self._bundle.read(f"{self._place}/{name}", limit, exactly=exactly)
        return self._files[name]


def _factor(policy: Policy) -> str:
    """Return what the venue states as the factor of its statement, or nothing: the verdict repeats it as its words."""
    model = policy.inputs.get("model")
    statements = model.get("statements") if isinstance(model, dict) else None
    for each in statements if isinstance(statements, list) else []:
        if isinstance(each, dict) and each.get("name") == policy.inputs.get("statement"):
            factor = each.get("factor")
            return factor[:MAX_FACTOR_CHARACTERS] if isinstance(factor, str) else ""
    return ""
