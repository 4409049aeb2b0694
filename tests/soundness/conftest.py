"""A prover that can be told to lie: it runs the honest protocol on a witness of arbitrary field elements.

Whatever the honest prover computes from records and bits goes through its backend, so that a backend with other
records and other digits turns it into a cheat, who then is as clever as the honest one everywhere else. What can be
bent, and where:

    X_i, R_h                FieldBackend.commit_sparse, commit_bits
    C_M of either proof     FieldBackend.bend_mask_commitment; `stage` tells which
    o_M of a record proof   FieldBackend.bend_masks, after `predict(proj=...)` also with sigma known
    z_l                     FieldBackend.bend_projections, after `predict(**{"lambda": ...})` also with lambda known
    rounds of either proof  FieldBackend.record_sumcheck, bit_sumcheck
    o of either opening     FieldRecordSumcheck.record; FieldBackend.fold_sparse, fold_bits
    challenges              predict, on both sides
    n, cnt, empty leaves    Forger(accounts=...), more records or values than accounts, Forger.public
    another statement       Forger(base=...): about the snapshot of another forger, with its blindings
    weights of the batch    verify(..., draw=...)
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from scipy.sparse import csr_array

from crossmargin_circuits.layout import columns_digest, encode_columns
from crossmargin_circuits.relation import Relation
from crossmargin_prover.backend import UInt64Array, select_backend
from crossmargin_prover.backend.reference import ReferenceBackend
from crossmargin_prover.masks import RecordMasks
from crossmargin_prover.point_files import encode_positions, encode_slack_rows
from crossmargin_prover.randomness import Draw, SystemRandomness
from crossmargin_prover.records import prove_records
from crossmargin_prover.shard import prove_shard
from crossmargin_prover.totals import prove_auxiliary_totals, prove_base_totals
from crossmargin_prover.witness import Records, ShardWitness
from crossmargin_verifier.protocol.arithmetic import PLAIN
from crossmargin_verifier.protocol.errors import RejectedError
from crossmargin_verifier.protocol.field import ORDER, dot
from crossmargin_verifier.protocol.files import SnapshotFiles, StatementFiles
from crossmargin_verifier.protocol.generators import blinding_generator, position_generators, slack_generators
from crossmargin_verifier.protocol.group import Point, encode_point, msm
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
from crossmargin_verifier.protocol.merkle import shard_root, top_root
from crossmargin_verifier.protocol.polynomial import eq_table, powers
from crossmargin_verifier.protocol.records import PublicRecords, RecordShape
from crossmargin_verifier.protocol.shape import Shape
from crossmargin_verifier.protocol.shard import PublicShard
from crossmargin_verifier.protocol.transcript import Transcript
from crossmargin_verifier.protocol.verify import ClaimedStatement, verify_statements

RANDOMNESS = SystemRandomness()
POLICY = bytes(32)
FASTEST = select_backend()
RECORDS, SHARD = "records", "shard"
"""Stages of a forger: the proof that is being made."""

Digits = list[list[list[int]]]
"""For every account and value 64 field elements that stand where bits should be."""


def centred(value: int) -> int:
    """Return the representative of a field element that is least in magnitude."""
    return (value + ORDER // 2) % ORDER - ORDER // 2


def digits_of(values: Sequence[Sequence[int]]) -> Digits:
    """Return the bits of 64-bit values."""
    return [[[value >> bit & 1 for bit in range(64)] for value in row] for row in values]


class PlainSumcheck:
    """The sum-check over a dense table of arbitrary field elements."""

    def __init__(self, digits: Digits, tau: Sequence[int], mask: int) -> None:
        width = 1 << (len(digits[0]) - 1).bit_length()
        self.table = [entry for row in digits for value in [*row, *[[0] * 64] * (width - len(row))] for entry in value]
        self.tau, self.mask, self.done = tau, mask, 0

    def round(self) -> list[int]:
        weights = eq_table(self.tau[self.done + 1 :])
        pairs = list(zip(self.table[0::2], self.table[1::2], strict=True))
        linear = sum(e * (b - a) * (2 * a - 1) for e, (a, b) in zip(weights, pairs, strict=True))
        square = sum(e * (b - a) ** 2 for e, (a, b) in zip(weights, pairs, strict=True))
        if self.done:
            return [linear % ORDER, square % ORDER]
        lows = sum(e * a for e, (a, _) in zip(weights, pairs, strict=True))
        steps = sum(e * (b - a) for e, (a, b) in zip(weights, pairs, strict=True))
        m = self.mask
        first = linear + 2 * m * lows - m
        second = square + m * m + 2 * m * (steps - lows) + m
        return [entry % ORDER for entry in (first, second, -2 * m * m - 2 * m * steps, m * m)]

    def bind(self, challenge: int) -> None:
        shift = self.mask * challenge * (1 - challenge) if self.done == 0 else 0
        self.table = [
            (a + challenge * (b - a) + shift) % ORDER for a, b in zip(self.table[0::2], self.table[1::2], strict=True)
        ]
        self.done += 1

    @property
    def value(self) -> int:
        return self.table[0]


class FieldRecordSumcheck:
    """The sum-check over projections of records that are arbitrary field elements, in dense tables."""

    def __init__(self, backend: "FieldBackend", accounts: int, columns: int, alpha: bytes, beta: bytes) -> None:
        block = len(beta) // columns
        self.backend, self.block = backend, block
        self.bits = [int.from_bytes(alpha[start : start + block], "little") for start in range(0, len(alpha), block)]
        self.chosen = [int.from_bytes(beta[start : start + block], "little") for start in range(0, len(beta), block)]
        held = [list(record) for record in backend.records[:accounts]]
        self.records: list[list[int]] = [*held, *[[0] * columns] * (len(self.bits) - len(held))]
        self.matrix: list[list[int]] = []

    def entry(self, account: int, column: int, weights: Sequence[int]) -> int:
        """Return sum_l weights_l R_l(i, v)."""
        both = self.bits[account] & self.chosen[column]
        return sum(weight for number, weight in enumerate(weights) if both >> number & 1) % ORDER

    @property
    def projections(self) -> list[int]:
        """What makes z_l of the masks those that the backend wants to send."""
        masks = self.backend.record_masks.projections
        sums = [0] * (8 * self.block)
        for bits, record in zip(self.bits, self.records, strict=True):
            for chosen, value in zip(self.chosen, record, strict=True):
                both = bits & chosen
                sums = [total + value * (both >> number & 1) for number, total in enumerate(sums)]
        z = [centred(total + mask) for total, mask in zip(sums, masks, strict=True)]
        sent = self.backend.bend_projections(z)
        return [value - mask for value, mask in zip(sent, masks, strict=True)]

    def combine(self, challenge: int) -> None:
        weights = powers(challenge, 8 * self.block)
        self.matrix = [
            [self.entry(account, column, weights) for column in range(len(self.chosen))]
            for account in range(len(self.bits))
        ]

    def round(self) -> tuple[int, int]:
        first = second = 0
        for low, high, row, other in zip(
            self.matrix[0::2], self.matrix[1::2], self.records[0::2], self.records[1::2], strict=True
        ):
            for a, b, x, y in zip(low, high, row, other, strict=True):
                first += a * (y - x) + (b - a) * x
                second += (b - a) * (y - x)
        return first % ORDER, second % ORDER

    def bind(self, challenge: int) -> None:
        self.matrix, self.records = (
            [
                [(a + challenge * (b - a)) % ORDER for a, b in zip(low, high, strict=True)]
                for low, high in zip(table[0::2], table[1::2], strict=True)
            ]
            for table in (self.matrix, self.records)
        )

    @property
    def record(self) -> list[int]:
        """x*, once every variable is bound."""
        return [entry % ORDER for entry in self.records[0]]

    @property
    def weights(self) -> list[int]:
        """Those of x* in the opening, once every variable is bound."""
        return self.matrix[0]


class FieldBackend(ReferenceBackend):
    """Holds the records and digits of one shard itself and ignores those it is given."""

    stage = ""
    """RECORDS or SHARD, while that proof is made."""
    record_masks: RecordMasks
    """o_M of the record proof that is being made."""

    def __init__(self, records: Sequence[Sequence[int]], digits: Digits) -> None:
        self.records, self.digits = records, digits
        self._is_first = False

    def begin(self, stage: str) -> None:
        """Note that a proof begins: its first multi-scalar multiplication is C_M."""
        self.stage, self._is_first = stage, True

    # What a cheat overrides.

    def bend_mask_commitment(self, point: Point) -> Point:
        """Return the C_M to send for the honest one."""
        return point

    def bend_masks(self, masks: RecordMasks) -> RecordMasks:
        """Return the masks of a record proof to use for the honest ones; any field elements."""
        return masks

    def bend_projections(self, z: list[int]) -> list[int]:
        """Return the z_l to send for the true ones (centred); only those from 0 on below 256^b can be sent."""
        limit = 1 << 8 * self.projection_bytes
        return [value if 0 <= value < limit else value % limit for value in z]

    @property
    def projection_bytes(self) -> int:
        return RecordShape(self.per_shard, len(self.records[0])).projection_bytes

    per_shard = 2
    """N, set by the forger."""

    # What the honest prover calls.

    def msm(self, scalars: Sequence[int], points: Sequence[Point]) -> Point:
        point = FASTEST.msm([scalar % ORDER for scalar in scalars], points)
        if self._is_first:
            self._is_first = False
            return self.bend_mask_commitment(point)
        return point

    def fold_points(self, rows: Sequence[Sequence[Point]], weights: Sequence[int]) -> list[Point]:
        return FASTEST.fold_points(rows, weights)

    def commit_sparse(self, indptr: object, indices: object, data: object, blindings: Sequence[int]) -> list[Point]:
        bases = [*position_generators(len(self.records[0])), blinding_generator()]
        return [msm([*record, r], bases) for record, r in zip(self.records, blindings, strict=True)]

    def rows(self, packing: int) -> list[list[int]]:
        flat = [[digit for value in account for digit in value] for account in self.digits]
        size = 1 << packing
        return [list(chain.from_iterable(flat[start : start + size])) for start in range(0, len(flat), size)]

    def commit_bits(self, values: UInt64Array, packing: int, blindings: Sequence[int]) -> list[Point]:
        bases = [*slack_generators(values.shape[1], packing), blinding_generator()]
        return [msm([*row, s], bases) for row, s in zip(self.rows(packing), blindings, strict=True)]

    def bit_sumcheck(self, values: UInt64Array, tau: Sequence[int], mask: int) -> PlainSumcheck:  # type: ignore[override]
        return PlainSumcheck(self.digits, tau, mask)

    def record_sumcheck(  # type: ignore[override]
        self, indptr: Sequence[int], indices: object, data: object, columns: int, alpha: bytes, beta: bytes
    ) -> FieldRecordSumcheck:
        return FieldRecordSumcheck(self, len(indptr) - 1, columns, alpha, beta)

    def fold_sparse(
        self, indptr: object, indices: object, data: object, columns: int, weights: Sequence[int]
    ) -> list[int]:
        held = self.records[: len(weights)]
        return [dot(weights, [record[v] for record in held]) for v in range(columns)]

    def fold_bits(self, values: UInt64Array, packing: int, weights: Sequence[int]) -> list[int]:
        return [dot(weights, column) for column in zip(*self.rows(packing), strict=True)]


@dataclass
class Forger:
    """Writes all files of a snapshot and of a statement about an arbitrary witness; nothing is checked.

    records: (n, V) field elements; values: (n, J) what the slacks and auxiliaries are claimed to be, or more rows for
    empty leaves, which otherwise have zeros; digits: the bits of all values unless given; accounts: n of the manifest,
    unless that of the records; base: another forger, whose snapshot this statement is about. The files of both folders
    are in one mapping, since no name is in both.
    """

    relation: Relation
    records: Sequence[Sequence[int]]
    values: Sequence[Sequence[int]]
    digits: Digits = field(default_factory=list)
    per_shard: int = 2
    packing: int = 0
    accounts: int = 0
    totals: tuple[int, ...] = ()
    open_totals: bool = True
    backend: Callable[[Sequence[Sequence[int]], Digits], FieldBackend] = FieldBackend
    base: "Forger | None" = None

    def __post_init__(self) -> None:
        self.accounts = self.accounts or len(self.records)
        shards = -(-self.accounts // self.per_shard)
        leaves = shards * self.per_shard
        self.values = [*self.values, *[[0] * self.relation.values] * (leaves - len(self.values))]
        given = self.digits or digits_of(self.values)
        self.digits = [*given, *digits_of([[0] * self.relation.values] * (leaves - len(given)))]
        self.totals = self.totals or tuple(
            centred(sum(record[v] for record in self.records)) for v in range(len(self.relation.columns))
        )
        # The last shard takes what is over.
        starts = [shard * self.per_shard for shard in range(shards)]
        self.parts = [slice(start, start + self.per_shard) for start in starts]
        held = [*self.parts[:-1], slice(starts[-1], None)]
        self.backends = [self.backend(self.records[a], self.digits[b]) for a, b in zip(held, self.parts, strict=True)]
        for backend in self.backends:
            backend.per_shard = self.per_shard
        self.per_row = self.per_shard >> self.packing
        self.array = np.array(self.values, dtype=np.uint64).reshape(leaves, self.relation.values)
        self.s = RANDOMNESS.scalars(Draw.SLACK, 0, 0, leaves >> self.packing, b"")

        self.files: dict[str, bytes] = {}
        if self.base is None:
            self.r = RANDOMNESS.scalars(Draw.SLACK, 0, 0, len(self.records), b"")
            committed = [
                [encode_point(point) for point in backend.commit_sparse(None, None, None, self.r[part])]
                for backend, part in zip(self.backends, held, strict=True)
            ]
            self.position_roots = [self.root(encodings, self.per_shard) for encodings in committed]
            self.manifest = SnapshotManifest(
                "forged",
                1,
                columns_digest(self.relation.columns),
                self.per_shard,
                self.accounts,
                top_root(self.position_roots),
            )
            self.files |= {
                COLUMNS_FILE: encode_columns(self.relation.columns),
                SNAPSHOT_FILE: self.manifest.encoded,
                POSITIONS_FILE: encode_positions(b"".join(chain.from_iterable(committed))),
            }
        else:
            self.r, self.manifest, self.position_roots = self.base.r, self.base.manifest, self.base.position_roots
            self.files |= {name: data for name, data in self.base.files.items() if is_of_snapshot(name)}

        slack = [
            [
                encode_point(point)
                for point in backend.commit_bits(self.array[part], self.packing, self.row_blindings(n))
            ]
            for n, (backend, part) in enumerate(zip(self.backends, self.parts, strict=True))
        ]
        self.slack_roots = [self.root(encodings, self.per_row) for encodings in slack]
        self.statement = StatementManifest(
            self.manifest.digest, self.relation.digest, POLICY, NO_MODEL, self.packing, top_root(self.slack_roots)
        )
        self.files |= {
            RELATION_FILE: self.relation.encoded,
            STATEMENT_FILE: self.statement.encoded,
            SLACK_FILE: encode_slack_rows(b"".join(chain.from_iterable(slack))),
        }

    @staticmethod
    def root(encodings: list[bytes], leaves: int) -> bytes:
        """Return the root of a shard; of more points than leaves, that of a tree that holds them all."""
        while leaves < len(encodings):
            leaves *= 2
        return shard_root(b"".join(encodings), leaves)

    def row_blindings(self, shard: int) -> list[int]:
        return self.s[shard * self.per_row : (shard + 1) * self.per_row]

    def blindings(self, shard: int) -> list[int]:
        """Return r_i of the accounts of a shard, as many as the manifest counts."""
        start = shard * self.per_shard
        return self.r[start : start + self.manifest.accounts_in(shard)]

    def placeholder(self, shard: int) -> Records:
        """Return records that stand for those of the backend."""
        accounts = len(self.blindings(shard))
        return Records.of(csr_array((accounts, len(self.relation.columns)), dtype=np.int64), str)

    def public_records(self, shard: int) -> PublicRecords:
        shape = RecordShape(self.per_shard, len(self.relation.columns))
        accounts = self.manifest.accounts_in(shard)
        return PublicRecords(self.manifest.digest, shape, accounts, shard, self.position_roots[shard])

    def public(self, shard: int) -> PublicShard:
        shape = Shape.of(self.manifest, self.statement, self.relation)
        accounts = self.manifest.accounts_in(shard)
        roots = self.position_roots[shard], self.slack_roots[shard]
        return PublicShard(self.statement.digest, self.relation, shape, accounts, shard, *roots)

    def witness(self, shard: int) -> ShardWitness:
        part = self.parts[shard]
        return ShardWitness(self.placeholder(shard), self.array[part], self.blindings(shard), self.row_blindings(shard))

    def prove_records(self, shard: int) -> bytes:
        """Return the record proof of a shard."""
        backend = self.backends[shard]
        draw = RecordMasks.draw

        def drawn(*given: Any) -> RecordMasks:
            backend.record_masks = backend.bend_masks(draw(*given))
            return backend.record_masks

        backend.begin(RECORDS)
        with patch.object(RecordMasks, "draw", drawn):
            return prove_records(
                self.public_records(shard), self.placeholder(shard), self.blindings(shard), RANDOMNESS, backend
            )

    def prove_shard(self, shard: int) -> bytes:
        """Return the proof of a shard."""
        self.backends[shard].begin(SHARD)
        return prove_shard(self.public(shard), self.witness(shard), RANDOMNESS, self.backends[shard])

    def prove(self) -> dict[str, bytes]:
        """Return all files; those of a snapshot that another forger made are taken as they are."""
        if self.base is None:
            for shard in range(len(self.backends)):
                self.files[records_file(shard)] = self.prove_records(shard)
            if self.open_totals:
                (nonce,) = RANDOMNESS.scalars(Draw.TOTALS, 0, 0, 1, b"")
                self.files[TOTALS_FILE] = prove_base_totals(
                    self.manifest.digest, self.totals, sum(self.r), nonce, self.backends[0]
                )
        for shard in range(len(self.backends)):
            self.files[shard_file(shard)] = self.prove_shard(shard)
        if self.open_totals and self.relation.disclosed:
            whole = self.backend(self.records, self.digits)
            sums = whole.fold_bits(self.array, self.packing, [1] * len(self.s))
            disclosed = self.array[:, [len(self.relation.rows) + number for number in self.relation.disclosed]]
            self.files[AUXILIARY_TOTALS_FILE] = prove_auxiliary_totals(
                self.statement.digest,
                self.relation,
                self.packing,
                [sum(column) for column in disclosed.T.tolist()],
                sums,
                sum(self.s),
                RANDOMNESS,
                b"",
                whole,
            )
        return self.files


def is_of_snapshot(name: str) -> bool:
    """Return whether a file belongs to the folder of the snapshot."""
    of_statement = (RELATION_FILE, STATEMENT_FILE, SLACK_FILE, AUXILIARY_TOTALS_FILE)
    return name not in of_statement and not name.startswith("shard-")


@dataclass(frozen=True)
class Shown:
    """What verified files show."""

    totals: tuple[int, ...] | None
    auxiliary_totals: tuple[int, ...] | None


def verify_files(files: dict[str, bytes], relation: Relation, **options: Any) -> Shown:
    """Verify the files of a snapshot and of one statement about it."""
    of_snapshot = {name: data for name, data in files.items() if is_of_snapshot(name)}
    rest = {name: data for name, data in files.items() if not is_of_snapshot(name)}
    claimed = {"forged": ClaimedStatement(StatementFiles(rest), relation, POLICY)}
    shown = verify_statements(SnapshotFiles(of_snapshot), claimed, **{"arithmetic": FASTEST.arithmetic, **options})
    return Shown(shown.totals, shown.statements["forged"].auxiliary_totals)


def predict_challenges(monkeypatch: pytest.MonkeyPatch, **values: int | bytes | Callable[[int], int]) -> None:
    """Let the challenges of these labels, and the seed of label "proj", be known beforehand, on both sides.

    A function gets the number of the draw of that label in its transcript, from 0.
    """
    challenge, seed = Transcript.challenge, Transcript.seed
    drawn: dict[tuple[int, str], int] = {}

    def predicted(self: Transcript, label: str) -> int:
        value = challenge(self, label)
        chosen = values.get(label)
        if chosen is None:
            return value
        if callable(chosen):
            number = drawn.get((id(self), label), 0)
            drawn[id(self), label] = number + 1
            return chosen(number)
        assert isinstance(chosen, int)
        return chosen

    def predicted_seed(self: Transcript, label: str) -> bytes:
        value, chosen = seed(self, label), values.get(label)
        return chosen if isinstance(chosen, bytes) else value

    monkeypatch.setattr(Transcript, "challenge", predicted)
    monkeypatch.setattr(Transcript, "seed", predicted_seed)


@pytest.fixture
def verify(judge: Any) -> Callable[..., Shown]:
    return partial(verify_files, arithmetic=judge)


@pytest.fixture
def rejected(verify: Callable[..., Shown]) -> Callable[..., RejectedError]:
    """Return the rejection of files in a step."""

    def rejection(files: dict[str, bytes], relation: Relation, step: str, **options: Any) -> RejectedError:
        with pytest.raises(RejectedError) as caught:
            verify(files, relation, **options)
        assert caught.value.step == step
        return caught.value

    return rejection


@pytest.fixture(
    params=[
        pytest.param(FASTEST.arithmetic, id="fastest"),
        *([] if FASTEST.arithmetic is PLAIN else [pytest.param(PLAIN, id="plain", marks=pytest.mark.slow)]),
    ]
)
def judge(request: pytest.FixtureRequest) -> Any:
    """The arithmetic of the verifier: the fastest one; the campaigns verify in plain Python too."""
    return request.param


@pytest.fixture(scope="session")
def predict() -> Callable[..., None]:
    return predict_challenges


@pytest.fixture(scope="session")
def forger() -> type[Forger]:
    return Forger


@pytest.fixture(scope="session")
def field_backend() -> type[FieldBackend]:
    return FieldBackend


@pytest.fixture(scope="session")
def plain_sumcheck() -> type[PlainSumcheck]:
    return PlainSumcheck


@pytest.fixture(scope="session")
def bits() -> Callable[[Sequence[Sequence[int]]], Digits]:
    return digits_of
