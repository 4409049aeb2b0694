"""The cheapest number of accounts per shard for a backend, and the largest that a snapshot may have.

Large shards save openings, small ones empty leaves. If an opening costs as much as c accounts, S shards of N accounts
cost S (N + c). The choice is the cheapest size within BYTES_PER_ACCOUNT. The protocol bounds N by the least power of
two that holds all accounts (SPEC S6).
"""

from crossmargin_circuits.errors import CrossmarginError
from crossmargin_prover.backend import Costs
from crossmargin_prover.statement import DEFAULT_PACKING
from crossmargin_verifier.protocol.group import POINT_BYTES

__all__ = ["cheapest_shard", "check_shard_size", "largest_shard"]

BYTES_PER_ACCOUNT = 50
"""Limit on published bytes per account, with the slack rows of empty leaves and the proofs of one statement."""

PROOF_BYTES = 11_300
"""Approximate bytes of a shard proof and a record proof together (SPEC section 9)."""


def largest_shard(accounts: int) -> int:
    """Return the largest number of accounts per shard that a snapshot of so many accounts may have."""
    return 1 << (accounts - 1).bit_length()


def check_shard_size(size: int, accounts: int) -> None:
    """Refuse shards that would hold more empty leaves than accounts.

    Raises:
        CrossmarginError: they would; names the largest size.
    """
    if size > largest_shard(accounts):
        raise CrossmarginError(
            f"shards of {size} accounts are too large for a snapshot of {accounts}: at most {largest_shard(accounts)} "
            "(--shard)"
        )


def cheapest_shard(accounts: int, costs: Costs) -> int:
    """Return the shard size that costs least time, within BYTES_PER_ACCOUNT if one exists."""
    largest = min(costs.largest_shard, largest_shard(accounts))
    shards = {size: -(-accounts // size) for size in (1 << bits for bits in range(largest.bit_length()))}
    row = POINT_BYTES / (1 << DEFAULT_PACKING)
    small = [
        size
        for size, count in shards.items()
        if accounts * POINT_BYTES + count * (size * row + PROOF_BYTES) <= accounts * BYTES_PER_ACCOUNT
    ]
    return min(small or shards, key=lambda size: shards[size] * (size + costs.opening_accounts))
