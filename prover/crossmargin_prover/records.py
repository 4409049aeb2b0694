"""The record proof of one shard: masks, projections, sum-check and opening, one after the other (SPEC B1 - B5).

It shows once per snapshot that every committed record is a vector of small integers. Once a proof is published it is
kept and copied: with the same masks and other projections its z_l would reveal differences of the records.
"""

from collections.abc import Sequence
from itertools import chain
from operator import mul

from crossmargin_prover.backend import Backend
from crossmargin_prover.masks import RecordMasks
from crossmargin_prover.opening import prove_opening
from crossmargin_prover.proof_writer import ProofWriter
from crossmargin_prover.randomness import Draw, Randomness
from crossmargin_prover.witness import Records
from crossmargin_verifier.protocol.field import HALF, ORDER, dot, encode_scalar
from crossmargin_verifier.protocol.generators import blinding_generator, mask_generators, position_generators
from crossmargin_verifier.protocol.polynomial import eq_table, powers
from crossmargin_verifier.protocol.proof_stream import RECORDS_MAGIC
from crossmargin_verifier.protocol.records import PublicRecords, record_bits
from crossmargin_verifier.protocol.transcript import (
    CHI,
    LAMBDA,
    MASK,
    PROJECTION_SEED,
    PROJECTIONS,
    RECORDS,
    RHO,
    ROUND,
    SHARD_ROOTS,
    SNAPSHOT,
)

__all__ = ["prove_records"]


def prove_records(
    public: PublicRecords, records: Records, blindings: Sequence[int], randomness: Randomness, backend: Backend
) -> bytes:
    """Return the record proof of one shard, the whole file; nothing of an attempt that fails is left behind.

    records, blindings: x_i and r_i of the cnt_j accounts of the shard, in the order of its leaves.

    Precondition: the X_i under the root of the shard commit to them; others give a proof that does not verify.
    """
    shape, shard = public.shape, public.index
    if not len(records) == len(blindings) == public.accounts or records.columns != shape.columns:
        raise ValueError(f"records of {len(records)} accounts over {records.columns} columns: of another shard")
    number = shard.to_bytes(8, "big")
    writer = ProofWriter(RECORDS, RECORDS_MAGIC, public.snapshot_digest + number)
    writer.absorb(SNAPSHOT, public.snapshot_digest)
    writer.absorb(SHARD_ROOTS, number + public.position_root)

    # B1: one fresh seed for everything that is drawn, bound to snapshot, shard and a secret of the witness.
    attempt = randomness.attempt(public.snapshot_digest + number + encode_scalar(sum(blindings)))
    masks = RecordMasks.draw(shape, shard, attempt, writer.state)
    writer.message(MASK, points=[masks.commit(backend)])

    # B2, B3
    alpha, beta = record_bits(writer.seed(PROJECTION_SEED), shape)
    sumcheck = backend.record_sumcheck(records.indptr, records.indices, records.data, records.columns, alpha, beta)
    projections = [value + mask for value, mask in zip(sumcheck.projections, masks.projections, strict=True)]
    writer.integers(PROJECTIONS, projections, shape.projection_bytes)
    challenge = writer.challenge(LAMBDA)
    sumcheck.combine(challenge)

    # B4: the masks g sum to zero over the cube, so g_{d,e} enters coefficient e of round d alone, times 2^(nu-d).
    rho: list[int] = []
    for left, (first, second) in zip(reversed(range(shape.account_bits)), masks.rounds, strict=True):
        linear, square = sumcheck.round()
        writer.message(ROUND, scalars=[linear + (first << left), square + (second << left)])
        rho.append(writer.challenge(RHO))
        sumcheck.bind(rho[-1])

    # B5
    chi = writer.challenge(CHI)
    mask_vector = masks.vector
    secret = [
        *sumcheck.record,
        *mask_vector,
        _fold(blindings, rho) + chi * masks.blinding,
    ]
    points = [
        *position_generators(shape.columns),
        *mask_generators(len(mask_vector)),
        blinding_generator(),
    ]
    factors = [1] * shape.columns + [chi] * len(mask_vector) + [1]
    share = pow(shape.accounts_per_shard, -1, ORDER)
    weights = [
        *sumcheck.weights,
        *chain.from_iterable((at - HALF, at * at - HALF) for at in rho),
        *(share * power for power in powers(challenge, shape.projections)),
        0,
    ]
    nonces = attempt.scalars(Draw.RECORD_OPEN, shard, 0, len(points), writer.state)
    return prove_opening(writer, points, factors, secret, weights, nonces, backend)


def _fold(blindings: Sequence[int], rho: Sequence[int]) -> int:
    """Return sum_i eq(rho, i) r_i: weights for the lower half of the variables, then for the upper half."""
    half = len(rho) // 2
    inner, outer = eq_table(rho[:half]), eq_table(rho[half:])
    size = len(inner)
    # One table over all variables would cost more than the sums.
    sums = (sum(map(mul, inner, blindings[start : start + size])) for start in range(0, len(blindings), size))
    return dot(outer, sums)
