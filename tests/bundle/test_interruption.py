"""Ctrl-C, a library that ends the program, a reader who leaves: none of them looks like a verdict."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from crossmargin.cli import output
from crossmargin_verifier.bundle import check, check_receipt
from crossmargin_verifier.bundle.check import CannotCheckError, check_bundle
from crossmargin_verifier.cli import main
from crossmargin_verifier.protocol import equation

posix = pytest.mark.skipif(os.name == "nt", reason="there are no process groups that a signal reaches")

SLOW_VERIFIER = """
import os, sys, time
from pathlib import Path
from crossmargin_verifier import cli
from crossmargin_verifier.protocol import arithmetic, equation
from crossmargin_verifier.protocol.arithmetic import PLAIN

class Slow:
    def msm(self, scalars, points):
        return PLAIN.msm(scalars, points)

    def msm_encoded(self, scalars, encodings):
        Path(sys.argv[-1], str(os.getpid())).touch()
        time.sleep(600)

if __name__ == "__main__":
    equation.MIN_PIECE = 1
    arithmetic.PLAIN = Slow()
    cli.main(sys.argv[1:-1])
"""


@contextmanager
def interrupted(script: Path, *arguments: str | Path, ready: Path) -> Iterator[subprocess.CompletedProcess[str]]:
    """Run a script until `ready` is no empty folder, and send what Ctrl-C sends to every process of a terminal."""
    with subprocess.Popen(
        [sys.executable, script, *map(str, arguments), str(ready)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as program:
        try:
            while not any(ready.iterdir()):
                assert program.poll() is None, program.communicate()
                time.sleep(0.01)
            os.killpg(program.pid, signal.SIGINT)
            stdout, stderr = program.communicate(timeout=60)
        finally:
            program.kill()
    yield subprocess.CompletedProcess(program.args, program.returncode, stdout, stderr)


@posix
@pytest.mark.parametrize("processes", ["1", "2"])
def test_an_interrupted_check_is_no_verdict(coverage_bundle: Path, tmp_path: Path, processes: str) -> None:
    """Every piece takes ten minutes: nobody waits for them, no worker is left, nobody shows a traceback."""
    script, ready = tmp_path / "slow.py", tmp_path / "ready"
    script.write_text(SLOW_VERIFIER, encoding="utf-8")
    ready.mkdir()
    with interrupted(script, "bundle", coverage_bundle, "--processes", processes, ready=ready) as ended:
        assert (ended.returncode, ended.stdout) == (130, "")
        assert ended.stderr == "INTERRUPTED: the check did not finish: no finding about the files\n"
    for worker in ready.iterdir():
        with pytest.raises(ProcessLookupError):
            os.kill(int(worker.name), 0)


SLOW_PROVER = """
import sys, time
from pathlib import Path
import click
from crossmargin.cli.output import reporting
from crossmargin_verifier.workers import run_jobs, worker_pool

def work(number):
    Path(sys.argv[-1], str(number)).touch()
    time.sleep(600)

@click.command()
@reporting
def command():
    with worker_pool(2) as pool:
        list(run_jobs(work, [(1,), (2,)], pool))

if __name__ == "__main__":
    command([])
"""


@posix
def test_an_interrupted_run_says_how_it_goes_on(tmp_path: Path) -> None:
    script, ready = tmp_path / "slow.py", tmp_path / "ready"
    script.write_text(SLOW_PROVER, encoding="utf-8")
    ready.mkdir()
    with interrupted(script, ready=ready) as ended:
        assert (ended.returncode, ended.stdout) == (130, "")
        assert ended.stderr == "interrupted: re-run the same command to resume\n"


PLACES = {"bundle": check, "receipt": check_receipt}
"""The module of each check."""


def verify(command: str, bundle: Path, *options: str) -> Result:
    rest = [str(bundle), "--processes", "1"]
    if command == "receipt":
        rest = [str(bundle / "none"), "--bundle", str(bundle), "--id", "nobody"]
    return CliRunner().invoke(main, [command, *rest, *options])


@pytest.mark.parametrize("error", [KeyboardInterrupt(), click.Abort()])
@pytest.mark.parametrize("command", ["bundle", "receipt"])
def test_interruption_has_a_code_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, command: str
) -> None:
    monkeypatch.setattr(PLACES[command], f"check_{command}", raising(error))
    result = verify(command, tmp_path)
    words = "the check did not finish: no finding about the files"
    assert (result.exit_code, result.stdout, result.stderr) == (130, "", f"INTERRUPTED: {words}\n")
    result = verify(command, tmp_path, "--json")
    assert (result.exit_code, result.stderr) == (130, "")
    assert json.loads(result.stdout) == {"outcome": "interrupted", "reason": words}
    # Also before a command has begun.
    monkeypatch.setattr(main.commands[command], "invoke", raising(error))
    assert verify(command, tmp_path).exit_code == 130


@pytest.mark.parametrize("error", [KeyboardInterrupt(), click.Abort()])
def test_interruption_of_the_main_program(error: BaseException) -> None:
    result = CliRunner().invoke(click.command()(output.reporting(raising(error))))
    assert (result.exit_code, result.stdout) == (130, "")
    assert result.stderr == "interrupted: re-run the same command to resume\n"


def raising(error: BaseException) -> Any:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


@pytest.mark.parametrize("code", [0, 1, 77])
@pytest.mark.parametrize("command", ["bundle", "receipt"])
def test_a_library_that_exits_gives_no_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, command: str
) -> None:
    monkeypatch.setattr(PLACES[command], f"check_{command}", raising(SystemExit(code)))
    result = verify(command, tmp_path)
    assert (result.exit_code, result.stdout, result.stderr) == (2, "", f"COULD NOT CHECK: SystemExit: {code}\n")


class Leaving(Executor):
    """Workers that end themselves with an exit code."""

    def submit(self, function: Any, /, *arguments: Any, **options: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_exception(SystemExit(0))
        return future


def test_a_worker_that_exits_gives_no_verdict(coverage_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(equation, "MIN_PIECE", 1)
    with pytest.raises(CannotCheckError, match="a worker process ended early"):
        check_bundle(coverage_bundle, executor=Leaving())


@pytest.mark.skipif(os.name == "nt", reason="pipes close otherwise")
@pytest.mark.parametrize(("code", "options"), [(0, []), (4, ["--json"])])
def test_a_reader_who_leaves_changes_no_verdict(
    venue: Any, coverage_bundle: Path, code: int, options: list[str]
) -> None:
    """As `crossmargin-verify bundle ... | head -1` does; a bundle about coverage alone does not show solvency."""
    folder = coverage_bundle if code else venue.bundle
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "crossmargin_verifier.cli", "bundle", folder, "--processes", "1", *options]
    with os.fdopen(writer, "wb") as closed:
        done = subprocess.run(command, stdout=closed, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (code, "")


@pytest.mark.skipif(os.name == "nt", reason="pipes close otherwise")
@pytest.mark.parametrize(
    ("code", "arguments"),
    [
        (0, ("--help",)),
        (0, ("bundle", "--help")),
        (0, ("--version",)),
        (2, ("bundle", "nowhere")),
        (2, ("bundle", "nowhere", "--json")),
        (1, ("bundle", "BUNDLE", "--snapshot", "00" * 32)),
        (1, ("bundle", "BUNDLE", "--snapshot", "00" * 32, "--json")),
    ],
)
@pytest.mark.parametrize("full", [False, True])
def test_no_exit_code_depends_on_who_reads(
    coverage_bundle: Path, code: int, arguments: tuple[str, ...], full: bool
) -> None:
    """Neither on a closed pipe nor on a device that is full, on both streams; help that cannot be written is no 1."""
    if full and not Path("/dev/full").exists():
        pytest.skip("there is no device that is always full")
    reader, writer = os.pipe()
    os.close(reader)
    options = [str(coverage_bundle) if each == "BUNDLE" else each for each in arguments]
    with os.fdopen(writer, "wb") as closed, Path("/dev/full" if full else os.devnull).open("wb") as device:
        stream = device if full else closed
        done = subprocess.run(
            [sys.executable, "-m", "crossmargin_verifier.cli", *options], stdout=stream, stderr=stream, check=False
        )
    assert done.returncode == (code or 3 * full)


def test_names_that_a_terminal_cannot_show_are_no_failure(
    coverage_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    verdict = check_bundle(coverage_bundle)
    monkeypatch.setattr(check, "check_bundle", lambda *_, **__: verdict)
    monkeypatch.setattr(type(verdict), "text", "B\u00f6rse: VERIFIED\n")
    result = CliRunner(charset="ascii").invoke(main, ["bundle", str(coverage_bundle), "--processes", "1"])
    assert (result.exit_code, result.output) == (4, "B\\xf6rse: VERIFIED\n")
