"""Every size of a statement, computed from its counts alone (SPEC section 1, P1, P6, section 6).

A verifier takes the counts from the snapshot, the statement manifest and its own relation, never from a proof.
"""

from dataclasses import dataclass

from crossmargin_circuits.relation import VALUE_BITS, Relation
from crossmargin_verifier.protocol.errors import MalformedError
from crossmargin_verifier.protocol.field import SCALAR_BYTES
from crossmargin_verifier.protocol.group import POINT_BYTES
from crossmargin_verifier.protocol.limits import (
    MAX_COLUMNS,
    MAX_PROJECTION_BYTES,
    MAX_SLACK_GENERATORS,
)
from crossmargin_verifier.protocol.manifests import (
    BOUNDED,
    HEADER_BYTES,
    STATEMENT_FILE,
    SnapshotManifest,
    StatementManifest,
)

__all__ = ["BIT_VARIABLES", "LAST_LENGTH", "PROJECTIONS", "Shape", "folds", "opening_size"]

PROJECTIONS = 128
"""Random projections of a bounded proof: soundness 2^-128."""

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
    mode: int

    def __post_init__(self) -> None:
        """Check that the counts fit together (SPEC V1), and stay within this verifier's limits."""
        if self.packing > self.account_bits:
            raise MalformedError(
                f"{STATEMENT_FILE}: packing exponent {self.packing}: a shard has only 2^{self.account_bits} accounts"
            )
        if self.columns > MAX_COLUMNS:
            raise MalformedError(f"{self.columns} columns: this verifier handles {MAX_COLUMNS}")
        if self.slack_length > MAX_SLACK_GENERATORS:
            raise MalformedError(
                f"{self.slack_length} bits in a slack row: this verifier handles {MAX_SLACK_GENERATORS}"
            )
        if self.bounded and 16 * self.leaves * self.columns > MAX_PROJECTION_BYTES:
            raise MalformedError(
                f"bounded statement: this verifier handles {MAX_PROJECTION_BYTES // 16} record entries"
            )

    @classmethod
    def of(cls, snapshot: SnapshotManifest, statement: StatementManifest, relation: Relation) -> "Shape":
        """Return the shape of a statement about a snapshot.

        Raises:
            MalformedError: the counts do not fit together, or exceed the limits.
        """
        return cls(
            accounts_per_shard=snapshot.accounts_per_shard,
            shards=snapshot.shards,
            columns=len(relation.columns),
            auxiliaries=len(relation.auxiliaries),
            disclosed=len(relation.disclosed),
            rows=len(relation.rows),
            packing=statement.packing,
            mode=statement.mode,
        )

    @property
    def bounded(self) -> bool:
        """Whether the statement is in bounded mode."""
        return self.mode == BOUNDED

    @property
    def leaves(self) -> int:
        """S N, all accounts."""
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
    def mask_bits(self) -> int:
        """Y, bits of the masks of the projections."""
        entries = self.accounts_per_shard * self.columns
        return 62 + entries.bit_length() + 88

    @property
    def masks(self) -> int:
        """m, entries of o_M."""
        return 2 * self.variables + 3 + (2 * self.account_bits + PROJECTIONS if self.bounded else 0)

    @property
    def opening_length(self) -> int:
        """l_0 = V + 64 J G + m + 1, entries of the opening of a shard."""
        return self.columns + self.slack_length + self.masks + 1

    @property
    def auxiliary_opening_length(self) -> int:
        """64 J G + 1, entries of the opening of the auxiliary totals."""
        return self.slack_length + 1

    @property
    def shard_size(self) -> int:
        """Bytes of one shard file."""
        scalars = sum(self.degrees) + 1
        if self.bounded:
            scalars += PROJECTIONS + 2 * self.account_bits
        fixed = HEADER_BYTES + 32 + 8 + POINT_BYTES
        return fixed + scalars * SCALAR_BYTES + opening_size(self.opening_length)

    @property
    def totals_size(self) -> int:
        """Bytes of `totals.cm1`."""
        return HEADER_BYTES + 32 + 4 + 16 * self.columns + POINT_BYTES + SCALAR_BYTES

    @property
    def auxiliary_totals_size(self) -> int:
        """Bytes of `auxtotals.cm1`."""
        return HEADER_BYTES + 32 + 4 + 16 * self.disclosed + opening_size(self.auxiliary_opening_length)
