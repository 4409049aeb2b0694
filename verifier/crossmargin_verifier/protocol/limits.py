"""What a statement may be, and what one process takes on: constants with unit and reason (SPEC V1).

Limits of the protocol bound a statement (`MalformedError`); limits of this implementation bound the memory of one
process (`LimitError`). The verifier checks each limit before it allocates anything of that size.
The readers of files set limits on their sizes (`bundle.limits`).
"""

__all__ = [
    "MAX_ACCOUNTS_PER_SHARD",
    "MAX_COLUMNS",
    "MAX_LEAVES",
    "MAX_LEAVES_HERE",
    "MAX_PACKING",
    "MAX_SHARDS",
    "MAX_SLACK_GENERATORS",
    "TOTAL_BOUND",
]

MAX_LEAVES = 2**40
"""Leaves of a snapshot, S N (protocol): sums of bounded records stay far below the group order."""

MAX_PACKING = 4
"""Packing exponent gamma (protocol): 2^gamma accounts share one slack row."""

TOTAL_BOUND = 2**120
"""Magnitude of a disclosed total, in units of its column (protocol): keeps a total far below the group order."""

MAX_LEAVES_HERE = 2**24
"""Leaves of one snapshot (implementation): encoded positions and slack rows are held in memory, twice."""

MAX_ACCOUNTS_PER_SHARD = 2**20
"""Accounts of one shard (implementation): eq tables of this many field elements are held in memory."""

MAX_SHARDS = 10**6
"""Shards of one statement (implementation): shard files are numbered with six digits."""

MAX_COLUMNS = 2**16
"""Base columns V (implementation): one generator each."""

MAX_SLACK_GENERATORS = 2**18
"""64 J 2^gamma, bits in one slack row (implementation): one generator each, about 0.5 ms to derive."""
