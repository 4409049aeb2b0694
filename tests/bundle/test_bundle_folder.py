"""A bundle is a folder of strangers: missing, additional, exchanged and linked files, and names that would leave it."""

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from crossmargin_circuits.errors import CrossmarginError
from crossmargin_verifier.bundle.check import CannotCheckError, check_bundle
from crossmargin_verifier.bundle.limits import MAX_DECLARATION_BYTES
from crossmargin_verifier.protocol.errors import MalformedError, RejectedError

pytestmark = pytest.mark.usefixtures("proofs_once")

Rewrite = Callable[[Path, Callable[[Any], None]], None]

STATEMENT_FILES = ("columns", "relation", "snapshot", "positions", "totals", "statement", "slack", "shard-000000")
FOLDER = (*(f"{name}.cm1" for name in (*STATEMENT_FILES, "auxtotals")), "policy.json")


def test_manifest_of_files_is_complete(venue: Any) -> None:
    named = {f"{name}/{file}" for name in ("maintenance", "initial", "coverage") for file in FOLDER}
    assert set(venue.files) == named | {"bundle.json", "reserves.json", "summary.json", "summary.txt"}


@pytest.mark.parametrize("file", ["bundle.json", "reserves.json", *(f"initial/{file}" for file in FOLDER)])
def test_missing_file_cannot_be_checked(bundle: Path, file: str) -> None:
    (bundle / file).unlink()
    with pytest.raises(CannotCheckError, match=rf"{file.rpartition('/')[2]}: No such file"):
        check_bundle(bundle)


def test_missing_folders_cannot_be_checked(bundle: Path) -> None:
    shutil.rmtree(bundle / "coverage")
    with pytest.raises(CannotCheckError, match="coverage"):
        check_bundle(bundle)
    with pytest.raises(CannotCheckError, match="no such folder"):
        check_bundle(bundle / "nothing")
    with pytest.raises(CannotCheckError, match="no such folder"):
        check_bundle(bundle / "bundle.json")


def test_unreadable_file_cannot_be_checked(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = os.open

    def refuse(path: Any, *arguments: Any, **options: Any) -> int:
        if Path(path).name == "slack.cm1":
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, *arguments, **options)

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(CannotCheckError, match=r"slack\.cm1: Permission denied"):
        check_bundle(bundle)


def test_additional_files_are_ignored(bundle: Path, venue: Any) -> None:
    (bundle / "README").write_text("read me", encoding="utf-8")
    (bundle / "stress").mkdir()
    (bundle / "stress" / "shard-000000.cm1").write_bytes(b"no proof")
    (bundle / "initial" / "shard-000001.cm1").write_bytes(b"no proof")
    (bundle / "initial" / "notes.txt").symlink_to("/etc/passwd")
    assert check_bundle(bundle) == check_bundle(venue.bundle)


@pytest.mark.parametrize(
    "name",
    [
        *("..", ".", "../initial", "initial/", "/initial", "a/b", "a\\b", "~", "", "a" * 33),
        *("Initial", "1st", "-initial", "initial ", "a.b", "a\u0000", "a\nb", "\u00e9"),
    ],
)
def test_name_that_could_leave_the_folder_is_malformed(bundle: Path, rewrite: Rewrite, name: str) -> None:
    rewrite(bundle / "bundle.json", lambda root: root["statements"].append(name))
    with pytest.raises(MalformedError, match=r"^bundle\.json: statements"):
        check_bundle(bundle)


@pytest.mark.parametrize("names", [[], ["initial", "initial"], "initial", [1], [["initial"]], {"initial": 1}, [None]])
def test_list_of_statements_is_a_list_of_distinct_names(bundle: Path, rewrite: Rewrite, names: object) -> None:
    rewrite(bundle / "bundle.json", lambda root: root.update(statements=names))
    with pytest.raises(MalformedError, match=r"^bundle\.json: statements"):
        check_bundle(bundle)


def refused(folder: Path) -> str:
    with pytest.raises((RejectedError, MalformedError)) as error:
        check_bundle(folder)
    return str(error.value)


def test_exchanged_statement_folders_are_refused(bundle: Path) -> None:
    """Both proofs hold, each under the other's name: what the summary says of initial is then said of maintenance."""
    for source, target in (("initial", "aside"), ("maintenance", "initial"), ("aside", "maintenance")):
        (bundle / source).rename(bundle / target)
    assert "is not the verdict on this bundle" in refused(bundle)
    honest = json.loads((bundle / "summary.json").read_bytes())["digests"]
    for name in ("summary.json", "summary.txt"):
        (bundle / name).unlink()
    exchanged = check_bundle(bundle).digests
    assert exchanged["initial statement"] == honest["maintenance statement"]
    with pytest.raises(RejectedError, match=r"^V10: initial statement"):
        check_bundle(bundle, {"initial statement": bytes.fromhex(honest["initial statement"])})


@pytest.mark.parametrize(
    ("file", "step"),
    [
        ("policy.json", "V2"),
        ("relation.cm1", "V2"),
        ("statement.cm1", "V2"),
        ("slack.cm1", "V3"),
        ("shard-000000.cm1", "V4, shard 0"),
        ("auxtotals.cm1", "V8"),
    ],
)
def test_file_of_another_statement_is_rejected(bundle: Path, file: str, step: str) -> None:
    """Both statements have the same shape, so that every length fits."""
    shutil.copy(bundle / "initial" / file, bundle / "maintenance" / file)
    assert refused(bundle).startswith(f"{step}: statement maintenance: ")


def test_whole_statement_under_another_policy_is_rejected(bundle: Path) -> None:
    """All files agree with each other but for the policy, from which the verifier compiles its own relation."""
    shutil.copy(bundle / "initial" / "policy.json", bundle / "coverage" / "policy.json")
    assert refused(bundle).startswith("V2: statement coverage: ")


def test_snapshot_files_that_differ_between_statements_are_rejected(bundle: Path) -> None:
    """The first statement's snapshot is the one that is verified; each other statement must repeat it."""
    honest = {path.name: path.read_bytes() for path in (bundle / "coverage").iterdir()}
    points = honest["positions.cm1"]
    for file, data, step in (
        ("snapshot.cm1", honest["snapshot.cm1"][:-1] + b"\x00", "V2"),
        ("columns.cm1", honest["columns.cm1"].replace(b"USDC", b"USDD"), "V2"),
        ("positions.cm1", points[:14] + points[47:80] + points[14:47] + points[80:], "V3"),
        ("totals.cm1", honest["totals.cm1"][:-1] + bytes([honest["totals.cm1"][-1] ^ 1]), "V7"),
    ):
        assert data != honest[file]
        (bundle / "coverage" / file).write_bytes(data)
        assert refused(bundle).startswith(f"{step}: statement coverage: "), file
        (bundle / "coverage" / file).write_bytes(honest[file])


def test_bundle_of_another_snapshot_is_rejected(bundle: Path, rewrite: Rewrite) -> None:
    for file in ("bundle.json", "reserves.json"):
        honest = (bundle / file).read_bytes()
        rewrite(bundle / file, lambda root: root.update(snapshot="00" * 32))
        assert refused(bundle) == "V10: bundle.json or reserves.json is about another snapshot"
        (bundle / file).write_bytes(honest)


def test_bundle_of_another_venue_is_rejected(bundle: Path, rewrite: Rewrite) -> None:
    rewrite(bundle / "bundle.json", lambda root: root.update(venue="another-exchange"))
    assert refused(bundle) == "V10: the policy of maintenance names another venue than bundle.json"


@pytest.mark.parametrize("file", ["bundle.json", "reserves.json", "summary.json", "summary.txt", "initial/policy.json"])
def test_links_are_not_followed(bundle: Path, tmp_path: Path, file: str) -> None:
    (bundle / file).rename(tmp_path / "elsewhere")
    (bundle / file).symlink_to(tmp_path / "elsewhere")
    assert "not a plain file" in refused(bundle)
    (bundle / file).unlink()
    (bundle / file).symlink_to(tmp_path / "nowhere")
    assert "not a plain file" in refused(bundle)


@pytest.mark.parametrize("file", ["columns.cm1", "shard-000000.cm1", "totals.cm1", "auxtotals.cm1"])
def test_links_in_a_statement_are_not_followed(bundle: Path, tmp_path: Path, file: str) -> None:
    (bundle / "initial" / file).rename(tmp_path / "elsewhere")
    (bundle / "initial" / file).symlink_to(tmp_path / "elsewhere")
    assert "not a plain file" in refused(bundle)


def test_linked_statement_folder_is_refused(bundle: Path, tmp_path: Path) -> None:
    (bundle / "initial").rename(tmp_path / "elsewhere")
    (bundle / "initial").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    assert "initial: a link" in refused(bundle)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("file", ["bundle.json", "reserves.json", "summary.json", "initial/policy.json"])
def test_pipe_does_not_hold_the_verifier(bundle: Path, file: str) -> None:
    (bundle / file).unlink()
    os.mkfifo(bundle / file)
    assert "not a plain file" in refused(bundle)


def test_folder_in_place_of_a_file_is_refused(bundle: Path) -> None:
    for file in ("bundle.json", "initial/policy.json", "initial/slack.cm1"):
        honest = (bundle / file).read_bytes()
        (bundle / file).unlink()
        (bundle / file).mkdir()
        with pytest.raises((CrossmarginError, CannotCheckError)):
            check_bundle(bundle)
        (bundle / file).rmdir()
        (bundle / file).write_bytes(honest)


@pytest.mark.parametrize("file", ["bundle.json", "reserves.json", "summary.json", "summary.txt"])
def test_file_beyond_its_limit_is_not_read(bundle: Path, file: str) -> None:
    with (bundle / file).open("r+b") as stream:
        stream.truncate(MAX_DECLARATION_BYTES + 1)
    assert f"{file}: {MAX_DECLARATION_BYTES + 1} bytes: at most {MAX_DECLARATION_BYTES}" in refused(bundle)


@pytest.mark.parametrize("file", ["columns.cm1", "snapshot.cm1", "statement.cm1", "positions.cm1", "shard-000000.cm1"])
def test_huge_file_of_a_statement_is_not_read(bundle: Path, file: str) -> None:
    with (bundle / "initial" / file).open("r+b") as stream:
        stream.truncate(1 << 40)  # sparse
    assert re.match(f"statement initial: {file}: {1 << 40} bytes: (at most|must be) ", refused(bundle))
