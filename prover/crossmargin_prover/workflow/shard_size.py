"""The cheapest number of accounts per shard for a backend.

Large shards save openings, small ones padding. If an opening costs as much as c accounts, S shards of N accounts cost
S (N + c). The choice is the cheapest size within BYTES_PER_ACCOUNT.
"""

from crossmargin_prover.backend import Costs
from crossmargin_prover.statement import DEFAULT_PACKING
from crossmargin_verifier.protocol.group import POINT_BYTES

__all__ = ["cheapest_shard"]

BYTES_PER_ACCOUNT = 45
"""Limit on published bytes per account, with padding and proofs."""

PROOF_BYTES = 2700
"""Approximate bytes of a shard proof (SPEC section 9)."""


def cheapest_shard(accounts: int, costs: Costs) -> int:
    """Return the shard size that costs least time, within BYTES_PER_ACCOUNT if one exists."""
    shards = {size: -(-accounts // size) for size in (1 << bits for bits in range(costs.largest_shard.bit_length()))}
    row = POINT_BYTES / (1 << DEFAULT_PACKING)
    small = [
        size
        for size, count in shards.items()
        if count * (size * (POINT_BYTES + row) + PROOF_BYTES) <= accounts * BYTES_PER_ACCOUNT
    ]
    return min(small or shards, key=lambda size: shards[size] * (size + costs.opening_accounts))
