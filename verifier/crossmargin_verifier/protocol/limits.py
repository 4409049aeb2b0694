"""Every limit of the verifier: a named constant with its unit and its reason (SPEC V1).

Limits of the protocol bound what a statement may be; limits of this implementation bound what one process is ready
to allocate. All of them are checked before anything of that size is allocated.
"""

__all__ = [
    "MAX_ACCOUNTS_PER_SHARD",
    "MAX_COLUMNS",
    "MAX_COLUMNS_BYTES",
    "MAX_DECLARATION_BYTES",
    "MAX_LEAVES",
    "MAX_LEAVES_HERE",
    "MAX_MANIFEST_BYTES",
    "MAX_PACKING",
    "MAX_PATH_LENGTH",
    "MAX_POLICY_BYTES",
    "MAX_PROJECTION_BYTES",
    "MAX_PROOF_BYTES",
    "MAX_RECEIPT_BYTES",
    "MAX_RELATION_BYTES",
    "MAX_SHARDS",
    "MAX_SLACK_GENERATORS",
    "TOTAL_BOUND",
]

MAX_LEAVES = 2**40
"""Accounts of a snapshot, S N (protocol): totals of 2^62-bounded records stay far below the group order."""

MAX_PACKING = 4
"""Packing exponent gamma (protocol): 2^gamma accounts share one slack row."""

TOTAL_BOUND = 2**120
"""Magnitude of an opened total, in units of its column (protocol): keeps the size condition S10 decidable."""

MAX_LEAVES_HERE = 2**24
"""Accounts of one snapshot (implementation): encoded positions and slack rows are held in memory, twice."""

MAX_ACCOUNTS_PER_SHARD = 2**20
"""Accounts of one shard (implementation): eq tables of this many field elements are held in memory."""

MAX_SHARDS = 10**6
"""Shards of one statement (implementation): shard files are numbered with six digits."""

MAX_COLUMNS = 2**16
"""Base columns V (implementation): one generator each."""

MAX_SLACK_GENERATORS = 2**18
"""64 J 2^gamma, bits in one slack row (implementation): one generator each, about 0.5 ms to derive."""

MAX_RELATION_BYTES = 2**26
"""Bytes of `relation.cm1` (implementation): 16 for each of K (V + Q + 1) coefficients, decoded at about 60."""

MAX_COLUMNS_BYTES = 2**24
"""Bytes of `columns.cm1` (implementation): 256 for each of 2^16 labels."""

MAX_PROJECTION_BYTES = 2**28
"""16 S N V, bytes of the projection streams of a bounded statement (implementation): about 7 us of work for each 16."""

MAX_MANIFEST_BYTES = 2**17
"""Bytes of `snapshot.cm1` and `statement.cm1` (implementation): fixed fields and one label < 2^16 bytes."""

MAX_PROOF_BYTES = 2**21
"""Bytes of a shard file or of a totals file (implementation): 16 for each of 2^16 totals, and less than 2^16 more."""

MAX_DECLARATION_BYTES = 2**20
"""Bytes of `bundle.json`, `reserves.json` and the summaries (implementation): some hundred bytes for each of some
thousand assets, instruments or formulas."""

MAX_POLICY_BYTES = 2**26
"""Bytes of `policy.json` (implementation): about 12 for each of V (scenarios + assets) coefficients."""

MAX_RECEIPT_BYTES = 2**22
"""Bytes of a receipt or its readable twin (implementation): 8 bytes, in text some 200, for each of 2^16 columns at most
of which a few are not zero."""

MAX_PATH_LENGTH = 60
"""Siblings in a receipt (implementation): a tree of 2^40 leaves, padded, has at most 41 levels."""
