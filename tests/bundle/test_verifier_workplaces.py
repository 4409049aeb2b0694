"""`crossmargin-verify bundle` with processes, threads and the kernel: one verdict, and clear words when they fail."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import Executor, Future
from concurrent.futures.process import BrokenProcessPool
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import pytest
from click.testing import CliRunner, Result

from crossmargin_circuits.version import VERSION
from crossmargin_verifier import cli
from crossmargin_verifier.bundle import check, check_receipt
from crossmargin_verifier.bundle.check import CannotCheckError, check_bundle
from crossmargin_verifier.bundle.verdict import Outcome
from crossmargin_verifier.cli import main
from crossmargin_verifier.kernel import KernelError
from crossmargin_verifier.protocol import arithmetic, equation
from crossmargin_verifier.protocol.arithmetic import PLAIN

needs_kernel = pytest.mark.skipif(
    find_spec("crossmargin_kernel") is None, reason="the compiled kernel is not installed"
)


def run(*arguments: str | Path) -> Result:
    result = CliRunner().invoke(main, ["bundle", *map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a small book has several."""
    monkeypatch.setattr(equation, "MAX_PIECE", 5)


def claims(text: str) -> str:
    """Return a verdict without the line that says how and when it was found."""
    return text.partition("crossmargin-verify ")[0]


@pytest.fixture(scope="session")
def text(venue: Any) -> str:
    found = claims((venue.bundle / "summary.txt").read_text(encoding="utf-8"))
    assert "Digests and key" in found
    return found


def test_plain_is_silent_off_a_terminal(venue: Any, text: str) -> None:
    for processes in ("1", "2"):
        result = run(venue.bundle, "--processes", processes)
        assert (result.exit_code, claims(result.stdout), result.stderr) == (0, text, "")
        assert "plain Python" in result.stdout


@needs_kernel
@pytest.mark.parametrize("threads", ["1", "2"])
def test_kernel_says_that_it_is_trusted(venue: Any, text: str, threads: str) -> None:
    result = run(venue.bundle, "--kernel", "--processes", threads)
    assert (result.exit_code, claims(result.stdout)) == (0, text)
    assert result.stderr == f"  arithmetic: compiled kernel {VERSION}, which is trusted here; threads: {threads}\n"


@needs_kernel
def test_kernel_refuses_the_same_proofs(bundle: Path, anchor: Callable[[Path], None]) -> None:
    proof = next(iter(sorted(bundle.glob("statements/*/shard-000000.cm2"))))
    data = bytearray(proof.read_bytes())
    data[-1] ^= 1
    proof.write_bytes(data)
    anchor(bundle)
    plain, fast = run(bundle), run(bundle, "--kernel")
    assert (plain.exit_code, fast.exit_code) == (1, 1)
    assert plain.stderr.startswith("REJECTED: V6")
    assert fast.stderr.splitlines()[-1] == plain.stderr.splitlines()[-1]


@pytest.mark.parametrize("number", ["0", "-1", "two"])
def test_processes_are_a_number(number: str) -> None:
    assert run("nowhere", "--processes", number).exit_code == 2


def test_stages_on_a_terminal(venue: Any, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "stderr", sys.__stderr__)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    times = iter(range(10**6))
    monkeypatch.setattr(cli.time, "monotonic", lambda: float(next(times)))
    with pytest.raises(SystemExit) as end:
        main(["bundle", str(venue.bundle), "--processes", "1"])
    assert end.value.code == 0
    shown = capfd.readouterr().err
    lines = shown.splitlines()
    assert "  arithmetic: plain Python; processes: 1" in lines
    finished = re.findall(r"  ([a-z: ]+): \d+\.\d s", shown)
    trees = [f"statement {name}: trees" for name in ("maintenance", "initial", "coverage")]
    assert finished == ["policies", "snapshot: trees", *trees, "proof"]
    assert re.search(r"proof \.\.\. \d+ %, \d+ a second, \d:\d\d left", shown)


class Breaking(Executor):
    """Ends with an error that is not about the bundle."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def submit(self, function: Any, /, *arguments: Any, **options: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_exception(self.error)
        return future


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (BrokenProcessPool("gone"), "a worker process ended early"),
        (MemoryError(), "memory ran out"),
        (KernelError("the kernel does not multiply"), "the kernel does not multiply"),
    ],
)
def test_failures_are_no_verdict(venue: Any, monkeypatch: pytest.MonkeyPatch, error: Exception, words: str) -> None:
    monkeypatch.setattr(equation, "MIN_PIECE", 1)
    with pytest.raises(CannotCheckError, match=words):
        check_bundle(venue.bundle, executor=Breaking(error))


class Dying:
    """Arithmetic that ends the process in which it runs, unless that is this one."""

    def __init__(self) -> None:
        self.parent = os.getpid()

    def msm(self, scalars: Any, points: Any) -> Any:
        return PLAIN.msm(scalars, points)

    def msm_encoded(self, scalars: bytes, encodings: bytes) -> Any:
        if os.getpid() != self.parent:
            os._exit(9)
        return PLAIN.msm_encoded(scalars, encodings)


def test_a_killed_worker_is_no_verdict(venue: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(equation, "MIN_PIECE", 1)
    monkeypatch.setattr(arithmetic, "PLAIN", Dying())
    result = run(venue.bundle, "--processes", "2")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == (
        "COULD NOT CHECK: a worker process ended early; perhaps memory ran out: try fewer processes\n"
    )
    as_json = json.loads(run(venue.bundle, "--processes", "2", "--json").stdout)
    assert as_json["outcome"] == "could not check"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(24, "Too many open files"), "OSError: [Errno 24] Too many open files"),
        (RuntimeError("can't start new thread"), "RuntimeError: can't start new thread"),
        (MemoryError(), "memory ran out"),
        (AssertionError(), "AssertionError"),
    ],
)
@pytest.mark.parametrize("command", ["bundle", "receipt"])
def test_no_failure_of_the_machine_is_a_rejection(
    venue: Any, monkeypatch: pytest.MonkeyPatch, error: Exception, words: str, command: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(check if command == "bundle" else check_receipt, f"check_{command}", fail)
    options = [str(venue.bundle)]
    if command == "receipt":
        options = [str(venue.bundle / "none"), "--bundle", str(venue.bundle), "--id", "nobody"]
    result = CliRunner().invoke(main, [command, *options])
    assert (result.exit_code, result.stdout, result.stderr) == (2, "", f"COULD NOT CHECK: {words}\n")
    result = CliRunner().invoke(main, [command, *options, "--json"])
    assert (result.exit_code, result.stderr) == (2, "")
    assert json.loads(result.stdout) == {"outcome": "could not check", "reason": words}


LIMITED = """
import resource, sys
from crossmargin_verifier.cli import main

if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_NOFILE, (10, 10))
    main()
"""


@pytest.mark.skipif(os.name == "nt", reason="there are no such limits")
@pytest.mark.parametrize("as_json", [False, True])
def test_too_few_open_files_are_no_verdict(venue: Any, tmp_path: Path, as_json: bool) -> None:
    script = tmp_path / "limited.py"
    script.write_text(LIMITED, encoding="utf-8")
    command = [sys.executable, script, "bundle", venue.bundle, "--processes", "2", *["--json"] * as_json]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.returncode == 2, finished.stdout + finished.stderr
    if as_json:
        assert "Too many open files" in json.loads(finished.stdout)["reason"]
    else:
        assert finished.stdout == ""
        assert "COULD NOT CHECK: OSError" in finished.stderr
        assert "Traceback" not in finished.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is always full")
def test_a_verdict_that_cannot_be_written_is_no_rejection(venue: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "check_bundle", lambda *_, **__: FakeVerdict())
    for options in ([], ["--json"]):
        with Path("/dev/full").open("w", encoding="utf-8") as full, monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", full)
            with pytest.raises(SystemExit) as ended:
                main(["bundle", str(venue.bundle), "--processes", "1", *options])
            assert ended.value.code == 3


class FakeVerdict:
    text = "VERIFIED\n"
    data: ClassVar[dict[str, Any]] = {}
    outcome = Outcome.VERIFIED


def test_progress_counts_up_to_all(venue: Any) -> None:
    calls: list[tuple[str, int, int]] = []
    check_bundle(venue.bundle, progress=lambda *call: calls.append(call))
    for stage in {stage for stage, _, _ in calls}:
        counts = [done for name, done, _ in calls if name == stage]
        totals = {total for name, _, total in calls if name == stage}
        assert len(totals) == 1
        assert counts[0] == 0
        assert counts[-1] == totals.pop()
        assert counts == sorted(counts)
    assert sum(stage == "snapshot: trees" and not done for stage, done, _ in calls) == 1
