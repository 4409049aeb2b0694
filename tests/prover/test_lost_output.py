"""Output that cannot be written: what a command does is done all the same, and its exit code does not say refused."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import pytest

from crossmargin.loading import load_folder
from crossmargin_prover import Run, commit, prove
from crossmargin_prover.cli import main, proving

SMALL = Path(__file__).parents[2] / "examples" / "small"
FULL = Path("/dev/full")

needs_full = pytest.mark.skipif(not FULL.exists(), reason="the system has no device that is always full")


@pytest.fixture(scope="module")
def proven(tmp_path_factory: pytest.TempPathFactory) -> Path:
    vault = tmp_path_factory.mktemp("proven") / "vault"
    book, run = load_folder(SMALL), Run(packing=0)
    commit(book, vault, run)
    prove(book, vault, ["coverage"], run)
    return vault


@pytest.fixture
def vault(proven: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(proven, tmp_path / "vault"))


@pytest.fixture
def closed_pipe() -> Iterator[TextIO]:
    """Standard output of a command whose reader has ended, as `| head` does."""
    reader, writer = os.pipe()
    os.close(reader)
    stream = os.fdopen(writer, "w")
    yield stream
    try:
        stream.close()
    except BrokenPipeError:
        pytest.fail("something was left to be written")


def exit_code(*arguments: object) -> int:
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    return int(end.value.code or 0)


def publish(vault: Path, bundle: Path) -> tuple[object, ...]:
    return ("publish", "--book", SMALL, "--vault", vault, "--out", bundle, "--processes", 1, "--despite-claims")


@needs_full
def test_full_disk_for_the_output_alone(
    vault: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with FULL.open("w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        for expected, arguments in (
            (3, ("receipts", "--vault", vault, "--out", tmp_path / "receipts")),
            (3, ("margin", "show", "--book", SMALL)),
            # Claims are open, and that counts more.
            (4, publish(vault, tmp_path / "bundle")),
            (4, (*publish(vault, tmp_path / "json"), "--json")),
            (3, ("commit", "--book", SMALL, "--vault", tmp_path / "new", "--processes", 1)),
        ):
            assert exit_code(*arguments) == expected, arguments
            lines = capsys.readouterr().err.splitlines()
            assert lines[-1] == "done, but the output could not be written: No space left on device"
            assert not any("refused" in line for line in lines)
    assert len(list((tmp_path / "receipts").glob("*.cm2"))) == 5
    assert (tmp_path / "bundle" / "summary.txt").is_file()
    assert (tmp_path / "json" / "summary.txt").is_file()
    assert (tmp_path / "new" / "snapshot" / "snapshot.cm2").is_file()


@needs_full
def test_refusals_stay_refusals(
    vault: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with FULL.open("w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert exit_code("receipts", "--vault", vault, "--out", tmp_path / "r", "--account", "nobody") == 1
        assert capsys.readouterr().err.splitlines()[-1].endswith("no account 'nobody' in the snapshot")


def test_reader_who_has_seen_enough_is_no_failure(
    vault: Path,
    tmp_path: Path,
    closed_pipe: TextIO,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Nothing stops half way: the line about the commitment is lost before anything is proven."""
    monkeypatch.setattr(sys, "stdout", closed_pipe)
    assert exit_code("margin", "show", "--book", SMALL) == 0
    prove = ("prove", "--book", SMALL, "--vault", vault, "--statement", "coverage", "--packing", 0, "--processes", 1)
    assert exit_code(*prove) == 0
    assert exit_code("receipts", "--vault", vault, "--out", tmp_path / "receipts") == 0
    assert exit_code("policy", "show", vault / "statements" / "coverage" / "policy.json") == 0
    assert len(list((tmp_path / "receipts").glob("*.cm2"))) == 5
    errors = capsys.readouterr().err
    assert "refused" not in errors
    assert "done, but" not in errors


@needs_full
def test_lost_progress_stops_nothing(vault: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with FULL.open("w") as full:
        monkeypatch.setattr(sys, "stderr", full)
        assert exit_code("receipts", "--vault", vault, "--out", tmp_path / "receipts") == 0
        assert exit_code(*publish(vault, tmp_path / "bundle")) == 4
    assert (tmp_path / "bundle" / "bundle.json").is_file()


def test_closed_output_stops_nothing(vault: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`>&- 2>&-`: Python has no streams then."""
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    assert exit_code("receipts", "--vault", vault, "--out", tmp_path / "receipts") == 0
    assert len(list((tmp_path / "receipts").glob("*.cm2"))) == 5


@pytest.mark.parametrize("code", [0, 1, "gave up"])
def test_library_that_ends_the_program_has_not_done_the_work(
    vault: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], code: object
) -> None:
    def ending(*given: object, **options: object) -> None:
        raise SystemExit(code)

    monkeypatch.setattr(proving, "deliver", ending)
    assert exit_code("receipts", "--vault", vault, "--out", tmp_path / "receipts") == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith(f"refused: a library ended the program with {code!r}")


@pytest.mark.parametrize("error", [KeyboardInterrupt, KeyboardInterrupt("again")])
def test_interrupted_command_ends_with_130(
    vault: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: object
) -> None:
    def interrupted(*given: object, **options: object) -> None:
        raise error  # type: ignore[misc]

    for name in ("commit_book", "prove_statements", "publish_bundle", "deliver", "pipeline"):
        monkeypatch.setattr(proving, name, interrupted)
    book, at = ("--book", SMALL), ("--vault", vault)
    for arguments in (
        ("commit", *book, "--vault", tmp_path / "new", "--processes", 1),
        ("prove", *book, *at, "--processes", 2),
        publish(vault, tmp_path / "bundle"),
        ("receipts", *at, "--out", tmp_path / "receipts"),
        ("run", *book, "--vault", tmp_path / "new", "--bundle", tmp_path / "bundle", "--processes", 1),
    ):
        assert exit_code(*arguments) == 130
        assert capsys.readouterr().err.splitlines()[-1] == "interrupted: re-run the same command to resume"


def test_interrupted_import_ends_with_130(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(name: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("crossmargin.cli.lazy_group.import_module", interrupted)
    assert exit_code("commit", "--help") == 130
    assert capsys.readouterr().err.splitlines()[-1] == "interrupted"


@needs_full
@pytest.mark.parametrize("arguments", [("--version",), ("--help",), ("commit", "--help"), ("margin", "--help")])
def test_lost_help_is_one_line(arguments: tuple[str, ...]) -> None:
    program = (sys.executable, "-c", "from crossmargin_prover.cli import main; main()")
    with FULL.open("w") as full:
        done = subprocess.run([*program, *arguments], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (3, "the output could not be written: No space left on device\n")
