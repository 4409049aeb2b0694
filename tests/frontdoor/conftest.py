"""What the tests of the front doors share: the small book, loaded once."""

from pathlib import Path

import pytest

import crossmargin as cm

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def book() -> cm.Book:
    """Return the example book of five accounts."""
    return cm.load(ROOT / "examples" / "small")
