"""What a command reports as done outlasts a power cut (R2): the order of its system calls, recorded or traced."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from crossmargin import placement
from crossmargin.placement import Names, make_folder, write_file, write_files, write_folder
from tests.reliability.conftest import EXAMPLE, command
from tests.reliability.durability import STRACE, Call, Disk, Recorder, traced

BASE = Path("/base")


def calls(text: str) -> list[Call]:
    return [
        Call(name, *(BASE / path for path in paths)) for name, *paths in map(str.split, filter(None, text.split(";")))
    ]


FILE = "create .a.0123456789abcdef; write .a.0123456789abcdef; "
FOLDER = "mkdir .b.0123456789abcdef; create .b.0123456789abcdef/x; write .b.0123456789abcdef/x; "


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (FILE + "sync .a.0123456789abcdef; rename .a.0123456789abcdef a; sync .; report", ""),
        (FILE + "rename .a.0123456789abcdef a; sync .; report", "a.0123456789abcdef renamed before its data"),
        (FILE + "sync .a.0123456789abcdef; rename .a.0123456789abcdef a; report", "name of /base/a not on the disk"),
        ("create a; write a; sync .; report", "data of /base/a not on the disk"),
        ("mkdir b; create b/a; sync b/a; sync b; report", "name of /base/b not on the disk"),
        (FOLDER + "sync .b.0123456789abcdef/x; rename .b.0123456789abcdef b", "renamed before its names"),
        (FOLDER + "sync .b.0123456789abcdef; rename .b.0123456789abcdef b", "renamed before its data"),
        (
            FOLDER + "sync .b.0123456789abcdef/x; sync .b.0123456789abcdef; exchange .b.0123456789abcdef b; "
            "remove .b.0123456789abcdef/x",
            "removed before its successor",
        ),
        (
            FOLDER + "sync .b.0123456789abcdef/x; sync .b.0123456789abcdef; exchange .b.0123456789abcdef b; sync .; "
            "remove .b.0123456789abcdef/x; remove .b.0123456789abcdef; report",
            "",
        ),
        (
            "rename b .b.0123456789abcdef; rename .b.0000000000000000 b; remove .b.0123456789abcdef/x",
            "removed before its successor",
        ),
        (FILE + "report", ""),
    ],
)
def test_wrong_orders_are_found(text: str, fault: str) -> None:
    if fault:
        with pytest.raises(AssertionError, match=re.escape(fault)):
            Disk(BASE).replay(calls(text))
    else:
        Disk(BASE).replay(calls(text))


def test_every_way_of_writing_keeps_the_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder(monkeypatch)
    root, names = tmp_path / "root", Names(("a", "b"))
    make_folder(root / "deep" / "er", 0o700)
    write_file(root / "deep" / "er" / "a", b"1", 0o600)
    write_files(root / "deep", {str(number): b"1" for number in range(20)}, 0o600)
    for exchanges in (True, False):
        if not exchanges:
            monkeypatch.setattr(placement, "_exchange", lambda first, second: False)
        for data in (b"1", b"2"):
            write_folder(root / f"folder-{exchanges}", {"a": data, "b": data}, names, 0o755)
    Disk(tmp_path).replay(recorder.calls).check_all(root)
    assert sum(call.name == "exchange" for call in recorder.calls) <= 1


def test_whole_way_keeps_the_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder(monkeypatch)
    vault, bundle, receipts = tmp_path / "vault", tmp_path / "site" / "bundle", tmp_path / "receipts"
    options = ("--book", EXAMPLE, "--vault", vault, "--processes", 1)
    disk, done = Disk(tmp_path), 0
    for arguments in (
        ("commit", *options, "--shard", 4),
        ("prove", *options, "--statement", "coverage", "--packing", 0),
        ("prove", *options, "--statement", "coverage", "--packing", 0),
        ("publish", *options, "--out", bundle, "--despite-claims"),
        ("publish", *options, "--out", bundle, "--despite-claims"),
        ("receipts", "--vault", vault, "--out", receipts),
        ("receipts", "--vault", vault, "--out", receipts, "--account", "acct-a"),
    ):
        result = command(*arguments)
        assert "refused" not in result.stderr, result.stderr
        disk.replay(recorder.calls[done:])
        disk.check()
        done = len(recorder.calls)
    disk.check_all(vault, bundle, receipts)


def test_copied_snapshot_keeps_the_order(vault: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A later snapshot without a change takes the earlier one."""
    book = Path(shutil.copytree(EXAMPLE, tmp_path / "book"))
    market = (book / "market.yaml").read_text(encoding="utf-8").replace("T08:00", "T09:00")
    (book / "market.yaml").write_text(market.replace("T07:59", "T08:59"), encoding="utf-8")
    recorder = Recorder(monkeypatch)
    result = command("commit", "--book", book, "--vault", tmp_path / "new", "--since", vault, "--processes", 1)
    assert "no account changed" in result.output
    disk = Disk(tmp_path).replay(recorder.calls)
    disk.check()
    assert tmp_path / "new" / "snapshot" / "snapshot.cm2" in disk.made


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_whole_way_keeps_the_order_for_the_system(tmp_path: Path) -> None:
    """The same of the system calls themselves, workers included, at every line that is printed."""
    vault, bundle, receipts = tmp_path / "vault", tmp_path / "bundle", tmp_path / "receipts"
    book, log = Path(shutil.copytree(EXAMPLE, tmp_path / "book")), tmp_path / "calls.txt"
    model = (book / "model.yaml").read_text(encoding="utf-8")
    (book / "model.yaml").write_text(re.sub(r"(?m)^  - \{name: (?!coverage).*\n", "", model), encoding="utf-8")
    program = "from crossmargin_prover.cli import main; main()"
    run = [
        *(*STRACE, "-o", log, sys.executable, "-c", program, "run", "--book", book, "--vault", vault),
        *(
            "--bundle",
            bundle,
            "--receipts",
            receipts,
            "--packing",
            0,
            "--processes",
            2,
            "--shard",
            4,
            "--despite-claims",
        ),
    ]
    done = subprocess.run(list(map(str, run)), capture_output=True, text=True, check=False)
    if "ptrace" in done.stderr or "Operation not permitted" in done.stderr:
        pytest.skip("strace may not trace here")
    assert done.returncode == 4, done.stderr
    found = traced(log.read_text(encoding="utf-8", errors="replace"), tmp_path)
    assert sum(call.name == "report" for call in found) >= 4
    Disk(tmp_path).replay(found).check_all(vault, bundle, receipts)
