"""The executable specification, spec/verifier.py, accepts what the project publishes: anchor, proofs and receipts."""

import hashlib
import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

from crossmargin_verifier.bundle.anchor import ANCHOR_FILE
from tests.bundle.conftest import Venue

VERIFIER = Path(__file__).parents[2] / "spec" / "verifier.py"


@pytest.fixture(scope="module")
def spec() -> ModuleType:
    loading = importlib.util.spec_from_file_location("spec_verifier", VERIFIER)
    assert loading is not None
    assert loading.loader is not None
    module = importlib.util.module_from_spec(loading)
    loading.loader.exec_module(module)
    return module


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_anchor(spec: ModuleType, venue: Venue) -> None:
    files = files_of(venue.bundle)
    digest, anchor = spec.check_anchor(files)
    assert digest == hashlib.sha256(files[ANCHOR_FILE]).digest()
    assert [each["name"] for each in anchor["statements"]] == ["maintenance", "initial", "coverage"]
    with pytest.raises(spec.RejectedError, match=r"^B: a file is not the one"):
        spec.check_anchor({**files, "reserves.json": files["reserves.json"] + b" "})


def test_receipt(spec: ModuleType, venue: Venue) -> None:
    receipt = json.loads(venue.receipt("acct-a").read_text(encoding="ascii"))
    data, snapshot, columns = (bytes.fromhex(receipt["files"][name]) for name in ("receipt", "snapshot", "columns"))
    units = {entry["column"]: int(entry["units"]) for entry in receipt["record"]}
    reader = spec.File(columns, b"CM2C")
    record = [units.get(reader.text(), 0) for _ in range(reader.number(4))]
    assert spec.check_receipt(data, snapshot, columns, "acct-a", record) == receipt["leaf"]


@pytest.mark.slow
def test_bundle(spec: ModuleType, venue: Venue) -> None:
    lines = list(spec.verify(files_of(venue.bundle)))
    assert lines[0].startswith("bundle digest")
    assert sum("every row holds" in line for line in lines) == 3
