"""The two manifests and the files of committed points (SPEC S6, S9, section 6).

The snapshot manifest fixes the committed positions, and the venue publishes it first; a statement manifest fixes the
statement about them. Both digests are H_snapshot and H_statement of the whole file.
"""

from dataclasses import dataclass
from functools import cached_property

from crossmargin_circuits.digest import DIGEST_BYTES, tagged_hash
from crossmargin_circuits.encoding import Reader, Writer
from crossmargin_verifier.protocol.errors import MalformedError
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
    "BOOK",
    "BOUNDED",
    "COLUMNS_FILE",
    "HEADER_BYTES",
    "POSITIONS_FILE",
    "POSITIONS_MAGIC",
    "RELATION_FILE",
    "SLACK_FILE",
    "SLACK_MAGIC",
    "SNAPSHOT_FILE",
    "STATEMENT_FILE",
    "TOTALS_FILE",
    "SnapshotManifest",
    "StatementManifest",
    "point_file_body",
    "point_file_size",
    "shard_file",
]

COLUMNS_FILE = "columns.cm1"
RELATION_FILE = "relation.cm1"
SNAPSHOT_FILE = "snapshot.cm1"
POSITIONS_FILE = "positions.cm1"
TOTALS_FILE = "totals.cm1"
STATEMENT_FILE = "statement.cm1"
SLACK_FILE = "slack.cm1"
AUXILIARY_TOTALS_FILE = "auxtotals.cm1"

BOOK = 0
"""Mode of a statement about the whole book: rows hold modulo r, and the disclosed totals make them hold over the
integers."""
BOUNDED = 1
"""Mode that also proves every record to consist of small integers (SPEC section 5)."""

SNAPSHOT_MAGIC = b"CM1S"
STATEMENT_MAGIC = b"CM1M"
POSITIONS_MAGIC = b"CM1X"
SLACK_MAGIC = b"CM1R"
HEADER_BYTES = 6


def shard_file(shard: int) -> str:
    """Return the name of the proof of one shard (from 0)."""
    return f"shard-{shard:06d}.cm1"


@dataclass(frozen=True)
class SnapshotManifest:
    """The commitment: snapshot id, time (Unix seconds), digest of the columns, N, S and the root over all X_i."""

    sid: str
    as_of: int
    columns_digest: bytes
    accounts_per_shard: int
    shards: int
    position_root: bytes

    def __post_init__(self) -> None:
        """Check V1: N a power of two, S >= 1, S N within the limits."""
        accounts = self.accounts_per_shard
        if accounts < 1 or accounts & (accounts - 1):
            raise MalformedError(f"{SNAPSHOT_FILE}: {accounts} accounts per shard: must be a power of two")
        if self.shards < 1:
            raise MalformedError(f"{SNAPSHOT_FILE}: at least one shard")
        if self.leaves > MAX_LEAVES:
            raise MalformedError(f"{SNAPSHOT_FILE}: {self.leaves} accounts: at most {MAX_LEAVES}")
        if accounts > MAX_ACCOUNTS_PER_SHARD or self.shards > MAX_SHARDS or self.leaves > MAX_LEAVES_HERE:
            raise MalformedError(
                f"{SNAPSHOT_FILE}: {self.shards} shards of {accounts} accounts: this verifier handles {MAX_SHARDS} "
                f"shards, {MAX_ACCOUNTS_PER_SHARD} accounts a shard and {MAX_LEAVES_HERE} accounts"
            )

    @property
    def leaves(self) -> int:
        """S N, all accounts including padding."""
        return self.accounts_per_shard * self.shards

    @cached_property
    def encoded(self) -> bytes:
        """The bytes of `snapshot.cm1`."""
        writer = Writer(SNAPSHOT_MAGIC).string(self.sid).u64(self.as_of).raw(self.columns_digest)
        return writer.u64(self.accounts_per_shard).u64(self.shards).raw(self.position_root).bytes()

    @cached_property
    def digest(self) -> bytes:
        """H_snapshot of the file: the venue publishes it first."""
        return tagged_hash("snapshot", self.encoded)

    @classmethod
    def decode(cls, data: bytes) -> "SnapshotManifest":
        """Parse `snapshot.cm1`.

        Raises:
            MalformedError: not canonical, or beyond the limits.
        """
        reader = Reader(data, SNAPSHOT_FILE, SNAPSHOT_MAGIC)
        sid = reader.string("snapshot id")
        as_of = reader.u64("as_of")
        columns = reader.raw(DIGEST_BYTES, "columns digest")
        accounts = reader.u64("accounts per shard")
        shards = reader.u64("shards")
        root = reader.raw(DIGEST_BYTES, "position root")
        reader.end()
        return cls(sid, as_of, columns, accounts, shards, root)


@dataclass(frozen=True)
class StatementManifest:
    """The statement: digests of snapshot, relation and policy, gamma, mode (0 book, 1 bounded), root over all R_h."""

    snapshot_digest: bytes
    relation_digest: bytes
    policy_digest: bytes
    packing: int
    mode: int
    slack_root: bytes

    def __post_init__(self) -> None:
        """Check V1: gamma and mode in range."""
        if not 0 <= self.packing <= MAX_PACKING:
            raise MalformedError(f"{STATEMENT_FILE}: packing exponent {self.packing}: at most {MAX_PACKING}")
        if self.mode not in (BOOK, BOUNDED):
            raise MalformedError(f"{STATEMENT_FILE}: mode {self.mode}: must be 0 or 1")

    @cached_property
    def encoded(self) -> bytes:
        """The bytes of `statement.cm1`."""
        writer = Writer(STATEMENT_MAGIC).raw(self.snapshot_digest).raw(self.relation_digest).raw(self.policy_digest)
        return writer.u8(self.packing).u8(self.mode).raw(self.slack_root).bytes()

    @cached_property
    def digest(self) -> bytes:
        """H_statement of the file: where every transcript of the statement starts."""
        return tagged_hash("statement", self.encoded)

    @classmethod
    def decode(cls, data: bytes) -> "StatementManifest":
        """Parse `statement.cm1`.

        Raises:
            MalformedError: not canonical.
        """
        reader = Reader(data, STATEMENT_FILE, STATEMENT_MAGIC)
        snapshot = reader.raw(DIGEST_BYTES, "snapshot digest")
        relation = reader.raw(DIGEST_BYTES, "relation digest")
        policy = reader.raw(DIGEST_BYTES, "policy digest")
        packing = reader.u8("packing exponent")
        mode = reader.u8("mode")
        root = reader.raw(DIGEST_BYTES, "slack root")
        reader.end()
        return cls(snapshot, relation, policy, packing, mode, root)


def point_file_size(count: int) -> int:
    """Return the bytes of a file of `count` points."""
    return HEADER_BYTES + 8 + count * POINT_BYTES


def point_file_body(data: bytes, name: str, count: int) -> bytes:
    """Return the `count` encodings of `positions.cm1` or `slack.cm1` (by name), one after the other, not decoded yet.

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
