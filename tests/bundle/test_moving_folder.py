"""A bundle that is replaced, removed or written while somebody checks it: verified as it was, or not checked at all."""

import os
import shutil
from collections.abc import Callable
from dataclasses import replace as replaced
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from crossmargin_verifier.bundle import check, folder
from crossmargin_verifier.bundle import check_receipt as check_receipt_module
from crossmargin_verifier.bundle.check import CannotCheckError, check_bundle
from crossmargin_verifier.bundle.check_receipt import check_receipt
from crossmargin_verifier.bundle.verdict import Outcome
from crossmargin_verifier.cli import main
from crossmargin_verifier.protocol.errors import RejectedError

pytestmark = pytest.mark.usefixtures("proofs_once")

CHANGED = r"it changed while it was read: run again$"

Progress = Callable[[str, int, int], None]


@pytest.fixture(params=[True, False], ids=["relative", "by path"])
def relative(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Read as this system does, and as one does that opens no file relative to an open folder."""
    monkeypatch.setattr(folder, "RELATIVE", request.param)
    return bool(request.param)


@pytest.fixture
def later(bundle: Path, tmp_path: Path) -> Path:
    """Return another bundle, of which the reader must not mix a file with the first: every proof of it is broken."""
    made = Path(shutil.copytree(bundle, tmp_path / "later"))
    for path in made.rglob("*.cm2"):
        path.write_bytes(path.read_bytes()[:-1])
    return made


def exchange(bundle: Path, later: Path) -> None:
    """Exchange two folders, so that each has the name of the other."""
    aside = bundle.with_name("aside")
    bundle.rename(aside)
    later.rename(bundle)
    aside.rename(later)


def replace(bundle: Path, later: Path) -> None:
    """Put a later bundle in place and remove the earlier one, as a publication does."""
    exchange(bundle, later)
    shutil.rmtree(later)


def rewrite(bundle: Path, later: Path) -> None:
    """Copy a later bundle over an earlier one."""
    shutil.copytree(later, bundle, dirs_exist_ok=True, copy_function=shutil.copyfile)


def remove(bundle: Path, later: Path) -> None:
    """Remove the bundle."""
    shutil.rmtree(bundle)


def before_statement(number: int, change: Callable[[Path, Path], None], bundle: Path, later: Path) -> Progress:
    """Return a progress callback that changes the folder once, before the files of a statement are read."""

    def progress(stage: str, done: int, total: int) -> None:
        if stage == "policies" and done == number:
            change(bundle, later)

    return progress


STATEMENTS = range(3)


@pytest.mark.parametrize("number", STATEMENTS)
def test_an_exchanged_bundle_is_checked_as_it_was(bundle: Path, venue: Any, later: Path, number: int) -> None:
    """Its folder is open, whatever name it has by now."""
    if not folder.RELATIVE:
        pytest.skip("this system opens no file relative to an open folder")
    verdict = check_bundle(bundle, progress=before_statement(number, exchange, bundle, later))
    assert replaced(verdict, run=None) == replaced(check_bundle(venue.bundle), run=None)
    with pytest.raises(RejectedError):
        check_bundle(bundle)


@pytest.mark.parametrize("change", [exchange, replace, rewrite, remove])
@pytest.mark.parametrize("number", STATEMENTS)
def test_a_bundle_that_moves_is_never_rejected(
    bundle: Path, later: Path, relative: bool, change: Callable[[Path, Path], None], number: int
) -> None:
    try:
        verdict = check_bundle(bundle, progress=before_statement(number, change, bundle, later))
    except CannotCheckError as error:
        assert str(error).endswith("it changed while it was read: run again")
    else:
        assert verdict.outcome is Outcome.VERIFIED
        assert change is exchange
        assert relative


@pytest.mark.parametrize("change", [exchange, replace])
def test_a_failing_claim_about_a_folder_that_moved_is_no_verdict_on_a_mixture(
    change: Callable[[Path, Path], None],
    coverage: Path,
    later: Path,
    relative: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A bundle about coverage alone lacks a claim. So may a mixture of bundles, without any step being refused.

    Files of one open folder are no mixture, as long as nobody removes them.
    """
    failing = check_bundle(coverage)
    assert failing.outcome is Outcome.CLAIMS_OPEN
    judge = check.judge

    def last(*arguments: Any) -> Any:
        change(coverage, later)
        return judge(*arguments)

    monkeypatch.setattr(check, "judge", last)
    if relative and change is exchange:
        assert check_bundle(coverage).claims == failing.claims
        return
    with pytest.raises(CannotCheckError, match=CHANGED):
        check_bundle(coverage)


def test_a_file_that_is_gone_from_a_bundle_that_moved_is_not_missing(bundle: Path, later: Path) -> None:
    """A publication moves the earlier bundle, and removes it from the inside."""
    if not folder.RELATIVE:
        pytest.skip("this system opens no file relative to an open folder")
    with folder.Folder.open(bundle) as opened:
        exchange(bundle, later)
        (later / "snapshot" / "totals.cm2").unlink()
        with pytest.raises(CannotCheckError, match=CHANGED):
            opened.inner("snapshot").read("totals.cm2", 1 << 20)


@pytest.mark.usefixtures("relative")
@pytest.mark.parametrize("change", [exchange, replace, rewrite, remove])
def test_a_receipt_is_never_rejected_for_a_bundle_that_moves(
    venue: Any, bundle: Path, later: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path, Path], None]
) -> None:
    """When half of the policies are read."""
    compile_policy = check_receipt_module.compile_policy
    compiled = []

    def compile_and_change(policy: Any) -> Any:
        compiled.append(policy)
        if len(compiled) == 2:
            change(bundle, later)
        return compile_policy(policy)

    monkeypatch.setattr(check_receipt_module, "compile_policy", compile_and_change)
    try:
        checked = check_receipt(venue.receipt("acct-b"), "acct-b", bundle=bundle)
    except CannotCheckError as error:
        assert str(error).endswith("it changed while it was read: run again")
    else:
        assert change is exchange
        assert checked.is_signed
    assert len(compiled) >= 2


@pytest.mark.usefixtures("relative")
def test_the_command_says_so(bundle: Path, later: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compile_policy = check.compile_policy

    def replace_and_compile(policy: Any, *arguments: Any, **options: Any) -> Any:
        monkeypatch.setattr(check, "compile_policy", compile_policy)
        replace(bundle, later)
        return compile_policy(policy, *arguments, **options)

    monkeypatch.setattr(check, "compile_policy", replace_and_compile)
    result = CliRunner().invoke(main, ["bundle", str(bundle), "--processes", "1"])
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == f"COULD NOT CHECK: {bundle}: it changed while it was read: run again\n"


@pytest.mark.usefixtures("relative")
def test_what_was_wrong_before_is_rejected(bundle: Path, later: Path, anchor: Callable[[Path], None]) -> None:
    """Also where the folder is exchanged twice meanwhile, and where the link that leads to it is moved back."""
    statements = bundle / "statements"
    (statements / "initial" / "slack.cm2").write_bytes((statements / "maintenance" / "slack.cm2").read_bytes())
    anchor(bundle)

    def twice(bundle: Path, later: Path) -> None:
        exchange(bundle, later)
        exchange(bundle, later)

    with pytest.raises(RejectedError, match="V3, statement initial"):
        check_bundle(bundle, progress=before_statement(1, twice, bundle, later))
    link = bundle.with_name("latest")
    link.symlink_to(bundle)
    with pytest.raises(RejectedError, match="V3, statement initial"):
        check_bundle(link)


@pytest.mark.skipif(not hasattr(os, "O_DIRECTORY"), reason="folders are not opened here")
def test_no_descriptor_is_left(bundle: Path) -> None:
    (bundle / "statements" / "initial" / "slack.cm2").unlink()
    before = os.dup(0)
    os.close(before)
    for _ in range(3):
        with pytest.raises(RejectedError):
            check_bundle(bundle)
    after = os.dup(0)
    os.close(after)
    assert before == after


def test_every_file_is_read_once(venue: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    counts: dict[str, int] = {}
    find = folder.Folder.find

    def counted(self: folder.Folder, name: str, *arguments: Any, **options: Any) -> Any:
        counts[f"{self.path.name}/{name}"] = counts.get(f"{self.path.name}/{name}", 0) + 1
        return find(self, name, *arguments, **options)

    monkeypatch.setattr(folder.Folder, "find", counted)
    verdict = check_bundle(venue.bundle)
    assert set(counts.values()) == {1}
    expected = {name: bytes.fromhex(digest) for name, digest in verdict.digests.items()}
    counts.clear()
    assert check_bundle(venue.bundle, expected).compared == tuple(verdict.digests)
    assert set(counts.values()) == {1}
    counts.clear()
    check_receipt(venue.receipt("acct-b"), "acct-b", bundle=venue.bundle)
    assert set(counts.values()) == {1}
