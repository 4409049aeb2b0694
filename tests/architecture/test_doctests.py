"""Every public name has a docstring, every public function an example, and every example gives what it says."""

import doctest
import inspect
from importlib import import_module
from pathlib import Path

import pytest

from crossmargin.models import ARCHITECTURES

ROOT = Path(__file__).resolve().parents[2]
FRONT_DOORS = ("crossmargin", "crossmargin_prover", "crossmargin_verifier")
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
NAMES = [(package, name) for package in FRONT_DOORS for name in import_module(package).__all__]


def examples_of(package: str, name: str) -> list[doctest.DocTest]:
    """Return the examples in the docstrings of a public name and of its public methods."""
    found = getattr(import_module(package), name)
    finder = doctest.DocTestFinder(exclude_empty=True)
    return [each for each in finder.find(found, f"{package}.{name}") if each.examples]


@pytest.mark.parametrize("package", FRONT_DOORS)
def test_front_door_names_exist(package: str) -> None:
    module = import_module(package)
    assert module.__all__ == sorted(module.__all__)
    assert [name for name in module.__all__ if name.startswith("_") or not hasattr(module, name)] == []


@pytest.mark.parametrize(("package", "name"), NAMES)
def test_public_names_say_what_they_are(package: str, name: str) -> None:
    found = getattr(import_module(package), name)
    own = found.__dict__.get("__doc__") if isinstance(found, type) else inspect.getdoc(found)
    assert own
    if inspect.isfunction(found):
        assert examples_of(package, name), "a public function without an example"


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that looks like the repository to an example, and keeps what examples write.

    Steps of the prover find what another example has finished, as a second run of a program does.
    """
    folder = tmp_path_factory.mktemp("examples")
    for name in ("examples", "tests"):
        (folder / name).symlink_to(ROOT / name, target_is_directory=True)
    return folder


@pytest.mark.parametrize(("package", "name"), NAMES)
def test_examples_give_what_they_say(package: str, name: str, workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workplace)
    # What an example registers is gone after it.
    monkeypatch.setattr(ARCHITECTURES, "_registered", dict(ARCHITECTURES._registered))
    for each in examples_of(package, name):
        said: list[str] = []
        result = doctest.DocTestRunner(optionflags=FLAGS).run(each, out=said.append)
        assert result.failed == 0, "".join(said)
