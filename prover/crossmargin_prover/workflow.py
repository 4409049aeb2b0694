"""The way from a book to a bundle, step by step; every command line is a thin cover of these functions.

commit    book -> vault: one commitment per account, the tree, the base totals
prove     vault + market and model -> one proven statement in the vault
publish   vault + reserves -> public bundle, judged by the verifier before it is put in place
receipts  vault -> one private receipt per account
"""

import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from fractions import Fraction
from pathlib import Path

import numpy as np
from scipy.sparse import csr_array

from crossmargin.engine import LimitError, ViolationError, witness
from crossmargin.loading import Inputs, Parameters
from crossmargin.models import build_policy
from crossmargin_circuits.compile import compile_policy
from crossmargin_circuits.errors import CrossmarginError, MalformedError
from crossmargin_circuits.policy import POLICY_FILE, Policy
from crossmargin_prover.backend import Backend
from crossmargin_prover.bundle import publish as publish_bundle
from crossmargin_prover.commitments import commit_snapshot
from crossmargin_prover.jobs import Progress, no_progress
from crossmargin_prover.receipts import find_leaf, make_receipts, receipt_name
from crossmargin_prover.snapshot import PADDING, CommittedSnapshot
from crossmargin_prover.statement import prove_statement
from crossmargin_prover.vault import Report, Vault, check_replaceable
from crossmargin_verifier.amounts import format_amount
from crossmargin_verifier.bundle import BUNDLE_FILE
from crossmargin_verifier.verdict import Verdict

__all__ = [
    "DEFAULT_PACKING",
    "DEFAULT_SHARD",
    "InsolventError",
    "commit",
    "prove",
    "publish",
    "thin_totals",
    "write_receipts",
]

DEFAULT_SHARD = 4096
"""Largest shard unless asked otherwise: beyond it the opening no longer dominates a proof in plain Python."""

DEFAULT_PACKING = 2
"""gamma: beyond it the longer opening costs more than the bytes of fewer slack rows are worth (SPEC section 9)."""


INDEX_FILE = "index.json"
"""Which receipt is whose."""

THIN = 10
"""A total over fewer accounts than this is worth a warning before it is published."""


class InsolventError(CrossmarginError):
    """A statement that is false: names accounts and rows. Private, for the venue alone."""


def commit(
    inputs: Inputs,
    vault: Vault,
    backend: Backend,
    *,
    accounts_per_shard: int | None = None,
    executor: Executor | None = None,
    progress: Progress = no_progress,
) -> tuple[CommittedSnapshot, Report]:
    """Commit the records of a book into a vault.

    accounts_per_shard: a power of two; by default the smallest that holds the book, at most DEFAULT_SHARD.
    """
    book = inputs.book
    size = accounts_per_shard or min(DEFAULT_SHARD, 1 << (len(book) - 1).bit_length())
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
    )
    return snapshot, vault.save(snapshot, inputs.venue.venue, book)


def prove(
    vault: Vault,
    parameters: Parameters,
    name: str,
    backend: Backend,
    *,
    packing: int = DEFAULT_PACKING,
    executor: Executor | None = None,
    progress: Progress = no_progress,
) -> Path:
    """Prove one statement about the committed snapshot and keep it in the vault; returns its public folder.

    packing: gamma, 2^gamma accounts share one slack row.

    Raises:
        InsolventError: a strict statement about a book with an under-water account.
        CrossmarginError: the parameters do not fit the snapshot, or a value is out of range.
    """
    snapshot, report = vault.load()
    policy = build_policy(report.venue, parameters.catalogue, parameters.market, parameters.model, name)
    if policy.layout.labels != snapshot.columns:
        raise CrossmarginError(
            "instruments.yaml has other columns than the committed snapshot: commit the book again, or restore the file"
        )
    compiled = compile_policy(policy)
    try:
        values = witness(compiled, _matrix(snapshot))
    except LimitError as error:
        raise CrossmarginError(f"account {snapshot.ids[error.account]}: {error.reason}") from None
    except ViolationError as error:
        raise InsolventError(_insolvent(error, snapshot, policy)) from None
    accounts = [holder for leaf, holder in enumerate(snapshot.ids) if snapshot.order[leaf] != PADDING]
    by_number = dict(zip((number for number in snapshot.order if number != PADDING), accounts, strict=True))
    files = prove_statement(
        snapshot,
        compiled.relation,
        policy.digest,
        values.auxiliaries,
        values.slacks,
        vault.randomness,
        backend,
        packing=packing,
        executor=executor,
        progress=progress,
        name_account=lambda number: f"account {by_number[number]}",
    )
    return vault.save_statement(name, policy, files)


def publish(vault: Vault, parameters: Parameters, names: Sequence[str], out: Path) -> Verdict:
    """Publish the proven statements of these names (all, where none is named) as a bundle."""
    snapshot, report = vault.load()
    proven = vault.statements()
    missing = [name for name in names if name not in proven]
    if missing:
        raise CrossmarginError(f"not proven yet: {', '.join(missing)}; run `crossmargin prove --statement NAME`")
    order = [each.name for each in parameters.model.statements]
    every = sorted(proven, key=lambda name: order.index(name) if name in order else len(order))
    chosen = {name: proven[name] for name in (names or every)}
    return publish_bundle(out, snapshot.manifest.digest, chosen, report, vault.signing_key.public, parameters)


def thin_totals(vault: Vault) -> list[str]:
    """Return what is opened about so few accounts that its total says something of one of them.

    Columns whose total is not zero, and disclosed auxiliaries of the proven statements, that are not zero in fewer than
    THIN accounts.
    """
    snapshot, _ = vault.load()
    matrix = _matrix(snapshot)
    counts = np.bincount(matrix.indices, minlength=matrix.shape[1])
    thin = [
        f"{label}: accounts that hold it: {count}"
        for label, count, total in zip(snapshot.columns, counts, snapshot.records.totals(), strict=True)
        if total and 0 < count < THIN
    ]
    for name, folder in vault.statements().items():
        compiled = compile_policy(Policy.decode((folder / POLICY_FILE).read_bytes()))
        auxiliaries = witness(compiled, matrix).auxiliaries
        for number in compiled.relation.disclosed:
            count = int(np.count_nonzero(auxiliaries[:, number]))
            if 0 < count < THIN:
                thin.append(f"{name}, {compiled.relation.auxiliaries[number].label}: accounts that have it: {count}")
    return thin


def _matrix(snapshot: CommittedSnapshot) -> csr_array:
    """Return the committed records, one row a leaf."""
    records = snapshot.records
    parts = (records.data, records.indices, records.indptr)
    return csr_array(parts, shape=(len(records), records.columns), dtype="int64")


def write_receipts(
    vault: Vault, out: Path, accounts: Sequence[str], progress: Callable[[str, int, int], None] = no_progress
) -> int:
    """Write the receipts of these accounts (all, where none is named) into a private folder; returns their number.

    Raises:
        CrossmarginError: an account that is not in the snapshot, or a folder that holds something else.
    """
    snapshot, _ = vault.load()
    policies = {name: Policy.decode((folder / POLICY_FILE).read_bytes()) for name, folder in vault.statements().items()}
    leaves = []
    for account in accounts:
        leaf = find_leaf(snapshot, account)
        if leaf is None:
            raise CrossmarginError(f"no account {account!r} in the snapshot")
        leaves.append(leaf)
    if not accounts:
        leaves = [leaf for leaf, number in enumerate(snapshot.order) if number != PADDING]
    if any((folder / BUNDLE_FILE).exists() for folder in (out, *out.resolve().parents)):
        raise CrossmarginError(f"{out} is inside a public bundle: receipts are private, choose another folder")
    check_replaceable(out, INDEX_FILE)
    out.mkdir(parents=True, exist_ok=True)
    out.chmod(0o700)
    key, naming_key = vault.signing_key, vault.naming_key
    index = _earlier_index(out / INDEX_FILE)
    index |= {snapshot.ids[leaf]: receipt_name(snapshot.ids[leaf], naming_key) for leaf in leaves}
    _write_owner_only(out / INDEX_FILE, json.dumps(index, indent=2, ensure_ascii=False).encode("utf-8"))
    progress("receipts", 0, len(leaves))
    for done, receipt in enumerate(make_receipts(snapshot, leaves, policies, key, naming_key), 1):
        for name, data in receipt.files.items():
            _write_owner_only(out / name, data)
        progress("receipts", done, len(leaves))
    return len(leaves)


def _earlier_index(path: Path) -> dict[str, str]:
    """Return the index of receipts that are there already."""
    if not path.exists():
        return {}
    try:
        return dict(json.loads(path.read_bytes()).items())
    except (ValueError, AttributeError, RecursionError):
        raise MalformedError(f"{path}: not an index of receipts: remove it, or choose another folder") from None


def _insolvent(error: ViolationError, snapshot: CommittedSnapshot, policy: Policy) -> str:
    count = "1 account does" if error.accounts == 1 else f"{error.accounts} accounts do"
    lines = [
        f"{policy.title}: {count} not satisfy the statement, so that no proof of it exists. "
        "A statement with a shortfall column (strict: false in model.yaml) discloses what is missing."
    ]
    quantum, currency = Fraction(policy.value_unit.quantum), policy.value_unit.currency
    for each in error.violations:
        missing = f"{format_amount(-each.slack * quantum)} {currency}"
        lines.append(f"  account {snapshot.ids[each.account]}: {each.row}: {missing} missing")
    if error.accounts > len(error.violations):
        lines.append(f"  and {error.accounts - len(error.violations)} more")
    return "\n".join(lines)


def _write_owner_only(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        os.fchmod(stream.fileno(), 0o600)
        stream.write(data)
