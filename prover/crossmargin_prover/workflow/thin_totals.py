"""Totals over few accounts, which reveal something about a single one."""

from collections.abc import Iterable, Iterator

import numpy as np

from crossmargin.engine.evaluate import Witness, witness
from crossmargin_circuits.compile import CompiledPolicy, compile_policy
from crossmargin_circuits.derivation import Least
from crossmargin_circuits.policy import Role
from crossmargin_prover.snapshot import CommittedSnapshot
from crossmargin_prover.workflow.proven import Proven

__all__ = ["thin_totals"]

THIN = 10
"""The prover warns before it publishes a total over fewer accounts."""


def thin_totals(snapshot: CommittedSnapshot, statements: Iterable[Proven]) -> list[str]:
    """Return the totals of these statements over so few accounts that they reveal something about a single one.

    These are columns with a nonzero total, and disclosed auxiliaries, that are nonzero in fewer than THIN accounts.
    Each side of an exposure counts: both follow from its gross total and the net total of the columns.
    """
    compiled = {each.statement: compile_policy(each.policy) for each in statements}
    counts = np.zeros(len(snapshot.columns), dtype=np.int64)
    totals = [0] * len(snapshot.columns)
    disclosed: dict[tuple[str, str], int] = {}
    for shard in snapshot.shards:
        counts += np.bincount(shard.records.indices, minlength=len(counts))
        totals = [total + part for total, part in zip(totals, shard.records.totals(), strict=True)]
        for name, each in compiled.items():
            for label, count in _accounts_behind(each, witness(each, shard.records.matrix)):
                disclosed[name, label] = disclosed.get((name, label), 0) + count
    thin = [
        f"{label}: accounts that hold it: {count}"
        for label, count, total in zip(snapshot.columns, counts.tolist(), totals, strict=True)
        if total and 0 < count < THIN
    ]
    few = {key: count for key, count in disclosed.items() if 0 < count < THIN}
    return thin + [f"{name}, {label}: accounts that have it: {count}" for (name, label), count in few.items()]


def _accounts_behind(compiled: CompiledPolicy, found: Witness) -> Iterator[tuple[str, int]]:
    """Yield every total that a statement discloses, and each side of an exposure, with the number of accounts."""
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
