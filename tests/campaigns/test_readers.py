"""Readers that verify a bundle while it is published again and again: never a rejection of what is good."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from crossmargin_circuits.errors import CrossmarginError
from crossmargin_verifier.bundle.check import check_bundle
from crossmargin_verifier.protocol.errors import RejectedError
from tests.campaigns.runner import SMALL, Runner, temporaries

pytestmark = pytest.mark.slow


def test_readers_during_publications(
    runner: Runner, tmp_path: Path, record: Callable[..., None], seconds: float
) -> None:
    vault, bundle = tmp_path / "vault", tmp_path / "bundle"
    options = ("--book", SMALL, "--vault", vault, "--processes", 1)
    assert runner.run(("commit", *options, "--shard", 4)).code == 0
    assert runner.run(("prove", *options, "--statement", "coverage", "--packing", 0)).code == 0
    publish = ("publish", *options, "--out", bundle, "--despite-claims")
    runner.run(publish)
    digests = check_bundle(bundle).digests
    publications = whole = changed = 0
    deadline = time.monotonic() + seconds / 2
    process = runner.start(publish)
    while time.monotonic() < deadline:
        if process.exitcode is not None:
            publications += 1
            process = runner.start(publish)
        try:
            assert check_bundle(bundle).digests == digests
            whole += 1
        except RejectedError as error:
            pytest.fail(f"a false accusation: {error}")
        except (CrossmarginError, OSError):
            changed += 1
    process.join()
    record(publications=publications, verified=whole, could_not_check=changed)
    assert publications
    assert whole
    assert not temporaries(tmp_path)
