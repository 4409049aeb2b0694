"""What a shard proof reveals has one distribution, whatever the witness is (SPEC 8.1).

Commitments hide perfectly and are left out here (every multi-scalar multiplication gives one fixed point), so that
hundreds of proofs take seconds; what remains are the scalars. Two very different witnesses are compared by a
chi-square test on the low bits of every scalar, and the same test finds the difference once the masks are left out.
"""

from collections.abc import Sequence

import numpy as np
import pytest
from scipy.sparse import csr_array
from scipy.stats import chi2

from crossmargin_circuits.relation import Relation, Row
from crossmargin_prover.backend.reference import ReferenceBackend
from crossmargin_prover.randomness import Draw, SystemRandomness
from crossmargin_prover.shard import prove_shard
from crossmargin_prover.witness import Records, ShardWitness
from crossmargin_verifier.protocol.generators import blinding_generator
from crossmargin_verifier.protocol.group import Point
from crossmargin_verifier.protocol.shape import Shape
from crossmargin_verifier.protocol.shard import PublicShard

RELATION = Relation(("usd", "btc"), (), (Row("equity", (1, 10), ()),))
POOR, RICH = ([0, 0], [0, 0]), ([2**60, -3], [2**61 + 12345, 2**40])
PROOFS, BINS = 120, 4

# The chance that one of the some sixty tests below fails on correct code.
FALSE_ALARM = 1e-9


class NoPoints(ReferenceBackend):
    """Answers every multi-scalar multiplication with one point."""

    def msm(self, scalars: Sequence[int], points: Sequence[Point]) -> Point:
        return blinding_generator()

    def fold_points(self, rows: Sequence[Sequence[Point]], weights: Sequence[int]) -> list[Point]:
        return list(rows[0])


class Unmasked(SystemRandomness):
    """Forgets the masks."""

    def scalars(self, draw: Draw, shard: int, first: int, count: int, context: bytes) -> list[int]:
        return [0] * count if draw is Draw.MASK else super().scalars(draw, shard, first, count, context)


def scalars_of(proof: bytes, shape: Shape) -> tuple[list[int], list[int]]:
    """Return the projections, and every other scalar that a shard file reveals, in the order of SPEC section 6."""

    def scalars(start: int, count: int) -> list[int]:
        return [int.from_bytes(proof[at : at + 32], "big") for at in range(start, start + 32 * count, 32)]

    projected = 128 if shape.bounded else 0
    account_rounds = shape.account_bits if shape.bounded else 0
    start = 46 + 33
    sent = sum(shape.degrees) + 2 * account_rounds + 1
    opening = start + 32 * (projected + sent)
    revealed = scalars(start + 32 * projected, sent) + scalars(opening + 33, 1) + scalars(len(proof) - 128, 4)
    return scalars(start, projected), revealed


def samples(records: Sequence[Sequence[int]], mode: int, randomness: SystemRandomness) -> np.ndarray:
    """Return the revealed scalars of many proofs, (PROOFS, scalars)."""
    shape = Shape(2, 1, 2, 0, 0, 1, 0, mode)
    public = PublicShard(bytes(32), RELATION, shape, 0, bytes(32), bytes(32))
    values = np.array([RELATION.slacks(record, ()) for record in records], dtype=np.uint64)
    witness = ShardWitness(Records.of(csr_array(np.array(records)), str), values, [1, 2], [3, 4])
    rows = []
    for _ in range(PROOFS):
        proof = prove_shard(public, witness, randomness, NoPoints())
        projections, revealed = scalars_of(proof, shape)
        # The top bits of a projection are where a record would show.
        revealed += [z >> shape.mask_bits - 2 for z in projections[:8]] + projections[:8]
        rows.append([scalar % BINS for scalar in revealed])
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


@pytest.mark.parametrize("mode", [0, 1], ids=["book", "bounded"])
def test_revealed_scalars_do_not_depend_on_the_witness(mode: int) -> None:
    poor, rich = (samples(records, mode, SystemRandomness()) for records in (POOR, RICH))
    assert surprise(poor, rich) < limit(poor.shape[1])
    even = np.tile(np.arange(BINS), (PROOFS // BINS + 1, 1)).T.reshape(-1)[:PROOFS]
    uniform = np.tile(even, (poor.shape[1], 1)).T
    assert surprise(poor, uniform) < limit(poor.shape[1])


def test_the_test_sees_proofs_without_masks() -> None:
    poor, rich = (samples(records, 0, Unmasked()) for records in (POOR, RICH))
    assert surprise(poor, rich) > limit(poor.shape[1])
