"""A bundle is a folder of strangers: missing, additional, exchanged and linked files, and names that would leave it."""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from crossmargin_circuits.errors import CrossmarginError, PolicyError
from crossmargin_verifier.bundle import files
from crossmargin_verifier.bundle.check import CannotCheckError, check_bundle
from crossmargin_verifier.bundle.limits import MAX_DECLARATION_BYTES, MAX_STATEMENTS
from crossmargin_verifier.bundle.verdict import Outcome
from crossmargin_verifier.protocol.errors import MalformedError, RejectedError

pytestmark = pytest.mark.usefixtures("proofs_once")

Anchoring = Callable[[Path], None]
Rewrite = Callable[[Path, Callable[[Any], None]], None]

STATEMENT = (
    "policy.json",
    *(f"{name}.cm2" for name in ("relation", "statement", "slack", "shard-000000", "auxtotals")),
)
LISTED = (
    *("bundle.json", "reserves.json"),
    *(f"snapshot/{name}.cm2" for name in ("columns", "snapshot", "positions", "records-000000", "totals")),
    *(f"statements/{name}/{file}" for name in ("maintenance", "initial", "coverage") for file in STATEMENT),
)


def test_manifest_of_files_is_complete(venue: Any) -> None:
    assert set(venue.files) == {*LISTED, "anchor.json", "anchor.sig", "summary.json", "summary.txt"}
    assert set(json.loads((venue.bundle / "anchor.json").read_bytes())["files"]) == set(LISTED)


@pytest.mark.parametrize("file", [*LISTED[1:], "anchor.json", "anchor.sig"])
def test_missing_file_is_a_fault_of_the_bundle(bundle: Path, file: str) -> None:
    (bundle / file).unlink()
    assert re.match(f"V10(, statement [a-z]+)?: {file}: missing", refused(bundle))


def test_missing_folders_are_faults_of_the_bundle(bundle: Path) -> None:
    for folder in ("statements/coverage", "statements", "snapshot"):
        shutil.rmtree(bundle / folder)
        assert re.match(f"V10(, statement [a-z]+)?: {folder}/.*: missing", refused(bundle))


def test_what_is_no_bundle_cannot_be_checked(bundle: Path) -> None:
    with pytest.raises(CannotCheckError, match="no such folder"):
        check_bundle(bundle / "nothing")
    with pytest.raises(CannotCheckError, match="no such folder"):
        check_bundle(bundle / "bundle.json")
    (bundle / "bundle.json").unlink()
    with pytest.raises(CannotCheckError, match=r"bundle\.json: No such file"):
        check_bundle(bundle)


@pytest.mark.parametrize(
    "place",
    [
        *("totals.cm2", "snapshot/shard-000000.cm2", "snapshot/records-000001.cm2", "statements/totals.cm2"),
        *("statements/initial/shard-000001.cm2", "statements/initial/model.cm2", "statements/stress/slack.cm2"),
    ],
)
def test_file_of_the_protocol_without_a_place_is_refused(bundle: Path, place: str, anchor: Anchoring) -> None:
    """Nobody may take it for a part of the statement, whether the anchor lists it or not."""
    (bundle / place).parent.mkdir(exist_ok=True)
    (bundle / place).write_bytes(b"no proof")
    assert refused(bundle) == f"V10: {place}: there is no place for it in this bundle"
    anchor(bundle)
    assert refused(bundle) == f"V10: anchor.json lists '{place}', which has no place in this bundle"


def test_anchor_lists_no_other_file(bundle: Path, anchor: Anchoring) -> None:
    (bundle / "README").write_text("read me", encoding="utf-8")
    anchor(bundle)
    assert refused(bundle) == "V10: anchor.json lists 'README', which has no place in this bundle"


@pytest.mark.parametrize("file", LISTED)
def test_file_that_the_anchor_does_not_list_is_refused(bundle: Path, rewrite: Rewrite, file: str, venue: Any) -> None:
    rewrite(bundle / "anchor.json", lambda root: root["files"].pop(file))
    sign(bundle, venue)
    assert file in refused(bundle)


def sign(folder: Path, venue: Any) -> None:
    (folder / "anchor.sig").write_bytes(venue.key.sign_anchor((folder / "anchor.json").read_bytes()))


@pytest.mark.parametrize("file", LISTED)
def test_every_byte_that_decides_a_claim_is_under_the_bundle_digest(bundle: Path, file: str) -> None:
    """Whatever is changed, the anchor must be changed too, and its signature."""
    data = (bundle / file).read_bytes()
    (bundle / file).write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises((RejectedError, MalformedError)):
        check_bundle(bundle)


def test_anchor_of_another_key_is_refused(bundle: Path, venue: Any, workshop: Any) -> None:
    anchor = (bundle / "anchor.json").read_bytes()
    (bundle / "anchor.sig").write_bytes(workshop.key.sign_anchor(anchor))
    assert refused(bundle).startswith("signature: anchor.json: ")
    sign(bundle, venue)
    assert check_bundle(bundle).outcome is Outcome.VERIFIED


def test_signature_of_another_length_is_malformed(bundle: Path) -> None:
    for data in (b"", bytes(63), bytes(65), bytes(64)):
        (bundle / "anchor.sig").write_bytes(data)
        with pytest.raises(MalformedError):
            check_bundle(bundle)


ANCHORED: dict[str, Callable[[Any], object]] = {
    "venue": lambda root: root.update(venue="another-exchange"),
    "snapshot": lambda root: root["snapshot"].update(digest="00" * 32),
    "as_of": lambda root: root["snapshot"].update(as_of=1),
    "order of statements": lambda root: root["statements"].reverse(),
    "fewer statements": lambda root: root["statements"].pop(),
    "statement digest": lambda root: root["statements"][0].update(statement="00" * 32),
    "policy digest": lambda root: root["statements"][0].update(policy="00" * 32),
    "another hash": lambda root: root["files"].update({"reserves.json": "00" * 32}),
}


@pytest.mark.parametrize("edit", ANCHORED.values(), ids=ANCHORED)
def test_anchor_that_says_otherwise_than_its_files_is_refused(
    bundle: Path, rewrite: Rewrite, venue: Any, edit: Callable[[Any], object]
) -> None:
    rewrite(bundle / "anchor.json", lambda root: edit(root) and None)
    sign(bundle, venue)
    assert refused(bundle).startswith("V10: ")


def test_bundle_digest_covers_reserves_and_list_of_statements(bundle: Path, rewrite: Rewrite, venue: Any) -> None:
    """What flipped the first version's verdict with every digest compared: reserves, counts, a statement left out."""
    digests = {name: bytes.fromhex(digest) for name, digest in check_bundle(bundle).digests.items()}
    assert digests["bundle"] == hashlib.sha256((bundle / "anchor.json").read_bytes()).digest()
    assert set(check_bundle(bundle, digests).compared) == set(digests)
    rewrite(bundle / "reserves.json", lambda root: root["assets"].update(BTC="1000"))
    others = {name: digest for name, digest in digests.items() if name != "bundle"}
    assert check_bundle(bundle, others).outcome is Outcome.VERIFIED
    with pytest.raises(RejectedError, match=r"^V10: bundle: expected"):
        check_bundle(bundle, digests)


def test_summaries_carry_no_weight(bundle: Path, venue: Any) -> None:
    honest = check_bundle(venue.bundle)
    for name in ("summary.json", "summary.txt"):
        (bundle / name).write_bytes(b"REJECTED")
        assert check_bundle(bundle) == honest
        (bundle / name).unlink()
    assert check_bundle(bundle) == honest


def test_unreadable_file_cannot_be_checked(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = os.open

    def refuse(path: Any, *arguments: Any, **options: Any) -> int:
        if Path(path).name == "slack.cm2":
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, *arguments, **options)

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(CannotCheckError, match=r"slack\.cm2: Permission denied"):
        check_bundle(bundle)


def test_other_files_are_ignored(bundle: Path, venue: Any) -> None:
    (bundle / "README").write_text("read me", encoding="utf-8")
    (bundle / "stress").mkdir()
    (bundle / "statements" / "stress").mkdir()
    (bundle / "statements" / "stress" / "policy.json").write_bytes(b"{}")
    (bundle / "statements" / "initial" / "notes.txt").symlink_to("/etc/passwd")
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


def test_exchanged_statement_folders_are_refused(bundle: Path, anchor: Anchoring) -> None:
    """Both proofs hold, each under the other's name; the venue itself could do so, and the digests tell."""
    honest = check_bundle(bundle).digests
    for source, target in (("initial", "aside"), ("maintenance", "initial"), ("aside", "maintenance")):
        (bundle / "statements" / source).rename(bundle / "statements" / target)
    assert refused(bundle).startswith("V10")
    anchor(bundle)
    exchanged = check_bundle(bundle).digests
    assert exchanged["initial statement"] == honest["maintenance statement"]
    with pytest.raises(RejectedError, match=r"^V10: initial statement"):
        check_bundle(bundle, {"initial statement": bytes.fromhex(honest["initial statement"])})


@pytest.mark.parametrize(
    ("file", "step"),
    [
        ("policy.json", "V2, statement maintenance"),
        ("relation.cm2", "V2, statement maintenance"),
        ("statement.cm2", "V2, statement maintenance"),
        ("slack.cm2", "V3, statement maintenance"),
        ("shard-000000.cm2", "V5, statement maintenance"),
        ("auxtotals.cm2", "V8, statement maintenance"),
    ],
)
def test_file_of_another_statement_is_rejected(bundle: Path, file: str, step: str, anchor: Anchoring) -> None:
    """Both statements have the same shape, so that every length fits."""
    shutil.copy(bundle / "statements/initial" / file, bundle / "statements/maintenance" / file)
    anchor(bundle)
    assert refused(bundle).startswith(f"{step}: ")


def test_whole_statement_under_another_policy_is_rejected(bundle: Path, anchor: Anchoring) -> None:
    """All files agree with each other but for the policy, from which the verifier compiles its own relation."""
    shutil.copy(bundle / "statements/initial/policy.json", bundle / "statements/coverage/policy.json")
    anchor(bundle)
    with pytest.raises(PolicyError, match=r"statement coverage: .* more than [0-9]+ coefficients"):
        check_bundle(bundle)


def test_bundle_of_another_snapshot_is_rejected(bundle: Path, rewrite: Rewrite) -> None:
    honest = (bundle / "reserves.json").read_bytes()
    rewrite(bundle / "reserves.json", lambda root: root.update(snapshot="00" * 32))
    assert refused(bundle) == "V10: bundle.json or reserves.json is about another snapshot"
    (bundle / "reserves.json").write_bytes(honest)
    rewrite(bundle / "bundle.json", lambda root: root.update(snapshot="00" * 32))
    assert refused(bundle) == "V10: anchor.json is about another snapshot than bundle.json"


def test_bundle_of_another_venue_is_rejected(bundle: Path, rewrite: Rewrite) -> None:
    rewrite(bundle / "bundle.json", lambda root: root.update(venue="another-exchange"))
    assert refused(bundle) == "V10: the policy of maintenance names another venue than bundle.json"


@pytest.mark.parametrize("loaded", [0, 4, 6, 8])
def test_other_number_of_accounts_is_rejected(bundle: Path, rewrite: Rewrite, loaded: int) -> None:
    rewrite(bundle / "bundle.json", lambda root: root["accounts"].update(loaded=loaded))
    assert refused(bundle) == f"V10: bundle.json counts {loaded} accounts, and the snapshot commits to 5"


def test_totals_that_are_not_stated_have_no_place(bundle: Path, rewrite: Rewrite) -> None:
    rewrite(bundle / "bundle.json", lambda root: root.update(totals="none"))
    assert "totals.cm2" in refused(bundle)


def test_closed_totals_are_beyond_this_release(bundle: Path, rewrite: Rewrite) -> None:
    rewrite(bundle / "bundle.json", lambda root: root.update(totals="closed"))
    with pytest.raises(CannotCheckError, match="closed totals"):
        check_bundle(bundle)


def test_bundle_of_the_first_version_is_refused_with_one_sentence(bundle: Path) -> None:
    (bundle / "bundle.json").write_bytes(b'{"format":"crossmargin-bundle/1"}')
    for name in ("anchor.json", "anchor.sig"):
        (bundle / name).unlink()
    assert refused(bundle) == "bundle.json: written by crossmargin/1, which release 0.1.0 reads"


@pytest.mark.parametrize(
    "file", ["bundle.json", "reserves.json", "anchor.json", "anchor.sig", "statements/initial/policy.json"]
)
def test_links_are_not_followed(bundle: Path, tmp_path: Path, file: str) -> None:
    (bundle / file).rename(tmp_path / "elsewhere")
    (bundle / file).symlink_to(tmp_path / "elsewhere")
    assert "not a plain file" in refused(bundle)
    (bundle / file).unlink()
    (bundle / file).symlink_to(tmp_path / "nowhere")
    assert "not a plain file" in refused(bundle)


@pytest.mark.parametrize("file", ["snapshot/columns", "snapshot/totals", "statements/initial/shard-000000"])
def test_links_to_proofs_are_not_followed(bundle: Path, tmp_path: Path, file: str) -> None:
    (bundle / f"{file}.cm2").rename(tmp_path / "elsewhere")
    (bundle / f"{file}.cm2").symlink_to(tmp_path / "elsewhere")
    assert "not a plain file" in refused(bundle)


@pytest.mark.parametrize("folder", ["snapshot", "statements", "statements/initial"])
def test_linked_folder_is_refused(bundle: Path, tmp_path: Path, folder: str) -> None:
    (bundle / folder).rename(tmp_path / "elsewhere")
    (bundle / folder).symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    assert "a link" in refused(bundle)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("file", ["bundle.json", "reserves.json", "anchor.json", "statements/initial/policy.json"])
def test_pipe_does_not_hold_the_verifier(bundle: Path, file: str) -> None:
    (bundle / file).unlink()
    os.mkfifo(bundle / file)
    assert "not a plain file" in refused(bundle)


def test_folder_in_place_of_a_file_is_refused(bundle: Path) -> None:
    for file in ("bundle.json", "statements/initial/policy.json", "statements/initial/slack.cm2"):
        honest = (bundle / file).read_bytes()
        (bundle / file).unlink()
        (bundle / file).mkdir()
        with pytest.raises((CrossmarginError, CannotCheckError)):
            check_bundle(bundle)
        (bundle / file).rmdir()
        (bundle / file).write_bytes(honest)


@pytest.mark.parametrize("file", ["bundle.json", "reserves.json"])
def test_file_beyond_the_limit_of_this_verifier_is_no_finding(bundle: Path, file: str) -> None:
    with (bundle / file).open("r+b") as stream:
        stream.truncate(MAX_DECLARATION_BYTES + 1)
    with pytest.raises(CannotCheckError, match=f"this verifier reads at most {MAX_DECLARATION_BYTES}"):
        check_bundle(bundle)


@pytest.mark.parametrize("file", ["snapshot/positions.cm2", "statements/initial/shard-000000.cm2"])
def test_huge_proof_is_not_read(bundle: Path, file: str) -> None:
    with (bundle / file).open("r+b") as stream:
        stream.truncate(1 << 40)  # sparse
    assert f": {1 << 40} bytes: must be " in refused(bundle)


def test_bundle_beyond_its_share_of_memory_is_no_finding(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit is on all files together: none of them is large."""
    monkeypatch.setattr(files, "MAX_BUNDLE_BYTES", 20_000)
    with pytest.raises(CannotCheckError, match="this verifier reads at most"):
        check_bundle(bundle)


def test_more_statements_than_the_verifier_takes_are_no_finding(bundle: Path, rewrite: Rewrite) -> None:
    rewrite(bundle / "bundle.json", lambda root: root.update(statements=[f"s{n}" for n in range(MAX_STATEMENTS + 1)]))
    with pytest.raises(CannotCheckError, match=f"more than {MAX_STATEMENTS} statements"):
        check_bundle(bundle)
