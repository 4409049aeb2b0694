"""What the architecture tests share: the source files, dependency closures and environments that hold little."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = {
    "crossmargin": ROOT / "crossmargin",
    "crossmargin_circuits": ROOT / "circuits" / "crossmargin_circuits",
    "crossmargin_prover": ROOT / "prover" / "crossmargin_prover",
    "crossmargin_verifier": ROOT / "verifier" / "crossmargin_verifier",
}


@pytest.fixture(scope="session")
def root() -> Path:
    """Return the folder of the repository."""
    return ROOT


@pytest.fixture(scope="session")
def packages() -> dict[str, Path]:
    """Return the folder of each package."""
    return PACKAGES


@pytest.fixture(scope="session")
def closure() -> Callable[..., set[str]]:
    """Return the function that names distributions and all that they need, as installed here."""

    def collect(*names: str) -> set[str]:
        found: set[str] = set()
        waiting = list(names)
        while waiting:
            name = canonicalize_name(waiting.pop())
            if name in found:
                continue
            found.add(name)
            for line in metadata.requires(name) or []:
                requirement = Requirement(line)
                if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                    waiting.append(requirement.name)
        return found

    return collect


@dataclass(frozen=True)
class Environment:
    """A Python environment of its own, without pip."""

    folder: Path

    @property
    def python(self) -> Path:
        """Return the interpreter."""
        return Path(sysconfig.get_path("scripts", "venv", self._variables)) / Path(sys.executable).name

    @property
    def site_packages(self) -> Path:
        """Return the folder of installed packages."""
        return Path(sysconfig.get_path("purelib", "venv", self._variables))

    @property
    def _variables(self) -> dict[str, str]:
        return {name: str(self.folder) for name in ("base", "platbase", "installed_base", "installed_platbase")}

    def copy_distributions(self, names: Iterable[str]) -> None:
        """Copy installed distributions, without their scripts."""
        for name in names:
            for file in metadata.distribution(name).files or ():
                if ".." in file.parts or "__pycache__" in file.parts:
                    continue
                target = self.site_packages / file
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file.locate(), target)

    def run(
        self, *arguments: str | Path, path: Iterable[Path] = (), cwd: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run the interpreter with nothing inherited that could lead it to other packages."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        if path:
            kept["PYTHONPATH"] = os.pathsep.join(map(str, path))
        return subprocess.run(
            [self.python, *map(str, arguments)],
            cwd=cwd or self.folder,
            env=kept,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture(scope="session")
def new_environment(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Environment]:
    """Return the function that makes an empty environment."""

    def make(name: str) -> Environment:
        folder = tmp_path_factory.mktemp(name) / "environment"
        venv.create(folder, with_pip=False, symlinks=os.name != "nt")
        return Environment(folder)

    return make
