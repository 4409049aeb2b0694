"""A full disk is one message that names the file, and leaves what was there; the same command goes on (R11)."""

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from crossmargin.placement import stands_for
from tests.reliability.conftest import EXAMPLE, command, contents


@pytest.fixture
def full_after(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, int], Callable[[], bool]]:
    """Let a function of the system fail from some call on; returns whether it did."""

    def arrange(name: str, calls: int) -> Callable[[], bool]:
        left, function, failed = [calls], getattr(os, name), []

        def failing(*arguments: object, **options: object) -> object:
            if name == "mkdir" or isinstance(arguments[0], int):
                left[0] -= 1
                if left[0] < 0:
                    failed.append(True)
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return function(*arguments, **options)

        monkeypatch.setattr(os, name, failing)
        return lambda: bool(failed)

    return arrange


@pytest.mark.parametrize("calls", [0, 1, 4])
@pytest.mark.parametrize("call", ["write", "fsync", "mkdir"])
def test_full_disk_names_the_file(
    vault: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    full_after: Callable[[str, int], Callable[[], bool]],
    call: str,
    calls: int,
) -> None:
    options = ("--book", EXAMPLE, "--processes", 1)
    targets = {name: tmp_path / name for name in ("new", "bundle", "receipts")}
    commands = (
        (targets["new"], ("commit", *options, "--vault", targets["new"], "--shard", 4)),
        (vault, ("prove", *options, "--vault", vault, "--statement", "coverage", "--packing", 0)),
        (targets["bundle"], ("publish", *options, "--vault", vault, "--out", targets["bundle"], "--despite-claims")),
        (targets["receipts"], ("receipts", "--vault", vault, "--out", targets["receipts"])),
    )
    for target, arguments in commands:
        before = contents(vault / "statements")
        with monkeypatch.context():
            failed = full_after(call, calls)
            result = command(*arguments)
        monkeypatch.undo()
        if failed():
            assert result.exit_code == 1
            (message,) = [line for line in result.stderr.splitlines() if line.startswith("refused: ")]
            named = message.removeprefix("refused: ").removesuffix(": No space left on device")
            assert Path(named) == target.parent or Path(named).is_relative_to(target), message
            assert all(stands_for(part) == part for part in Path(named).parts), message
            assert contents(vault / "statements") == before
        assert not [path for path in target.parent.rglob(".*") if stands_for(path.name) != path.name]
        again: Result = command(*arguments)
        assert "refused" not in again.stderr, again.stderr


@pytest.mark.parametrize("call", ["write", "fsync"])
def test_half_a_control_file_is_never_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, full_after: Callable[[str, int], Callable[[], bool]], call: str
) -> None:
    book = Path(shutil.copytree(EXAMPLE, tmp_path / "book"))
    before = contents(book)
    with monkeypatch.context():
        failed = full_after(call, 0)
        result = command("control", "--book", book)
    monkeypatch.undo()
    assert failed()
    assert result.exit_code == 1
    assert "control.json: No space left on device" in result.stderr
    assert contents(book) == before
    assert command("control", "--book", book).exit_code == 0
