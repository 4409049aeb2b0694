"""A prover that can be told to lie: it runs the honest protocol on a witness of arbitrary field elements.

Whatever the honest prover computes from records and bits goes through its backend, so that a backend with other
records and other digits turns it into a cheat, who then is as clever as the honest one everywhere else.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import chain

import numpy as np
import pytest
from scipy.sparse import csr_array

from crossmargin_circuits.layout import columns_digest, encode_columns
from crossmargin_circuits.relation import Relation
from crossmargin_prover.backend import UInt64Array
from crossmargin_prover.backend.reference import ReferenceBackend
from crossmargin_prover.point_files import encode_positions, encode_slack_rows
from crossmargin_prover.randomness import Draw, SystemRandomness
from crossmargin_prover.shard import prove_shard
from crossmargin_prover.totals import prove_auxiliary_totals, prove_base_totals
from crossmargin_prover.witness import Records, ShardWitness
from crossmargin_verifier.protocol.field import ORDER, centred, dot
from crossmargin_verifier.protocol.generators import blinding_generator, position_generators, slack_generators
from crossmargin_verifier.protocol.group import Point, encode_point, msm
from crossmargin_verifier.protocol.manifests import (
    AUXILIARY_TOTALS_FILE,
    BOOK,
    COLUMNS_FILE,
    POSITIONS_FILE,
    RELATION_FILE,
    SLACK_FILE,
    SNAPSHOT_FILE,
    STATEMENT_FILE,
    TOTALS_FILE,
    SnapshotManifest,
    StatementManifest,
    shard_file,
)
from crossmargin_verifier.protocol.merkle import shard_root, top_root
from crossmargin_verifier.protocol.polynomial import eq_table
from crossmargin_verifier.protocol.shape import Shape
from crossmargin_verifier.protocol.shard import PublicShard

RANDOMNESS = SystemRandomness()
POLICY = bytes(32)

Digits = list[list[list[int]]]
"""For every account and value 64 field elements that stand where bits should be."""


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


class FieldBackend(ReferenceBackend):
    """Holds the records and digits of one shard itself and ignores those it is given."""

    def __init__(self, records: Sequence[Sequence[int]], digits: Digits) -> None:
        self.records, self.digits = records, digits

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

    def fold_sparse(
        self, indptr: object, indices: object, data: object, columns: int, weights: Sequence[int]
    ) -> list[int]:
        return [dot(weights, [record[v] for record in self.records]) for v in range(columns)]

    def fold_bits(self, values: UInt64Array, packing: int, weights: Sequence[int]) -> list[int]:
        return [dot(weights, column) for column in zip(*self.rows(packing), strict=True)]


@dataclass
class Forger:
    """Writes all files of a statement about an arbitrary witness; nothing is checked.

    records: (S N, V) field elements; values: (S N, J) what the slacks and auxiliaries are claimed to be; digits:
    their bits unless given.
    """

    relation: Relation
    records: Sequence[Sequence[int]]
    values: Sequence[Sequence[int]]
    digits: Digits = field(default_factory=list)
    per_shard: int = 2
    packing: int = 0
    mode: int = BOOK
    totals: tuple[int, ...] = ()
    open_totals: bool = True
    backend: Callable[[Sequence[Sequence[int]], Digits], FieldBackend] = FieldBackend

    def __post_init__(self) -> None:
        self.digits = self.digits or digits_of(self.values)
        self.totals = self.totals or tuple(
            centred(sum(record[v] for record in self.records)) for v in range(len(self.relation.columns))
        )
        leaves = len(self.records)
        rows = leaves >> self.packing
        starts = range(0, leaves, self.per_shard)
        parts = [slice(start, start + self.per_shard) for start in starts]
        self.backends = [self.backend(self.records[part], self.digits[part]) for part in parts]
        self.r = RANDOMNESS.scalars(Draw.SLACK, 0, 0, leaves, b"")
        self.s = RANDOMNESS.scalars(Draw.SLACK, 0, 0, rows, b"")
        empty = csr_array((self.per_shard, len(self.relation.columns)), dtype=np.int64)
        self.placeholder = Records.of(empty, str)
        array = np.array(self.values, dtype=np.uint64).reshape(leaves, self.relation.values)

        positions: list[bytes] = []
        slack: list[bytes] = []
        per_row = self.per_shard >> self.packing
        for number, (backend, part) in enumerate(zip(self.backends, parts, strict=True)):
            committed = backend.commit_sparse(None, None, None, self.r[part])
            positions += map(encode_point, committed)
            blindings = self.s[number * per_row : (number + 1) * per_row]
            slack += map(encode_point, backend.commit_bits(array[part], self.packing, blindings))
        self.array, self.per_row = array, per_row
        self.position_roots = self.roots(positions, self.per_shard)
        self.slack_roots = self.roots(slack, per_row)
        self.manifest = SnapshotManifest(
            "forged",
            1,
            columns_digest(self.relation.columns),
            self.per_shard,
            len(parts),
            top_root(self.position_roots),
        )
        self.statement = StatementManifest(
            self.manifest.digest, self.relation.digest, POLICY, self.packing, self.mode, top_root(self.slack_roots)
        )
        self.files = {
            COLUMNS_FILE: encode_columns(self.relation.columns),
            SNAPSHOT_FILE: self.manifest.encoded,
            POSITIONS_FILE: encode_positions(b"".join(positions)),
            RELATION_FILE: self.relation.encoded,
            STATEMENT_FILE: self.statement.encoded,
            SLACK_FILE: encode_slack_rows(b"".join(slack)),
        }

    @staticmethod
    def roots(encodings: list[bytes], per_shard: int) -> list[bytes]:
        starts = range(0, len(encodings), per_shard)
        return [shard_root(b"".join(encodings[start : start + per_shard])) for start in starts]

    def public(self, shard: int) -> PublicShard:
        shape = Shape.of(self.manifest, self.statement, self.relation)
        roots = self.position_roots[shard], self.slack_roots[shard]
        return PublicShard(self.statement.digest, self.relation, shape, shard, *roots)

    def witness(self, shard: int) -> ShardWitness:
        start = shard * self.per_shard
        return ShardWitness(
            self.placeholder,
            self.array[start : start + self.per_shard],
            self.r[start : start + self.per_shard],
            self.s[shard * self.per_row : (shard + 1) * self.per_row],
        )

    def prove(self) -> dict[str, bytes]:
        """Return all files."""
        for shard, backend in enumerate(self.backends):
            self.files[shard_file(shard)] = prove_shard(self.public(shard), self.witness(shard), RANDOMNESS, backend)
        if self.open_totals:
            (nonce,) = RANDOMNESS.scalars(Draw.TOTALS, 0, 0, 1, b"")
            self.files[TOTALS_FILE] = prove_base_totals(
                self.manifest.digest, self.totals, sum(self.r), nonce, self.backends[0]
            )
            if self.relation.disclosed:
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
