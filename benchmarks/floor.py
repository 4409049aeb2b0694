"""The least operations that a stage needs, to compare its time with theirs.

The floor of a stage is the number of its point additions and of its multiplications, times the measured cost of one:
an affine addition in a batch, a product modulo p, a product in F. Counted is what the chosen algorithms do with the
best parameters, and nothing else: no memory, no hashing, no conversion, no vector as long as an opening. J = K + Q
values of 64 bits, G = 2^gamma accounts to a slack row, N accounts to a shard, P projections of its records.
"""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from crossmargin_verifier.protocol.records import RecordShape

__all__ = [
    "Operations",
    "Sizes",
    "commit_positions",
    "commit_slacks",
    "position_uses",
    "prove",
    "prove_records",
    "verify",
]

SCALAR_BITS = 256

HALF_BITS = 128
"""Bits of a half of a scalar: the endomorphism of the curve splits a multiplication in two."""

BLINDING_WIDTH = 12
POSITION_WIDTH = 14
BUCKET_WIDTH = 15
FOLD_WIDTH = 5
"""Largest windows, in bits: beyond these, tables leave the caches."""

PIECE = 2**16
"""Points of a multiplication of the verifier."""

SQUARE_ROOT = 270
"""Products modulo p of a square root, and those that bring a point to it and from it."""

BLOCK = 16
"""Accounts that the first rounds of a record proof bind in small integers."""

FOLDS_BEFORE_MERGE = 4
LAST_LENGTH = 4

BYTE_PAIR, SCALAR_PAIR = 3, 4
"""Products of a pair (b_0, b_1) in a round, D = b_1 - b_0: e D, e D b_0, e D D, and one more to bind scalars."""


@dataclass(frozen=True)
class Sizes:
    """The inputs of a run's operation counts.

    entries: non-zero entries of all records; uses: for bits b (from 0), [entries, columns] of the columns whose largest
    entry has b bits.
    """

    accounts: int
    accounts_per_shard: int
    shards: int
    columns: int
    rows: int
    auxiliaries: int
    packing: int
    entries: int
    uses: list[list[int]]

    @property
    def values(self) -> int:
        """J."""
        return self.rows + self.auxiliaries

    @property
    def leaves(self) -> int:
        """Places of all shards, empty ones included."""
        return self.accounts_per_shard * self.shards

    @property
    def opening(self) -> int:
        """Entries of the opening of a shard, masks left out."""
        return self.columns + 64 * self.values * (1 << self.packing)

    @property
    def records(self) -> RecordShape:
        """Sizes of a record proof."""
        return RecordShape(self.accounts_per_shard, self.columns)

    @property
    def generators(self) -> int:
        """Generators of all proofs of a statement."""
        return self.opening + self.records.masks


@dataclass(frozen=True)
class Operations:
    """Point additions, products modulo p, products in F."""

    additions: float = 0.0
    base: float = 0.0
    scalar: float = 0.0

    def __add__(self, other: "Operations") -> "Operations":
        """Return the sum."""
        return Operations(self.additions + other.additions, self.base + other.base, self.scalar + other.scalar)

    def __rmul__(self, count: float) -> "Operations":
        """Return so many times these."""
        return Operations(count * self.additions, count * self.base, count * self.scalar)


def position_uses(records: csr_array) -> list[list[int]]:
    """Return, for bits b from 0, [entries, columns] of the columns whose largest entry has b bits."""
    columns = records.shape[1]
    largest = np.zeros(columns, dtype=np.int64)
    np.maximum.at(largest, records.indices, np.abs(records.data))
    entries = np.bincount(records.indices, minlength=columns)
    bits = np.array([int(value).bit_length() for value in largest])
    return [[int(entries[bits == b].sum()), int((bits == b).sum())] for b in range(int(bits.max()) + 1)]


def windows(bits: int, widest: int, uses: float = float("inf")) -> float:
    """Return the least additions for a multiple of a point that has `uses` multiples, with tables of signed windows.

    (bits + 1) / w windows of w bits, an addition each, and 2^(w-1) additions for the table of each.
    """
    return min(-(-(bits + 1) // width) * (1 + (1 << (width - 1)) / uses) for width in range(1, widest + 1))


def buckets(points: int) -> float:
    """Return the least additions of a multiplication of so many points by buckets.

    Two terms of half length for each point; with windows of w bits, in each of them all terms but the first of each
    bucket, then two additions for each bucket.
    """

    def cost(width: int) -> float:
        sums = 1 << (width - 1)
        return -(-(HALF_BITS + 1) // width) * (max(0, 2 * points - sums) + 2 * sums)

    return min(cost(width) for width in range(1, BUCKET_WIDTH + 1))


def commit_positions(sizes: Sizes) -> Operations:
    """Return the floor of S4: windows for every entry, and those of H for every account."""
    entries = sum(
        number * windows(bits, POSITION_WIDTH, number / columns)
        for bits, (number, columns) in enumerate(sizes.uses)
        if number
    )
    return Operations(additions=entries + sizes.accounts * windows(SCALAR_BITS, BLINDING_WIDTH))


def prove_records(sizes: Sizes) -> Operations:
    """Return the floor of B1 to B5 for all shards.

    The first four rounds see small integers alone, which are not counted. Then two scalars are left of each block of 16
    accounts for each projection; a pair of blocks takes two products in its round, and two to be bound. An entry of a
    record times an eq weight is a quarter of a product, once in its block and once at the end.
    """
    shape = sizes.records
    rounds = sizes.leaves // BLOCK * shape.projections * SCALAR_PAIR
    additions = sizes.shards * opening(sizes.columns + shape.masks + 1)
    return Operations(additions=additions, scalar=rounds + sizes.entries / 2)


def commit_slacks(sizes: Sizes) -> Operations:
    """Return the floor of S8: the windows of H for every slack row, and 8 additions for every value.

    Each byte of a value chooses one of the 2^8 sums of its generators.
    """
    rows = sizes.leaves >> sizes.packing
    return Operations(additions=sizes.leaves * sizes.values * 8 + rows * windows(SCALAR_BITS, BLINDING_WIDTH))


def prove(sizes: Sizes) -> Operations:
    """Return the floor of P1 to P8 for all shards.

    Sum-check, for each account: rounds 1 to 3 see 256 bytes for all accounts; rounds 4 to 6 have 4 + 2 + 1 pairs of
    bytes for each value; then J scalars are halved until one is left, and so are the accounts. The eq tables and the
    sums of blindings take a product for each account and for each slack row; an entry of a record times an eq weight
    is a quarter of a product. Opening: the nonces, then two multiplications of half of the bases for each fold, the
    bases multiplied out to a sixteenth after four folds.
    """
    pairs, count = 0, sizes.values
    while count > 1:
        count = -(-count // 2)
        pairs += count
    sumcheck = BYTE_PAIR * 7 * sizes.values + SCALAR_PAIR * (pairs + 1)
    per_account = Operations(scalar=sumcheck + 2 * (1 + 1 / (1 << sizes.packing)))
    records = Operations(scalar=sizes.entries / 4)
    return sizes.leaves * per_account + records + sizes.shards * Operations(additions=opening(sizes.opening))


def opening(length: int) -> float:
    """Return the additions of an opening of so many entries."""
    folds = max(0, (length - 1).bit_length() - 2)
    total = buckets(length)
    merged = (LAST_LENGTH << folds) >> FOLDS_BEFORE_MERGE
    for fold in range(folds):
        if fold == FOLDS_BEFORE_MERGE:
            rows = -(-length // merged)
            per_point = 2 * -(-(HALF_BITS + 1) // FOLD_WIDTH) + (1 << (FOLD_WIDTH - 1)) - 1 + HALF_BITS / rows
            total += length * per_point
        total += 2 * buckets((length if fold < FOLDS_BEFORE_MERGE else merged) // 2)
    return total


def verify(sizes: Sizes) -> Operations:
    """Return the floor of V4 to V9.

    Every committed point is decompressed and multiplied, in pieces; every generator once. In F: an eq weight, a batch
    weight and its product for every committed point, for a position both in the record proof and in the shard proof;
    and for every generator in every proof what it is in the linear form, in the folded bases, and the product with the
    batch weight.
    """
    rows = sizes.leaves >> sizes.packing
    points = sizes.accounts + rows
    piece = min(PIECE, points)
    openings = sizes.opening + sizes.columns + sizes.records.masks
    return Operations(
        additions=points / piece * buckets(piece) + buckets(sizes.generators),
        base=points * SQUARE_ROOT,
        scalar=2 * (2 * sizes.accounts + rows) + 3 * sizes.shards * openings,
    )
