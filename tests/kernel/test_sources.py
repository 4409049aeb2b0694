"""The kernel's own tests pass, and its stub says what the built module has."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

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


def test_stub_agrees_with_the_module() -> None:
    pytest.importorskip("crossmargin_kernel", reason="no compiled kernel is installed (make kernel)")
    command = [sys.executable, "-m", "mypy.stubtest", "crossmargin_kernel"]
    command += ["--allowlist", str(KERNEL / "stub.allow")]
    finished = subprocess.run(command, cwd=KERNEL, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stdout + finished.stderr
