"""Vault, market and model to one proven statement in the vault."""

from collections.abc import Sequence
from concurrent.futures import Executor
from fractions import Fraction
from pathlib import Path

import numpy.typing as npt

from crossmargin.engine.evaluate import LimitError, ViolationError, witness
from crossmargin.loading import Parameters
from crossmargin.models import build_policy
from crossmargin_circuits.amounts import format_amount
from crossmargin_circuits.compile import CompiledPolicy, compile_policy
from crossmargin_circuits.errors import CrossmarginError
from crossmargin_circuits.policy import POLICY_FILE, Policy
from crossmargin_prover.backend import Backend
from crossmargin_prover.snapshot import CommittedSnapshot
from crossmargin_prover.statement import DEFAULT_PACKING, belongs_to, prove_statement
from crossmargin_prover.vault.vault import Vault
from crossmargin_prover.witness import Records
from crossmargin_verifier.protocol.manifests import STATEMENT_FILE, StatementManifest
from crossmargin_verifier.workers import Progress, no_progress

__all__ = ["InsolventError", "is_proven", "prove"]

NAMED_ACCOUNTS = 20
"""Accounts that a refused statement names."""


class InsolventError(CrossmarginError):
    """A statement that is false: names accounts and rows. Private, for the venue alone."""


def is_proven(vault: Vault, parameters: Parameters, name: str, packing: int = DEFAULT_PACKING) -> bool:
    """Return whether a statement is proven at these prices, under this model and with this packing."""
    folder = vault.proven.get(name)
    if folder is None:
        return False
    policy = build_policy(vault.load_report().venue, parameters.environment, parameters.model, name)
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
    policy = build_policy(vault.load_report().venue, parameters.environment, parameters.model, name)
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
