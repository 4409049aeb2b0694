"""Runs a command of the prover in a process of its own, forked from a server that has everything imported."""

import json
import multiprocessing
import os
import random
import resource
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path

from crossmargin.placement import stands_for

CALLS = ("write", "fsync", "rename", "replace", "mkdir", "unlink", "rmdir", "chmod")
"""Functions of `os` that change the disk; a run can be killed right before any of their calls."""

SMALL = Path(__file__).parents[2] / "examples" / "small"


def forks() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["crossmargin_prover.cli.proving", "crossmargin.loading", "tests.campaigns.runner"])
    return context


def child(arguments: Sequence[str], printed: str, kill_before: int | None, largest: int | None) -> None:
    """Run a command; kill_before: number of the call before which it ends; largest: bytes of a file that is full."""
    count = 0
    output = os.open(printed, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(output, 1)
    os.dup2(output, 2)
    if largest is not None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))

    def counted(name: str) -> None:
        function = getattr(os, name)

        def calling(*given: object, **options: object) -> object:
            nonlocal count
            if count == kill_before:
                os.kill(os.getpid(), signal.SIGKILL)
            count += 1
            return function(*given, **options)

        setattr(os, name, calling)

    for name in CALLS:
        counted(name)
    from crossmargin_prover.cli import main

    code: object = 0
    try:
        main(list(arguments))
    except SystemExit as end:
        code = end.code
    sys.stdout.flush()
    sys.stderr.flush()
    if largest is None:
        Path(f"{printed}.count").write_text(json.dumps(count), encoding="utf-8")
    os._exit(int(str(code or 0)))


@dataclass
class Ended:
    """How a run ended."""

    code: int
    printed: str
    calls: int
    seconds: float

    @property
    def killed(self) -> bool:
        return self.code == -signal.SIGKILL

    @property
    def refusals(self) -> list[str]:
        return [line for line in self.printed.splitlines() if line.startswith("refused: ")]


@dataclass
class Runner:
    """Starts commands; `folder` takes what they print."""

    folder: Path
    context: ForkServerContext

    def start(
        self, arguments: Sequence[object], kill_before: int | None = None, largest: int | None = None
    ) -> ForkServerProcess:
        given = (list(map(str, arguments)), str(self.folder / "printed"), kill_before, largest)
        process = self.context.Process(target=child, args=given)
        process.start()
        return process

    def run(
        self,
        arguments: Sequence[object],
        *,
        kill_before: int | None = None,
        kill_after: float | None = None,
        largest: int | None = None,
    ) -> Ended:
        """Run a command to its end, or kill it before a call or after some seconds."""
        count = self.folder / "printed.count"
        count.unlink(missing_ok=True)
        start = time.monotonic()
        process = self.start(arguments, kill_before, largest)
        process.join(kill_after)
        if process.exitcode is None and kill_after is not None:
            process.kill()
        process.join()
        calls = json.loads(count.read_bytes()) if count.exists() else 0
        printed = (self.folder / "printed").read_text(encoding="utf-8", errors="replace")
        assert process.exitcode is not None
        assert "Traceback" not in printed, printed
        return Ended(process.exitcode, printed, calls, time.monotonic() - start)


def temporaries(*folders: Path) -> list[Path]:
    """What is left under temporary names in these folders."""
    return [path for folder in folders for path in folder.rglob(".*") if stands_for(path.name) != path.name]


def seeded() -> tuple[int, random.Random]:
    """A fresh seed, which is printed, or that of an earlier run."""
    seed = int(os.environ.get("CAMPAIGN_SEED") or random.SystemRandom().randrange(10**9))
    sys.stdout.write(f"CAMPAIGN_SEED={seed}\n")
    return seed, random.Random(seed)
