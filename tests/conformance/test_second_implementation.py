"""The executable specification, spec/verifier.py, accepts the complete proofs of the test vectors and refuses others.

It shares no code with the project: it shows that the text of SPEC determines the bytes.
"""

import ast
import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
VERIFIER = ROOT / "spec" / "verifier.py"
VECTORS = json.loads((ROOT / "tests" / "vectors" / "protocol.json").read_text(encoding="utf-8"))
NEGATIVE = json.loads((ROOT / "tests" / "vectors" / "negative.json").read_text(encoding="utf-8"))["vectors"]


@pytest.fixture(scope="session")
def spec() -> ModuleType:
    loading = importlib.util.spec_from_file_location("spec_verifier", VERIFIER)
    assert loading is not None
    assert loading.loader is not None
    module = importlib.util.module_from_spec(loading)
    loading.loader.exec_module(module)
    return module


def files_of(name: str) -> dict[str, bytes]:
    return {file: bytes.fromhex(data) for file, data in VECTORS[name]["files"].items()}


def three_shards() -> dict[str, bytes]:
    data = json.loads((ROOT / "tests" / "verifier" / "three-shards.json").read_text(encoding="utf-8"))
    return {file: bytes.fromhex(content) for file, content in data.items()}


def test_it_imports_the_standard_library_alone() -> None:
    for node in ast.walk(ast.parse(VERIFIER.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            assert {name.partition(".")[0] for name in names} <= sys.stdlib_module_names


@pytest.mark.parametrize("name", ["tiny", "tiny_bounded"])
def test_shard_proof(spec: ModuleType, name: str) -> None:
    spec.Statement(files_of(name)).check_shard(0)


def test_totals(spec: ModuleType) -> None:
    statement = spec.Statement(files_of("tiny"))
    assert statement.check_totals() == [1025, 75, 9]
    assert statement.check_auxiliary_totals() == [12]


def test_changed_proof_is_refused(spec: ModuleType) -> None:
    files = files_of("tiny")
    files["shard-000000.cm1"] = files["shard-000000.cm1"][:-1] + bytes([files["shard-000000.cm1"][-1] ^ 1])
    with pytest.raises(spec.RejectedError, match="V6"):
        spec.Statement(files).check_shard(0)


def test_whole_statements(spec: ModuleType) -> None:
    assert spec.Statement(three_shards()).check() == ([1434, 85, 10], [14])
    assert spec.Statement(files_of("tiny_bounded")).check() == (None, None)


def edited(vector: dict) -> dict[str, bytes]:
    files = files_of(vector["proof"])
    for edit in vector["edits"]:
        if edit.get("remove"):
            del files[edit["file"]]
            continue
        data, at = files[edit["file"]], edit["offset"]
        files[edit["file"]] = data[:at] + bytes.fromhex(edit["insert"]) + data[at + edit["delete"] :]
    return files


OWN_POLICY = {"relation-of-the-prover", "wrong-policy-digest"}
"""What a verifier refuses by the policy that it was given, which the executable specification was not."""

EQUATIONS = {"V6", "V7", "V8"}
SOME = {"beta", "total-moved", "auxiliary-total-negative"}
"""Vectors of every equation in the default run: one that does not hold takes a second or more here."""


def cost(vector: dict) -> list[pytest.MarkDecorator]:
    slow = vector["expected"].get("step") in EQUATIONS or vector["id"].startswith(("auxtotals", "totals"))
    return [pytest.mark.slow] if slow and vector["id"] not in SOME else []


@pytest.mark.parametrize("vector", [pytest.param(vector, id=vector["id"], marks=cost(vector)) for vector in NEGATIVE])
def test_negative_vectors(spec: ModuleType, vector: dict) -> None:
    with pytest.raises(spec.RejectedError) as refused:
        spec.Statement(edited(vector)).check()
    if vector["id"] not in OWN_POLICY and vector["expected"]["family"] == "rejected":
        assert str(refused.value).startswith(vector["expected"]["step"])


def test_command(tmp_path: Path) -> None:
    files = files_of("tiny")
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)

    def run() -> tuple[int, str]:
        finished = subprocess.run([sys.executable, VERIFIER, tmp_path], capture_output=True, text=True, check=False)
        return finished.returncode, finished.stdout

    code, printed = run()
    assert code == 0, printed
    assert f"snapshot digest  {VECTORS['tiny']['snapshot_digest']}" in printed
    assert f"statement digest {VECTORS['tiny']['statement_digest']}" in printed
    assert "[1025, 75, 9]" in printed
    assert "VERIFIED" in printed
    (tmp_path / "statement.cm1").write_bytes(files["statement.cm1"][:-1] + bytes([files["statement.cm1"][-1] ^ 1]))
    code, printed = run()
    assert code == 1
    assert "REJECTED: V3" in printed
