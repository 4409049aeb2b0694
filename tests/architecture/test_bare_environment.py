"""The verifier works where nothing is installed but py_ecc, what py_ecc needs, and click."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def bare(new_environment, closure):
    environment = new_environment("bare")
    environment.copy_distributions(closure("py-ecc", "click"))
    return environment


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory, packages: dict[str, Path]) -> Path:
    """Return a folder with copies of the verifier and the circuits, and nothing else."""
    folder = tmp_path_factory.mktemp("source")
    for name in ("crossmargin_circuits", "crossmargin_verifier"):
        shutil.copytree(packages[name], folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def test_environment_is_bare(bare, closure: Callable[..., set[str]]) -> None:
    listing = "import importlib.metadata as m; print(*sorted(d.name for d in m.distributions()), sep='\\n')"
    finished = bare.run("-c", listing)
    assert {name.lower().replace("_", "-") for name in finished.stdout.split()} == closure("py-ecc", "click")
    for absent in ("numpy", "crossmargin", "crossmargin_prover", "crossmargin_verifier"):
        assert bare.run("-c", f"import {absent}").returncode == 1


@pytest.mark.parametrize("optimised", [False, True])
def test_command_starts(bare, source: Path, optimised: bool) -> None:
    options = ["-O"] if optimised else []
    finished = bare.run(*options, "-m", "crossmargin_verifier.cli", "--help", path=[source])
    assert finished.returncode == 0, finished.stderr
    assert "bundle" in finished.stdout
    assert "receipt" in finished.stdout


def test_every_module_loads(bare, source: Path) -> None:
    names = [
        ".".join(file.relative_to(source).with_suffix("").parts).removesuffix(".__init__")
        for file in sorted(source.rglob("*.py"))
        if file.name != "__main__.py"
    ]
    code = "import importlib, sys\nfor name in sys.argv[1:]: importlib.import_module(name)"
    finished = bare.run("-W", "error", "-c", code, *names, path=[source])
    assert finished.returncode == 0, finished.stderr


VERIFY = """
import json, sys
from crossmargin_circuits.relation import Relation
from crossmargin_verifier.protocol.errors import MalformedError, RejectedError
from crossmargin_verifier.protocol.inclusion import verify_receipt
from crossmargin_verifier.protocol.statement_files import StatementFiles
from crossmargin_verifier.protocol.verify import verify_statement

with open(sys.argv[1], encoding="utf-8") as stream:
    vectors = json.load(stream)
for name in ("tiny", "tiny_bounded"):
    files = {file: bytes.fromhex(data) for file, data in vectors[name]["files"].items()}
    relation = Relation.decode(files["relation.cm1"], ("usd", "btc", "perp"))
    print(name, verify_statement(StatementFiles(files), relation, bytes(32)).totals)
    files["shard-000000.cm1"] = files["shard-000000.cm1"][:-1] + bytes([files["shard-000000.cm1"][-1] ^ 1])
    try:
        verify_statement(StatementFiles(files), relation, bytes(32))
    except (MalformedError, RejectedError) as error:
        print("refused", type(error).__name__)
files = {file: bytes.fromhex(data) for file, data in vectors["tiny"]["files"].items()}
receipt = bytes.fromhex(vectors["tiny"]["receipt0"])
checked = verify_receipt(receipt, files["snapshot.cm1"], files["columns.cm1"], holder="user0@example.org")
print(*checked.receipt.record)
"""


@pytest.mark.parametrize("optimised", [False, True])
def test_complete_proofs_verify(bare, source: Path, root: Path, optimised: bool) -> None:
    """Also under -O, which would delete a check made with assert."""
    options = ["-O"] if optimised else []
    vectors = root / "tests" / "vectors" / "protocol.json"
    finished = bare.run(*options, "-c", VERIFY, vectors, path=[source])
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.splitlines() == [
        "tiny (1025, 75, 9)",
        "refused RejectedError",
        "tiny_bounded None",
        "refused RejectedError",
        "1000 5 -3",
    ]
