"""Snapshots and prices in order of time: going back by mistake would show holders two different truths."""

from dataclasses import dataclass
from pathlib import Path

from crossmargin.loading import Inputs
from crossmargin_circuits.amounts import format_time
from crossmargin_circuits.errors import CrossmarginError
from crossmargin_circuits.policy import POLICY_FILE, Policy
from crossmargin_prover.snapshot import CommittedSnapshot
from crossmargin_prover.vault.vault import Vault, VaultError
from crossmargin_verifier.bundle.anchor import SNAPSHOT_FOLDER, STATEMENTS_FOLDER
from crossmargin_verifier.bundle.declarations import BUNDLE_FILE, BundleManifest
from crossmargin_verifier.protocol.manifests import SNAPSHOT_FILE, SnapshotManifest

__all__ = ["Moment", "OrderError", "check_later", "check_replaces", "published_moment"]


class OrderError(CrossmarginError):
    """A snapshot or a bundle is not later than its predecessor."""


@dataclass(frozen=True)
class Moment:
    """The subject of a bundle: a snapshot, and the latest prices (Unix seconds) of its statements."""

    snapshot: SnapshotManifest
    prices: int

    @property
    def book(self) -> str:
        """The snapshot id without its time."""
        return self.snapshot.sid.rpartition("/")[0]

    def __str__(self) -> str:
        """Return a text with both times."""
        return f"snapshot of {format_time(self.snapshot.as_of)}, prices of {format_time(self.prices)}"


def check_later(since: Vault, snapshot: CommittedSnapshot, inputs: Inputs) -> None:
    """Refuse to commit a book from a snapshot that is not earlier.

    Raises:
        OrderError: it is not earlier; names both times.
    """
    earlier, as_of = snapshot.manifest, int(inputs.market.as_of.timestamp())
    if as_of <= earlier.as_of:
        raise OrderError(
            f"{since.path} holds the snapshot of {format_time(earlier.as_of)}, and as_of of market.yaml must be later: "
            f"it is {format_time(as_of)}"
        )


def check_replaces(bundle: Path, new: Moment, *, older: bool = False) -> None:
    """Refuse to publish over the bundle of another book, over a later one, or over another snapshot of the same time.

    older: accept the last two.

    Raises:
        OrderError: the new bundle does not follow the old one; names both.
        VaultError: the existing bundle cannot be read.
    """
    old = published_moment(bundle)
    if old is None:
        return
    if old.book != new.book:
        raise OrderError(f"{bundle} holds the bundle of another book, {old.book}: choose another folder")
    if older:
        return
    if (new.snapshot.as_of, new.prices) < (old.snapshot.as_of, old.prices):
        raise OrderError(f"{bundle} holds a later bundle, {old}; this one: {new}; --older replaces it anyway")
    if new.snapshot.as_of == old.snapshot.as_of and new.snapshot.digest != old.snapshot.digest:
        raise OrderError(
            f"{bundle} holds another snapshot of the same time, digest {old.snapshot.digest.hex()}: holders would see "
            "two snapshots with one id; --older replaces it anyway"
        )


def published_moment(bundle: Path) -> Moment | None:
    """Return the subject of a published bundle, or None if there is no bundle.

    Raises:
        VaultError: a file of it is missing or damaged.
    """
    if not (bundle / BUNDLE_FILE).exists():
        return None
    path = bundle / BUNDLE_FILE
    try:
        names = BundleManifest.decode(path.read_bytes()).statements
        path = bundle / SNAPSHOT_FOLDER / SNAPSHOT_FILE
        snapshot = SnapshotManifest.decode(path.read_bytes())
        prices = []
        for name in names:
            path = bundle / STATEMENTS_FOLDER / name / POLICY_FILE
            prices.append(Policy.decode(path.read_bytes()).as_of)
    except (CrossmarginError, FileNotFoundError, IndexError):
        raise VaultError(f"{path} is damaged or missing: remove the folder {bundle}, or choose another one") from None
    return Moment(snapshot, max(prices))
