"""Protocol vectors for the conformance tests."""

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
