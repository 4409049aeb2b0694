"""Protocol vectors for the unit tests of the verifier."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

VECTORS = Path(__file__).parent.parent / "vectors" / "protocol.json"


@pytest.fixture(scope="session")
def vectors() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(VECTORS.read_text(encoding="utf-8"))
    return loaded


@pytest.fixture(scope="session")
def tiny(vectors: dict[str, Any]) -> dict[str, bytes]:
    """Files of the book-mode statement: N = 4, V = 3, Q = 1, K = 3, gamma = 1."""
    return {name: bytes.fromhex(data) for name, data in vectors["tiny"]["files"].items()}


@pytest.fixture(scope="session")
def bounded(vectors: dict[str, Any]) -> dict[str, bytes]:
    """Files of the bounded statement about the first two accounts."""
    return {name: bytes.fromhex(data) for name, data in vectors["tiny_bounded"]["files"].items()}


@pytest.fixture(scope="session")
def sharded(vectors: dict[str, Any]) -> dict[str, bytes]:
    """Files of the first compact case of the vectors: three shards, N = 2, V = 3, Q = 1, K = 3, gamma = 0."""
    loaded = json.loads((Path(__file__).parent / "three-shards.json").read_text(encoding="utf-8"))
    files = {name: bytes.fromhex(data) for name, data in loaded.items()}
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    assert digests == vectors["compact"][0]["sha256"]
    return files
