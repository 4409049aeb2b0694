"""Files are written, named and removed in one module, `crossmargin.placement`; every other place is listed with why."""

import ast
from pathlib import Path

import pytest

WRITES = {
    "chmod", "copy2", "copyfile", "copytree", "fchmod", "fsync", "hardlink_to", "link_to", "makedirs", "mkdir",
    "mkdtemp", "mkstemp", "move", "remove", "removedirs", "renames", "rmdir", "rmtree", "savefig", "symlink_to",
    "touch", "truncate", "unlink", "write_bytes", "write_text", "NamedTemporaryFile", "TemporaryDirectory",
}  # fmt: skip
PATH_WRITES = {"rename", "replace"}
"""Methods of paths, with one argument; those of texts and tables have two, or keywords."""

ALLOWED = {
    ("crossmargin/placement.py", "*"): "the module",
    ("crossmargin/cli/plotting.py", "savefig"): "into memory",
    ("prover/crossmargin_prover/bundle.py", "chmod"): "its own temporary folder becomes public",
    ("prover/crossmargin_prover/cli/demo.py", "copytree"): "inside the folder of the demo, which it has emptied",
    ("prover/crossmargin_prover/cli/demo.py", "write_bytes"): "the same",
    ("prover/crossmargin_prover/vault/lock.py", "mkdir"): "a fresh temporary name",
    ("prover/crossmargin_prover/vault/store.py", "unlink"): "a piece that the store named",
    ("prover/crossmargin_prover/vault/vault.py", "chmod"): "the folder of a vault, absent or empty before",
    ("prover/crossmargin_prover/vault/vault.py", "rename"): "to and from temporary names, synced",
    ("prover/crossmargin_prover/workflow/deliver.py", "chmod"): "a folder that holds receipts alone",
    ("prover/crossmargin_prover/workflow/series.py", "unlink"): "a temporary link to a bundle of the series",
    ("verifier/crossmargin_verifier/cli.py", "open"): "the null device",
}


def writes(tree: ast.Module) -> list[tuple[int, str]]:
    """Calls that change the file system."""
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        modes = [each.value for each in (*node.args, *(keyword.value for keyword in node.keywords))
                 if isinstance(each, ast.Constant) and isinstance(each.value, str)]  # fmt: skip
        opens = name in ("open", "fdopen") and any(set(mode) & set("wax+") and len(mode) <= 3 for mode in modes)
        moves = name in PATH_WRITES and len(node.args) == 1 and not node.keywords and not modes
        if name in WRITES or opens or moves:
            found.append((node.lineno, name))
    return found


def test_files_are_written_in_one_place(packages: dict[str, Path]) -> None:
    seen = set()
    for folder in packages.values():
        root = folder.parent if folder.name == "crossmargin" else folder.parents[1]
        for file in sorted(folder.rglob("*.py")):
            name = file.relative_to(root).as_posix()
            for line, call in writes(ast.parse(file.read_text(encoding="utf-8"))):
                allowed = {(name, call), (name, "*")} & ALLOWED.keys()
                assert allowed, f"{name}:{line}: {call}: write files through crossmargin.placement"
                seen |= allowed
    assert seen == ALLOWED.keys(), f"listed and not found: {ALLOWED.keys() - seen}"


@pytest.mark.parametrize(
    "source",
    ["shutil.rmtree(x)", "path.write_text('')", "open(x, 'w')", "path.open('wb')", "a.rename(b)", "os.replace(a)"],
)
def test_writes_are_found(source: str) -> None:
    assert writes(ast.parse(source))


@pytest.mark.parametrize("source", ["open(x)", "path.open('rb')", "text.replace('a', 'b')", "replace(x, a=1)"])
def test_reads_are_not(source: str) -> None:
    assert not writes(ast.parse(source))
