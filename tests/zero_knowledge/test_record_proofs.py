"""A record proof reveals nothing but that the records are small integers, and reveals it once (SPEC 8.1, 8.2).

* It can be simulated from commitments that nobody can open.
* Another witness makes the very same file, under masks and nonces that are solved for; a mask or a nonce that a prover
  forgets has no counterpart, and the files differ. Over a field of five elements all masks together give each pair of
  coefficients once, whatever the records are.
* Masks of two attempts have nothing in common. With the same y_l and other projections, a difference of two z_l would
  be one of projections, and give a record away.
"""

import secrets
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_array

from crossmargin_circuits.layout import columns_digest, encode_columns
from crossmargin_prover.backend import Backend, select_backend
from crossmargin_prover.backend.reference import ReferenceBackend
from crossmargin_prover.masks import RecordMasks
from crossmargin_prover.opening import fold_response, prove_opening
from crossmargin_prover.point_files import encode_positions
from crossmargin_prover.proof_writer import ProofWriter
from crossmargin_prover.randomness import Draw, SystemRandomness
from crossmargin_prover.records import prove_records
from crossmargin_prover.witness import Records
from crossmargin_verifier.protocol.errors import RejectedError
from crossmargin_verifier.protocol.field import HALF, ORDER, dot
from crossmargin_verifier.protocol.files import SnapshotFiles
from crossmargin_verifier.protocol.generators import (
    blinding_generator,
    generator,
    mask_generators,
    position_generators,
)
from crossmargin_verifier.protocol.group import decode_point, encode_point, msm
from crossmargin_verifier.protocol.manifests import (
    COLUMNS_FILE,
    POSITIONS_FILE,
    SNAPSHOT_FILE,
    SnapshotManifest,
    records_file,
)
from crossmargin_verifier.protocol.merkle import shard_root
from crossmargin_verifier.protocol.polynomial import eq_table, evaluate, powers
from crossmargin_verifier.protocol.proof_stream import RECORDS_MAGIC
from crossmargin_verifier.protocol.records import PublicRecords, RecordShape, record_bits, record_weights
from crossmargin_verifier.protocol.transcript import (
    CHI,
    ETA,
    LAMBDA,
    MASK,
    OPEN,
    PROJECTION_SEED,
    PROJECTIONS,
    RECORDS,
    RHO,
    ROUND,
    SHARD_ROOTS,
    SNAPSHOT,
    Transcript,
)
from crossmargin_verifier.protocol.verify import verify_statements
from tests.zero_knowledge.no_points import NoPoints

COLUMNS = ("usd", "btc")
BACKEND = select_backend()
Accounts = Sequence[Sequence[int]]

RICH: Accounts = ([2**60, -3], [2**61 + 12345, 2**40], [-(2**62) + 1, 2**62 - 1], [7, 1])
POOR: Accounts = ([0, 0],) * 4

SHARDS = [1, 2, 3, 4]
"""Accounts of the shards; three leave a leaf empty."""


def shape_of(accounts: int) -> RecordShape:
    return RecordShape(1 << (accounts - 1).bit_length(), len(COLUMNS))


def public_of(accounts: int) -> PublicRecords:
    return PublicRecords(bytes(32), shape_of(accounts), accounts, 0, bytes(32))


def prove(records: Accounts, randomness: SystemRandomness, backend: Backend) -> bytes:
    rows = Records.of(csr_array(np.array(records)), str)
    # Other records have other blindings, too.
    blindings = [number + sum(record) for number, record in enumerate(records, start=1)]
    return prove_records(public_of(len(records)), rows, blindings, randomness, backend)


# Simulation


def simulate(sizes: tuple[int, int]) -> SnapshotFiles:
    """Write a snapshot of N leaves, n of them accounts, about commitments that nobody can open."""
    size, accounts = sizes
    x = [generator(b"simulated X" + bytes([number])) for number in range(accounts)]
    positions = b"".join(map(encode_point, x))
    root = shard_root(positions, size)
    snapshot = SnapshotManifest("simulated", 1, columns_digest(COLUMNS), size, accounts, root)
    shape = RecordShape(size, len(COLUMNS))
    writer = ProofWriter(RECORDS, RECORDS_MAGIC, snapshot.digest + bytes(8))
    writer.absorb(SNAPSHOT, snapshot.digest)
    writer.absorb(SHARD_ROOTS, bytes(8) + root)
    mask = generator(b"simulated C")
    writer.message(MASK, points=[mask])
    alpha, beta = record_bits(writer.seed(PROJECTION_SEED), shape)
    z = [(1 << shape.magnitude_bits) + secrets.randbelow(1 << shape.mask_bits) for _ in range(shape.projections)]
    writer.integers(PROJECTIONS, z, shape.projection_bytes)
    powers_of_lambda = powers(writer.challenge(LAMBDA), shape.projections)
    value, rho = dot(powers_of_lambda, z), list[int]()
    for _ in range(shape.account_bits):
        coefficients = [secrets.randbelow(ORDER) for _ in range(2)]
        writer.message(ROUND, scalars=coefficients)
        rho.append(writer.challenge(RHO))
        value = evaluate([(value - sum(coefficients)) * HALF, *coefficients], rho[-1])
    chi = writer.challenge(CHI)
    bases = [*position_generators(shape.columns), *mask_generators(shape.masks), blinding_generator()]
    factors = [1] * shape.columns + [chi] * shape.masks + [1]
    weights = record_weights(shape, alpha, beta, powers_of_lambda, rho)
    # The response first, then what it responds to.
    copy = Transcript(RECORDS)
    copy.state = writer.state
    eta = copy.challenge(ETA)
    s = [secrets.randbelow(ORDER) for _ in bases]
    opened = [*(-eta * weight for weight in eq_table(rho)[:accounts]), -eta * chi]
    nonce = BACKEND.msm(
        [*(entry * factor for entry, factor in zip(s, factors, strict=True)), *opened], [*bases, *x, mask]
    )
    assert nonce is not None
    writer.message(OPEN, points=[nonce], scalars=[dot(s, weights) - eta * value])
    writer.challenge(ETA)
    return SnapshotFiles(
        {
            COLUMNS_FILE: encode_columns(COLUMNS),
            SNAPSHOT_FILE: snapshot.encoded,
            POSITIONS_FILE: encode_positions(positions),
            records_file(0): fold_response(writer, bases, factors, s, weights, BACKEND),
        }
    )


@pytest.fixture
def programmed(monkeypatch: pytest.MonkeyPatch) -> None:
    challenge = Transcript.challenge
    monkeypatch.setattr(Transcript, "challenge", lambda self, label: (challenge(self, label), 0x5EED)[label == ETA])


SIZES = [(1, 1), (2, 2), (8, 8), (8, 5)]
"""Leaves and accounts."""


@pytest.mark.usefixtures("programmed")
@pytest.mark.parametrize("sizes", SIZES)
def test_simulated_records_verify(sizes: tuple[int, int]) -> None:
    shown = verify_statements(simulate(sizes), {}, arithmetic=BACKEND.arithmetic)
    assert (shown.snapshot.accounts, shown.totals) == (sizes[1], None)


def test_simulated_records_need_the_programmed_challenge() -> None:
    """Nothing but eta stands between the simulator and a forgery."""
    with pytest.raises(RejectedError):
        verify_statements(simulate(SIZES[-1]), {}, arithmetic=BACKEND.arithmetic)


# Any other witness


class Chosen(SystemRandomness):
    """Draws what it is given, where it is given something, and forgets some masks and nonces."""

    def __init__(
        self,
        masks: Sequence[int] | None = None,
        nonces: Sequence[int] | None = None,
        forgotten: Sequence[int] = (),
        forgotten_nonces: Sequence[int] = (),
    ) -> None:
        super().__init__()
        self.masks, self.nonces_of_q = masks, nonces
        self.forgotten, self.forgotten_nonces = frozenset(forgotten), frozenset(forgotten_nonces)

    def attempt(self, context: bytes) -> "Chosen":
        return self

    def scalars(self, draw: Draw, shard: int, first: int, count: int, context: bytes) -> list[int]:
        drawn = super().scalars(draw, shard, first, count, context)
        if draw is Draw.RECORD_MASK:
            return self.remembered(drawn, first)
        if draw is Draw.RECORD_MASK_BLINDING:
            # Commitments are left out here, and q is solved for under one value of it.
            return [7] * count
        given = drawn if self.nonces_of_q is None else self.nonces_of_q
        return [0 if place in self.forgotten_nonces else q for place, q in enumerate(given)]

    def integers(self, draw: Draw, shard: int, first: int, count: int, bits: int, context: bytes) -> list[int]:
        drawn = super().integers(draw, shard, first, count, bits, context)
        # Scalars are drawn as wide integers and reduced afterwards.
        return drawn if bits == 512 else self.remembered(drawn, first)

    def remembered(self, drawn: list[int], first: int) -> list[int]:
        given = drawn if self.masks is None else self.masks[first : first + len(drawn)]
        return [0 if first + place in self.forgotten else mask for place, mask in enumerate(given)]


@dataclass
class Told:
    """A record proof, and what was said, drawn and opened on the way."""

    file: bytes = b""
    z: list[int] = field(default_factory=list)
    rounds: list[list[int]] = field(default_factory=list)
    drawn: list[tuple[str, Any]] = field(default_factory=list)
    secret: list[int] = field(default_factory=list)
    nonces: list[int] = field(default_factory=list)

    def challenge(self, label: str) -> int:
        (value,) = [value for drawn, value in self.drawn if drawn == label]
        return int(value)


def tell(records: Accounts, randomness: Chosen, script: Told | None = None) -> Told:
    """Prove; with a script, under its challenges and whatever the messages are."""
    told = Told()
    left = None if script is None else iter(script.drawn)

    def drawing(original: Callable[[Transcript, str], Any]) -> Callable[[Transcript, str], Any]:
        def draw(self: Transcript, label: str) -> Any:
            value = original(self, label)
            if left is not None:
                expected, value = next(left)
                assert expected == label
            told.drawn.append((label, value))
            return value

        return draw

    message, integers = ProofWriter.message, ProofWriter.integers

    def recorded(self: ProofWriter, label: str, *, points: Any = (), scalars: Sequence[int] = ()) -> None:
        if label == ROUND:
            told.rounds.append([scalar % ORDER for scalar in scalars])
        message(self, label, points=points, scalars=scalars)

    def recorded_integers(self: ProofWriter, label: str, values: Sequence[int], size: int) -> None:
        told.z = list(values)
        integers(self, label, values, size)

    def opening(writer: Any, points: Any, factors: Any, secret: Any, weights: Any, nonces: Any, backend: Any) -> bytes:
        told.secret, told.nonces = list(secret), list(nonces)
        return prove_opening(writer, points, factors, secret, weights, nonces, backend)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Transcript, "challenge", drawing(Transcript.challenge))
        patch.setattr(Transcript, "seed", drawing(Transcript.seed))
        patch.setattr(ProofWriter, "message", recorded)
        patch.setattr(ProofWriter, "integers", recorded_integers)
        patch.setattr("crossmargin_prover.records.prove_opening", opening)
        told.file = prove(records, randomness, NoPoints())
    return told


def retell(told: Told, records: Accounts, forgotten: Sequence[int], forgotten_nonces: Sequence[int]) -> Told:
    """Solve for masks and nonces under which another witness gives the proof that was told, and prove with them."""
    shape = shape_of(len(records))
    masks = [0] * shape.masks
    bare = tell(records, Chosen(masks), told)
    # z_l = <R_l, x> + y_l over the integers
    masks[2 * shape.account_bits :] = [z - other for z, other in zip(told.z, bare.z, strict=True)]
    # p_e in round d is moved by 2^(nu - d) g_(d,e) alone.
    for number, (said, others) in enumerate(zip(told.rounds, bare.rounds, strict=True)):
        share = pow(2, number + 1 - shape.account_bits, ORDER)
        masks[2 * number : 2 * number + 2] = [(a - b) * share % ORDER for a, b in zip(said, others, strict=True)]
    # s = q + eta o
    masked = tell(records, Chosen(masks, forgotten=forgotten), told)
    eta = told.challenge(ETA)
    nonces = [
        (q + eta * (one - other)) % ORDER for q, one, other in zip(told.nonces, told.secret, masked.secret, strict=True)
    ]
    return tell(records, Chosen(masks, nonces, forgotten, forgotten_nonces))


def told_twice(
    accounts: int, forgotten: Sequence[int] = (), forgotten_nonces: Sequence[int] = ()
) -> tuple[bytes, bytes]:
    told = tell(RICH[:accounts], Chosen(forgotten=forgotten, forgotten_nonces=forgotten_nonces))
    return told.file, retell(told, POOR[:accounts], forgotten, forgotten_nonces).file


@pytest.mark.parametrize("accounts", SHARDS)
def test_another_witness_makes_the_same_record_proof(accounts: int) -> None:
    one, other = told_twice(accounts)
    assert one == other


@pytest.mark.parametrize(("accounts", "place"), [(n, e) for n in SHARDS for e in range(2 * shape_of(n).account_bits)])
def test_a_forgotten_mask_of_a_round_is_found(accounts: int, place: int) -> None:
    one, other = told_twice(accounts, [place])
    assert one != other


@pytest.mark.parametrize("accounts", [1, 2])
def test_forgotten_masks_of_projections_are_found(accounts: int) -> None:
    """Every l alone, where R_l chooses something: a z_l without its mask is the bare projection."""
    shape = shape_of(accounts)
    first = 2 * shape.account_bits
    told = tell(RICH[:accounts], Chosen(forgotten=range(first, shape.masks)))
    bare = tell(POOR[:accounts], Chosen(forgotten=range(first, shape.masks)), told)
    differing = [place for place, (one, other) in enumerate(zip(told.z, bare.z, strict=True)) if one != other]
    assert len(differing) > shape.projections // 3
    for place in (differing[0], differing[-1]):
        # Solving for a mask that is forgotten changes nothing: z_l stays the one that the record makes.
        masks = [0] * first + [z - other for z, other in zip(told.z, bare.z, strict=True)]
        again = tell(POOR[:accounts], Chosen(masks, forgotten=[first + place]), told)
        assert [number for number, (a, b) in enumerate(zip(told.z, again.z, strict=True)) if a != b] == [place]


@pytest.mark.parametrize("place", ["record", "g", "y", "blinding"])
def test_a_forgotten_nonce_is_found(place: str) -> None:
    shape = shape_of(2)
    number = {"record": 0, "g": shape.columns, "y": shape.columns + 2, "blinding": shape.columns + shape.masks}[place]
    one, other = told_twice(2, forgotten_nonces=[number])
    assert one != other


def test_the_commitment_to_the_masks_is_blinded() -> None:
    """C_M is o_M and r_M H, for the r_M that was drawn."""
    drawn: dict[Draw, list[int]] = {}

    class Watched(SystemRandomness):
        def attempt(self, context: bytes) -> "Watched":
            return self

        def scalars(self, draw: Draw, shard: int, first: int, count: int, context: bytes) -> list[int]:
            drawn[draw] = super().scalars(draw, shard, first, count, context)
            return drawn[draw]

    shape = shape_of(2)
    masks = RecordMasks.draw(shape, 0, Watched(), b"")
    commitment = masks.commit(ReferenceBackend())
    assert drawn[Draw.RECORD_MASK_BLINDING] == [masks.blinding]
    assert commitment == msm([*masks.vector, masks.blinding], [*mask_generators(shape.masks), blinding_generator()])
    file = prove(RICH[:2], Watched(), ReferenceBackend())
    (blinding,) = drawn[Draw.RECORD_MASK_BLINDING]
    assert blinding not in (0, 1, masks.blinding)
    assert decode_point(file[46:79]) != commitment


# Distribution over all masks of a small field


FIVE = 5
PROJECTED = 8
"""Projections, fewer than there are, since they take most of the time and no part in the rounds' masks."""


@pytest.fixture
def five(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the prover's rounds work in the field of five elements, under fixed challenges."""
    challenges = {LAMBDA: 3, RHO: 2, CHI: 1}
    for module in ("records", "backend.projections"):
        monkeypatch.setattr(f"crossmargin_prover.{module}.ORDER", FIVE)
    for module in ("field", "polynomial"):
        monkeypatch.setattr(f"crossmargin_verifier.protocol.{module}.ORDER", FIVE)
    monkeypatch.setattr("crossmargin_prover.records.HALF", 3)
    monkeypatch.setattr(RecordShape, "projections", PROJECTED)
    monkeypatch.setattr(Transcript, "challenge", lambda _, label: challenges[label])
    monkeypatch.setattr("crossmargin_prover.records.prove_opening", lambda *_: b"")
    yield


@pytest.mark.usefixtures("five")
@pytest.mark.parametrize("accounts", [2, 4])
def test_all_masks_together_give_every_message_once(monkeypatch: pytest.MonkeyPatch, accounts: int) -> None:
    said: list[int] = []

    def record(_: ProofWriter, label: str, *, points: Any = (), scalars: Sequence[int] = ()) -> None:
        if label == ROUND:
            said.extend(scalar % FIVE for scalar in scalars)

    monkeypatch.setattr(ProofWriter, "message", record)
    for records in (RICH, POOR):
        found = Counter[tuple[int, ...]]()
        for masks in product(range(FIVE), repeat=2 * shape_of(accounts).account_bits):
            said.clear()
            prove(records[:accounts], Chosen([*masks, *[0] * PROJECTED]), NoPoints())
            found[tuple(said)] += 1
        assert len(found) == FIVE ** (2 * shape_of(accounts).account_bits)
        assert set(found.values()) == {1}


# Masks of the projections, and attempts


@pytest.mark.parametrize("accounts", [1, 2, 8])
def test_masks_of_projections_fill_their_range_and_no_more(accounts: int) -> None:
    shape = RecordShape(accounts, len(COLUMNS))
    least, span = 1 << shape.magnitude_bits, 1 << shape.mask_bits
    drawn = [y for _ in range(4) for y in RecordMasks.draw(shape, 0, SystemRandomness(), b"").projections]
    assert least <= min(drawn) <= max(drawn) < least + span
    assert {(y - least) * 8 // span for y in drawn} == set(range(8))
    ends = [Chosen([0] * shape.masks), Chosen([0] * (shape.masks - shape.projections) + [span - 1] * shape.projections)]
    assert [set(RecordMasks.draw(shape, 0, end, b"").projections) for end in ends] == [{least}, {least + span - 1}]


@pytest.mark.parametrize("end", [0, -1])
@pytest.mark.parametrize("entry", [2**62 - 1, 1 - 2**62])
def test_the_greatest_records_and_masks_fit_the_bytes(end: int, entry: int) -> None:
    """Otherwise that a proof fails would say something about the records."""
    shape = shape_of(2)
    masks = [0] * 2 + [end % (1 << shape.mask_bits)] * shape.projections
    told = tell([[entry, entry]] * 2, Chosen(masks))
    assert 0 < min(told.z) <= max(told.z) < 1 << 8 * shape.projection_bytes


def test_attempts_share_no_draw(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[int] = []
    original = SystemRandomness.integers

    def integers(
        self: SystemRandomness, draw: Draw, shard: int, first: int, count: int, bits: int, context: bytes
    ) -> list[int]:
        values = original(self, draw, shard, first, count, bits, context)
        drawn.extend(values)
        return values

    monkeypatch.setattr(SystemRandomness, "integers", integers)
    randomness = SystemRandomness(bytes(32))
    files = {prove(RICH[:2], randomness, NoPoints()) for _ in range(3)}
    assert len(files) == 3
    shape = shape_of(2)
    assert len(drawn) == len(set(drawn)) == 3 * (shape.masks + 1 + shape.columns + shape.masks + 1)


def test_an_attempt_without_fresh_bytes_repeats_itself_or_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a broken generator the same snapshot gives the same proof, and every other one other masks."""
    monkeypatch.setattr("crossmargin_prover.randomness.secrets.token_bytes", bytes)
    rows = Records.of(csr_array(np.array(RICH[:2])), str)

    def attempt(key: int = 0, snapshot: int = 0, shard: int = 0, blinding: int = 5) -> bytes:
        public = PublicRecords(bytes([snapshot]) * 32, shape_of(2), 2, shard, bytes(32))
        return prove_records(public, rows, [blinding, 6], SystemRandomness(bytes([key]) * 32), NoPoints())

    assert attempt() == attempt()
    # Key and blinding change the masks alone: commitments are left out, so that the projections are the same ones.
    files = [attempt(), attempt(key=1), attempt(blinding=7), attempt(snapshot=1), attempt(shard=1)]
    shape = shape_of(2)
    starts = range(79, 79 + shape.projections * shape.projection_bytes, shape.projection_bytes)
    seen = [file[start : start + shape.projection_bytes] for file in files for start in starts]
    assert len(set(seen)) == len(files) * shape.projections


def test_records_of_another_shard_are_refused() -> None:
    rows = Records.of(csr_array(np.array(RICH[:2])), str)
    for public, blindings in [(public_of(1), [1]), (public_of(2), [1]), (public_of(4), [1, 2])]:
        with pytest.raises(ValueError, match="of another shard"):
            prove_records(public, rows, blindings, SystemRandomness(), NoPoints())
