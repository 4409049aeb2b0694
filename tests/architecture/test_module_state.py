"""Modules hold constants: nothing that a call leaves behind in one changes, or slows, what the next call does."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = (
    "crossmargin",
    "circuits/crossmargin_circuits",
    "verifier/crossmargin_verifier",
    "prover/crossmargin_prover",
)
CHANGING = {
    *("append", "extend", "insert", "remove", "clear", "sort", "reverse", "pop"),
    *("add", "discard", "update", "setdefault", "popitem"),
}


def assigned(module: ast.Module) -> set[str]:
    """Return the names that a module binds at its top to something that is no class and no function."""
    targets = [
        target
        for node in module.body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
    ]
    return {target.id for target in targets if isinstance(target, ast.Name)}


def changes(source: str) -> Iterator[str]:
    """Yield where functions change what their module holds: `global`, assignments into it, methods that change it."""
    module = ast.parse(source)
    names = assigned(module)
    for node in ast.walk(module):
        changed: list[ast.expr] = []
        if isinstance(node, ast.Global):
            yield f"line {node.lineno}: global {', '.join(node.names)}"
        elif isinstance(node, ast.Assign | ast.AugAssign | ast.Delete):
            targets = [node.target] if isinstance(node, ast.AugAssign) else node.targets
            changed = [each.value for each in targets if isinstance(each, ast.Subscript | ast.Attribute)]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CHANGING:
            changed = [node.func.value]
        for each in changed:
            if isinstance(each, ast.Name) and each.id in names:
                yield f"line {node.lineno}: {each.id}"


def test_changes_are_seen() -> None:
    state = "LAST = []\nKNOWN: dict = {}\nCOUNT = 0\n"
    changing = "def f(x):\n    global COUNT\n    LAST[:] = [x]\n    KNOWN.update(x)\n"
    assert list(changes(state + changing)) == ["line 5: global COUNT", "line 6: LAST", "line 7: KNOWN"]
    assert list(changes(state + "def f(names):\n    names.append(1)\n    own = {}\n    own[1] = LAST[0]\n")) == []


@pytest.mark.parametrize("package", PACKAGES)
def test_no_module_is_changed_by_its_functions(package: str) -> None:
    found = {
        str(path.relative_to(ROOT)): list(changes(path.read_text(encoding="utf-8")))
        for path in sorted((ROOT / package).rglob("*.py"))
    }
    assert {name: lines for name, lines in found.items() if lines} == {}


def test_public_data_load_without_numerical_packages() -> None:
    """A service that checks catalogues and prices needs neither the engine nor scipy."""
    script = "import sys, crossmargin.market.environment as m; print(*sorted(sys.modules))"
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    unwanted = ("numpy", "scipy", "polars", "crossmargin.engine", "crossmargin.models", "crossmargin.loading")
    assert [name for name in shown if name.startswith(unwanted)] == []
