"""A bundle that was published once keeps verifying, and so do its receipts; those of version 1 are refused by name."""

import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from crossmargin_circuits.encoding import EARLIER_RELEASE
from crossmargin_circuits.policy import Policy
from crossmargin_prover.cli import main as prover
from crossmargin_verifier import MalformedError, RejectedError, check_bundle, check_receipt
from crossmargin_verifier.bundle.anchor import Anchor
from crossmargin_verifier.bundle.declarations import BundleManifest, DeclaredReserves
from crossmargin_verifier.bundle.receipt_file import NotAReceiptError
from crossmargin_verifier.bundle.verdict import Outcome
from crossmargin_verifier.cli import main as verifier
from crossmargin_verifier.kernel import KernelArithmetic
from crossmargin_verifier.protocol.arithmetic import PLAIN
from crossmargin_verifier.protocol.manifests import SnapshotManifest, StatementManifest

ROOT = Path(__file__).parents[2]
BUNDLES = ROOT / "tests" / "bundles"
EARLIER = BUNDLES / "crossmargin-1"
DIGESTS = {
    "crossmargin-2": "32672ace33da61359ae201a477acc6d9fedeb4fbb8fea853cf8a1b811e3196cd",
}
"""Of the bundles that keep verifying."""
HOLDER = "acct-b"


def test_every_released_format_has_a_bundle() -> None:
    assert sorted(path.name for path in BUNDLES.iterdir() if path.is_dir()) == sorted([EARLIER.name, *DIGESTS])


@pytest.mark.parametrize("name", DIGESTS)
def test_a_released_bundle_keeps_verifying(name: str) -> None:
    folder = BUNDLES / name / "bundle"
    verdict = check_bundle(str(folder), {"bundle": bytes.fromhex(DIGESTS[name])})
    assert verdict.outcome is Outcome.VERIFIED
    assert verdict.compared == ("bundle",)
    assert {path.name for path in folder.iterdir()} >= {"summary.json", "summary.txt"}


@pytest.mark.parametrize("name", DIGESTS)
def test_a_released_receipt_keeps_verifying(name: str) -> None:
    folder = BUNDLES / name
    snapshot = Anchor.decode((folder / "bundle" / "anchor.json").read_bytes()).snapshot_digest
    alone = check_receipt(folder / "receipt.json", HOLDER, snapshot_digest=snapshot)
    assert (alone.is_signed, alone.snapshot_compared, alone.margins) == (True, True, ())
    for file, signed in (("receipt.json", True), ("receipt.cm2", False)):
        checked = check_receipt(folder / file, HOLDER, bundle=folder / "bundle")
        assert checked.is_signed is signed
        assert {each.statement for each in checked.margins} == {"maintenance", "initial", "coverage"}


@pytest.mark.parametrize("name", DIGESTS)
def test_an_altered_released_bundle_is_refused(name: str, tmp_path: Path) -> None:
    # Some thirty verifications: with the kernel, where there is one.
    arithmetic = KernelArithmetic() if find_spec("crossmargin_kernel") else PLAIN
    copy = Path(shutil.copytree(BUNDLES / name / "bundle", tmp_path / "bundle"))
    for path in sorted(copy.rglob("*")):
        if path.is_file() and not path.name.startswith("summary"):
            data = path.read_bytes()
            path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
            with pytest.raises((MalformedError, RejectedError)):
                check_bundle(copy, arithmetic=arithmetic)
            path.write_bytes(data)


def test_bundle_of_version_1_is_refused_with_the_release_that_reads_it(tmp_path: Path) -> None:
    with pytest.raises(MalformedError, match=EARLIER_RELEASE):
        check_bundle(EARLIER / "bundle")
    refused = CliRunner().invoke(verifier, ["bundle", str(EARLIER / "bundle")])
    assert refused.exit_code == 1
    assert refused.stderr == f"REJECTED: bundle.json: {EARLIER_RELEASE}\n"
    small, vault = str(ROOT / "examples" / "small"), str(tmp_path / "vault")
    copy = shutil.copytree(EARLIER / "bundle", tmp_path / "bundle")
    kept = CliRunner().invoke(prover, ["run", "--book", small, "--vault", vault, "--bundle", str(copy)])
    assert kept.exit_code == 1
    assert f"holds a bundle {EARLIER_RELEASE}: choose another folder" in kept.stderr
    assert not Path(vault).exists(), "nothing is committed for a folder that cannot be published to"


def test_files_of_version_1_are_refused_with_the_release_that_reads_them() -> None:
    for receipt in ("receipt.json", "receipt.cm1"):
        with pytest.raises(NotAReceiptError, match=EARLIER_RELEASE):
            check_receipt(EARLIER / receipt, HOLDER)
    inside = EARLIER / "bundle" / "coverage"
    for decode, file in ((SnapshotManifest.decode, "snapshot.cm1"), (Policy.decode, "policy.json")):
        with pytest.raises(MalformedError, match=EARLIER_RELEASE):
            decode((inside / file).read_bytes())


def test_every_file_is_decoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where digests are compared before anything is verified."""
    bundle = BUNDLES / "crossmargin-2" / "bundle"
    counts: dict[str, int] = {}

    def count(owner: type) -> None:
        decode = owner.__dict__["decode"].__func__

        def counted(cls: type, *arguments: Any) -> Any:
            counts[cls.__name__] = counts.get(cls.__name__, 0) + 1
            return decode(cls, *arguments)

        monkeypatch.setattr(owner, "decode", classmethod(counted))

    for owner in (Anchor, BundleManifest, DeclaredReserves, Policy, StatementManifest, SnapshotManifest):
        count(owner)
    digests = {"bundle": bytes.fromhex(DIGESTS["crossmargin-2"])}
    check_bundle(bundle, digests)
    once = {"Anchor": 1, "BundleManifest": 1, "DeclaredReserves": 1, "Policy": 3, "StatementManifest": 3}
    assert counts == {**once, "SnapshotManifest": 1}
