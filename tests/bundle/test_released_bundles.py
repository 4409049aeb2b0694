"""A bundle that was published once keeps verifying, and so do its receipts."""

import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from crossmargin_circuits.policy import Policy
from crossmargin_verifier import MalformedError, RejectedError, check_bundle, check_receipt
from crossmargin_verifier.bundle.declarations import (
    SUMMARY_FILE,
    SUMMARY_TEXT_FILE,
    BundleManifest,
    DeclaredReserves,
)
from crossmargin_verifier.bundle.verdict import Outcome
from crossmargin_verifier.kernel import KernelArithmetic
from crossmargin_verifier.protocol.arithmetic import PLAIN
from crossmargin_verifier.protocol.manifests import SnapshotManifest, StatementManifest

BUNDLES = Path(__file__).parents[1] / "bundles"
SUMMARIES = {SUMMARY_FILE, SUMMARY_TEXT_FILE}
"""Files of a bundle that carry no weight."""

RELEASED = {
    "crossmargin-2": {
        "bundle": "32672ace33da61359ae201a477acc6d9fedeb4fbb8fea853cf8a1b811e3196cd",
        "snapshot": "725882b2d67df8b871631b6de341a61398cc9ce36d7f7fe8b58cf5e1267a559b",
        "holder": "acct-b",
    },
}


def test_every_released_format_has_a_bundle() -> None:
    assert sorted(path.name for path in BUNDLES.iterdir() if path.is_dir()) == sorted(RELEASED)


@pytest.mark.parametrize("name", RELEASED)
def test_a_released_bundle_keeps_verifying(name: str) -> None:
    folder = BUNDLES / name / "bundle"
    verdict = check_bundle(str(folder), {part: bytes.fromhex(RELEASED[name][part]) for part in ("bundle", "snapshot")})
    assert verdict.outcome is Outcome.VERIFIED
    assert verdict.compared == ("bundle", "snapshot")
    assert {path.name for path in folder.iterdir()} >= SUMMARIES


@pytest.mark.parametrize("name", RELEASED)
def test_a_released_receipt_keeps_verifying(name: str) -> None:
    folder = BUNDLES / name
    for file, signed in (("receipt.json", True), ("receipt.cm2", False)):
        checked = check_receipt(
            folder / file,
            RELEASED[name]["holder"],
            snapshot_digest=bytes.fromhex(RELEASED[name]["snapshot"]),
            bundle=folder / "bundle",
        )
        assert checked.is_signed is signed
        assert len(checked.margins) == 3


@pytest.mark.parametrize("name", RELEASED)
def test_an_altered_released_bundle_is_refused(name: str, tmp_path: Path) -> None:
    # Some thirty verifications: with the kernel, where there is one.
    arithmetic = KernelArithmetic() if find_spec("crossmargin_kernel") else PLAIN
    copy = Path(shutil.copytree(BUNDLES / name / "bundle", tmp_path / "bundle"))
    for path in sorted(copy.rglob("*")):
        if path.is_file() and path.name not in SUMMARIES:
            data = path.read_bytes()
            path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
            with pytest.raises((MalformedError, RejectedError)):
                check_bundle(copy, arithmetic=arithmetic)
            path.write_bytes(data)


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

    for owner in (BundleManifest, DeclaredReserves, Policy, StatementManifest, SnapshotManifest):
        count(owner)
    digests = {name: bytes.fromhex(digest) for name, digest in check_bundle(bundle).digests.items()}
    counts.clear()
    check_bundle(bundle, digests)
    once = {"BundleManifest": 1, "DeclaredReserves": 1, "Policy": 3, "StatementManifest": 3, "SnapshotManifest": 1}
    assert counts == once
    counts.clear()
    check_receipt(BUNDLES / "crossmargin-2" / "receipt.json", "acct-b", bundle=bundle)
    # A receipt has a manifest of its own, and no use for reserves.
    assert {name: counts.get(name, 0) for name in once if name not in ("SnapshotManifest", "DeclaredReserves")} == {
        "BundleManifest": 1,
        "Policy": 3,
        "StatementManifest": 3,
    }
