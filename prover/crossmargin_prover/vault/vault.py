"""The vault: a venue's private folder for one snapshot.

    crossmargin-vault.txt   marks the folder as a vault
    snapshot/           records, ids, nonces and commitments, shard by shard; the public files of the snapshot, record
                        proofs included; and published.json, the statements about it that were published
    work/NAME/          finished shards of an interrupted proof
    randomness.key      long-term secret that hedges every random draw
    signing.key         secret key that signs receipts
    keys.json           public key of signing.key and digest of randomness.key, to detect a damaged key
    lock                held by the active run
    report.json         loaded and rejected accounts, with file, line and reason
    statements/NAME/    the public files of each proven statement, ready to be published

The folder has mode 0700 and its files 0600; publish nothing in it but `statements`.
"""

import hashlib
import json
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from crossmargin.book.book import PART_MARK, Rejected
from crossmargin.placement import (
    PRIVATE_FOLDER,
    ForeignNameError,
    check_target,
    make_folder,
    real_path,
    remove_folder,
    sweep,
    sync_folder,
    temporary_name,
    write_folder,
)
from crossmargin_circuits.digest import PROTOCOL
from crossmargin_circuits.errors import CrossmarginError, MalformedError
from crossmargin_circuits.policy import POLICY_FILE, Policy
from crossmargin_prover.randomness import KEY_BYTES, SystemRandomness
from crossmargin_prover.signing import SigningKey
from crossmargin_prover.snapshot import CommittedSnapshot
from crossmargin_prover.vault import names
from crossmargin_prover.vault.arrays import SnapshotPlan, load_snapshot
from crossmargin_prover.vault.lock import BusyError, locked_file
from crossmargin_prover.vault.publications import PublishedStatement, decode_publications, encode_publications
from crossmargin_prover.vault.store import FolderStore, located, write_private
from crossmargin_verifier.protocol.manifests import SNAPSHOT_FILE, SnapshotManifest

__all__ = ["Report", "Vault", "VaultError"]

_KIND = "This folder is a crossmargin vault"
_VERSION = f"{_KIND} of {PROTOCOL}"
_MARKER_TEXT = f"""{_VERSION}: a venue's private records, nonces and keys of one snapshot.
Never publish it. The program removes nothing from it that it did not name itself (docs/operations.md).
"""


class VaultError(CrossmarginError):
    """A vault is missing, exists already, or lacks a part."""


@dataclass(frozen=True, repr=False)
class Report:
    """Counts of accounts, and the rejected lines; private, since it names accounts."""

    venue: str
    loaded: int
    rejected: tuple[Rejected, ...]
    control: str | None = None
    """SHA-256 of the control file that the loader compared with the book's files, if there was one."""

    has_parts: bool = False
    """Whether some ids are NAME#PART, with a part that the holder chose."""

    def account(self, holder: str) -> str:
        """Return the venue's name of the account with a committed id."""
        return holder.partition(PART_MARK)[0] if self.has_parts else holder

    @property
    def rejected_accounts(self) -> int:
        """Number of rejected accounts."""
        return len({each.account for each in self.rejected})


@dataclass(frozen=True)
class Vault:
    """A venue's private folder for one snapshot; the module's docstring lists its contents."""

    path: Path

    @classmethod
    def create(cls, path: str | Path, signing_key: SigningKey | None = None, earlier: "Vault | None" = None) -> "Vault":
        """Make an empty vault with its keys, or return one with an unfinished snapshot.

        signing_key: the venue's own, or else that of the unfinished or the earlier vault, or a fresh one. The key for
        randomness is fresh, and hedged with that of the earlier vault.

        Raises:
            VaultError: the folder holds something else, or a finished snapshot; or another run is using it.
        """
        path = Path(path)
        vault = cls(path)
        if names.is_public(path):
            raise VaultError(f"{path} is inside a public bundle: a vault is private, choose another folder")
        vault._check_place()
        make_folder(path, PRIVATE_FOLDER)
        path.chmod(PRIVATE_FOLDER)
        vault._mark()
        with vault.locked():
            if vault._randomness_key.exists():
                key = vault._read_key(vault._randomness_key)
            else:
                key = secrets.token_bytes(KEY_BYTES)
                if earlier is not None:
                    before = earlier._read_key(earlier._randomness_key)
                    key = hashlib.sha256(b"crossmargin hedging key" + before + key).digest()
            if signing_key is None:
                if vault._signing_key.exists():
                    signing_key = vault.signing_key
                else:
                    signing_key = SigningKey.generate() if earlier is None else earlier.signing_key
            vault._save_keys(key, signing_key)
        return vault

    @classmethod
    def open(cls, path: str | Path) -> "Vault":
        """Return an existing vault.

        Raises:
            VaultError: there is none.
        """
        vault = cls(Path(path))
        vault._check_version()
        if not vault.is_finished:
            begun = "an unfinished snapshot" if SnapshotPlan.load(vault.snapshot) else "no committed snapshot"
            raise VaultError(f"{path} holds {begun}: run `crossmargin commit` first")
        return vault

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other runs out of the vault.

        Raises:
            VaultError: another run is using the vault.
        """
        for folder in (self.snapshot.path, self.path / "work", self._statements):
            if folder.is_symlink():
                raise VaultError(f"{folder} is a link: replace it by the folder itself")
        with ExitStack() as stack:
            try:
                stack.enter_context(locked_file(self.path / names.LOCK))
            except BusyError:
                raise VaultError(f"{self.path}: another run is using this vault: wait until it ends") from None
            self._mark()
            sweep(real_path(self.path), names.VAULT)
            yield

    def _check_place(self) -> None:
        """Refuse to make a vault anywhere but in an absent or empty folder, or in an unfinished vault.

        Raises:
            VaultError: the folder holds something else; names it.
        """
        self._check_version()
        try:
            check_target(real_path(self.path), names.VAULT, names.MARKER)
        except ForeignNameError as error:
            raise VaultError(str(error)) from None
        if (self.path / names.MARKER).exists() and not self._is_marked:
            raise VaultError(f"{self.path / names.MARKER} is not that of a vault: choose another folder")
        if self.is_finished:
            raise VaultError(f"{self.path} exists already: one vault holds one snapshot; choose another folder")

    def _check_version(self) -> None:
        """Refuse a vault of version 1, whose marker names no version.

        Raises:
            VaultError: it is one.
        """
        is_earlier = self._marker.startswith(_KIND.encode("ascii")) and not self._is_marked
        if is_earlier or (self.path / "snapshot" / "snapshot.cm1").exists():
            raise VaultError(f"{self.path} is a vault of crossmargin/1, which release 0.1.0 reads")

    @property
    def _marker(self) -> bytes:
        try:
            return (self.path / names.MARKER).read_bytes()
        except FileNotFoundError:
            return b""

    @property
    def _is_marked(self) -> bool:
        return self._marker.startswith(_VERSION.encode("ascii"))

    def _mark(self) -> None:
        """Write the marker of a vault, which the caller has found or is creating."""
        if not self._is_marked:
            write_private(self.path / names.MARKER, _MARKER_TEXT.encode("ascii"))

    @property
    def is_finished(self) -> bool:
        """Whether the snapshot is committed."""
        return SNAPSHOT_FILE in self.snapshot

    @property
    def snapshot(self) -> FolderStore:
        """The store of the snapshot."""
        return FolderStore(self.path / "snapshot")

    def work(self, name: str) -> FolderStore:
        """Return the store of a statement's finished shards until its proof is complete."""
        return FolderStore(self.path / "work" / name)

    def forget_work(self, name: str) -> None:
        """Remove the finished shards of a statement; after an interruption the next run finds all or none."""
        work = self.path / "work" / name
        if work.exists():
            names.WORK.check(work)
            hidden = temporary_name(work)
            work.rename(hidden)
            sync_folder(work.parent)
            remove_folder(hidden, names.WORK)

    def _save_keys(self, randomness: bytes, signing: SigningKey) -> None:
        """Write `keys.json`, which detects a damaged key, then both keys; it names fresh keys, so it comes first."""
        expected = {"signing_public": signing.public.hex(), "randomness_digest": _key_digest(randomness)}
        written = json.dumps(expected, indent=2).encode("ascii") + b"\n"
        for path, data in (
            (self.path / names.KEYS, written),
            (self._randomness_key, randomness),
            (self._signing_key, signing.secret_bytes()),
        ):
            if not path.exists() or path.read_bytes() != data:
                write_private(path, data)

    def _check_key(self, path: Path, kind: str, found: str) -> None:
        """Compare a key with `keys.json`, if there is one.

        Raises:
            VaultError: the key is damaged, or `keys.json` is.
        """
        try:
            expected = json.loads((self.path / names.KEYS).read_bytes())[kind]
        except FileNotFoundError:
            return
        except (ValueError, KeyError, TypeError, RecursionError):
            raise VaultError(f"{self.path / names.KEYS} is damaged: restore it") from None
        if expected != found:
            raise VaultError(f"{path} is not the key that {names.KEYS} names: one of the two is damaged, restore it")

    @property
    def randomness(self) -> SystemRandomness:
        """Hedged randomness with the vault's key."""
        return SystemRandomness(self._read_key(self._randomness_key))

    @property
    def signing_key(self) -> SigningKey:
        """The key that signs receipts."""
        try:
            key = SigningKey(self._read_key(self._signing_key))
        except ValueError:
            raise VaultError(f"{self._signing_key}: not a secret key: the vault is damaged") from None
        self._check_key(self._signing_key, "signing_public", key.public.hex())
        return key

    @property
    def naming_key(self) -> bytes:
        """The secret that names the files of receipts."""
        return hashlib.sha256(b"crossmargin receipt names" + self._read_key(self._randomness_key)).digest()

    def save_report(self, report: Report) -> None:
        """Write the report of the committed book."""
        rejected = [
            {"account": each.account, "file": each.file, "line": each.line, "reason": each.reason}
            for each in report.rejected
        ]
        counts = {
            "venue": report.venue,
            "loaded": report.loaded,
            "holder_parts": report.has_parts,
            "rejected": rejected,
        }
        control = {} if report.control is None else {"control": report.control}
        write_private(self._report, json.dumps({**counts, **control}, indent=2).encode("utf-8"))

    def load_report(self) -> Report:
        """Return the report of the committed book.

        Raises:
            MalformedError: the file is damaged.
        """
        try:
            counts = json.loads(self._report.read_bytes())
            rejected = tuple(Rejected(**each) for each in counts["rejected"])
            control, has_parts = counts.get("control"), counts["holder_parts"]
            return Report(counts["venue"], counts["loaded"], rejected, control, has_parts=has_parts)
        except (ValueError, KeyError, TypeError, RecursionError):
            raise MalformedError(f"{self._report}: not a report of this vault") from None

    def load(self) -> CommittedSnapshot:
        """Return the committed snapshot.

        Raises:
            MalformedError: a file is damaged.
        """
        try:
            return load_snapshot(self.snapshot)
        except MalformedError as error:
            raise MalformedError(f"{self.snapshot.path}: {error}") from None

    def reuse(self, earlier: "Vault") -> None:
        """Copy the finished snapshot of an earlier vault whole, with the log of what was published about it.

        An interruption leaves no part of it.
        """
        copy = FolderStore(temporary_name(self.snapshot.path))
        for name in filter(names.SNAPSHOT.lists, earlier.snapshot):
            copy[name] = earlier.snapshot[name]
        copy.path.rename(self.snapshot.path)
        sync_folder(self.path)

    def save_statement(self, name: str, policy: Policy, files: Mapping[str, bytes]) -> Path:
        """Write the public files of a statement, replacing an earlier one of that name; return the folder."""
        folder = self._statements / name
        write_folder(folder, {**files, POLICY_FILE: policy.encoded}, names.STATEMENT, PRIVATE_FOLDER)
        self.forget_work(name)
        return folder

    def statements(self) -> dict[str, Path]:
        """Return the folders of the proven statements by name, in the order of the names.

        Raises:
            VaultError: no statement is proven.
        """
        if not self.proven:
            raise VaultError(f"{self.path} holds no proven statement: run `crossmargin prove` first")
        return self.proven

    @property
    def proven(self) -> dict[str, Path]:
        """Folders of the proven statements by name, in the order of the names."""
        # A killed run leaves names with a leading point.
        found = sorted(path for path in self._statements.glob("[!.]*") if (path / POLICY_FILE).is_file())
        return {path.name: path for path in found}

    @property
    def published(self) -> tuple[PublishedStatement, ...]:
        """The statements about this snapshot that were published, the earliest first.

        Raises:
            MalformedError: the log is damaged.
        """
        store = self.snapshot
        if names.PUBLISHED not in store:
            return ()
        where = located(store, names.PUBLISHED)
        return decode_publications(store[names.PUBLISHED], self._snapshot_digest, where)

    def log_published(self, statements: Iterable[PublishedStatement]) -> None:
        """Add statements to the log, before they become public; one that is there already is not repeated."""
        logged = {each.statement: each for each in (*self.published, *statements)}
        self.snapshot[names.PUBLISHED] = encode_publications(self._snapshot_digest, logged.values())

    @property
    def _snapshot_digest(self) -> bytes:
        return SnapshotManifest.decode(self.snapshot[SNAPSHOT_FILE]).digest

    @property
    def _report(self) -> Path:
        return self.path / names.REPORT

    @property
    def _statements(self) -> Path:
        return self.path / "statements"

    @property
    def _randomness_key(self) -> Path:
        return self.path / names.RANDOMNESS_KEY

    @property
    def _signing_key(self) -> Path:
        return self.path / names.SIGNING_KEY

    def _read_key(self, path: Path) -> bytes:
        try:
            key = path.read_bytes()
        except FileNotFoundError:
            raise VaultError(f"{path} is missing: the vault is damaged") from None
        if len(key) != KEY_BYTES:
            raise VaultError(f"{path}: {KEY_BYTES} bytes expected: the vault is damaged")
        if path == self._randomness_key:
            self._check_key(path, "randomness_digest", _key_digest(key))
        return key


def _key_digest(key: bytes) -> str:
    """Return a digest of the key for randomness, which reveals nothing about its 256 random bits."""
    return hashlib.sha256(b"crossmargin randomness key" + key).hexdigest()
