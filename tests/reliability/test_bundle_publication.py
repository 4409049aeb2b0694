"""Publishing: what killed runs leave is swept, living runs are left alone, and what is published is readable."""

import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from crossmargin import placement
from crossmargin_prover.vault.lock import BusyError, locked_folder, locked_temporary, sweep_beside
from crossmargin_prover.vault.names import BUNDLE
from tests.reliability.conftest import EXAMPLE, command, contents, fill

HEX = "0123456789abcdef"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_killed_publication_is_swept(publish: Callable[..., Result], tmp_path: Path) -> None:
    out = fill(tmp_path / "site", {}) / "bundle"
    fill(out.parent, {f".bundle.{HEX}/bundle.json": "half", f".bundle.{HEX}/statements/coverage/policy.json": "half"})
    theirs = {f".bundle.{HEX[1:]}/x": "", f".other.{HEX}/x": "", f".bundle.{HEX[:-1]}0/diary.txt": "mine"}
    fill(out.parent, theirs)
    assert publish(out).exit_code == 4
    assert names(out.parent) == sorted([*(name.split("/")[0] for name in theirs), "bundle"])
    assert (out.parent / f".bundle.{HEX[:-1]}0" / "diary.txt").is_file()


def test_living_publication_is_not_swept(publish: Callable[..., Result], tmp_path: Path) -> None:
    out = fill(tmp_path / "site", {}) / "bundle"
    with locked_temporary(out, BUNDLE) as other:
        fill(other, {"bundle.json": "half"})
        assert publish(out).exit_code == 4
        assert (other / "bundle.json").is_file()
    assert names(out.parent) == ["bundle"]


def test_temporary_that_is_swept_before_it_is_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []

    def raced(folder: Path) -> Path:
        path = folder.with_name(f".{folder.name}.{len(made):016x}")
        made.append(path)
        return path

    monkeypatch.setattr("crossmargin_prover.vault.lock.temporary_name", raced)
    opened, out = os.open, tmp_path / "bundle"

    def sweeping(path: Any, *options: Any, **given: Any) -> int:
        if path == made[-1] and len(made) <= 2:
            if len(made) == 2:
                descriptor = opened(path, *options, **given)
                path.rmdir()
                return descriptor
            path.rmdir()
        return opened(path, *options, **given)

    monkeypatch.setattr(os, "open", sweeping)
    with locked_temporary(out, BUNDLE) as temporary:
        monkeypatch.undo()
        assert temporary == made[2]
        sweep_beside(out, BUNDLE)
        assert temporary.is_dir()
    assert not list(tmp_path.iterdir())


def test_two_runs_do_not_publish_at_once(publish: Callable[..., Result], vault: Path, tmp_path: Path) -> None:
    out, receipts = tmp_path / "bundle", tmp_path / "receipts"
    publish(out)
    assert command("receipts", "--vault", vault, "--out", receipts).exit_code == 0
    before = contents(out)
    with locked_folder(out), locked_folder(receipts):
        with pytest.raises(BusyError), locked_folder(out):
            pass
        assert "another run is publishing there" in publish(out).stderr
        result = command("receipts", "--vault", vault, "--out", receipts)
    assert "another run is writing receipts there" in result.stderr
    assert contents(out) == before


@pytest.mark.parametrize("exchanges", [True, False])
def test_earlier_bundle_that_cannot_be_removed_is_a_warning(
    publish: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exchanges: bool
) -> None:
    """The new bundle is in place: nothing is refused."""
    out = fill(tmp_path / "site", {}) / "bundle"
    publish(out)
    (out / "summary.txt").write_text("old", encoding="utf-8")
    if not exchanges:
        monkeypatch.setattr(placement, "_exchange", lambda first, second: False)

    def read_only(descriptor: int, path: Any, entry: Any, known: Any) -> bool:
        raise PermissionError(13, "Permission denied", entry.name)

    monkeypatch.setattr(placement, "_remove_entry", read_only)
    result = publish(out)
    assert result.exit_code == 4
    assert "refused" not in result.stderr
    assert (out / "summary.txt").read_text(encoding="utf-8") != "old"
    (left,) = [name for name in names(out.parent) if name != "bundle"]
    assert "is published; remove what is left of the earlier bundle yourself: " in result.stderr
    assert str(out.parent / left) in result.stderr
    monkeypatch.undo()
    publish(out)
    assert names(out.parent) == ["bundle"]


def test_write_protected_bundle_is_replaced(publish: Callable[..., Result], tmp_path: Path) -> None:
    out = fill(tmp_path / "site", {}) / "bundle"
    publish(out)
    for path in (*out.rglob("*"), out):
        path.chmod(0o555 if path.is_dir() else 0o444)
    assert publish(out).exit_code == 4
    assert names(out.parent) == ["bundle"]


@pytest.mark.parametrize("failing", [1, 2])
def test_name_that_cannot_be_given_leaves_the_earlier_bundle(
    publish: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    """Where two folders cannot be exchanged, and one of the two renames fails."""
    out = fill(tmp_path / "site", {}) / "bundle"
    publish(out)
    before, calls = contents(out), []
    rename = Path.rename

    def refused(self: Path, target: Path) -> Path:
        if out in (self, target):
            calls.append(self)
            if len(calls) == failing:
                raise PermissionError(13, "Permission denied", str(self))
        return rename(self, target)

    monkeypatch.setattr(placement, "_exchange", lambda first, second: False)
    monkeypatch.setattr(Path, "rename", refused)
    result = publish(out)
    assert result.exit_code == 1
    assert "Permission denied" in result.stderr
    assert contents(out) == before
    assert names(out.parent) == ["bundle"]


@contextmanager
def umask(value: int) -> Iterator[None]:
    earlier = os.umask(value)
    try:
        yield
    finally:
        os.umask(earlier)


def modes(folder: Path) -> set[tuple[bool, int]]:
    return {(path.is_dir(), stat.S_IMODE(path.stat().st_mode)) for path in (folder, *folder.rglob("*"))}


@pytest.mark.parametrize("value", [0o077, 0o000, 0o027])
def test_modes_are_explicit_whatever_the_umask(tmp_path: Path, value: int) -> None:
    """Strangers read the bundle, and nothing else."""
    vault, bundle, receipts = tmp_path / "vault", tmp_path / "new" / "bundle", tmp_path / "receipts"
    options = ("--book", EXAMPLE, "--vault", vault, "--processes", 1)
    with umask(value):
        assert command("commit", *options, "--shard", 4).exit_code == 0
        assert command("prove", *options, "--statement", "coverage", "--packing", 0).exit_code == 0
        assert command("publish", *options, "--out", bundle, "--despite-claims").exit_code == 4
        assert command("receipts", "--vault", vault, "--out", receipts).exit_code == 0
    assert modes(bundle) == {(True, 0o755), (False, 0o644)}
    assert stat.S_IMODE(bundle.parent.stat().st_mode) == 0o755
    for private in (vault, receipts):
        assert modes(private) <= {(True, 0o700), (False, 0o600)}
    shutil.rmtree(bundle)
