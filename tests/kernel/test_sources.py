"""The kernel's own tests pass, and its stub says what the built module has."""

import ast
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from crossmargin_circuits.version import VERSION
from crossmargin_prover.backend import BackendError
from crossmargin_prover.backend.kernel_sources import sources_digest
from crossmargin_verifier.kernel import INTERFACE

KERNEL = Path(__file__).resolve().parents[2] / "prover" / "kernel"


def run(command: str) -> subprocess.CompletedProcess[str]:
    script = [sys.executable, str(KERNEL / "build.py"), command]
    return subprocess.run(script, capture_output=True, text=True, check=False)


def rust() -> tuple[int, ...]:
    """Return the version of the Rust compiler, or nothing."""
    try:
        text = subprocess.run(
            [shutil.which("cargo") or "cargo", "--version"], capture_output=True, text=True, check=True
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return ()
    return tuple(map(int, re.findall(r"\d+", text)[:2]))


def oldest_rust() -> tuple[int, ...]:
    package = tomllib.loads((KERNEL / "Cargo.toml").read_text(encoding="utf-8"))["workspace"]["package"]
    return tuple(map(int, package["rust-version"].split(".")))


@pytest.mark.timeout(900)
@pytest.mark.skipif(os.environ.get("KERNEL") == "no", reason="KERNEL=no leaves the compiled kernel out")
@pytest.mark.skipif(rust() < oldest_rust(), reason="there is no Rust tool chain that is new enough")
def test_tests_in_rust_pass() -> None:
    finished = run("test")
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert re.search(r"test result: ok\. [1-9]", finished.stdout)


@pytest.fixture
def kernel_build() -> Any:
    """Return build.py as a module."""
    specification = importlib.util.spec_from_file_location("kernel_build", KERNEL / "build.py")
    assert specification is not None
    assert specification.loader is not None
    module: Any = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif(rust() < oldest_rust(), reason="there is no Rust tool chain that is new enough")
def test_wheel_is_reproducible(kernel_build: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Two builds from nothing, of copies in two folders, give the same bytes."""
    wheels = []
    for name in ("first", "second"):
        ignored = shutil.ignore_patterns("target", "__pycache__")
        sources = shutil.copytree(KERNEL, tmp_path / name / "kernel", ignore=ignored)
        flag = f"--remap-path-prefix={sources}=/kernel"
        monkeypatch.setattr(kernel_build, "HERE", sources)
        monkeypatch.setattr(kernel_build, "BUILD", tmp_path / name)
        monkeypatch.setitem(kernel_build.ENVIRONMENT, "CARGO_ENCODED_RUSTFLAGS", flag)
        monkeypatch.setitem(kernel_build.ENVIRONMENT, "CARGO_TARGET_DIR", str(tmp_path / name / "target"))
        wheels.append(kernel_build.build(tmp_path / name / "dist").read_bytes())
    assert wheels[0] == wheels[1]


def test_stub_names_what_the_module_has() -> None:
    """`make lint` compares the signatures too."""
    kernel = pytest.importorskip("crossmargin_kernel", reason="no compiled kernel is installed (make kernel)")
    stub = ast.parse((KERNEL / "binding" / "crossmargin_kernel.pyi").read_text(encoding="utf-8"))
    listed = next(each for each in stub.body if isinstance(each, ast.Assign)).value
    assert set(ast.literal_eval(listed)) == set(kernel.__all__)
    for each in stub.body:
        if isinstance(each, ast.ClassDef):
            members = {member.name for member in each.body if isinstance(member, ast.FunctionDef)}
            assert members <= set(dir(getattr(kernel, each.name))), each.name


@pytest.fixture
def build(kernel_build: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Return build.py with a kernel that is installed, no tool chain, a stamp of its own, commands that only count."""
    module = kernel_build
    module.commands = []
    monkeypatch.setattr(module, "STAMP", tmp_path / "stamp")
    monkeypatch.setattr(module, "missing", lambda: "no Rust tool chain was found")
    monkeypatch.setattr(module, "installed", lambda: True)
    monkeypatch.setattr(module.subprocess, "run", lambda command, **_: module.commands.append(command))
    return module


@pytest.mark.parametrize("stamp", [None, "0" * 64 + "\nrustc 1.91.0\n"])
def test_a_stale_kernel_does_not_outlive_its_sources(
    build: Any, capsys: pytest.CaptureFixture[str], stamp: str | None
) -> None:
    if stamp is not None:
        build.STAMP.write_text(stamp, encoding="utf-8")
    assert build.install() == 0
    assert [command[-3:] for command in build.commands] == [["uninstall", "--yes", "crossmargin-kernel"]]
    assert not build.STAMP.exists()
    assert "was of other sources and is removed" in capsys.readouterr().out


def test_a_kernel_of_these_sources_is_kept_without_a_tool_chain(build: Any, capsys: pytest.CaptureFixture[str]) -> None:
    build.STAMP.write_text(f"{build.sources_digest(KERNEL)}\nrustc 1.91.0\n", encoding="utf-8")
    assert build.install() == 0
    assert build.commands == []
    assert build.STAMP.exists()
    assert "is kept: its sources have not changed" in capsys.readouterr().out


def test_digest_of_sources(tmp_path: Path) -> None:
    copy = Path(shutil.copytree(KERNEL, tmp_path / "kernel", ignore=shutil.ignore_patterns("target")))
    assert sources_digest(copy) == sources_digest(KERNEL)
    (copy / "README.md").write_text("other", encoding="utf-8")
    assert sources_digest(copy) == sources_digest(KERNEL)
    with (copy / "core" / "src" / "lib.rs").open("a", encoding="utf-8") as stream:
        stream.write("\n")
    assert sources_digest(copy) != sources_digest(KERNEL)


class FakeKernel(ModuleType):
    VERSION = VERSION
    INTERFACE = INTERFACE
    SOURCES: str | None = sources_digest(KERNEL)


@pytest.mark.parametrize("sources", [None, "0" * 64])
def test_the_prover_refuses_a_kernel_of_other_sources(monkeypatch: pytest.MonkeyPatch, sources: str | None) -> None:
    adapter = pytest.importorskip("crossmargin_prover.backend.kernel", reason="no compiled kernel is installed")
    fake = FakeKernel("crossmargin_kernel")
    monkeypatch.setitem(sys.modules, "crossmargin_kernel", fake)
    adapter.KernelBackend()
    fake.SOURCES = sources
    with pytest.raises(BackendError, match=r"built from other sources than those here: rebuild it with `make kern"):
        adapter.KernelBackend()
    # An installed package has no sources to compare with.
    monkeypatch.setattr(adapter, "sources_here", lambda: None)
    adapter.KernelBackend()
