"""The size of shards that is chosen where none is asked for."""

import pytest

from crossmargin_circuits.errors import CrossmarginError
from crossmargin_prover.backend import Costs
from crossmargin_prover.workflow.shard_size import cheapest_shard, check_shard_size, largest_shard

LARGEST = [2**12, 2**15]
"""Of plain Python and of the kernel."""


@pytest.mark.parametrize("largest", LARGEST)
@pytest.mark.parametrize("accounts", [1000, 1024, 5000, 10_000, 65_536, 100_000, 1_000_000, 1_048_577])
def test_books_of_all_sizes_stay_small(largest: int, accounts: int) -> None:
    size = cheapest_shard(accounts, Costs(largest, 3000, 1))
    shards = -(-accounts // size)
    assert size & (size - 1) == 0
    assert size <= largest
    assert size <= largest_shard(accounts)
    assert accounts * 33 + shards * (size * 33 / 4 + 11_300) <= 54 * accounts
    # Half the size would be more openings for next to no empty leaves.
    assert size >= 512


@pytest.mark.parametrize(("accounts", "size"), [(1, 1), (2, 2), (5, 8), (30, 32), (100, 128), (1025, 2048)])
def test_small_books_are_one_shard(accounts: int, size: int) -> None:
    assert cheapest_shard(accounts, Costs(LARGEST[0], 3000, 1)) == size


def test_costs_decide() -> None:
    """Where an opening costs next to nothing, small shards save empty leaves; where it costs much, one is best."""
    assert cheapest_shard(125_000, Costs(2**20, 1, 1)) < cheapest_shard(125_000, Costs(2**20, 10**6, 1)) == 2**17


@pytest.mark.parametrize(("accounts", "size"), [(1, 1), (2, 2), (3, 4), (4, 4), (5, 8), (1000, 1024), (1025, 2048)])
def test_shards_are_not_mostly_empty(accounts: int, size: int) -> None:
    """S6: the least power of two that holds all accounts is the largest shard."""
    check_shard_size(size, accounts)
    with pytest.raises(CrossmarginError, match=rf"at most {size} \(--shard\)"):
        check_shard_size(2 * size, accounts)
