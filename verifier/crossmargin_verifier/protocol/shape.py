"""Every size of a statement, computed from its counts alone (SPEC sections 1 and 6).

A verifier takes the counts from the snapshot, the statement manifest and its own relation, never from a proof.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from crossmargin_circuits.relation import VALUE_BITS, Relation
from crossmargin_verifier.protocol.errors import LimitError, MalformedError
from crossmargin_verifier.protocol.field import SCALAR_BYTES
from crossmargin_verifier.protocol.group import POINT_BYTES
from crossmargin_verifier.protocol.limits import MAX_SLACK_GENERATORS
from crossmargin_verifier.protocol.manifests import (
    HEADER_BYTES,
    STATEMENT_FILE,
    SnapshotManifest,
    StatementManifest,
)

__all__ = ["BIT_VARIABLES", "LAST_LENGTH", "Shape", "folds", "opening_size", "totals_size", "values_by_place"]

LAST_LENGTH = 4
"""Length at which folding stops and the prover sends the scalars."""

BIT_VARIABLES = VALUE_BITS.bit_length() - 1
"""Variables that number the bit of a value."""


def folds(length: int) -> int:
    """Return the number of foldings of an opening of `length` entries: log2 of the padded length, less 2."""
    return max(0, (length - 1).bit_length() - 2)


def opening_size(length: int) -> int:
    """Return the bytes of OPEN(length)."""
    return POINT_BYTES + SCALAR_BYTES + folds(length) * 2 * POINT_BYTES + LAST_LENGTH * SCALAR_BYTES


def totals_size(columns: int) -> int:
    """Return the bytes of `totals.cm2`."""
    return HEADER_BYTES + 32 + 4 + 16 * columns + POINT_BYTES + SCALAR_BYTES


@dataclass(frozen=True)
class Shape:
    """Counts of a statement: N accounts a shard, S shards, V columns, Q auxiliaries, Q' disclosed, K rows, gamma."""

    accounts_per_shard: int
    shards: int
    columns: int
    auxiliaries: int
    disclosed: int
    rows: int
    packing: int

    def __post_init__(self) -> None:
        """Check that the counts fit together (SPEC V1), and stay within this verifier's limits."""
        if self.packing > self.account_bits:
            raise MalformedError(f"{STATEMENT_FILE}: packing exponent {self.packing}: at most {self.account_bits} here")
        if self.slack_length > MAX_SLACK_GENERATORS:
            raise LimitError(f"{self.slack_length} bits in a slack row: this verifier handles {MAX_SLACK_GENERATORS}")

    @classmethod
    def of(cls, snapshot: SnapshotManifest, statement: StatementManifest, relation: Relation) -> "Shape":
        """Return the shape of a statement about a snapshot.

        Raises:
            MalformedError: the counts do not fit together. LimitError: they exceed the limits.
        """
        sizes = snapshot.accounts_per_shard, snapshot.shards, len(relation.columns)
        counts = len(relation.auxiliaries), len(relation.disclosed), len(relation.rows)
        return cls(*sizes, *counts, statement.packing)

    @property
    def leaves(self) -> int:
        """S N, the accounts and the empty leaves."""
        return self.accounts_per_shard * self.shards

    @property
    def account_bits(self) -> int:
        """nu, variables that number the account in a shard."""
        return self.accounts_per_shard.bit_length() - 1

    @property
    def values(self) -> int:
        """J = K + Q, committed 64-bit values of one account."""
        return self.rows + self.auxiliaries

    @property
    def value_variables(self) -> int:
        """kappa = ceil(log2 J), variables that number the value."""
        return (self.values - 1).bit_length()

    @property
    def variables(self) -> int:
        """n = 6 + kappa + nu: bit, then value, then account, low bit first."""
        return BIT_VARIABLES + self.value_variables + self.account_bits

    @property
    def first_account_variable(self) -> int:
        """6 + kappa, the 0-based number of the first account variable."""
        return BIT_VARIABLES + self.value_variables

    @property
    def slack_rows_per_shard(self) -> int:
        """N / G."""
        return self.accounts_per_shard >> self.packing

    @property
    def slack_length(self) -> int:
        """64 J G, bits of one slack row."""
        return VALUE_BITS * self.values << self.packing

    @property
    def degrees(self) -> tuple[int, ...]:
        """D_1 .. D_n, coefficients sent per round without the constant one."""
        return (4,) + (2,) * (self.variables - 1)

    @property
    def masks(self) -> int:
        """m, entries of o_M."""
        return 2 * self.variables + 3

    @property
    def opening_length(self) -> int:
        """l_0 = V + 64 J G + m + 1, entries of the opening of a shard."""
        return self.columns + self.slack_length + self.masks + 1

    @property
    def shard_size(self) -> int:
        """Bytes of one shard file."""
        sent = (sum(self.degrees) + 1) * SCALAR_BYTES
        return HEADER_BYTES + 32 + 8 + POINT_BYTES + sent + opening_size(self.opening_length)

    @property
    def auxiliary_totals_size(self) -> int:
        """Bytes of `auxtotals.cm2`."""
        return HEADER_BYTES + 32 + 4 + 16 * self.disclosed + opening_size(self.slack_length + 1)


def values_by_place(shapes: Sequence[Shape]) -> list[int]:
    """Return the most values of an account at each place of a slack row, over all statements that have the place."""
    places = range(max((1 << shape.packing for shape in shapes), default=0))
    return [max(shape.values for shape in shapes if place < 1 << shape.packing) for place in places]
