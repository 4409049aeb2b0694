"""The wheels hold their packages and nothing else, are reproducible, and run where only they are installed."""

import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Callable
from email.parser import Parser
from pathlib import Path
from typing import Any

import click
import pytest
from packaging.requirements import Requirement

from crossmargin_circuits.digest import PROTOCOL
from crossmargin_circuits.version import VERSION

HOLDS = {
    "crossmargin": {"crossmargin", "crossmargin_prover"},
    "crossmargin-verifier": {"crossmargin_circuits", "crossmargin_verifier"},
}
FOLDERS = {"crossmargin": ".", "crossmargin-verifier": "verifier"}
PROGRAMS = {"crossmargin": "crossmargin", "crossmargin-verifier": "crossmargin-verify"}


def build(project: Path, folder: Path, *, target: str = "wheel") -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(folder)]
    subprocess.run(command, cwd=project, capture_output=True, text=True, check=True)
    (built,) = folder.iterdir()
    return built


@pytest.fixture(scope="module")
def wheels(root: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {name: build(root / folder, tmp_path_factory.mktemp(name)) for name, folder in FOLDERS.items()}


def metadata_of(wheel: Path) -> Any:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return Parser().parsestr(archive.read(name).decode())


@pytest.mark.parametrize("name", HOLDS)
def test_wheel_holds_its_packages(wheels: dict[str, Path], packages: dict[str, Path], name: str) -> None:
    with zipfile.ZipFile(wheels[name]) as archive:
        names = set(archive.namelist())
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == HOLDS[name]
    for package in HOLDS[name]:
        folder = packages[package]
        assert f"{package}/py.typed" in names
        for file in folder.rglob("*.py"):
            assert f"{package}/{file.relative_to(folder).as_posix()}" in names
    assert any(name.endswith("/licenses/LICENSE") for name in names)
    assert not [name for name in names if "__pycache__" in name]


def test_wheel_holds_the_example_book(wheels: dict[str, Path], root: Path) -> None:
    with zipfile.ZipFile(wheels["crossmargin"]) as archive:
        packed = {
            Path(name).name: archive.read(name)
            for name in archive.namelist()
            if name.startswith("crossmargin_prover/example_book/")
        }
    assert packed == {file.name: file.read_bytes() for file in (root / "examples" / "book").iterdir()}


@pytest.mark.parametrize("name", HOLDS)
def test_wheel_is_reproducible(wheels: dict[str, Path], root: Path, tmp_path: Path, name: str) -> None:
    assert build(root / FOLDERS[name], tmp_path).read_bytes() == wheels[name].read_bytes()


def test_verifier_is_built_from_its_source_distribution(wheels: dict[str, Path], root: Path, tmp_path: Path) -> None:
    """The source distribution holds the circuits, which the checkout has elsewhere."""
    archive = build(root / "verifier", tmp_path / "archive", target="sdist")
    subprocess.run([sys.executable, "-m", "tarfile", "-e", archive, tmp_path / "source"], check=True)
    (project,) = (tmp_path / "source").iterdir()
    again = build(project, tmp_path / "wheel")
    with zipfile.ZipFile(again) as rebuilt, zipfile.ZipFile(wheels["crossmargin-verifier"]) as direct:
        names = {name for name in direct.namelist() if not name.endswith("/RECORD")}
        assert {name for name in rebuilt.namelist() if not name.endswith("/RECORD")} == names
        assert all(rebuilt.read(name) == direct.read(name) for name in names)


@pytest.mark.parametrize("name", HOLDS)
def test_wheel_has_the_one_version(wheels: dict[str, Path], name: str) -> None:
    metadata = metadata_of(wheels[name])
    assert (metadata["Name"], metadata["Version"]) == (name, VERSION)


def test_main_distribution_needs_the_verifier_of_its_version(wheels: dict[str, Path]) -> None:
    needed = {Requirement(line) for line in metadata_of(wheels["crossmargin"]).get_all("Requires-Dist")}
    assert Requirement(f"crossmargin-verifier=={VERSION}") in needed


def test_verifier_needs_py_ecc_and_click_alone(wheels: dict[str, Path]) -> None:
    lines = metadata_of(wheels["crossmargin-verifier"]).get_all("Requires-Dist")
    assert {Requirement(line).name for line in lines} == {"click", "py-ecc"}


def test_both_distributions_agree_on_what_both_need(wheels: dict[str, Path]) -> None:
    needed = [
        {each.name: each.specifier for each in map(Requirement, metadata_of(wheel).get_all("Requires-Dist"))}
        for wheel in wheels.values()
    ]
    for name in needed[0].keys() & needed[1].keys():
        assert needed[0][name] == needed[1][name]


def test_kernel_has_the_one_version(root: Path) -> None:
    manifest = tomllib.loads((root / "prover" / "kernel" / "Cargo.toml").read_text(encoding="utf-8"))
    assert manifest["workspace"]["package"]["version"] == VERSION


def test_both_distributions_have_the_license(root: Path) -> None:
    assert (root / "verifier" / "LICENSE").read_bytes() == (root / "LICENSE").read_bytes()


# What is installed runs.


def install(environment: Any, *wheels: Path) -> None:
    command = [sys.executable, "-m", "pip", "--python", str(environment.python), "--disable-pip-version-check"]
    command += ["install", "--quiet", "--no-deps", "--no-index", *map(str, wheels)]
    subprocess.run(command, capture_output=True, text=True, check=True)


def run(environment: Any, program: str, *arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    command = [environment.python.parent / program, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd, env=kept)


@pytest.fixture(scope="module")
def complete(wheels: dict[str, Path], new_environment: Callable[[str], Any]) -> Any:
    """Both distributions, beside the third-party packages of the tests' own environment."""
    environment = new_environment("installed")
    install(environment, *wheels.values())
    # Its own .pth files, which lead to the checkout, are not read this way.
    third_party = Path(click.__file__).resolve().parents[1]
    (environment.site_packages / "third_party.pth").write_text(str(third_party), encoding="utf-8")
    return environment


@pytest.fixture(scope="module")
def verifier_alone(
    wheels: dict[str, Path], new_environment: Callable[[str], Any], closure: Callable[..., set[str]]
) -> Any:
    """The verifier, py-ecc and what it needs, and click."""
    environment = new_environment("verifier")
    environment.copy_distributions(closure("py-ecc", "click"))
    install(environment, wheels["crossmargin-verifier"])
    return environment


@pytest.fixture(scope="module")
def demonstrated(complete: Any, root: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Run the demo on a book of one account, outside the checkout; return its folder and what it printed."""
    folder = tmp_path_factory.mktemp("elsewhere")
    finished = run(complete, "crossmargin", "demo", "--book", root / "examples" / "edges" / "one-account", cwd=folder)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return folder / "crossmargin-demo", finished.stdout


def test_packages_are_those_of_the_wheels(complete: Any, packages: dict[str, Path], tmp_path: Path) -> None:
    code = "import {0}; print({0}.__file__)"
    for package in packages:
        finished = complete.run("-c", code.format(package), cwd=tmp_path)
        assert Path(finished.stdout.strip()).is_relative_to(complete.site_packages), finished.stderr


@pytest.mark.parametrize("program", PROGRAMS.values())
def test_programs_know_their_version(complete: Any, tmp_path: Path, program: str) -> None:
    finished = run(complete, program, "--version", cwd=tmp_path)
    assert (finished.returncode, finished.stdout) == (0, f"{program} {VERSION}, protocol {PROTOCOL}\n")


def test_demo_says_where_it_wrote(demonstrated: tuple[Path, str]) -> None:
    folder, printed = demonstrated
    assert f"everything is in {folder}\n" in printed
    assert {file.name for file in folder.iterdir()} >= {"bundle", "receipts", "vault", "tampered"}


def test_demo_takes_the_example_book_of_the_wheel(complete: Any, tmp_path: Path) -> None:
    code = "from crossmargin_prover.cli.demo import example_book; print(example_book())"
    finished = complete.run("-c", code, cwd=tmp_path)
    book = Path(finished.stdout.strip())
    assert book == complete.site_packages / "crossmargin_prover" / "example_book", finished.stderr
    assert run(complete, "crossmargin", "margin", "models", "--book", book, cwd=tmp_path).returncode == 0


@pytest.mark.slow
def test_demo_runs_without_an_option(complete: Any, tmp_path: Path) -> None:
    finished = run(complete, "crossmargin", "demo", cwd=tmp_path)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert re.search(r"private receipts .*\(1000 accounts\)", finished.stdout)


def test_verifier_is_alone(verifier_alone: Any, closure: Callable[..., set[str]]) -> None:
    listing = "import importlib.metadata as m; print(*sorted(d.name for d in m.distributions()), sep='\\n')"
    found = {name.lower().replace("_", "-") for name in verifier_alone.run("-c", listing).stdout.split()}
    assert found == closure("py-ecc", "click") | {"crossmargin-verifier"}


def test_verifier_alone_knows_its_version(verifier_alone: Any, tmp_path: Path) -> None:
    finished = run(verifier_alone, "crossmargin-verify", "--version", cwd=tmp_path)
    assert (finished.returncode, finished.stdout) == (0, f"crossmargin-verify {VERSION}, protocol {PROTOCOL}\n")


def test_verifier_runs_from_its_source_without_metadata(root: Path, tmp_path: Path) -> None:
    path = os.pathsep.join(map(str, (root / "verifier", root / "circuits", Path(click.__file__).resolve().parents[1])))
    command = [sys.executable, "-S", "-m", "crossmargin_verifier.cli", "--version"]
    finished = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=tmp_path, env={**os.environ, "PYTHONPATH": path}
    )
    assert finished.returncode == 0, finished.stderr
    assert VERSION in finished.stdout


def test_verifier_alone_verifies(verifier_alone: Any, demonstrated: tuple[Path, str], tmp_path: Path) -> None:
    folder, _ = demonstrated
    finished = run(verifier_alone, "crossmargin-verify", "bundle", folder / "bundle", "--json", cwd=tmp_path)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert json.loads(finished.stdout)["outcome"] == "verified"
    names = json.loads((folder / "receipts" / "index.json").read_bytes())["receipts"]
    account = min(names)
    for ending in ("cm2", "json"):
        receipt = folder / "receipts" / f"{names[account]}.{ending}"
        finished = run(
            verifier_alone,
            "crossmargin-verify",
            *("receipt", receipt, "--bundle", folder / "bundle", "--id", account),
            cwd=tmp_path,
        )
        assert finished.returncode == 0, finished.stdout + finished.stderr
