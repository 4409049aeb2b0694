"""A whole book can be simulated without any witness once eta is known beforehand (SPEC 8.1), hence reveals none.

The simulator sees the commitments and the totals alone, here even commitments to accounts that do not satisfy the
relation, and its files verify. The challenge eta is programmed, as in the proof; every other one comes from the
transcript.
"""

import secrets

import pytest

from crossmargin_circuits.layout import columns_digest, encode_columns
from crossmargin_circuits.relation import Auxiliary, Relation, Row
from crossmargin_prover.backend.reference import ReferenceBackend
from crossmargin_prover.opening import fold_response
from crossmargin_prover.point_files import encode_positions, encode_slack_rows
from crossmargin_prover.proof_writer import ProofWriter
from crossmargin_verifier.protocol.errors import RejectedError
from crossmargin_verifier.protocol.field import HALF, ORDER, dot
from crossmargin_verifier.protocol.files import SnapshotFiles, StatementFiles
from crossmargin_verifier.protocol.generators import (
    blinding_generator,
    generator,
    mask_generators,
    position_generators,
    slack_generators,
)
from crossmargin_verifier.protocol.group import Affine, encode_point, msm
from crossmargin_verifier.protocol.linear_form import auxiliary_weights, shard_claim, shard_weights
from crossmargin_verifier.protocol.manifests import (
    AUXILIARY_TOTALS_FILE,
    COLUMNS_FILE,
    NO_MODEL,
    POSITIONS_FILE,
    RELATION_FILE,
    SLACK_FILE,
    SNAPSHOT_FILE,
    STATEMENT_FILE,
    TOTALS_FILE,
    SnapshotManifest,
    StatementManifest,
    records_file,
    shard_file,
)
from crossmargin_verifier.protocol.merkle import shard_root
from crossmargin_verifier.protocol.polynomial import eq_table, evaluate, powers
from crossmargin_verifier.protocol.proof_stream import AUXILIARY_TOTALS_MAGIC, RECORDS_MAGIC, SHARD_MAGIC, TOTALS_MAGIC
from crossmargin_verifier.protocol.records import RecordShape, record_bits, record_weights
from crossmargin_verifier.protocol.shape import Shape
from crossmargin_verifier.protocol.transcript import (
    AUXILIARY_TOTALS,
    BETA,
    CHI,
    ETA,
    LAMBDA,
    MASK,
    MU,
    OPEN,
    PROJECTION_SEED,
    PROJECTIONS,
    RECORDS,
    RHO,
    ROUND,
    SHARD,
    SHARD_ROOTS,
    SNAPSHOT,
    STATEMENT,
    TAU,
    TOTALS,
    TOTALS_NONCE,
    TOTALS_VALUES,
    ZETA,
    Transcript,
)
from crossmargin_verifier.protocol.verify import ClaimedStatement, VerifiedBook, verify_statements

BACKEND = ReferenceBackend()
POLICY = bytes(32)
RELATION = Relation(
    ("usd", "btc"), (Auxiliary("debt", True),), (Row("equity", (1, 10), (1,)), Row("covered", (1, 0), (1,)))
)
TOTALS_SHOWN = (-(10**15), 4)
AUXILIARY_SHOWN = (10**6,)
SIZE, ACCOUNTS, PACKING = 4, 3, 1
"""A shard with an empty leaf."""


def uniform(count: int) -> list[int]:
    return [secrets.randbelow(ORDER) for _ in range(count)]


def points(kind: bytes, count: int) -> list[Affine]:
    """Return points that nobody can open, in place of commitments."""
    return [generator(b"simulated " + kind + bytes([number])) for number in range(count)]


class Simulator:
    """Writes a statement about commitments that it cannot open."""

    def __init__(self) -> None:
        self.x = points(b"X", ACCOUNTS)
        self.r = points(b"R", SIZE >> PACKING)
        positions, rows = (b"".join(map(encode_point, points)) for points in (self.x, self.r))
        self.root, self.slack_root = shard_root(positions, SIZE), shard_root(rows, SIZE >> PACKING)
        self.snapshot = SnapshotManifest("simulated", 1, columns_digest(RELATION.columns), SIZE, ACCOUNTS, self.root)
        self.statement = StatementManifest(
            self.snapshot.digest, RELATION.digest, POLICY, NO_MODEL, PACKING, self.slack_root
        )
        self.shape = Shape.of(self.snapshot, self.statement, RELATION)
        self.snapshot_files = {
            COLUMNS_FILE: encode_columns(RELATION.columns),
            SNAPSHOT_FILE: self.snapshot.encoded,
            POSITIONS_FILE: encode_positions(positions),
            records_file(0): self.records(),
            TOTALS_FILE: self.totals(),
        }
        self.statement_files = {
            RELATION_FILE: RELATION.encoded,
            STATEMENT_FILE: self.statement.encoded,
            SLACK_FILE: encode_slack_rows(rows),
            shard_file(0): self.shard(),
            AUXILIARY_TOTALS_FILE: self.auxiliary_totals(),
        }

    def opening(
        self,
        writer: ProofWriter,
        bases: list[Affine],
        factors: list[int],
        weights: list[int],
        claim: int,
        committed: tuple[list[int], list[Affine]],
    ) -> bytes:
        """Choose s, then Gamma = <s, bases> - eta P_0 and u = <s, w> - eta claim."""
        eta = ProgrammedCopy(writer).challenge(ETA)
        s = uniform(len(bases))
        scaled = [entry * factor for entry, factor in zip(s, factors, strict=True)]
        coefficients, committed_points = committed
        nonce = msm([*scaled, *(-eta * entry for entry in coefficients)], [*bases, *committed_points])
        assert nonce is not None
        writer.message(OPEN, points=[nonce], scalars=[dot(s, weights) - eta * claim])
        writer.challenge(ETA)
        return fold_response(writer, bases, factors, s, weights, BACKEND)

    def records(self) -> bytes:
        """Choose z as the masks alone would make it, and every round uniform; the last claim follows."""
        shape = RecordShape(SIZE, len(RELATION.columns))
        writer = ProofWriter(RECORDS, RECORDS_MAGIC, self.snapshot.digest + bytes(8))
        writer.absorb(SNAPSHOT, self.snapshot.digest)
        writer.absorb(SHARD_ROOTS, bytes(8) + self.root)
        (mask,) = points(b"D", 1)
        writer.message(MASK, points=[mask])
        alpha, beta = record_bits(writer.seed(PROJECTION_SEED), shape)
        least, span = 1 << shape.magnitude_bits, 1 << shape.mask_bits
        z = [least + secrets.randbelow(span) for _ in range(shape.projections)]
        writer.integers(PROJECTIONS, z, shape.projection_bytes)
        powers_of_lambda = powers(writer.challenge(LAMBDA), shape.projections)
        value, rho = dot(powers_of_lambda, z), list[int]()
        for _ in range(shape.account_bits):
            coefficients = uniform(2)
            writer.message(ROUND, scalars=coefficients)
            rho.append(writer.challenge(RHO))
            value = evaluate([(value - sum(coefficients)) * HALF, *coefficients], rho[-1])
        chi = writer.challenge(CHI)
        bases = [*position_generators(shape.columns), *mask_generators(shape.masks), blinding_generator()]
        factors = [1] * shape.columns + [chi] * shape.masks + [1]
        weights = record_weights(shape, alpha, beta, powers_of_lambda, rho)
        return self.opening(writer, bases, factors, weights, value, ([*eq_table(rho)[:ACCOUNTS], chi], [*self.x, mask]))

    def shard(self) -> bytes:
        shape = self.shape
        writer = ProofWriter(SHARD, SHARD_MAGIC, self.statement.digest + bytes(8))
        writer.absorb(STATEMENT, self.statement.digest)
        writer.absorb(SHARD_ROOTS, bytes(8) + self.root + self.slack_root)
        (mask,) = points(b"C", 1)
        writer.message(MASK, points=[mask])
        tau = [writer.challenge(TAU) for _ in range(shape.variables)]
        rho: list[int] = []
        value = 0
        for variable, degree in enumerate(shape.degrees):
            coefficients = uniform(degree)
            writer.message(ROUND, scalars=coefficients)
            rho.append(writer.challenge(RHO))
            value = evaluate([value - tau[variable] * sum(coefficients), *coefficients], rho[-1])
        (beta,) = uniform(1)
        writer.message(BETA, scalars=[beta])
        mu, chi = writer.challenge(MU), writer.challenge(CHI)
        weights = shard_weights(RELATION, shape, tau, rho, mu)
        accounts = eq_table(rho[shape.first_account_variable :])[:ACCOUNTS]
        claim = shard_claim(RELATION, mu, beta, value - beta * beta + beta, sum(accounts))
        bases = [
            *position_generators(shape.columns),
            *slack_generators(shape.values, PACKING),
            *mask_generators(shape.masks),
            blinding_generator(),
        ]
        factors = [1] * shape.columns + [chi] * shape.slack_length + [chi * chi] * shape.masks + [1]
        rows = eq_table(rho[shape.first_account_variable + PACKING :])
        committed = [*accounts, *(chi * weight for weight in rows), chi * chi], [*self.x, *self.r, mask]
        return self.opening(writer, bases, factors, weights, claim, committed)

    def totals(self) -> bytes:
        writer = ProofWriter(TOTALS, TOTALS_MAGIC, self.snapshot.digest)
        writer.absorb(SNAPSHOT, self.snapshot.digest)
        writer.totals(TOTALS_VALUES, TOTALS_SHOWN)
        eta = ProgrammedCopy(writer).challenge(ETA)
        (response,) = uniform(1)
        opened = [eta * total for total in TOTALS_SHOWN]
        nonce = msm([response, *[-eta] * ACCOUNTS, *opened], [blinding_generator(), *self.x, *position_generators(2)])
        assert nonce is not None
        writer.message(TOTALS_NONCE, points=[nonce])
        return writer.last([response])

    def auxiliary_totals(self) -> bytes:
        writer = ProofWriter(AUXILIARY_TOTALS, AUXILIARY_TOTALS_MAGIC, self.statement.digest)
        writer.absorb(STATEMENT, self.statement.digest)
        writer.totals(TOTALS_VALUES, AUXILIARY_SHOWN)
        zeta = writer.challenge(ZETA)
        bases = [*slack_generators(self.shape.values, PACKING), blinding_generator()]
        weights = auxiliary_weights(RELATION, PACKING, zeta)
        claim = dot(powers(zeta, 1), AUXILIARY_SHOWN)
        committed = [1] * len(self.r), self.r
        return self.opening(writer, bases, [1] * len(bases), weights, claim, committed)


class ProgrammedCopy(Transcript):
    """Asks for a challenge without moving the transcript on."""

    def __init__(self, transcript: Transcript) -> None:
        self.state = transcript.state


@pytest.fixture
def programmed(monkeypatch: pytest.MonkeyPatch) -> None:
    challenge = Transcript.challenge

    def answer(self: Transcript, label: str) -> int:
        value = challenge(self, label)
        return 0x5EED if label == ETA else value

    monkeypatch.setattr(Transcript, "challenge", answer)


def verify(simulated: Simulator) -> VerifiedBook:
    claimed = {"simulated": ClaimedStatement(StatementFiles(simulated.statement_files), RELATION, POLICY)}
    return verify_statements(SnapshotFiles(simulated.snapshot_files), claimed)


@pytest.mark.usefixtures("programmed")
def test_simulated_book_verifies() -> None:
    shown = verify(Simulator())
    assert shown.totals == TOTALS_SHOWN
    assert shown.statements["simulated"].auxiliary_totals == AUXILIARY_SHOWN


def test_simulated_book_needs_the_programmed_challenge() -> None:
    """Nothing but eta stands between the simulator and a forgery."""
    with pytest.raises(RejectedError):
        verify(Simulator())
