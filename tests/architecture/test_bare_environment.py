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
