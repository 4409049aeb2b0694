"""The wheel holds the four packages and nothing else, is reproducible, and runs where only it is installed."""

import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest


def build(root: Path, folder: Path) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def wheel(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(root, tmp_path_factory.mktemp("wheel"))


def test_wheel_holds_the_packages(wheel: Path, packages: dict[str, Path]) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == set(packages)
    for package, folder in packages.items():
        assert f"{package}/py.typed" in names
        for file in folder.rglob("*.py"):
            assert f"{package}/{file.relative_to(folder).as_posix()}" in names
    assert any(name.endswith("/licenses/LICENSE") for name in names)


def test_wheel_is_reproducible(wheel: Path, root: Path, tmp_path: Path) -> None:
    assert build(root, tmp_path).read_bytes() == wheel.read_bytes()


def test_commands_run_from_the_wheel(wheel: Path, new_environment, tmp_path: Path) -> None:
    environment = new_environment("installed")
    target = environment.site_packages
    command = [sys.executable, "-m", "pip", "--python", str(environment.python), "--disable-pip-version-check"]
    command += ["install", "--quiet", "--no-deps", "--no-index", str(wheel)]
    subprocess.run(command, capture_output=True, text=True, check=True)
    # Third-party packages come from the environment of the tests; its own .pth files are not read this way.
    (target / "third_party.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    for package in ("crossmargin", "crossmargin_circuits", "crossmargin_prover", "crossmargin_verifier"):
        finished = environment.run("-c", f"import {package}; print({package}.__file__)", cwd=tmp_path)
        assert Path(finished.stdout.strip()).is_relative_to(target), finished.stderr
    for script in ("crossmargin", "crossmargin-verify"):
        program = environment.python.parent / script
        finished = subprocess.run([program, "--help"], capture_output=True, text=True, check=False, cwd=tmp_path)
        assert finished.returncode == 0, finished.stderr
        assert "Usage:" in finished.stdout
