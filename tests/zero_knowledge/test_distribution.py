"""What a shard proof reveals has one distribution, whatever the witness is (SPEC 8.1).

Commitments hide perfectly and are left out here (every multi-scalar multiplication gives one fixed point), so that
hundreds of proofs take seconds; what remains are the scalars. Two very different witnesses are compared by a
chi-square test on the low bits of every scalar, and the same test finds the difference once the masks are left out.
"""

from collections.abc import Sequence

import numpy as np
from scipy.sparse import csr_array
from scipy.stats import chi2

from crossmargin_circuits.relation import Relation, Row
from crossmargin_prover.randomness import Draw, SystemRandomness
from crossmargin_prover.shard import prove_shard
from crossmargin_prover.witness import Records, ShardWitness
from crossmargin_verifier.protocol.shape import Shape
from crossmargin_verifier.protocol.shard import PublicShard
from tests.zero_knowledge.no_points import NoPoints

RELATION = Relation(("usd", "btc"), (), (Row("equity", (1, 10), ()),))
POOR, RICH = ([0, 0], [0, 0]), ([2**60, -3], [2**61 + 12345, 2**40])
PROOFS, BINS = 120, 4

# The chance that one of the some sixty tests below fails on correct code.
FALSE_ALARM = 1e-9


class Unmasked(SystemRandomness):
    """Forgets the masks."""

    def scalars(self, draw: Draw, shard: int, first: int, count: int, context: bytes) -> list[int]:
        return [0] * count if draw is Draw.MASK else super().scalars(draw, shard, first, count, context)


SHAPE = Shape(accounts_per_shard=2, shards=1, columns=2, auxiliaries=0, disclosed=0, rows=1, packing=0)


def scalars_of(proof: bytes) -> list[int]:
    """Return every scalar that a shard file reveals, in the order of SPEC section 6."""

    def scalars(start: int, count: int) -> list[int]:
        return [int.from_bytes(proof[at : at + 32], "big") for at in range(start, start + 32 * count, 32)]

    start, sent = 46 + 33, sum(SHAPE.degrees) + 1
    return scalars(start, sent) + scalars(start + 32 * sent + 33, 1) + scalars(len(proof) - 128, 4)


def samples(records: Sequence[Sequence[int]], randomness: SystemRandomness) -> np.ndarray:
    """Return the revealed scalars of many proofs, (PROOFS, scalars)."""
    public = PublicShard(bytes(32), RELATION, SHAPE, 2, 0, bytes(32), bytes(32))
    values = np.array([RELATION.slacks(record, ()) for record in records], dtype=np.uint64)
    witness = ShardWitness(Records.of(csr_array(np.array(records)), str), values, [1, 2], [3, 4])
    rows = [
        [scalar % BINS for scalar in scalars_of(prove_shard(public, witness, randomness, NoPoints()))]
        for _ in range(PROOFS)
    ]
    return np.array(rows)


def surprise(left: np.ndarray, right: np.ndarray) -> float:
    """Return the largest of the chi-square statistics of all scalars, with BINS - 1 degrees of freedom."""
    worst = 0.0
    for a, b in zip(left.T, right.T, strict=True):
        counts = np.array([np.bincount(a, minlength=BINS), np.bincount(b, minlength=BINS)])
        expected = counts.sum(axis=0) / 2
        used = expected > 0
        worst = max(worst, float((((counts - expected) ** 2)[:, used] / expected[used]).sum()))
    return worst


def limit(scalars: int) -> float:
    return float(chi2.isf(FALSE_ALARM / scalars, BINS - 1))


def test_revealed_scalars_do_not_depend_on_the_witness() -> None:
    poor, rich = (samples(records, SystemRandomness()) for records in (POOR, RICH))
    assert surprise(poor, rich) < limit(poor.shape[1])
    even = np.tile(np.arange(BINS), (PROOFS // BINS + 1, 1)).T.reshape(-1)[:PROOFS]
    uniform = np.tile(even, (poor.shape[1], 1)).T
    assert surprise(poor, uniform) < limit(poor.shape[1])


def test_the_test_sees_proofs_without_masks() -> None:
    poor, rich = (samples(records, Unmasked()) for records in (POOR, RICH))
    assert surprise(poor, rich) > limit(poor.shape[1])
