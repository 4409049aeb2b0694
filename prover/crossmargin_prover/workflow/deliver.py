"""Vault to one private receipt per account."""

import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from crossmargin.placement import (
    PRIVATE_FILE,
    PRIVATE_FOLDER,
    check_target,
    make_folder,
    real_path,
    sweep,
    write_files,
)
from crossmargin_circuits.errors import CrossmarginError, MalformedError
from crossmargin_prover.receipts import BATCH, find_leaves, make_receipts
from crossmargin_prover.vault.lock import BusyError, locked_folder
from crossmargin_prover.vault.names import INDEX_FILE, RECEIPTS, is_public
from crossmargin_prover.vault.store import write_private
from crossmargin_prover.vault.vault import Vault
from crossmargin_prover.workflow.given import given_names, open_vault
from crossmargin_verifier.workers import Progress, no_progress

__all__ = ["Delivered", "check_receipts_folder", "deliver", "write_receipts"]


@dataclass(frozen=True)
class Delivered:
    """A private folder of receipts, and how many were written."""

    folder: Path
    receipts: int


def deliver(
    vault: Vault | str | Path,
    receipts: str | Path,
    accounts: str | Sequence[str] = (),
    *,
    progress: Progress = no_progress,
) -> Delivered:
    """Write the signed receipts of the named accounts, by default of all, into a private folder.

    Raises:
        VaultError: the vault has no finished snapshot.
        CrossmarginError: an account is not in the snapshot, or the folder holds something else.

    >>> import crossmargin as cm
    >>> from crossmargin_prover import commit, deliver
    >>> book = cm.load("examples/small")
    >>> vault = commit(book, "build/vault").vault
    >>> deliver(vault, "build/receipts").receipts
    5
    """
    return Delivered(Path(receipts), write_receipts(open_vault(vault), Path(receipts), given_names(accounts), progress))


def write_receipts(vault: Vault, out: Path, accounts: Sequence[str], progress: Progress = no_progress) -> int:
    """Write the receipts of the named accounts, by default of all, into a private folder; return their number.

    Raises:
        CrossmarginError: an account is not in the snapshot, or the folder holds something else.
    """
    snapshot, report = vault.load(), vault.load_report()
    found = find_leaves(snapshot, accounts)
    for account in accounts:
        if account not in found:
            raise CrossmarginError(f"{vault.path}: no account {account!r} in the snapshot")
    check_receipts_folder(out)
    make_folder(out, PRIVATE_FOLDER)
    out.chmod(PRIVATE_FOLDER)
    key, naming_key = vault.signing_key, vault.naming_key
    total = len(found) or report.loaded
    with ExitStack() as stack:
        try:
            is_alone = stack.enter_context(locked_folder(real_path(out)))
        except BusyError:
            raise CrossmarginError(f"{out}: another run is writing receipts there: wait until it ends") from None
        if is_alone:
            sweep(real_path(out), RECEIPTS)
        index = _earlier_index(out / INDEX_FILE, snapshot.manifest.digest)
        # The index identifies the folder from the start, and lists a receipt only after it is on disk.
        _save_index(out, snapshot.manifest.digest, index)
        progress("receipts", 0, total)
        leaves = list(found.values()) if accounts else None
        made = make_receipts(snapshot, leaves, key, naming_key)
        done = 0
        while batch := list(islice(made, BATCH)):
            write_files(out, {name: data for each in batch for name, data in each.files.items()}, PRIVATE_FILE)
            index |= {each.account: each.name for each in batch}
            done += len(batch)
            progress("receipts", done, total)
        _save_index(out, snapshot.manifest.digest, index)
    return total


def _save_index(out: Path, snapshot_digest: bytes, index: Mapping[str, str]) -> None:
    listed = {"snapshot": snapshot_digest.hex(), "receipts": index}
    write_private(out / INDEX_FILE, json.dumps(listed, indent=2, ensure_ascii=False).encode("utf-8"))


def check_receipts_folder(out: Path) -> None:
    """Refuse a folder for receipts that is public or holds something else.

    Raises:
        CrossmarginError: the folder is not suitable.
    """
    if is_public(out):
        raise CrossmarginError(f"{out} is inside a public bundle: receipts are private, choose another folder")
    check_target(real_path(out), RECEIPTS, INDEX_FILE)


def _earlier_index(path: Path, snapshot_digest: bytes) -> dict[str, str]:
    """Return the index of existing receipts, which must belong to the same snapshot."""
    if not path.exists():
        return {}
    try:
        listed = json.loads(path.read_bytes())
        digest, index = listed["snapshot"], dict(listed["receipts"].items())
    except (ValueError, AttributeError, KeyError, TypeError, RecursionError):
        raise MalformedError(f"{path}: not an index of receipts: remove it, or choose another folder") from None
    if digest != snapshot_digest.hex():
        raise CrossmarginError(f"{path.parent} holds receipts of another snapshot: choose another folder")
    return index
