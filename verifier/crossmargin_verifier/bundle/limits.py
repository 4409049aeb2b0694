"""Sizes of files, checked before one is read: constants with their unit and their reason (SPEC V1).

They bound what this implementation is ready to hold in memory; the limits of what a statement may be are those of
`protocol.limits`.
"""

__all__ = [
    "MAX_ANCHOR_BYTES",
    "MAX_BUNDLE_BYTES",
    "MAX_COLUMNS_BYTES",
    "MAX_DECLARATION_BYTES",
    "MAX_MANIFEST_BYTES",
    "MAX_POLICY_BYTES",
    "MAX_PROOF_BYTES",
    "MAX_RECEIPT_BYTES",
    "MAX_RELATION_BYTES",
    "MAX_STATEMENTS",
]

MAX_BUNDLE_BYTES = 2**33
"""Bytes of all files of a bundle together (implementation): 512 for each of 2^24 accounts."""

MAX_ANCHOR_BYTES = 2**27
"""Bytes of `anchor.json` (implementation): about 120 for each of 10^6 files."""

MAX_STATEMENTS = 64
"""Statements of a bundle (implementation): each is compiled and judged by itself."""

MAX_RELATION_BYTES = 2**26
"""Bytes of `relation.cm2` (implementation): 16 for each of K (V + Q + 1) coefficients, decoded at about 60."""

MAX_COLUMNS_BYTES = 2**24
"""Bytes of `columns.cm2` (implementation): 256 for each of 2^16 labels."""

MAX_MANIFEST_BYTES = 2**17
"""Bytes of `snapshot.cm2` and `statement.cm2` (implementation): fixed fields and one label < 2^16 bytes."""

MAX_PROOF_BYTES = 2**21
"""Bytes of a shard file or of a totals file (implementation): 16 for each of 2^16 totals, and less than 2^16 more."""

MAX_DECLARATION_BYTES = 2**20
"""Bytes of `bundle.json`, `reserves.json` and the summaries (implementation): some hundred bytes for each of some
thousand assets, instruments or formulas."""

MAX_POLICY_BYTES = 2**26
"""Bytes of `policy.json` (implementation): about 12 for each of V (scenarios + assets) coefficients."""

MAX_RECEIPT_BYTES = 2**24
"""Bytes of a delivered receipt (implementation): in hexadecimal 16 bytes and about 120 of the label for each of 2^16
columns at most, and some 200 for each of the few that are not zero."""
