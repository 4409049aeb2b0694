"""Campaigns: slow tests that break runs at random points; `make campaigns` runs them. Counts are kept in a file."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.campaigns.runner import Runner, forks

RESULTS = Path(__file__).parents[2] / "build" / "campaigns.jsonl"


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    return Runner(tmp_path, forks())


@pytest.fixture
def seconds() -> float:
    """How long a campaign goes on."""
    return float(os.environ.get("CAMPAIGN_SECONDS", "120"))


@pytest.fixture
def record(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Print the counts of a campaign with its seed, and keep them."""

    def write(**counts: object) -> None:
        line = json.dumps({"campaign": request.node.name, **counts})
        RESULTS.parent.mkdir(exist_ok=True)
        with RESULTS.open("a", encoding="utf-8") as stream:
            stream.write(line + "\n")
        sys.stdout.write(f"{line}\n")

    return write
