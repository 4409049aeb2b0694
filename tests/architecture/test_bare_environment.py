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
from crossmargin_verifier.protocol.files import SnapshotFiles, StatementFiles
from crossmargin_verifier.protocol.inclusion import verify_receipt
from crossmargin_verifier.protocol.verify import ClaimedStatement, verify_statements

with open(sys.argv[1], encoding="utf-8") as stream:
    vectors = json.load(stream)


def verify(files):
    snapshot, statements = {}, {}
    for path, data in files.items():
        folder, _, name = path.rpartition("/")
        (snapshot if folder == "snapshot" else statements.setdefault(folder, {}))[name] = data
    claimed = {
        folder: ClaimedStatement(
            StatementFiles(found), Relation.decode(found["relation.cm2"], ("usd", "btc", "perp")), bytes(32)
        )
        for folder, found in statements.items()
    }
    return verify_statements(SnapshotFiles(snapshot), claimed)


SHARD = "statements/maintenance/shard-000000.cm2"
for name in ("tiny", "tiny_one"):
    files = {file: bytes.fromhex(data) for file, data in vectors[name]["files"].items()}
    print(name, verify(files).totals)
    files[SHARD] = files[SHARD][:-1] + bytes([files[SHARD][-1] ^ 1])
    try:
        verify(files)
    except (MalformedError, RejectedError) as error:
        print("refused", type(error).__name__)
files = {file: bytes.fromhex(data) for file, data in vectors["tiny"]["files"].items()}
receipt = bytes.fromhex(vectors["tiny"]["receipt0"])
public = files["snapshot/snapshot.cm2"], files["snapshot/columns.cm2"]
checked = verify_receipt(receipt, *public, holder="user0@example.org")
print(*checked.receipt.record)
"""


@pytest.mark.parametrize("optimised", [False, True])
def test_complete_proofs_verify(bare, source: Path, root: Path, optimised: bool) -> None:
    """Also under -O, which would delete a check made with assert."""
    options = ["-O"] if optimised else []
    vectors = root / "tests" / "vectors" / "protocol2.json"
    finished = bare.run(*options, "-c", VERIFY, vectors, path=[source])
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.splitlines() == [
        "tiny (1023, 75, 9)",
        "refused RejectedError",
        "tiny_one None",
        "refused RejectedError",
        "1000 5 -3",
    ]


ELSEWHERE = """
import os, signal, sys

# What Windows lacks, macOS too in part.
for name in ("fcntl", "resource", "termios", "pwd", "grp"):
    sys.modules[name] = None
for name in [*dir(os), "O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_DIRECTORY"]:
    absent = ("EX_", "sched_", "O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_DIRECTORY", "mkfifo", "killpg", "getuid")
    if name.startswith(absent) and hasattr(os, name):
        delattr(os, name)
for name in ("pthread_sigmask", "SIGKILL", "SIGHUP", "SIGPIPE", "SIGALRM", "alarm", "setitimer"):
    delattr(signal, name)
os.supports_dir_fd.clear()
os.supports_fd.clear()
"""

CHECK_ELSEWHERE = (
    ELSEWHERE
    + """
from crossmargin_verifier import CannotCheckError, RejectedError, check_bundle, check_receipt

folder = sys.argv[1]
verdict = check_bundle(folder + "/bundle")
print(verdict.outcome.name)
print(check_receipt(folder + "/receipt.json", "acct-b", bundle=folder + "/bundle").is_signed)
for path, error in ((folder + "/none", CannotCheckError), (folder, CannotCheckError)):
    try:
        check_bundle(path)
    except error as refused:
        print(type(refused).__name__)
try:
    check_bundle(folder + "/bundle", {"snapshot": bytes(32)})
except RejectedError as refused:
    print(refused.step)
"""
)

COMMAND_ELSEWHERE = (
    ELSEWHERE
    + """
from crossmargin_verifier.cli import main

if __name__ == "__main__":
    main()
"""
)


def test_a_system_with_less_checks_too(bare, source: Path, root: Path) -> None:
    """As Windows does, as far as code can tell: no relative opening, no masks of signals, none of POSIX's modules."""
    finished = bare.run(
        "-W", "error", "-c", CHECK_ELSEWHERE, root / "tests" / "bundles" / "crossmargin-2", path=[source]
    )
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.split() == ["VERIFIED", "True", "CannotCheckError", "MissingFileError", "V10"]


def test_the_command_of_a_system_with_less_starts_workers(bare, source: Path, root: Path, tmp_path: Path) -> None:
    """Each worker runs the main module again, and so lacks the same."""
    script = tmp_path / "elsewhere.py"
    script.write_text(COMMAND_ELSEWHERE, encoding="utf-8")
    folder = root / "tests" / "bundles" / "crossmargin-2" / "bundle"
    finished = bare.run(script, "bundle", folder, "--processes", "2", path=[source])
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.splitlines()[-1] == "VERIFIED"
