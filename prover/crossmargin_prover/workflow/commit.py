"""Book to vault: one commitment per account, the tree, the base totals."""

from concurrent.futures import Executor
from dataclasses import dataclass

from crossmargin.loading import Inputs
from crossmargin_circuits.errors import CrossmarginError, MalformedError
from crossmargin_prover.backend import Backend
from crossmargin_prover.commitments import book_digest, commit_snapshot
from crossmargin_prover.snapshot import CommittedSnapshot
from crossmargin_prover.statement import DEFAULT_PACKING
from crossmargin_prover.vault.arrays import PLAN, SnapshotPlan
from crossmargin_prover.vault.rerandomize import Earlier
from crossmargin_prover.vault.vault import Report, Vault
from crossmargin_prover.witness import Records
from crossmargin_verifier.protocol.group import POINT_BYTES
from crossmargin_verifier.workers import Progress, no_progress

__all__ = ["Committed", "commit", "default_shard", "holds_book", "renew_report"]

DEFAULT_SHARD = {"kernel": 2**15, "reference": 2**12}
"""Largest shard by backend unless asked otherwise: some seconds of work, so that an interruption costs little."""

BLINDING_PAYS = {"kernel": 48, "reference": 1}
"""Entries of an average record from which it costs less to blind an earlier commitment anew than to make a new one."""

BYTES_PER_ACCOUNT = 45
"""Published bytes that an account may cost, padding and proofs included."""

PROOF_BYTES = 2700
"""Bytes of a shard proof, about (SPEC section 9)."""

OPENING_ACCOUNTS = 3000
"""Accounts whose other work costs as much as the opening of a shard, in either backend (docs/benchmarks.md)."""


@dataclass(frozen=True, repr=False)
class Committed:
    """A committed snapshot, its report, and what came from an earlier one.

    taken_over: the earlier snapshot is this one; anew: why nothing of it was used; unchanged, changed: accounts whose
    earlier commitments were blinded anew, with the same record or with another one.
    """

    snapshot: CommittedSnapshot
    report: Report
    taken_over: bool = False
    anew: str = ""
    unchanged: int = 0
    changed: int = 0


def commit(
    inputs: Inputs,
    vault: Vault,
    backend: Backend,
    *,
    accounts_per_shard: int | None = None,
    since: Vault | None = None,
    executor: Executor | None = None,
    progress: Progress = no_progress,
) -> Committed:
    """Commit the records of a book into a vault, which may hold finished shards of the same book.

    accounts_per_shard: a power of two; by default that of the earlier snapshot, or `default_shard`; since: an earlier
    vault, whose snapshot is taken over where no account changed, and whose commitments are blinded anew otherwise, if
    that costs less.
    """
    book = inputs.book
    earlier, anew = None, ""
    if since is not None:
        snapshot = since.load()
        accounts_per_shard = accounts_per_shard or snapshot.manifest.accounts_per_shard
        is_same = snapshot.manifest.accounts_per_shard == accounts_per_shard and holds_book(since, inputs)
        if is_same and SnapshotPlan.load(vault.snapshot) is None:
            if vault.signing_key.public != since.signing_key.public:
                raise CrossmarginError("no account changed, so that the receipts stay: leave --signing-key out")
            report = _report(inputs, snapshot.manifest.leaves)
            vault.save_report(report)
            vault.take_over(since)
            return Committed(vault.load(), report, taken_over=True)
        if snapshot.manifest.sid == inputs.snapshot_id:
            raise CrossmarginError(
                f"the earlier snapshot is called {inputs.snapshot_id} too: as_of of market.yaml must be later"
            )
        if snapshot.columns != book.layout.labels:
            anew = "other columns than the earlier snapshot"
        elif book.records.nnz < BLINDING_PAYS.get(backend.name, 1) * len(book):
            anew = f"for records so short that costs less with the {backend.name}"
        else:
            earlier = Earlier(snapshot)
    size = accounts_per_shard or default_shard(len(book), backend)
    report = _report(inputs, max(1, -(-len(book) // size)) * size)
    vault.save_report(report)
    snapshot = commit_snapshot(
        inputs.snapshot_id,
        int(inputs.market.as_of.timestamp()),
        book.layout.labels,
        book.records,
        book.accounts,
        size,
        vault.randomness,
        backend,
        executor=executor,
        progress=progress,
        name_account=lambda number: f"account {book.accounts[number]}",
        store=vault.snapshot,
        since=earlier,
    )
    if earlier is None:
        return Committed(snapshot, report, anew=anew)
    return Committed(snapshot, report, unchanged=earlier.unchanged, changed=earlier.changed)


def default_shard(accounts: int, backend: Backend) -> int:
    """Return the size of shards that costs least time and, where one can, at most BYTES_PER_ACCOUNT.

    Large shards save openings, small ones padding.
    """
    largest = DEFAULT_SHARD.get(backend.name, DEFAULT_SHARD["reference"])
    shards = {size: -(-accounts // size) for size in (1 << bits for bits in range(largest.bit_length()))}
    row = POINT_BYTES / (1 << DEFAULT_PACKING)
    small = [
        size
        for size, count in shards.items()
        if count * (size * (POINT_BYTES + row) + PROOF_BYTES) <= accounts * BYTES_PER_ACCOUNT
    ]
    return min(small or shards, key=lambda size: shards[size] * (size + OPENING_ACCOUNTS))


def _report(inputs: Inputs, leaves: int) -> Report:
    accounts = len(inputs.book)
    return Report(inputs.venue.venue, accounts, leaves - accounts, inputs.book.rejected)


def renew_report(vault: Vault, inputs: Inputs) -> None:
    """Write the report of a book anew whose accounts are those of a finished snapshot: others may be rejected now."""
    vault.save_report(_report(inputs, vault.load().manifest.leaves))


def holds_book(vault: Vault, inputs: Inputs) -> bool:
    """Return whether the finished snapshot of a vault is of exactly these accounts of this book, at whatever time.

    Raises:
        MalformedError: a file of the vault is damaged.
    """
    plan = SnapshotPlan.load(vault.snapshot)
    if plan is None:
        raise MalformedError(f"{vault.snapshot.path / PLAN} is missing: the vault is damaged")
    snapshot, book = vault.load(), inputs.book
    same_name = snapshot.manifest.sid.rpartition("/")[0] == inputs.snapshot_id.rpartition("/")[0]
    return same_name and plan.book == book_digest(book.layout.labels, Records.of(book.records, str), book.accounts)
