"""Build, install and check the compiled kernel; the Makefile runs this.

    build.py install [no]    build the wheel and install it into the environment of this interpreter
    build.py wheel [no]      build the wheel into build/dist
    build.py lint            format, lints, and that the stub agrees with the module
    build.py test            the tests in Rust

Without a Rust tool chain the script builds nothing, and the prover runs in plain Python. It then removes a kernel of
other sources; the argument `no` removes any kernel. It also builds nothing while the sources equal those of the last
installation.
The bytes of a wheel depend on its sources, the tool chain and the platform, not on the place and time of the build.
"""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path

from crossmargin_prover.backend.kernel_sources import sources_digest

HERE = Path(__file__).resolve().parent
BUILD = HERE.parents[1] / "build" / "kernel"
STAMP = Path(sys.prefix) / ".kernel-installed"
SLOWER = "everything works without the compiled kernel, slower"
CARGO_HOME = Path(os.environ.get("CARGO_HOME", Path.home() / ".cargo"))
FLAGS = [f"--remap-path-prefix={folder}={name}" for folder, name in ((HERE, "/kernel"), (CARGO_HOME, "/cargo"))]
"""Neutral names for this machine's folders, which would otherwise appear in messages of the compiled module."""

ENVIRONMENT = {
    "CARGO_TARGET_DIR": str(BUILD / "target"),
    "SOURCE_DATE_EPOCH": "1580601600",  # the date that hatchling gives files
    **os.environ,
    "CARGO_ENCODED_RUSTFLAGS": "\x1f".join([*os.environ.get("RUSTFLAGS", "").split(), *FLAGS]),
}
STUB_CHECK = [sys.executable, "-m", "mypy.stubtest", "crossmargin_kernel", "--allowlist", str(HERE / "stub.allow")]
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "--quiet"]


def run(*command: str) -> str:
    """Return the output of a program, or an empty text if it is missing or fails."""
    try:
        return subprocess.run(command, cwd=HERE, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return ""


def missing() -> str:
    """Return why the kernel cannot be built here, or an empty text."""
    oldest = tomllib.loads((HERE / "Cargo.toml").read_text(encoding="utf-8"))["workspace"]["package"]["rust-version"]
    version = re.match(r"rustc (\d+)\.(\d+)", run("rustc", "--version"))
    if version is None or not run("cargo", "--version"):
        return f"no Rust tool chain was found (it needs {oldest} or newer)"
    if tuple(map(int, version.groups())) < tuple(map(int, oldest.split("."))):
        return f"Rust {version[1]}.{version[2]} is older than the {oldest} that it needs"
    return ""


def build(folder: Path) -> Path:
    """Build the wheel into a folder and return its path.

    Raises:
        CalledProcessError: maturin failed, and printed the reason.
    """
    fresh = BUILD / "wheels"
    shutil.rmtree(fresh, ignore_errors=True)
    command = [sys.executable, "-m", "maturin", "build", "--release", "--locked", "--quiet", "--interpreter"]
    command += [sys.executable, "--manifest-path", str(HERE / "binding" / "Cargo.toml"), "--out", str(fresh)]
    environment = {**ENVIRONMENT, "CROSSMARGIN_KERNEL_SOURCES": sources_digest(HERE)}
    finished = subprocess.run(command, cwd=HERE, env=environment, capture_output=True, text=True, check=False)
    if finished.returncode:
        print(finished.stdout, finished.stderr, sep="", file=sys.stderr)
        finished.check_returncode()
    (built,) = fresh.glob("*.whl")
    folder.mkdir(parents=True, exist_ok=True)
    return built.replace(folder / built.name)


def wheel(choice: str = "yes") -> int:
    """Build the wheel for distribution, unless the choice is `no`, and return the exit status."""
    if reason := "KERNEL=no says so" if choice == "no" else missing():
        print(f"No wheel of the compiled kernel is built, since {reason}.")
        return 0
    print(build(HERE.parents[1] / "build" / "dist"))
    return 0


def install(choice: str = "yes") -> int:
    """Install the kernel, or remove it if the choice is `no`, and return the exit status."""
    if choice not in {"yes", "no"}:
        print(f"KERNEL={choice}: must be yes or no", file=sys.stderr)
        return 2
    if choice == "no":
        uninstall()
        print(f"The compiled kernel is not built, as KERNEL=no says: {SLOWER}.")
        return 0
    sources = sources_digest(HERE)
    stamp = STAMP.read_text(encoding="utf-8") if STAMP.exists() else ""
    if reason := missing():
        if not installed():
            print(f"The compiled kernel is not built, since {reason}: {SLOWER}.")
        elif stamp.partition("\n")[0] == sources:
            print(f"The installed kernel is kept: its sources have not changed. Another is not built, since {reason}.")
        else:
            uninstall()
            print(f"The installed kernel was of other sources and is removed. None is built, since {reason}: {SLOWER}.")
        return 0
    wanted = f"{sources}\n{run('rustc', '--version')}"
    if installed() and stamp == wanted:
        return 0
    print("Building the compiled kernel (about a minute)", flush=True)
    STAMP.unlink(missing_ok=True)
    try:
        built = build(BUILD)
        subprocess.run([*PIP, "install", "--no-deps", "--no-index", "--force-reinstall", str(built)], check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"The compiled kernel could not be built: {error}", file=sys.stderr)
        print(f"Mend what is named above, or go on with `make KERNEL=no ..`: {SLOWER}.", file=sys.stderr)
        return 1
    STAMP.write_text(wanted, encoding="utf-8")
    return 0


def uninstall() -> None:
    """Remove an installed kernel."""
    if installed():
        subprocess.run([*PIP, "uninstall", "--yes", "crossmargin-kernel"], check=True)
    STAMP.unlink(missing_ok=True)


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
    # More optimization would cost more compile time than the tests would save.
    environment = {**ENVIRONMENT, "CARGO_PROFILE_DEV_OPT_LEVEL": "1", "CARGO_PROFILE_DEV_CODEGEN_UNITS": "1"}
    return subprocess.run(command, cwd=HERE, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit({"install": install, "wheel": wheel, "lint": lint, "test": test}[sys.argv[1]](*sys.argv[2:]))
