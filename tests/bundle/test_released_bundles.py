"""A bundle that was published once keeps verifying, to the byte of its summaries, and so do its receipts."""

import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from crossmargin_circuits.policy import Policy
from crossmargin_verifier import MalformedError, RejectedError, check_bundle, check_receipt
from crossmargin_verifier.bundle.declarations import BundleManifest, DeclaredReserves
from crossmargin_verifier.kernel import KernelArithmetic
from crossmargin_verifier.protocol.arithmetic import PLAIN
from crossmargin_verifier.protocol.manifests import SnapshotManifest, StatementManifest

BUNDLES = Path(__file__).parents[1] / "bundles"
RELEASED = {
    "crossmargin-1": {
        "snapshot": "ff5a0daeac2d147ed60cc4d3786d9559b2e5e07a4da401fcdb774b729f2ecfc2",
        "holder": "acct-b",
    },
}


def test_every_released_format_has_a_bundle() -> None:
    assert sorted(path.name for path in BUNDLES.iterdir() if path.is_dir()) == sorted(RELEASED)


@pytest.mark.parametrize("name", RELEASED)
def test_a_released_bundle_keeps_verifying(name: str) -> None:
    folder = BUNDLES / name / "bundle"
    verdict = check_bundle(str(folder), {"snapshot": bytes.fromhex(RELEASED[name]["snapshot"])})
    assert verdict.verified
    assert verdict.compared == ("snapshot",)
    assert {path.name for path in folder.iterdir()} >= {"summary.json", "summary.txt"}


@pytest.mark.parametrize("name", RELEASED)
def test_a_released_receipt_keeps_verifying(name: str) -> None:
    folder = BUNDLES / name
    for file, signed in (("receipt.json", True), ("receipt.cm1", False)):
        checked = check_receipt(str(folder / file), str(folder / "bundle"), RELEASED[name]["holder"])
        assert checked.signed is signed
        assert checked.unchecked == ()


@pytest.mark.parametrize("name", RELEASED)
def test_an_altered_released_bundle_is_refused(name: str, tmp_path: Path) -> None:
    # Some thirty verifications: with the kernel, where there is one.
    arithmetic = KernelArithmetic() if find_spec("crossmargin_kernel") else PLAIN
    copy = Path(shutil.copytree(BUNDLES / name / "bundle", tmp_path / "bundle"))
    for path in sorted(copy.rglob("*")):
        if path.is_file():
            data = path.read_bytes()
            path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
            with pytest.raises((MalformedError, RejectedError)):
                check_bundle(copy, arithmetic=arithmetic)
            path.write_bytes(data)


def test_every_file_is_decoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where digests are compared before anything is verified."""
    bundle = BUNDLES / "crossmargin-1" / "bundle"
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
    once = {"BundleManifest": 1, "DeclaredReserves": 1, "Policy": 3, "StatementManifest": 3, "SnapshotManifest": 3}
    assert counts == once
    counts.clear()
    check_receipt(BUNDLES / "crossmargin-1" / "receipt.json", bundle, "acct-b")
    assert counts == {**once, "SnapshotManifest": 1}
