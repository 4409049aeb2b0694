"""Hostile bundles of 100 kB: checked to an end within 300 MiB, in a process that has no more.

`benchmarks/hostile_bundles.py` makes them, and measures their time.
"""

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.hostile_bundles import HOSTILE, MAX_BYTES, check, write
from crossmargin_prover.backend import available

MEMORY = 300 * 2**20

ROOT = Path(__file__).parents[2]


# The others only take longer: they hold no more than a point or two for each that they multiply.
HUNGRY = ("hundreds of rows", "abbreviations that double", "fifteen policies that repeat", "junk in the inputs")


@pytest.mark.parametrize("name", HUNGRY)
def test_hostile_bundle_ends_within_its_memory(name: str, tmp_path: Path) -> None:
    size = write(tmp_path / "bundle", HOSTILE[name]())
    assert size <= MAX_BYTES
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.hostile_bundles", "--check", str(tmp_path / "bundle")],
        capture_output=True,
        text=True,
        cwd=ROOT,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY)),
        check=True,
    )
    reason, _, held = json.loads(done.stdout)
    assert not reason.startswith("verified")
    assert "memory" not in reason
    assert held <= MEMORY


@pytest.mark.parametrize("kernel", [False, True])
def test_short_bundle_with_many_generators_needs_patience_with_any_arithmetic(kernel: bool, tmp_path: Path) -> None:
    """The kernel multiplies faster, but a generator is derived in Python, whoever multiplies it."""
    if kernel and "kernel" not in available():
        pytest.skip("the compiled kernel is not installed")
    write(tmp_path / "bundle", HOSTILE["many accounts in a row"]())
    reason, _, _ = check(tmp_path / "bundle", kernel=kernel)
    assert "be patient (--patient)" in reason
    assert "kernel" not in reason
