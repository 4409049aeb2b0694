"""Vault, market and model to proven statements in the vault."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy.typing as npt

from crossmargin.engine.evaluate import LimitError, ViolationError, witness
from crossmargin.loading import Parameters
from crossmargin.models import build_policy
from crossmargin_circuits.amounts import format_amount
from crossmargin_circuits.compile import CompiledPolicy
from crossmargin_circuits.errors import CrossmarginError
from crossmargin_circuits.policy import Policy
from crossmargin_prover.snapshot import CommittedSnapshot
from crossmargin_prover.statement import belongs_to, prove_statement
from crossmargin_prover.vault.vault import Report, Vault
from crossmargin_prover.witness import Records
from crossmargin_prover.workflow.compiled import compile_statement
from crossmargin_prover.workflow.given import given_names, given_parameters, open_vault
from crossmargin_prover.workflow.proven import Proven
from crossmargin_prover.workflow.run import Run
from crossmargin_prover.workflow.whole_snapshot import whole_snapshot
from crossmargin_verifier.workers import Progress

if TYPE_CHECKING:
    from crossmargin import Book

__all__ = ["InsolventError", "prove", "unproven"]

NAMED_ACCOUNTS = 20
"""Number of accounts that the refusal of a statement names."""


class InsolventError(CrossmarginError):
    """The statement is false; names accounts and rows. Private, for the venue only."""


def unproven(book: "Book | Parameters", vault: Vault | str | Path, run: Run | None = None) -> tuple[str, ...]:
    """Return the statements of the model without a proof at these prices, under this model and with this packing.

    Raises:
        VaultError: the vault has no finished snapshot.
        MalformedError: a file of the vault is damaged.
    """
    parameters, vault, run = given_parameters(book), open_vault(vault), run or Run()
    venue, proven = vault.load_report().venue, vault.proven
    packing = min(run.packing, vault.load().manifest.accounts_per_shard.bit_length() - 1)

    def is_proven(name: str) -> bool:
        if name not in proven:
            return False
        found = Proven(name, proven[name])
        policy = build_policy(venue, parameters.environment, parameters.model, name)
        return found.policy.encoded == policy.encoded and found.manifest.packing == packing

    return tuple(each.name for each in parameters.model.statements if not is_proven(each.name))


def prove(
    book: "Book | Parameters",
    vault: Vault | str | Path,
    statements: str | Sequence[str] = (),
    run: Run | None = None,
    *,
    restart: bool = False,
) -> tuple[Proven, ...]:
    """Prove the named statements, by default all of the model, about the committed snapshot; keep them in the vault.

    The accounts come from the vault; prices and model may be later ones. A second call resumes an interrupted proof
    from its finished shards; restart: discard them.

    Raises:
        VaultError: the vault has no finished snapshot, or another run is using it.
        InsolventError: a strict statement about a book with an under-water account.
        ChangedInputError: an interrupted run had other parameters.
        CrossmarginError: the parameters do not fit the snapshot, or a value is out of range.

    >>> import crossmargin as cm
    >>> from crossmargin_prover import commit, prove
    >>> book = cm.load("examples/small")
    >>> committed = commit(book, "build/vault")
    >>> [proven.statement for proven in prove(book, committed.vault, ["coverage"])]
    ['coverage']
    """
    parameters, vault, run = given_parameters(book), open_vault(vault), run or Run()
    proven = []
    with vault.locked():
        manifest, venue = vault.load().manifest, vault.load_report().venue
        compiled = {
            name: compile_statement(parameters, venue, name, manifest.accounts_per_shard, manifest.accounts)
            for name in given_names(statements) or [each.name for each in parameters.model.statements]
        }
        snapshot = whole_snapshot(vault, run)
        for name, each in compiled.items():
            run.log(f"statement {name}")
            proven.append(Proven(name, _prove(each, vault, snapshot, name, run, restart)))
    return tuple(proven)


def _prove(
    compiled: CompiledPolicy, vault: Vault, snapshot: CommittedSnapshot, name: str, run: Run, restart: bool
) -> Path:
    """Prove one statement; return its folder in the vault."""
    policy, report = compiled.policy, vault.load_report()
    if policy.layout.labels != snapshot.columns:
        raise CrossmarginError(
            f"instruments.yaml has other columns than the committed snapshot of {vault.path}: commit the book again, "
            "or restore the file"
        )
    _check_solvent(compiled, snapshot, report, run.progress)
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
        run.backend,
        packing=run.packing,
        executor=run.executor,
        progress=run.progress,
        name_account=lambda shard, place: f"account {report.account(shard.ids[place])}",
        store=vault.work(name),
    )
    return vault.save_statement(name, policy, files)


def _is_left_over(vault: Vault, name: str) -> bool:
    """Return whether the finished shards belong to the proven statement: the system killed a run at its end."""
    folder = vault.proven.get(name)
    return folder is not None and belongs_to(vault.work(name), Proven(name, folder).manifest)


def _check_solvent(compiled: CompiledPolicy, snapshot: CommittedSnapshot, report: Report, progress: Progress) -> None:
    """Evaluate the statement over the whole book before proving anything.

    Raises:
        InsolventError: accounts do not satisfy it. CrossmarginError: a record beyond a limit.
    """
    worst: list[str] = []
    accounts = 0
    done = 0
    quantum, currency = Fraction(compiled.policy.value_unit.quantum), compiled.policy.value_unit.currency
    progress("evaluate", 0, snapshot.manifest.accounts)
    for shard in snapshot.shards:
        try:
            witness(compiled, shard.records.matrix)
        except LimitError as error:
            raise CrossmarginError(f"account {report.account(shard.ids[error.account])}: {error.reason}") from None
        except ViolationError as error:
            accounts += error.accounts
            for each in error.violations:
                missing = f"{format_amount(-each.slack * quantum)} {currency}"
                worst.append(f"  account {report.account(shard.ids[each.account])}: {each.row}: {missing} missing")
        done += len(shard)
        progress("evaluate", done, snapshot.manifest.accounts)
    if accounts:
        raise InsolventError(_insolvent(compiled.policy, worst[:NAMED_ACCOUNTS], accounts))


def _insolvent(policy: Policy, worst: Sequence[str], accounts: int) -> str:
    count = "1 account does" if accounts == 1 else f"{accounts} accounts do"
    lines = [
        f"{policy.title}: {count} not satisfy the statement, so no proof of it exists. "
        "A statement with a shortfall column (strict: false in model.yaml) discloses the missing amount.",
        *worst,
    ]
    if accounts > len(worst):
        lines.append(f"  and {accounts - len(worst)} more")
    return "\n".join(lines)
