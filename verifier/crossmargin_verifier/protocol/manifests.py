"""The two manifests and the files of committed points (SPEC S6, S9, section 6).

The snapshot manifest fixes the committed positions, and the venue publishes it first; a statement manifest fixes the
statement about them. Both digests are H_snapshot and H_statement of the whole file.
"""

from dataclasses import dataclass
from functools import cached_property

from crossmargin_circuits.digest import DIGEST_BYTES, tagged_hash
from crossmargin_circuits.encoding import Reader, Writer
from crossmargin_verifier.protocol.errors import LimitError, MalformedError
from crossmargin_verifier.protocol.group import POINT_BYTES
from crossmargin_verifier.protocol.limits import (
    MAX_ACCOUNTS_PER_SHARD,
    MAX_LEAVES,
    MAX_LEAVES_HERE,
    MAX_PACKING,
    MAX_SHARDS,
)

__all__ = [
    "AUXILIARY_TOTALS_FILE",
    "COLUMNS_FILE",
    "HEADER_BYTES",
    "NO_MODEL",
    "POSITIONS_FILE",
    "POSITIONS_MAGIC",
    "RELATION_FILE",
    "SLACK_FILE",
    "SLACK_MAGIC",
    "SNAPSHOT_FILE",
    "STATEMENT_FILE",
    "SUFFIX",
    "TOTALS_FILE",
    "SnapshotManifest",
    "StatementManifest",
    "point_file_body",
    "point_file_size",
    "records_file",
    "shard_file",
]

SUFFIX = ".cm2"

COLUMNS_FILE = "columns.cm2"
RELATION_FILE = "relation.cm2"
SNAPSHOT_FILE = "snapshot.cm2"
POSITIONS_FILE = "positions.cm2"
TOTALS_FILE = "totals.cm2"
STATEMENT_FILE = "statement.cm2"
SLACK_FILE = "slack.cm2"
AUXILIARY_TOTALS_FILE = "auxtotals.cm2"

NO_MODEL = bytes(DIGEST_BYTES)
"""Model digest of a statement whose policy hides no array."""

SNAPSHOT_MAGIC = b"CM2S"
STATEMENT_MAGIC = b"CM2M"
POSITIONS_MAGIC = b"CM2X"
SLACK_MAGIC = b"CM2R"
HEADER_BYTES = 6


def records_file(shard: int) -> str:
    """Return the name of the record proof of one shard (from 0)."""
    return f"records-{shard:06d}.cm2"


def shard_file(shard: int) -> str:
    """Return the name of the proof of one shard (from 0) of a statement."""
    return f"shard-{shard:06d}.cm2"


@dataclass(frozen=True)
class SnapshotManifest:
    """The commitment: snapshot id, time (Unix seconds), digest of the columns, N, n and the root over all X_i.

    n is the number of accounts: leaves from n on are empty, and hold nothing that a prover could choose.
    """

    sid: str
    as_of: int
    columns_digest: bytes
    accounts_per_shard: int
    accounts: int
    position_root: bytes

    def __post_init__(self) -> None:
        """Check V1: N a power of two, n >= 1, fewer empty leaves than accounts, S N within the limits."""
        size, accounts = self.accounts_per_shard, self.accounts
        if size < 1 or size & (size - 1):
            raise MalformedError(f"{SNAPSHOT_FILE}: {size} accounts per shard: must be a power of two")
        if accounts < 1:
            raise MalformedError(f"{SNAPSHOT_FILE}: no account")
        # S N < 2 n: no file is as long as a shard that is mostly empty, so N is bounded here.
        if size >= 2 * accounts:
            raise MalformedError(f"{SNAPSHOT_FILE}: shards of {size} accounts: too many for {accounts} accounts")
        if self.leaves > MAX_LEAVES:
            raise MalformedError(f"{SNAPSHOT_FILE}: {self.leaves} leaves: at most {MAX_LEAVES}")
        if size > MAX_ACCOUNTS_PER_SHARD or self.shards > MAX_SHARDS or self.leaves > MAX_LEAVES_HERE:
            limits = f"{MAX_SHARDS} shards, {MAX_ACCOUNTS_PER_SHARD} leaves a shard, {MAX_LEAVES_HERE} leaves"
            raise LimitError(f"{SNAPSHOT_FILE}: {self.shards} shards of {size} leaves: this verifier handles {limits}")

    @property
    def shards(self) -> int:
        """S = ceil(n / N)."""
        return -(-self.accounts // self.accounts_per_shard)

    @property
    def leaves(self) -> int:
        """S N, the accounts and the empty leaves."""
        return self.accounts_per_shard * self.shards

    def accounts_in(self, shard: int) -> int:
        """Return cnt_j, the accounts of a shard (from 0), at least 1: its first leaves."""
        return min(self.accounts_per_shard, self.accounts - shard * self.accounts_per_shard)

    @cached_property
    def encoded(self) -> bytes:
        """The bytes of `snapshot.cm2`."""
        writer = Writer(SNAPSHOT_MAGIC).string(self.sid).u64(self.as_of).raw(self.columns_digest)
        return writer.u64(self.accounts_per_shard).u64(self.accounts).raw(self.position_root).bytes()

    @cached_property
    def digest(self) -> bytes:
        """H_snapshot of the file: the venue publishes it first."""
        return tagged_hash("snapshot", self.encoded)

    @classmethod
    def decode(cls, data: bytes) -> "SnapshotManifest":
        """Parse `snapshot.cm2`.

        Raises:
            MalformedError: not canonical, or beyond the limits.
        """
        reader = Reader(data, SNAPSHOT_FILE, SNAPSHOT_MAGIC)
        sid = reader.string("snapshot id")
        as_of = reader.u64("as_of")
        columns = reader.raw(DIGEST_BYTES, "columns digest")
        size = reader.u64("accounts per shard")
        accounts = reader.u64("accounts")
        root = reader.raw(DIGEST_BYTES, "position root")
        reader.end()
        return cls(sid, as_of, columns, size, accounts, root)


@dataclass(frozen=True)
class StatementManifest:
    """The statement: digests of snapshot, relation, policy and model, gamma, root over all R_h.

    The model digest is NO_MODEL where the policy hides no array.
    """

    snapshot_digest: bytes
    relation_digest: bytes
    policy_digest: bytes
    model_digest: bytes
    packing: int
    slack_root: bytes

    def __post_init__(self) -> None:
        """Check V1: gamma in range."""
        if not 0 <= self.packing <= MAX_PACKING:
            raise MalformedError(f"{STATEMENT_FILE}: packing exponent {self.packing}: at most {MAX_PACKING}")

    @cached_property
    def encoded(self) -> bytes:
        """The bytes of `statement.cm2`."""
        writer = Writer(STATEMENT_MAGIC).raw(self.snapshot_digest).raw(self.relation_digest).raw(self.policy_digest)
        return writer.raw(self.model_digest).u8(self.packing).raw(self.slack_root).bytes()

    @cached_property
    def digest(self) -> bytes:
        """H_statement of the file: where every transcript of the statement starts."""
        return tagged_hash("statement", self.encoded)

    @classmethod
    def decode(cls, data: bytes) -> "StatementManifest":
        """Parse `statement.cm2`.

        Raises:
            MalformedError: not canonical.
        """
        reader = Reader(data, STATEMENT_FILE, STATEMENT_MAGIC)
        nouns = ("snapshot", "relation", "policy", "model")
        snapshot, relation, policy, model = (reader.raw(DIGEST_BYTES, f"{noun} digest") for noun in nouns)
        packing = reader.u8("packing exponent")
        root = reader.raw(DIGEST_BYTES, "slack root")
        reader.end()
        return cls(snapshot, relation, policy, model, packing, root)


def point_file_size(count: int) -> int:
    """Return the bytes of a file of `count` points."""
    return HEADER_BYTES + 8 + count * POINT_BYTES


def point_file_body(data: bytes, name: str, count: int) -> bytes:
    """Return the `count` encodings of `positions.cm2` or `slack.cm2` (by name), one after the other, not decoded yet.

    Raises:
        MalformedError: wrong header, count or length.
    """
    if len(data) != point_file_size(count):
        raise MalformedError(f"{name}: {len(data)} bytes: must be {point_file_size(count)} for {count} points")
    reader = Reader(data, name, POSITIONS_MAGIC if name == POSITIONS_FILE else SLACK_MAGIC)
    if reader.u64("number of points") != count:
        raise reader.refuse("number of points", f"must be {count}")
    body = reader.raw(count * POINT_BYTES, "points")
    reader.end()
    return body
