"""The size of shards that is chosen where none is asked for."""

from typing import Any

import pytest

from crossmargin_prover.workflow.commit import default_shard


class Named:
    def __init__(self, name: str) -> None:
        self.name = name


@pytest.mark.parametrize("name", ["kernel", "reference"])
@pytest.mark.parametrize("accounts", [1000, 1024, 5000, 10_000, 65_536, 100_000, 1_000_000, 1_048_577])
def test_books_of_all_sizes_stay_small(name: str, accounts: int) -> None:
    backend: Any = Named(name)
    size = default_shard(accounts, backend)
    shards = -(-accounts // size)
    assert size & (size - 1) == 0
    assert shards * (size * (33 + 33 / 4) + 2700) <= 45 * accounts
    # Half the size would be more openings for next to no padding.
    assert size >= 512


@pytest.mark.parametrize(("accounts", "size"), [(1, 1), (2, 2), (5, 8), (30, 32), (100, 128), (1025, 2048)])
def test_small_books_are_one_shard(accounts: int, size: int) -> None:
    backend: Any = Named("reference")
    assert default_shard(accounts, backend) == size
