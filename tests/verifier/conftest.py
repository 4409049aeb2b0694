"""Books of the protocol's vectors for the unit tests of the verifier."""

import pytest
from protocol_vectors import load


@pytest.fixture(scope="session")
def tiny() -> dict[str, bytes]:
    """Files of a book: N = 4, n = 3, V = 3, two statements, gamma = 1, totals."""
    return load("tiny")


@pytest.fixture(scope="session")
def alone() -> dict[str, bytes]:
    """Files of a stand-alone account: N = n = 1, one statement, no totals."""
    return load("tiny_one")


@pytest.fixture(scope="session")
def sharded() -> dict[str, bytes]:
    """Files of a book of three shards: N = 2, n = 5, two statements, gamma = 1 and 0, totals."""
    return load("shards")
