"""Build, install and check the compiled kernel; the Makefile runs this.

    build.py install [no]    build the wheel and install it into the environment of this interpreter
    build.py lint            format, lints, and that the stub agrees with the module
    build.py test            the tests in Rust

Without a Rust tool chain nothing is done, and the prover runs in plain Python; the argument `no` removes an installed
kernel. Nothing is built either while the sources are those of the last installation.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).resolve().parent
BUILD = HERE.parents[1] / "build" / "kernel"
STAMP = Path(sys.prefix) / ".kernel-installed"
SLOWER = "everything works without the compiled kernel, slower"
ENVIRONMENT = {"CARGO_TARGET_DIR": str(BUILD / "target"), **os.environ}
STUB_CHECK = [sys.executable, "-m", "mypy.stubtest", "crossmargin_kernel", "--allowlist", str(HERE / "stub.allow")]
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "--quiet"]


def sources() -> list[Path]:
    """Return the files that the kernel is made of."""
    found = [HERE / "Cargo.toml", HERE / "Cargo.lock", HERE / "binding" / "pyproject.toml"]
    for crate in ("core", "binding"):
        found += [HERE / crate / "Cargo.toml", *(HERE / crate).rglob("*.rs"), *(HERE / crate).glob("*.pyi")]
    return sorted(found)


def digest() -> str:
    """Return a digest of the sources and the tool chain's version."""
    state = hashlib.sha256(run("rustc", "--version").encode())
    for file in sources():
        state.update(f"{file.relative_to(HERE).as_posix()}\0{hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
    return state.hexdigest()


def run(*command: str) -> str:
    """Return what a program prints, or nothing where there is none or it fails."""
    try:
        return subprocess.run(command, cwd=HERE, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return ""


def missing() -> str:
    """Return why the kernel cannot be built here, or nothing."""
    oldest = tomllib.loads((HERE / "Cargo.toml").read_text(encoding="utf-8"))["workspace"]["package"]["rust-version"]
    version = re.match(r"rustc (\d+)\.(\d+)", run("rustc", "--version"))
    if version is None or not run("cargo", "--version"):
        return f"no Rust tool chain was found (it needs {oldest} or newer)"
    if tuple(map(int, version.groups())) < tuple(map(int, oldest.split("."))):
        return f"Rust {version[1]}.{version[2]} is older than the {oldest} that it needs"
    return ""


def build() -> None:
    """Build the wheel and install it.

    Raises:
        CalledProcessError: maturin or pip failed, and said why.
    """
    wheels = BUILD / "wheels"
    shutil.rmtree(wheels, ignore_errors=True)
    command = [sys.executable, "-m", "maturin", "build", "--release", "--locked", "--quiet", "--interpreter"]
    command += [sys.executable, "--manifest-path", str(HERE / "binding" / "Cargo.toml"), "--out", str(wheels)]
    finished = subprocess.run(command, cwd=HERE, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    if finished.returncode:
        print(finished.stdout, finished.stderr, sep="", file=sys.stderr)
        finished.check_returncode()
    (wheel,) = wheels.glob("*.whl")
    subprocess.run([*PIP, "install", "--no-deps", "--no-index", "--force-reinstall", str(wheel)], check=True)


def install(choice: str = "yes") -> int:
    """Install the kernel, or remove it if the choice is `no`, and return the exit status."""
    if choice not in {"yes", "no"}:
        print(f"KERNEL={choice}: must be yes or no", file=sys.stderr)
        return 2
    if choice == "no":
        if installed():
            subprocess.run([*PIP, "uninstall", "--yes", "crossmargin-kernel"], check=True)
        STAMP.unlink(missing_ok=True)
        print(f"The compiled kernel is not built, as KERNEL=no says: {SLOWER}.")
        return 0
    if reason := missing():
        print(f"The compiled kernel is not built, since {reason}: {SLOWER}.")
        return 0
    wanted = digest()
    if installed() and STAMP.exists() and STAMP.read_text(encoding="utf-8") == wanted:
        return 0
    print("Building the compiled kernel (about a minute)", flush=True)
    STAMP.unlink(missing_ok=True)
    try:
        build()
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"The compiled kernel could not be built: {error}", file=sys.stderr)
        print(f"Mend what is named above, or go on with `make KERNEL=no ..`: {SLOWER}.", file=sys.stderr)
        return 1
    STAMP.write_text(wanted, encoding="utf-8")
    return 0


def installed() -> bool:
    """Return whether this interpreter has a kernel."""
    return find_spec("crossmargin_kernel") is not None


def lint() -> int:
    """Check format and lints of the sources, and the stub of the installed module; return the exit status."""
    if reason := missing():
        print(f"The sources of the kernel are not checked, since {reason}.")
        return 0
    commands = {
        "fmt": ["cargo", "fmt", "--all", "--check"],
        "clippy": ["cargo", "clippy", "--workspace", "--all-targets", "--locked", "--quiet", "--", "-D", "warnings"],
    }
    failed = False
    for name, command in commands.items():
        if run("cargo", name, "--version"):
            failed |= subprocess.run(command, cwd=HERE, env=ENVIRONMENT, check=False).returncode != 0
        else:
            print(f"This tool chain lacks `cargo {name}`: left out.")
    if installed():
        failed |= subprocess.run(STUB_CHECK, cwd=HERE, check=False).returncode != 0
    return int(failed)


def test() -> int:
    """Run the tests in Rust and return their exit status."""
    command = ["cargo", "test", "--package", "crossmargin-kernel-core", "--locked", "--quiet"]
    return subprocess.run(command, cwd=HERE, env=ENVIRONMENT, check=False).returncode


if __name__ == "__main__":
    sys.exit({"install": install, "lint": lint, "test": test}[sys.argv[1]](*sys.argv[2:]))
