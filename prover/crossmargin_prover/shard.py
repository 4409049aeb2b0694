"""The proof of one shard: masks, sum-check, linear form and opening, one after the other (SPEC section 3, P1 - P8)."""

import hashlib

from crossmargin_prover.backend import Backend
from crossmargin_prover.masks import Masks
from crossmargin_prover.opening import prove_opening
from crossmargin_prover.projection import ProjectionSumcheck, project
from crossmargin_prover.randomness import Draw, Randomness
from crossmargin_prover.sumcheck import prove_sumcheck
from crossmargin_prover.witness import ShardWitness
from crossmargin_verifier.protocol.field import ORDER, dot, encode_scalar, encode_scalars
from crossmargin_verifier.protocol.generators import (
    blinding_generator,
    mask_generators,
    position_generators,
    slack_generators,
)
from crossmargin_verifier.protocol.group import encode_point
from crossmargin_verifier.protocol.linear_form import ProjectionForm, shard_weights
from crossmargin_verifier.protocol.messages import ShardProof
from crossmargin_verifier.protocol.polynomial import eq_table, powers
from crossmargin_verifier.protocol.projection import projection_stream
from crossmargin_verifier.protocol.shard import PublicShard
from crossmargin_verifier.protocol.transcript import (
    BETA,
    CHI,
    LAMBDA,
    MASK,
    MU,
    PROJECTION_SEED,
    PROJECTIONS,
    SHARD,
    SHARD_ROOTS,
    STATEMENT,
    Transcript,
)

__all__ = ["prove_shard"]


def prove_shard(public: PublicShard, witness: ShardWitness, randomness: Randomness, backend: Backend) -> bytes:
    """Return the file of one shard; a pure function but for fresh randomness, so that shards can run anywhere.

    Precondition: the witness was checked (`witness.check_rows`); a false one gives a proof that does not verify.
    """
    shape, shard = public.shape, public.index
    transcript = Transcript(SHARD)
    transcript.absorb(STATEMENT, public.statement_digest)
    transcript.absorb(SHARD_ROOTS, shard.to_bytes(8, "big") + public.position_root + public.slack_root)
    witness_digest = hashlib.sha256(witness.encode()).digest()

    # P1
    masks = Masks.draw(shape, shard, randomness, transcript.state + witness_digest)
    mask_commitment = masks.commit(backend)
    transcript.absorb(MASK, encode_point(mask_commitment))

    # P2
    projections: tuple[int, ...] = ()
    projection = None
    powers_of_lambda: list[int] = []
    if shape.bounded:
        stream = projection_stream(transcript.seed(PROJECTION_SEED), shape)
        projections = project(stream, witness.records, masks)
        transcript.absorb(PROJECTIONS, encode_scalars(projections))
        powers_of_lambda = powers(transcript.challenge(LAMBDA), len(projections))
        projection = ProjectionSumcheck(stream, witness.records, masks, powers_of_lambda)

    # P3, P4
    sumcheck = prove_sumcheck(transcript, shape, witness.values, masks, projection, backend)
    rho = sumcheck.rho

    # P5
    transcript.absorb(BETA, encode_scalar(sumcheck.beta))
    mu = transcript.challenge(MU)
    chi = transcript.challenge(CHI)

    # P6
    account_weights = eq_table(rho[shape.first_account_variable :])
    row_weights = eq_table(rho[shape.first_account_variable + shape.packing :])
    records = witness.records
    mask_vector = masks.vector
    secret = [
        *backend.fold_sparse(records.indptr, records.indices, records.data, records.columns, account_weights),
        *backend.fold_bits(witness.values, shape.packing, row_weights),
        *mask_vector,
        dot(account_weights, witness.position_blindings)
        + chi * dot(row_weights, witness.slack_blindings)
        + chi * chi * masks.blinding,
    ]
    points = [
        *position_generators(shape.columns),
        *slack_generators(shape.values, shape.packing),
        *mask_generators(len(mask_vector)),
        blinding_generator(),
    ]
    factors = [1] * shape.columns + [chi] * shape.slack_length + [chi * chi % ORDER] * len(mask_vector) + [1]
    form = None if projection is None else ProjectionForm(projection.weights, powers_of_lambda)
    weights = shard_weights(public.relation, shape, sumcheck.tau, rho, mu, form)

    # P7, P8
    nonces = randomness.scalars(Draw.OPEN, shard, 0, len(points), transcript.state + witness_digest)
    opening = prove_opening(transcript, points, factors, secret, weights, nonces, backend)
    proof = ShardProof(
        statement_digest=public.statement_digest,
        shard=shard,
        mask=mask_commitment,
        projections=projections,
        rounds=sumcheck.rounds,
        projection_rounds=sumcheck.projection_rounds,
        beta=sumcheck.beta,
        opening=opening,
    )
    return proof.encode()
