"""Makes small statements: records and a relation in; a committed snapshot, statements and a verified book out."""

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np
import pytest
from scipy.sparse import csr_array

from crossmargin_circuits.relation import Auxiliary, Relation, Row
from crossmargin_prover.backend import Backend, available, select_backend
from crossmargin_prover.commitments import commit_snapshot
from crossmargin_prover.randomness import SystemRandomness
from crossmargin_prover.snapshot import CommittedSnapshot
from crossmargin_prover.statement import GivenWitness, prove_statement
from crossmargin_verifier.protocol.files import SnapshotFiles, StatementFiles
from crossmargin_verifier.protocol.verify import ClaimedStatement, VerifiedBook, verify_statements
from crossmargin_verifier.workers import Progress, no_progress

BACKENDS = [select_backend(name) for name in available()]
"""The preferred one first; plain Python beside it is for the campaigns, and the vectors hold it in the default run."""

RANDOMNESS = SystemRandomness()
POLICY = bytes(range(32))

Record = Sequence[int]


@dataclass(frozen=True)
class Venue:
    """Commits and proves with fresh randomness."""

    backend: Backend
    policy_digest: bytes = POLICY

    def relation(self, rows: Sequence[tuple[Record, Record, int]], disclosed: Sequence[bool] = ()) -> Relation:
        """Return a relation of rows (L, L', c); disclosed has one flag for every auxiliary."""
        return Relation(
            tuple(f"column {number}" for number in range(len(rows[0][0]))),
            tuple(Auxiliary(f"auxiliary {number}", flag) for number, flag in enumerate(disclosed)),
            tuple(
                Row(f"row {number}", tuple(base), tuple(auxiliary), offset)
                for number, (base, auxiliary, offset) in enumerate(rows)
            ),
        )

    def commit(
        self,
        relation: Relation,
        records: Sequence[Record],
        per_shard: int,
        *,
        open_totals: bool = True,
        executor: Executor | None = None,
        progress: Progress = no_progress,
    ) -> CommittedSnapshot:
        """Commit records under the ids holder-0, holder-1, ..."""
        matrix = np.array(records, dtype=np.int64).reshape(len(records), len(relation.columns))
        return commit_snapshot(
            "venue/book/2026",
            1767225600,
            relation.columns,
            csr_array(matrix),
            [f"holder-{number}" for number in range(len(records))],
            per_shard,
            RANDOMNESS,
            self.backend,
            open_totals=open_totals,
            executor=executor,
            progress=progress,
        )

    def prove(
        self,
        snapshot: CommittedSnapshot,
        relation: Relation,
        auxiliaries: Callable[[Record], Record] = lambda record: (),
        *,
        packing: int = 0,
        executor: Executor | None = None,
        progress: Progress = no_progress,
    ) -> dict[str, bytes]:
        """Prove the relation; auxiliaries gives those of a record."""
        whole = snapshot.whole().records
        records = [whole.row(leaf) for leaf in range(len(whole))]
        tight = [list(auxiliaries(record)) for record in records]
        slacks = [relation.slacks(record, each) for record, each in zip(records, tight, strict=True)]
        return prove_statement(
            snapshot,
            relation,
            self.policy_digest,
            GivenWitness(np.array(tight, dtype=object), np.array(slacks, dtype=object), snapshot.manifest),
            RANDOMNESS,
            self.backend,
            packing=packing,
            executor=executor,
            progress=progress,
        )

    def verify(self, snapshot: CommittedSnapshot, *statements: tuple[dict[str, bytes], Relation]) -> VerifiedBook:
        """Verify the snapshot with statements, files and relation of each; they get the names s0, s1, ..."""
        claimed = {
            f"s{number}": ClaimedStatement(StatementFiles(files), relation, self.policy_digest)
            for number, (files, relation) in enumerate(statements)
        }
        return verify_statements(SnapshotFiles(snapshot.files), claimed)


@pytest.fixture(
    scope="session",
    params=[
        pytest.param(backend, id=backend.name, marks=[pytest.mark.slow] if number else [])
        for number, backend in enumerate(BACKENDS)
    ],
)
def venue(request: pytest.FixtureRequest) -> Venue:
    return Venue(request.param)
