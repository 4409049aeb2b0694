"""The way from a book to a bundle, step by step; every command line is a thin cover of these functions.

commit    book -> vault: one commitment per account, the tree, the base totals
prove     vault + market and model -> one proven statement in the vault
publish   vault + reserves -> public bundle, judged by the verifier before it is put in place
receipts  vault -> one private receipt per account
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path

import numpy as np
import numpy.typing as npt

from crossmargin.engine.evaluate import LimitError, ViolationError, Witness, witness
from crossmargin.loading import Inputs, Parameters
from crossmargin.models import build_policy
from crossmargin_circuits.amounts import format_amount
from crossmargin_circuits.compile import CompiledPolicy, compile_policy
from crossmargin_circuits.derivation import Least
from crossmargin_circuits.errors import CrossmarginError, MalformedError
from crossmargin_circuits.policy import POLICY_FILE, Policy, Role
from crossmargin_prover.backend import Backend
from crossmargin_prover.bundle import publish as publish_bundle
from crossmargin_prover.commitments import book_digest, commit_snapshot
from crossmargin_prover.receipts import find_leaves, make_receipts, receipt_name
from crossmargin_prover.snapshot import CommittedSnapshot
from crossmargin_prover.statement import DEFAULT_PACKING, belongs_to, prove_statement
from crossmargin_prover.vault.arrays import PLAN, Plan
from crossmargin_prover.vault.rerandomize import Earlier
from crossmargin_prover.vault.store import write_private
from crossmargin_prover.vault.vault import Report, Vault, check_replaceable
from crossmargin_prover.witness import Records
from crossmargin_verifier.bundle.declarations import BUNDLE_FILE
from crossmargin_verifier.bundle.verdict import Verdict
from crossmargin_verifier.kernel import KernelArithmetic
from crossmargin_verifier.protocol.arithmetic import PLAIN
from crossmargin_verifier.protocol.errors import RejectedError
from crossmargin_verifier.protocol.group import POINT_BYTES
from crossmargin_verifier.protocol.manifests import STATEMENT_FILE, StatementManifest
from crossmargin_verifier.workers import Progress, no_progress

__all__ = [
    "DEFAULT_PACKING",
    "DEFAULT_SHARD",
    "Committed",
    "InsolventError",
    "check_receipts_folder",
    "commit",
    "default_shard",
    "holds_book",
    "is_proven",
    "prove",
    "publish",
    "renew_report",
    "thin_totals",
    "times",
    "write_receipts",
]

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

NAMED_ACCOUNTS = 20
"""Accounts that a refused statement names."""

INDEX_FILE = "index.json"
"""Which receipt is whose."""

THIN = 10
"""A total over fewer accounts than this is worth a warning before it is published."""


class InsolventError(CrossmarginError):
    """A statement that is false: names accounts and rows. Private, for the venue alone."""


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
        if is_same and Plan.load(vault.snapshot) is None:
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
    plan = Plan.load(vault.snapshot)
    if plan is None:
        raise MalformedError(f"{vault.snapshot.path / PLAN} is missing: the vault is damaged")
    snapshot, book = vault.load(), inputs.book
    same_name = snapshot.manifest.sid.rpartition("/")[0] == inputs.snapshot_id.rpartition("/")[0]
    return same_name and plan.book == book_digest(book.layout.labels, Records.of(book.records, str), book.accounts)


def is_proven(vault: Vault, parameters: Parameters, name: str, packing: int = DEFAULT_PACKING) -> bool:
    """Return whether a statement is proven at these prices, under this model and with this packing."""
    folder = vault.proven.get(name)
    if folder is None:
        return False
    policy = build_policy(vault.load_report().venue, parameters.setting, parameters.model, name)
    manifest = StatementManifest.decode((folder / STATEMENT_FILE).read_bytes())
    largest = vault.load().manifest.accounts_per_shard.bit_length() - 1
    return (folder / POLICY_FILE).read_bytes() == policy.encoded and manifest.packing == min(packing, largest)


def prove(
    vault: Vault,
    parameters: Parameters,
    name: str,
    backend: Backend,
    *,
    packing: int = DEFAULT_PACKING,
    restart: bool = False,
    executor: Executor | None = None,
    progress: Progress = no_progress,
) -> Path:
    """Prove one statement about the committed snapshot and keep it in the vault; returns its public folder.

    packing: gamma, 2^gamma accounts share one slack row; restart: forget what an interrupted run has finished.

    Raises:
        InsolventError: a strict statement about a book with an under-water account.
        ChangedInputError: an interrupted run had other parameters.
        CrossmarginError: the parameters do not fit the snapshot, or a value is out of range.
    """
    snapshot = vault.load()
    policy = build_policy(vault.load_report().venue, parameters.setting, parameters.model, name)
    if policy.layout.labels != snapshot.columns:
        raise CrossmarginError(
            "instruments.yaml has other columns than the committed snapshot: commit the book again, or restore the file"
        )
    compiled = compile_policy(policy)
    _check_solvent(compiled, snapshot, progress)
    if restart or _is_left_over(vault, name):
        vault.forget_work(name)

    def evaluate(number: int, records: Records) -> tuple[npt.ArrayLike, npt.ArrayLike]:
        values = witness(compiled, records.matrix)
        return values.auxiliaries, values.slacks

    files = prove_statement(
        snapshot,
        compiled.relation,
        policy.digest,
        evaluate,
        vault.randomness,
        backend,
        packing=packing,
        executor=executor,
        progress=progress,
        name_account=lambda shard, place: f"account {shard.ids[place]}",
        store=vault.work(name),
    )
    return vault.save_statement(name, policy, files)


def _is_left_over(vault: Vault, name: str) -> bool:
    """Return whether the finished shards of a statement are those of the proven one: a run was killed at its end."""
    folder = vault.proven.get(name)
    if folder is None:
        return False
    return belongs_to(vault.work(name), StatementManifest.decode((folder / STATEMENT_FILE).read_bytes()))


def _check_solvent(compiled: CompiledPolicy, snapshot: CommittedSnapshot, progress: Progress) -> None:
    """Evaluate the statement over the whole book before anything is proven.

    Raises:
        InsolventError: accounts do not satisfy it. CrossmarginError: a record beyond a limit.
    """
    worst: list[str] = []
    accounts = 0
    size = snapshot.manifest.accounts_per_shard
    quantum, currency = Fraction(compiled.policy.value_unit.quantum), compiled.policy.value_unit.currency
    progress("evaluate", 0, snapshot.manifest.leaves)
    for number, shard in enumerate(snapshot.shards):
        try:
            witness(compiled, shard.records.matrix)
        except LimitError as error:
            raise CrossmarginError(f"account {shard.ids[error.account]}: {error.reason}") from None
        except ViolationError as error:
            accounts += error.accounts
            for each in error.violations:
                missing = f"{format_amount(-each.slack * quantum)} {currency}"
                worst.append(f"  account {shard.ids[each.account]}: {each.row}: {missing} missing")
        progress("evaluate", (number + 1) * size, snapshot.manifest.leaves)
    if accounts:
        raise InsolventError(_insolvent(compiled.policy, worst[:NAMED_ACCOUNTS], accounts))


def _insolvent(policy: Policy, worst: Sequence[str], accounts: int) -> str:
    count = "1 account does" if accounts == 1 else f"{accounts} accounts do"
    lines = [
        f"{policy.title}: {count} not satisfy the statement, so that no proof of it exists. "
        "A statement with a shortfall column (strict: false in model.yaml) discloses what is missing.",
        *worst,
    ]
    if accounts > len(worst):
        lines.append(f"  and {accounts - len(worst)} more")
    return "\n".join(lines)


def publish(
    vault: Vault,
    parameters: Parameters,
    names: Sequence[str],
    out: Path,
    backend: Backend,
    *,
    executor: Executor | None = None,
    progress: Progress = no_progress,
) -> Verdict:
    """Have the verifier judge the proven statements of these names (all, where none is named), and publish the bundle.

    backend: also the verifier computes with the kernel where the prover does.
    """
    snapshot, report = vault.load(), vault.load_report()
    proven = vault.statements()
    missing = [name for name in names if name not in proven]
    if missing:
        raise CrossmarginError(f"not proven yet: {', '.join(missing)}; run `crossmargin prove --statement NAME`")
    order = [each.name for each in parameters.model.statements]
    every = sorted(proven, key=lambda name: order.index(name) if name in order else len(order))
    chosen = {name: proven[name] for name in (names or every)}
    try:
        return publish_bundle(
            out,
            snapshot.manifest.digest,
            chosen,
            report,
            vault.signing_key.public,
            parameters,
            executor=executor,
            arithmetic=KernelArithmetic() if backend.name == "kernel" else PLAIN,
            progress=progress,
        )
    except RejectedError as error:
        raise CrossmarginError(
            f"{error}; nothing is published: prove that statement again, with `crossmargin prove --statement NAME`"
        ) from None


def times(vault: Vault) -> set[int]:
    """Return the times of the proven statements, Unix seconds."""
    return {Policy.decode((folder / POLICY_FILE).read_bytes()).as_of for folder in vault.statements().values()}


def thin_totals(vault: Vault) -> list[str]:
    """Return what is opened about so few accounts that its total says something of one of them.

    Columns whose total is not zero, and disclosed auxiliaries of the proven statements, that are not zero in fewer than
    THIN accounts; of exposures each side: with the net total, which the columns open, both follow from the gross one.
    """
    snapshot = vault.load()
    policies = {name: Policy.decode((folder / POLICY_FILE).read_bytes()) for name, folder in vault.statements().items()}
    compiled = {name: compile_policy(policy) for name, policy in policies.items()}
    counts = np.zeros(len(snapshot.columns), dtype=np.int64)
    totals = [0] * len(snapshot.columns)
    opened: dict[tuple[str, str], int] = {}
    for shard in snapshot.shards:
        counts += np.bincount(shard.records.indices, minlength=len(counts))
        totals = [total + part for total, part in zip(totals, shard.records.totals(), strict=True)]
        for name, each in compiled.items():
            for label, count in _accounts_behind(each, witness(each, shard.records.matrix)):
                opened[name, label] = opened.get((name, label), 0) + count
    thin = [
        f"{label}: accounts that hold it: {count}"
        for label, count, total in zip(snapshot.columns, counts.tolist(), totals, strict=True)
        if total and 0 < count < THIN
    ]
    few = {key: count for key, count in opened.items() if 0 < count < THIN}
    return thin + [f"{name}, {label}: accounts that have it: {count}" for (name, label), count in few.items()]


def _accounts_behind(compiled: CompiledPolicy, found: Witness) -> Iterator[tuple[str, int]]:
    """Yield every total that a statement opens, and each side of an exposure, with the number of accounts behind it."""
    relation = compiled.relation
    exposures = {compiled.auxiliary_of[each.name] for each in compiled.policy.with_role(Role.EXPOSURE)}
    for number in relation.disclosed:
        label, holds = relation.auxiliaries[number].label, found.auxiliaries[:, number] > 0
        yield label, int(np.count_nonzero(holds))
        derivation = compiled.derivations[number]
        if number in exposures and isinstance(derivation, Least) and len(derivation.rows) > 1:
            for side, row in enumerate(derivation.rows, start=1):
                tight = holds & (found.slacks[:, row] == 0)
                yield f"{label} (side {side})", int(np.count_nonzero(tight))


def write_receipts(vault: Vault, out: Path, accounts: Sequence[str], progress: Progress = no_progress) -> int:
    """Write the receipts of these accounts (all, where none is named) into a private folder; returns their number.

    Raises:
        CrossmarginError: an account that is not in the snapshot, or a folder that holds something else.
    """
    snapshot, report = vault.load(), vault.load_report()
    policies = {name: Policy.decode((folder / POLICY_FILE).read_bytes()) for name, folder in vault.statements().items()}
    found = find_leaves(snapshot, accounts)
    for account in accounts:
        if account not in found:
            raise CrossmarginError(f"no account {account!r} in the snapshot")
    check_receipts_folder(out)
    out.mkdir(parents=True, exist_ok=True)
    out.chmod(0o700)
    key, naming_key = vault.signing_key, vault.naming_key
    index = _earlier_index(out / INDEX_FILE, snapshot.manifest.digest)
    wanted: Iterable[str] = found or chain.from_iterable(filter(None, shard.ids) for shard in snapshot.shards)
    index |= {account: receipt_name(account, naming_key) for account in wanted}
    listed = {"snapshot": snapshot.manifest.digest.hex(), "receipts": index}
    write_private(out / INDEX_FILE, json.dumps(listed, indent=2, ensure_ascii=False).encode("utf-8"))
    total = len(found) or report.loaded
    progress("receipts", 0, total)
    leaves = list(found.values()) if accounts else None
    for done, receipt in enumerate(make_receipts(snapshot, leaves, policies, key, naming_key), 1):
        for name, data in receipt.files.items():
            write_private(out / name, data, sync=False)
        progress("receipts", done, total)
    return total


def check_receipts_folder(out: Path) -> None:
    """Refuse a folder for receipts that is public, or holds something else.

    Raises:
        CrossmarginError: choose another one.
    """
    if any((folder / BUNDLE_FILE).exists() for folder in (out, *out.resolve().parents)):
        raise CrossmarginError(f"{out} is inside a public bundle: receipts are private, choose another folder")
    check_replaceable(out, INDEX_FILE)


def _earlier_index(path: Path, snapshot_digest: bytes) -> dict[str, str]:
    """Return the index of receipts that are there already, which must be of the same snapshot."""
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
