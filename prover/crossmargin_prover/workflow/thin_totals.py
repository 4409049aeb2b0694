"""Totals over so few accounts that they say something of one of them."""

from collections.abc import Iterator

import numpy as np

from crossmargin.engine.evaluate import Witness, witness
from crossmargin_circuits.compile import CompiledPolicy, compile_policy
from crossmargin_circuits.derivation import Least
from crossmargin_circuits.policy import POLICY_FILE, Policy, Role
from crossmargin_prover.vault.vault import Vault

__all__ = ["thin_totals"]

THIN = 10
"""A total over fewer accounts than this is worth a warning before it is published."""


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
