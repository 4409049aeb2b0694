"""kill -9 at random points of every command: nothing of others is lost, and the same command finishes the run."""

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from crossmargin_prover.backend import available, select_backend
from crossmargin_verifier.bundle.check import check_bundle
from tests.campaigns.runner import SMALL, Runner, seeded, temporaries

pytestmark = pytest.mark.slow

THEIRS = {".ssh/key": "mine", ".bundle.note": "mine", "notes.txt": "mine", ".receipts.0123/x": "mine"}


def fill(folder: Path) -> None:
    for name, text in THEIRS.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")


def check_others(folder: Path) -> None:
    for name, text in THEIRS.items():
        assert (folder / name).read_text(encoding="utf-8") == text


def check_between(folder: Path) -> None:
    """What holds right after a kill: an index names receipts that are there, and a bundle is whole."""
    check_others(folder)
    index = folder / "receipts" / "index.json"
    if index.exists():
        for name in json.loads(index.read_bytes())["receipts"].values():
            assert (folder / "receipts" / f"{name}.cm2").stat().st_size > 0
            json.loads((folder / "receipts" / f"{name}.json").read_bytes())
    bundle = folder / "bundle"
    if bundle.exists():
        statements = json.loads((bundle / "bundle.json").read_bytes())["statements"]
        assert (bundle / "summary.txt").stat().st_size > 0
        assert all((bundle / "statements" / name / "policy.json").stat().st_size > 0 for name in statements)


@pytest.mark.parametrize("backend", available())
def test_killed_commands_are_finished(
    runner: Runner, tmp_path: Path, record: Callable[..., None], seconds: float, backend: str
) -> None:
    seed, draw = seeded()
    select_backend(backend)
    kills: dict[str, int] = {}
    finished = episodes = 0
    lengths: dict[str, tuple[int, float]] = {}
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        episodes += 1
        place = tmp_path / "place"
        fill(place)
        vault, bundle, receipts = place / "vault", place / "bundle", place / "receipts"
        options = ("--book", SMALL, "--vault", vault, "--processes", 1, "--backend", backend)
        prove = ("prove", *options, "--statement", "coverage", "--packing", 0)
        publish = ("publish", *options, "--out", bundle, "--despite-claims")
        for arguments in (
            ("commit", *options, "--shard", 4),
            prove,
            (*prove, "--restart"),
            publish,
            publish,
            ("receipts", "--vault", vault, "--out", receipts),
        ):
            calls, length = lengths.get(arguments[0], (80, 2.0))
            for _ in range(draw.randrange(1, 4)):
                if draw.random() < 0.7:
                    ended = runner.run(arguments, kill_before=draw.randrange(calls))
                else:
                    ended = runner.run(arguments, kill_after=draw.uniform(0, length))
                assert ended.killed or not ended.refusals, ended.printed
                kills[arguments[0]] = kills.get(arguments[0], 0) + ended.killed
                check_between(place)
            ended = runner.run(arguments)
            assert ended.code in (0, 4), ended.printed
            assert not ended.refusals, ended.printed
            assert not temporaries(vault, receipts)
            finished += 1
            lengths[arguments[0]] = (ended.calls, ended.seconds)
        assert check_bundle(bundle).text
        assert sorted(path.name for path in place.iterdir()) == sorted(
            ["vault", "bundle", "receipts", *{name.split("/")[0] for name in THEIRS}]
        )
        shutil.rmtree(place)
    record(seed=seed, backend=backend, episodes=episodes, kills=kills, finished=finished)
    assert sum(kills.values()) > 0
