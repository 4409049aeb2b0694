"""`import crossmargin_verifier` gives about ten names, and loads a module only for a name that somebody asks for."""

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import crossmargin_verifier
from crossmargin_verifier import CannotCheckError, CrossmarginError, MalformedError, RejectedError, check_bundle

LOADED = """
import sys
import crossmargin_verifier.workers
print(*sorted(name for name in sys.modules if name.startswith(("crossmargin", "py_ecc", "click"))))
"""


def test_names_are_those_of_the_modules() -> None:
    assert len(crossmargin_verifier.__all__) <= 12
    assert dir(crossmargin_verifier) == sorted(crossmargin_verifier.__all__)
    for name in crossmargin_verifier.__all__:
        assert getattr(crossmargin_verifier, name) is getattr(
            import_module(crossmargin_verifier._PLACES[name]), name
        ), name
    with pytest.raises(AttributeError, match="no attribute 'check_everything'"):
        crossmargin_verifier.check_everything  # noqa: B018


def test_a_module_loads_no_other() -> None:
    done = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["crossmargin_verifier", "crossmargin_verifier.workers"]


def test_every_error_on_purpose_is_of_one_family(tmp_path: Path) -> None:
    for error in (CannotCheckError, MalformedError, RejectedError):
        assert issubclass(error, CrossmarginError)
    assert not issubclass(CannotCheckError, (MalformedError, RejectedError))
    for folder in (tmp_path / "none", str(tmp_path / "none")):
        with pytest.raises(CannotCheckError, match="no such folder"):
            check_bundle(folder)
