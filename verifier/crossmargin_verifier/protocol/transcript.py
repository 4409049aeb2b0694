"""Fiat-Shamir transcript over SHA-256, and all of its labels (SPEC S1).

State 32 bytes: init(kind) = H_transcript(u8 len || kind); absorb(l, d) = H_absorb(state || u8 len l || l || u64 len d
|| d); a challenge is H_challenge0(m) || H_challenge1(m) mod r with m = state || u8 len l || l, and the state moves on
to H_challenge2(m).
"""

from crossmargin_circuits.digest import tagged_hash
from crossmargin_verifier.protocol.field import ORDER

__all__ = [
    "AUXILIARY_TOTALS",
    "BETA",
    "CHI",
    "ETA",
    "FOLD",
    "FOLD_CHALLENGE",
    "LAMBDA",
    "MASK",
    "MU",
    "OPEN",
    "PROJECTIONS",
    "PROJECTION_SEED",
    "RECORDS",
    "RHO",
    "ROUND",
    "SHARD",
    "SHARD_ROOTS",
    "SNAPSHOT",
    "STATEMENT",
    "TAU",
    "TOTALS",
    "TOTALS_NONCE",
    "TOTALS_VALUES",
    "XI",
    "ZETA",
    "Transcript",
]

# Kinds of transcripts.
RECORDS = "records"
SHARD = "shard"
TOTALS = "totals"
AUXILIARY_TOTALS = "auxtotals"

# Labels of what is absorbed.
STATEMENT = "statement"
SNAPSHOT = "snapshot"
SHARD_ROOTS = "shard"
MASK = "mask"
PROJECTIONS = "z"
ROUND = "round"
BETA = "beta"
OPEN = "open"
FOLD = "fold"
TOTALS_VALUES = "T"
TOTALS_NONCE = "Q"

# Labels of challenges; PROJECTION_SEED labels a seed.
PROJECTION_SEED = "proj"
LAMBDA = "lambda"
TAU = "tau"
RHO = "rho"
MU = "mu"
CHI = "chi"
ETA = "c"
XI = "xi"
FOLD_CHALLENGE = "x"
ZETA = "zeta"


class Transcript:
    """All messages of a prover so far, as one hash state."""

    def __init__(self, kind: str) -> None:
        """Start a transcript of one kind: RECORDS, SHARD, TOTALS or AUXILIARY_TOTALS."""
        self.state = tagged_hash("transcript", _prefixed(kind))

    def absorb(self, label: str, data: bytes) -> None:
        """Bind data under a label; must precede every challenge that depends on it."""
        self.state = tagged_hash("absorb", self.state + _prefixed(label) + len(data).to_bytes(8, "big") + data)

    def challenge(self, label: str) -> int:
        """Return a scalar in [0, r), 512 bits reduced, so that its bias is below 2^-256."""
        message = self.state + _prefixed(label)
        wide = tagged_hash("challenge0", message) + tagged_hash("challenge1", message)
        self.state = tagged_hash("challenge2", message)
        return int.from_bytes(wide, "big") % ORDER

    def seed(self, label: str) -> bytes:
        """Return 32 bytes, the seed of a stream."""
        message = self.state + _prefixed(label)
        self.state = tagged_hash("challenge2", message)
        return tagged_hash("challenge0", message)


def _prefixed(text: str) -> bytes:
    data = text.encode("ascii")
    return bytes([len(data)]) + data
