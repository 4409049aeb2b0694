"""What a verifier has to trust: the standard library, py_ecc, click and two small packages of this project."""

import ast
import importlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import pytest

OPTIONAL = {"cli.py": {"click"}, "kernel.py": {"crossmargin_kernel"}}
"""Modules of the verifier that import more than it needs: its command, and the kernel where one asks for it."""

EXCEPTIONS = {"workers.py": {"multiprocessing"}, "bundle/check.py": {"time"}}
"""The one module of the verifier, beside its command, that may start processes: copies of the verifier itself; and the
one that reads a clock, to say in the verdict when it was made."""

KERNEL_BACKEND = "crossmargin_prover.backend.kernel"
"""The one module that needs the compiled kernel when it is imported; `backend` imports it where there is one."""

LIST_MODULES = """
import importlib, json, sys
before = set(sys.modules)
for name in sys.argv[1:]:
    importlib.import_module(name)
# multiprocessing gives the program itself a second name.
print(json.dumps(sorted({name.partition(".")[0] for name in set(sys.modules) - before - {"__mp_main__"}})))
"""


def module_names(folder: Path) -> list[str]:
    names = []
    for file in sorted(folder.rglob("*.py")):
        parts = file.relative_to(folder.parent).with_suffix("").parts
        names.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    return names


def imported_in_fresh_interpreter(names: list[str]) -> set[str]:
    finished = subprocess.run(
        [sys.executable, "-I", "-c", LIST_MODULES, *names], capture_output=True, text=True, check=True
    )
    return set(json.loads(finished.stdout))


def modules_of(distributions: set[str]) -> set[str]:
    owners = metadata.packages_distributions()
    return {
        module for module, names in owners.items() if {name.lower().replace("_", "-") for name in names} & distributions
    }


def test_circuits_load_the_standard_library_alone(packages: dict[str, Path]) -> None:
    loaded = imported_in_fresh_interpreter(module_names(packages["crossmargin_circuits"]))
    assert loaded - sys.stdlib_module_names == {"crossmargin_circuits"}


def test_verifier_loads_py_ecc_and_circuits_alone(packages: dict[str, Path], closure: Callable[..., set[str]]) -> None:
    names = [name for name in module_names(packages["crossmargin_verifier"]) if name != "crossmargin_verifier.cli"]
    loaded = imported_in_fresh_interpreter(names)
    allowed = modules_of(closure("py-ecc")) | {"crossmargin_circuits", "crossmargin_verifier"}
    assert loaded - sys.stdlib_module_names <= allowed
    assert "click" not in loaded


def test_verifier_command_adds_click_alone(packages: dict[str, Path], closure: Callable[..., set[str]]) -> None:
    loaded = imported_in_fresh_interpreter(module_names(packages["crossmargin_verifier"]))
    allowed = modules_of(closure("py-ecc", "click")) | {"crossmargin_circuits", "crossmargin_verifier"}
    assert loaded - sys.stdlib_module_names <= allowed


def direct_imports(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            yield node.module or ""


@pytest.mark.parametrize(
    ("package", "allowed"),
    [
        ("crossmargin_circuits", {"crossmargin_circuits"}),
        ("crossmargin_verifier", {"crossmargin_circuits", "crossmargin_verifier", "py_ecc"}),
    ],
)
def test_direct_imports(packages: dict[str, Path], package: str, allowed: set[str]) -> None:
    """Also what a function imports when it runs, which a fresh interpreter does not show."""
    for file in packages[package].rglob("*.py"):
        tops = {name.partition(".")[0] for name in direct_imports(file)} - sys.stdlib_module_names
        assert tops <= allowed | OPTIONAL.get(file.name, set()), file


def test_the_kernel_is_imported_in_few_places(packages: dict[str, Path]) -> None:
    for folder in packages.values():
        for file in folder.rglob("*.py"):
            if "crossmargin_kernel" in set(direct_imports(file)):
                assert file.name == "kernel.py", file


def test_verification_takes_no_network_and_no_subprocess(packages: dict[str, Path]) -> None:
    refused = {
        "asyncio",
        "ctypes",
        "http",
        "multiprocessing",
        "pickle",
        "random",
        "shelve",
        "socket",
        "subprocess",
        "time",
        "urllib",
    }
    for package in ("crossmargin_circuits", "crossmargin_verifier"):
        for file in packages[package].rglob("*.py"):
            if file.name != "cli.py":
                found = refused & {name.partition(".")[0] for name in direct_imports(file)}
                assert found == EXCEPTIONS.get(file.relative_to(packages[package]).as_posix(), set()), file


def test_every_module_is_importable_and_documented(packages: dict[str, Path]) -> None:
    for folder in packages.values():
        for name in module_names(folder):
            if not name.endswith("__main__") and name != KERNEL_BACKEND:
                assert importlib.import_module(name).__doc__, name


def test_the_backend_that_needs_the_kernel_is_importable_and_documented() -> None:
    if find_spec("crossmargin_kernel") is None:
        pytest.skip("no compiled kernel is installed (make kernel)")
    assert importlib.import_module(KERNEL_BACKEND).__doc__


def test_import_contracts_hold(root: Path) -> None:
    command = Path(sys.executable).parent / "lint-imports"
    finished = subprocess.run(
        [command, "--no-logo", "--no-cache"], cwd=root, capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
