"""The vault: a venue's private folder for one snapshot.

    snapshot.npz        records, ids, nonces, order of the leaves
    randomness.key      long-term secret that hedges every random draw
    signing.key         secret key that signs receipts
    report.json         what was loaded, padded and rejected, with file, line and reason
    statements/NAME/    the public files of each proven statement, ready to be published

The folder is created with mode 0700 and its files with 0600; nothing in it but `statements` may be published.
"""

import hashlib
import json
import os
import secrets
import shutil
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from crossmargin.book import Book, Rejected
from crossmargin_circuits.errors import CrossmarginError, MalformedError
from crossmargin_circuits.policy import POLICY_FILE, Policy
from crossmargin_prover.private import load_private, save_private
from crossmargin_prover.randomness import KEY_BYTES, SystemRandomness
from crossmargin_prover.signing import SigningKey
from crossmargin_prover.snapshot import CommittedSnapshot

__all__ = ["Report", "Vault", "VaultError", "check_replaceable", "write_folder"]

OWNER_ONLY = stat.S_IRUSR | stat.S_IWUSR


class VaultError(CrossmarginError):
    """A vault that is not there, is there already, or lacks a part."""


@dataclass(frozen=True, repr=False)
class Report:
    """Counts of accounts, and what was rejected; private, since it names accounts."""

    venue: str
    loaded: int
    padding: int
    rejected: tuple[Rejected, ...]

    @property
    def rejected_accounts(self) -> int:
        """Number of accounts left out."""
        return len({each.account for each in self.rejected})


@dataclass(frozen=True)
class Vault:
    """A private folder; see the module's text."""

    path: Path

    @classmethod
    def create(cls, path: Path, signing_key: SigningKey | None = None) -> "Vault":
        """Make an empty vault with a fresh key for randomness; signing_key: the venue's own, or else a fresh one.

        Raises:
            VaultError: the folder holds something, other than keys of a vault whose snapshot was never finished.
        """
        begun = {"randomness.key", "signing.key"}
        if path.exists() and (not path.is_dir() or not {each.name for each in path.iterdir()} <= begun):
            raise VaultError(f"{path} exists already: one vault holds one snapshot; choose another folder")
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(stat.S_IRWXU)
        vault = cls(path)
        _write_private(vault._randomness_key, secrets.token_bytes(KEY_BYTES))
        _write_private(vault._signing_key, (signing_key or SigningKey.generate()).secret_bytes())
        return vault

    @classmethod
    def open(cls, path: Path) -> "Vault":
        """Return an existing vault.

        Raises:
            VaultError: there is none.
        """
        vault = cls(path)
        if not vault._snapshot.is_file():
            raise VaultError(f"{path} holds no committed snapshot: run `crossmargin commit` first")
        return vault

    @property
    def randomness(self) -> SystemRandomness:
        """Hedged randomness with the vault's key."""
        return SystemRandomness(self._read_key(self._randomness_key))

    @property
    def signing_key(self) -> SigningKey:
        """The key that signs receipts."""
        key = self._read_key(self._signing_key)
        try:
            return SigningKey(key)
        except ValueError:
            raise VaultError(f"{self._signing_key}: not a secret key: the vault is damaged") from None

    @property
    def naming_key(self) -> bytes:
        """The secret that names the files of receipts."""
        return hashlib.sha256(b"crossmargin receipt names" + self._read_key(self._randomness_key)).digest()

    def save(self, snapshot: CommittedSnapshot, venue: str, book: Book) -> Report:
        """Write a committed snapshot and the report of its book."""
        report = Report(venue, len(book), snapshot.manifest.leaves - len(book), book.rejected)
        rejected = [
            {"account": each.account, "file": each.file, "line": each.line, "reason": each.reason}
            for each in report.rejected
        ]
        counts = {"venue": venue, "loaded": report.loaded, "padding": report.padding, "rejected": rejected}
        _write_private(self._report, json.dumps(counts, indent=2).encode("utf-8"))
        save_private(snapshot, self._snapshot)
        return report

    def load(self) -> tuple[CommittedSnapshot, Report]:
        """Return the committed snapshot and its report.

        Raises:
            MalformedError: a file is damaged.
        """
        try:
            counts = json.loads(self._report.read_bytes())
            rejected = tuple(Rejected(**each) for each in counts["rejected"])
            report = Report(counts["venue"], counts["loaded"], counts["padding"], rejected)
        except (ValueError, KeyError, TypeError):
            raise MalformedError(f"{self._report}: not a report of this vault") from None
        return load_private(self._snapshot), report

    def save_statement(self, name: str, policy: Policy, files: Mapping[str, bytes]) -> Path:
        """Write the public files of a statement, in place of an earlier one of that name; returns the folder."""
        folder = self._statements / name
        write_folder(folder, {**files, POLICY_FILE: policy.encoded})
        return folder

    def statements(self) -> dict[str, Path]:
        """Return the folders of the proven statements by name, in the order of the names.

        Raises:
            VaultError: none is proven.
        """
        # A name with a point in front is what a run that was killed left over.
        found = sorted(path for path in self._statements.glob("[!.]*") if (path / POLICY_FILE).is_file())
        if not found:
            raise VaultError(f"{self.path} holds no proven statement: run `crossmargin prove` first")
        return {path.name: path for path in found}

    @property
    def _snapshot(self) -> Path:
        return self.path / "snapshot.npz"

    @property
    def _report(self) -> Path:
        return self.path / "report.json"

    @property
    def _statements(self) -> Path:
        return self.path / "statements"

    @property
    def _randomness_key(self) -> Path:
        return self.path / "randomness.key"

    @property
    def _signing_key(self) -> Path:
        return self.path / "signing.key"

    def _read_key(self, path: Path) -> bytes:
        try:
            key = path.read_bytes()
        except FileNotFoundError:
            raise VaultError(f"{path} is missing: the vault is damaged") from None
        if len(key) != KEY_BYTES:
            raise VaultError(f"{path}: {KEY_BYTES} bytes are needed: the vault is damaged")
        return key


def check_replaceable(folder: Path, mark: str) -> None:
    """Refuse to write in place of anything but an empty folder or an earlier result, which holds `mark`.

    Raises:
        VaultError: there is something else.
    """
    if folder.exists() and not (folder / mark).exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise VaultError(f"{folder} holds something else, which would be lost: choose another folder")


def write_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files into a new folder and put it in place of the old one in one step."""
    temporary = folder.with_name(f".{folder.name}.{secrets.token_hex(8)}")
    temporary.mkdir(parents=True)
    try:
        for name, data in files.items():
            path = temporary / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        if folder.exists():
            shutil.rmtree(folder)
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _write_private(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
