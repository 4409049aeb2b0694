"""`import crossmargin` is cheap, and gives every public name when it is asked for."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import crossmargin as cm

HEAVY = {"numpy", "polars", "pydantic", "scipy", "yaml", "click", "rich"}
LIST_MODULES = "import json, sys, crossmargin; dir(crossmargin); print(json.dumps(sorted(sys.modules)))"


def test_import_loads_nothing_heavy() -> None:
    done = subprocess.run([sys.executable, "-c", LIST_MODULES], capture_output=True, text=True, check=True)
    modules = json.loads(done.stdout)
    assert HEAVY.isdisjoint(name.partition(".")[0] for name in modules)
    assert [name for name in modules if name.startswith("crossmargin")] == ["crossmargin"]


def test_names_are_those_that_type_checkers_see() -> None:
    tree = ast.parse(Path(cm.__file__).read_text(encoding="utf-8"))
    seen = {name.asname for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for name in node.names}
    assert seen - {None} == set(cm.__all__) == set(dir(cm))


def test_no_public_name_is_also_a_package() -> None:
    """A submodule that is imported later would replace the name."""
    folder = Path(cm.__file__).parent
    assert [name for name in cm.__all__ if (folder / name).exists() or (folder / f"{name}.py").exists()] == []


def test_unknown_names_are_refused_as_of_any_module() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'lode'"):
        cm.lode  # type: ignore[attr-defined]  # noqa: B018
