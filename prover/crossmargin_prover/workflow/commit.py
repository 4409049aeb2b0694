"""Book to vault: one commitment per account, the tree, the base totals, the record proofs.

Before anything is committed, every statement of the model is compiled for the snapshot's size: a policy that no
verifier accepts is found before its snapshot has a digest.

A vault holds one snapshot. Committing the same book again finds this snapshot. Committing a later book from an earlier
vault reuses the whole snapshot if no account changed; otherwise it re-randomizes the commitments if that costs less.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from crossmargin.loading import Inputs
from crossmargin_circuits.errors import CrossmarginError, MalformedError
from crossmargin_prover.backend import Backend
from crossmargin_prover.commitments import book_digest, commit_snapshot
from crossmargin_prover.signing import SigningKey
from crossmargin_prover.snapshot import CommittedSnapshot
from crossmargin_prover.vault.arrays import PLAN, SnapshotPlan
from crossmargin_prover.vault.rerandomize import Earlier
from crossmargin_prover.vault.vault import Report, Vault, VaultError
from crossmargin_prover.witness import Records
from crossmargin_prover.workflow.compiled import compile_statement
from crossmargin_prover.workflow.folders import check_earlier_vault
from crossmargin_prover.workflow.given import given_inputs, given_vault, open_vault
from crossmargin_prover.workflow.order import check_later
from crossmargin_prover.workflow.run import Run
from crossmargin_prover.workflow.shard_size import cheapest_shard, check_shard_size, largest_shard
from crossmargin_prover.workflow.whole_snapshot import whole_snapshot

if TYPE_CHECKING:
    from crossmargin import Book

__all__ = ["Committed", "commit"]


@dataclass(frozen=True, repr=False)
class Committed:
    """A committed snapshot in its vault, its report, and the origin of its commitments."""

    vault: Vault
    snapshot: CommittedSnapshot
    report: Report
    found: bool = False
    """The vault held this snapshot already."""
    reused: bool = False
    """No account changed: the vault reuses the snapshot of the earlier vault."""
    recommitted: str = ""
    """Why the run reused nothing of the earlier snapshot; empty if it did, or if there is none."""
    rerandomized: bool = False
    """The run re-randomized commitments of the earlier snapshot wherever that costs less."""
    unchanged: int = 0
    """Number of accounts with an unchanged record and a re-randomized commitment."""
    changed: int = 0
    """Number of accounts with a changed record and a re-randomized, updated commitment."""

    def __repr__(self) -> str:
        """Return a text without accounts."""
        return f"Committed({self.report.loaded} accounts, digest {self.digest.hex()})"

    @property
    def digest(self) -> bytes:
        """The snapshot digest: publish it before anything else."""
        return self.snapshot.manifest.digest

    @property
    def new(self) -> int:
        """Number of accounts with a commitment computed from the record alone."""
        return 0 if self.found or self.reused else self.report.loaded - self.unchanged - self.changed


def commit(
    book: "Book | Inputs",
    vault: Vault | str | Path,
    run: Run | None = None,
    *,
    since: Vault | str | Path | None = None,
    signing_key: SigningKey | str | Path | None = None,
) -> Committed:
    """Commit the records of a book into a vault, unless the vault holds its finished snapshot already.

    A second call with the same book resumes an interrupted run from its finished shards.

    since: an earlier vault; the run reuses everything that has not changed. signing_key: the venue's key that signs
    receipts, or its file; by default that of the earlier vault, or a fresh one.

    Raises:
        VaultError: the vault holds other accounts, or has another shard size or key; the earlier vault has no snapshot.
        OrderError: the snapshot of the earlier vault is not earlier.
        ChangedInputError: the interrupted run had other input.
        CrossmarginError: a record is out of range, or a file is damaged.

    >>> import crossmargin as cm
    >>> from crossmargin_prover import commit
    >>> commit(cm.load("examples/small"), "build/vault")
    Committed(5 accounts, digest ...)
    """
    run, inputs, vault = run or Run(), given_inputs(book), given_vault(vault)
    earlier = None if since is None else given_vault(since)
    if earlier is not None:
        check_earlier_vault(earlier, vault)
    key = SigningKey.read(Path(signing_key)) if isinstance(signing_key, str | Path) else signing_key
    if vault.is_finished:
        return _find(inputs, vault, run, key)
    if not len(inputs.book):
        raise CrossmarginError("the book has no account: a snapshot needs at least one")
    if earlier is None:
        size = _shard_size(inputs, run)
        vault = Vault.create(vault.path, key)
        with vault.locked():
            return _commit(inputs, vault, run, size)
    earlier = open_vault(earlier)
    before = earlier.load()
    check_later(earlier, before, inputs)
    is_same = _holds_whole(earlier, before, inputs, run) and SnapshotPlan.load(vault.snapshot) is None
    if is_same and key is not None and key.public != earlier.signing_key.public:
        raise VaultError(
            f"no account changed: the receipts of {earlier.path} and its signing key remain valid: leave "
            "--signing-key out"
        )
    size = _shard_size(inputs, run, before.manifest.accounts_per_shard)
    vault = Vault.create(vault.path, key, earlier)
    with vault.locked():
        return _reuse(inputs, vault, earlier, run) if is_same else _follow(inputs, vault, before, run, size)


def _find(inputs: Inputs, vault: Vault, run: Run, key: SigningKey | None) -> Committed:
    """Return the finished snapshot of a vault, which must match the book, and report the accounts rejected now."""
    snapshot = vault.load()
    if not _holds_book(vault, snapshot, inputs):
        raise VaultError(f"{vault.path} holds the finished snapshot of other accounts: choose another folder")
    size = snapshot.manifest.accounts_per_shard
    if run.shard is not None and run.shard != size:
        raise VaultError(f"{vault.path} is committed already, in shards of {size}: leave --shard out")
    if key is not None and key.public != vault.signing_key.public:
        raise VaultError(f"{vault.path} has another signing key already: leave --signing-key out")
    _check_statements(inputs, size)
    report = _report(inputs)
    with vault.locked():
        vault.save_report(report)
        return Committed(vault, whole_snapshot(vault, run), report, found=True)


def _shard_size(inputs: Inputs, run: Run, earlier: int | None = None) -> int:
    """Return N for a new snapshot, by default that of an earlier one; check the statements of the model for it.

    Raises:
        CrossmarginError: the size is too large for the book, or no verifier would accept a statement.
    """
    accounts = len(inputs.book)
    size = run.shard
    if size is None:
        size = cheapest_shard(accounts, run.backend.costs) if earlier is None else min(earlier, largest_shard(accounts))
    check_shard_size(size, accounts)
    _check_statements(inputs, size)
    return size


def _check_statements(inputs: Inputs, size: int) -> None:
    for each in inputs.model.statements:
        compile_statement(inputs, inputs.venue.venue, each.name, size, len(inputs.book))


def _reuse(inputs: Inputs, vault: Vault, earlier: Vault, run: Run) -> Committed:
    """Copy the whole snapshot of an earlier vault: no account changed."""
    if vault.signing_key.public != earlier.signing_key.public:
        # An interrupted run left a vault that holds nothing but other keys.
        raise VaultError(f"{vault.path} has another signing key than {earlier.path}: choose another folder")
    report = _report(inputs)
    vault.save_report(report)
    vault.reuse(earlier)
    return Committed(vault, whole_snapshot(vault, run), report, reused=True)


def _follow(inputs: Inputs, vault: Vault, earlier: CommittedSnapshot, run: Run, size: int) -> Committed:
    """Commit a book, re-randomizing commitments of an earlier snapshot wherever that costs less."""
    reason = _why_not(earlier, inputs, run.backend)
    if reason:
        return replace(_commit(inputs, vault, run, size), recommitted=reason)
    since = Earlier(earlier)
    committed = _commit(inputs, vault, run, size, since)
    return replace(committed, rerandomized=True, unchanged=since.unchanged, changed=since.changed)


def _why_not(earlier: CommittedSnapshot, inputs: Inputs, backend: Backend) -> str:
    """Return why the run cannot or should not re-randomize, or an empty text if it should."""
    if earlier.columns != inputs.book.layout.labels:
        return "the columns are not those of the earlier snapshot"
    if inputs.book.records.nnz < backend.costs.rerandomize_entries * len(inputs.book):
        return "with records this short it is faster than re-randomizing"
    return ""


def _commit(inputs: Inputs, vault: Vault, run: Run, size: int, since: Earlier | None = None) -> Committed:
    book = inputs.book
    report = _report(inputs)
    vault.save_report(report)
    snapshot = commit_snapshot(
        inputs.snapshot_id,
        int(inputs.market.as_of.timestamp()),
        book.layout.labels,
        book.records,
        book.holder_ids,
        size,
        vault.randomness,
        run.backend,
        executor=run.executor,
        progress=run.progress,
        name_account=lambda number: f"account {book.accounts[number]}",
        store=vault.snapshot,
        since=since,
    )
    return Committed(vault, snapshot, report)


def _report(inputs: Inputs) -> Report:
    book = inputs.book
    return Report(inputs.venue.venue, len(book), book.rejected, inputs.control, has_parts=bool(book.holder_parts))


def _holds_whole(vault: Vault, snapshot: CommittedSnapshot, inputs: Inputs, run: Run) -> bool:
    """Return whether the run can reuse the whole snapshot of an earlier vault."""
    return run.shard in (None, snapshot.manifest.accounts_per_shard) and _holds_book(vault, snapshot, inputs)


def _holds_book(vault: Vault, snapshot: CommittedSnapshot, inputs: Inputs) -> bool:
    """Return whether the finished snapshot of a vault holds exactly the accounts of this book, at any time.

    Raises:
        MalformedError: a file of the vault is damaged.
    """
    plan = SnapshotPlan.load(vault.snapshot)
    if plan is None:
        raise MalformedError(f"{vault.snapshot.path / PLAN} is missing: the vault is damaged")
    book = inputs.book
    same_name = snapshot.manifest.sid.rpartition("/")[0] == inputs.snapshot_id.rpartition("/")[0]
    return same_name and plan.book == book_digest(book.layout.labels, Records.of(book.records, str), book.holder_ids)
