"""A disk that is full at random points of every command: one message with a file, and the same command goes on."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from crossmargin_verifier.bundle.check import check_bundle
from tests.campaigns.mounts import mounted, resize
from tests.campaigns.runner import SMALL, Ended, Runner, seeded, temporaries

pytestmark = pytest.mark.slow

ROOM = 64 << 10
"""KiB that are enough."""


def commands(place: Path) -> list[tuple[object, ...]]:
    vault, bundle = place / "vault", place / "bundle"
    options = ("--book", SMALL, "--vault", vault, "--processes", 1)
    return [
        ("commit", *options, "--shard", 4),
        ("prove", *options, "--statement", "coverage", "--packing", 0),
        ("publish", *options, "--out", bundle, "--despite-claims"),
        ("publish", *options, "--out", bundle, "--despite-claims"),
        ("receipts", "--vault", vault, "--out", place / "receipts"),
    ]


def check_refusal(ended: Ended, place: Path, reason: str) -> None:
    assert ended.code == 1, ended.printed
    (message,) = ended.refusals
    assert str(place) in message, message
    assert message.endswith(reason), message
    assert not temporaries(place)


def used(place: Path) -> int:
    """KiB that a folder takes of a tmpfs."""
    return shutil.disk_usage(place).used >> 10


def test_tmpfs_that_is_too_small(runner: Runner, tmp_path: Path, record: Callable[..., None], seconds: float) -> None:
    seed, draw = seeded()
    full: dict[str, int] = {}
    finished = 0
    deadline = time.monotonic() + seconds
    with mounted(tmp_path / "small", "-t", "tmpfs", "-o", f"size={ROOM}k", "tmpfs") as place:
        while time.monotonic() < deadline:
            for arguments in commands(place):
                before, needs = used(place), 64
                for _ in range(2):
                    if not resize(place, before + draw.randrange(4, needs, 4)):
                        continue
                    ended = runner.run(arguments)
                    if ended.refusals:
                        check_refusal(ended, place, "No space left on device")
                        full[arguments[0]] = full.get(arguments[0], 0) + 1
                assert resize(place, ROOM)
                ended = runner.run(arguments)
                assert not ended.refusals, ended.printed
                finished += 1
            check_bundle(place / "bundle")
            for path in place.iterdir():
                shutil.rmtree(path)
    record(seed=seed, full=full, finished=finished)
    assert sum(full.values()) > 0


def test_files_that_must_not_grow(runner: Runner, tmp_path: Path, record: Callable[..., None], seconds: float) -> None:
    """The same without mounting: no file may be larger than a limit."""
    seed, draw = seeded()
    full: dict[str, int] = {}
    finished = 0
    deadline = time.monotonic() + seconds / 2
    while time.monotonic() < deadline:
        place = tmp_path / "place"
        place.mkdir()
        for arguments in commands(place):
            for _ in range(2):
                ended = runner.run(arguments, largest=draw.randrange(200, 6000))
                if ended.refusals:
                    check_refusal(ended, place, "File too large")
                    full[arguments[0]] = full.get(arguments[0], 0) + 1
            ended = runner.run(arguments)
            assert not ended.refusals, ended.printed
            finished += 1
        check_bundle(place / "bundle")
        shutil.rmtree(place)
    record(seed=seed, full=full, finished=finished)
    assert sum(full.values()) > 0
