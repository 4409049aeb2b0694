"""The proof of one shard: masks, sum-check, linear form and opening, one after the other (SPEC section 3, P1 - P8)."""

import hashlib

from crossmargin_prover.backend import Backend
from crossmargin_prover.masks import Masks
from crossmargin_prover.opening import prove_opening
from crossmargin_prover.proof_writer import ProofWriter
from crossmargin_prover.randomness import Draw, Randomness
from crossmargin_prover.sumcheck import prove_sumcheck
from crossmargin_prover.witness import ShardWitness
from crossmargin_verifier.protocol.field import ORDER, dot
from crossmargin_verifier.protocol.generators import (
    blinding_generator,
    mask_generators,
    position_generators,
    slack_generators,
)
from crossmargin_verifier.protocol.linear_form import shard_weights
from crossmargin_verifier.protocol.polynomial import eq_table
from crossmargin_verifier.protocol.proof_stream import SHARD_MAGIC
from crossmargin_verifier.protocol.shard import PublicShard
from crossmargin_verifier.protocol.transcript import (
    BETA,
    CHI,
    MASK,
    MU,
    SHARD,
    SHARD_ROOTS,
    STATEMENT,
)

__all__ = ["prove_shard"]


def prove_shard(public: PublicShard, witness: ShardWitness, randomness: Randomness, backend: Backend) -> bytes:
    """Return the file of one shard; apart from fresh randomness it is a pure function, so shards can run anywhere.

    Precondition: the witness passed `witness.check_rows`; a false witness gives a proof that does not verify.
    """
    shape, shard = public.shape, public.index
    number = shard.to_bytes(8, "big")
    writer = ProofWriter(SHARD, SHARD_MAGIC, public.statement_digest + number)
    writer.absorb(STATEMENT, public.statement_digest)
    writer.absorb(SHARD_ROOTS, number + public.position_root + public.slack_root)
    witness_digest = hashlib.sha256(witness.encode()).digest()

    # P1
    masks = Masks.draw(shape, shard, randomness, writer.state + witness_digest)
    writer.message(MASK, points=[masks.commit(backend)])

    # P3, P4
    sumcheck = prove_sumcheck(writer, shape, witness.values, masks, backend)
    rho = sumcheck.rho

    # P5
    writer.message(BETA, scalars=[sumcheck.beta])
    mu = writer.challenge(MU)
    chi = writer.challenge(CHI)

    # P6
    # Empty leaves have no record and no blinding, so X* is a sum over the accounts alone.
    account_weights = eq_table(rho[shape.first_account_variable :])[: len(witness.records)]
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
    weights = shard_weights(public.relation, shape, sumcheck.tau, rho, mu)

    # P7, P8
    nonces = randomness.scalars(Draw.OPEN, shard, 0, len(points), writer.state + witness_digest)
    return prove_opening(writer, points, factors, secret, weights, nonces, backend)
