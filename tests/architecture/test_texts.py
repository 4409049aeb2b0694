"""The project's texts speak of the project alone, and what they point to exists."""

import importlib.util
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

FOLDERS = (
    *(".ci", "benchmarks", "circuits", "crossmargin", "docs", "examples", "prover", "spec", "tests", "tools"),
    "verifier",
)
SUFFIXES = {"", ".cfg", ".csv", ".json", ".md", ".py", ".rs", ".sh", ".toml", ".txt", ".yaml", ".yml"}

# Each pattern is written so that it does not match itself.
REFUSED = {
    "a path of somebody's machine": r"(?<![\w.])/(?:work|root|home|Users)/\w",
    "a folder outside the repository": r"\.\./share[d]",
    "a note to oneself": r"\b(?:TOD[O]|FIXM[E]|XX[X]|HAC[K])\b",
    "the host of a package registry": r"pypi\.or[g]|pythonhosted\.or[g]|crates\.i[o]|registry\.npmj[s]",
    "a working paper that is not published": r"\b(?:protocol|INTERFACES)\.m[d]\b",
}


def texts(root: Path) -> Iterator[Path]:
    top = (file for file in sorted(root.iterdir()) if file.is_file() and file.suffix in {*SUFFIXES, ".lock"})
    yield from (file for file in top if file.name != ".git")  # a file in a second working tree
    for folder in FOLDERS:
        for file in sorted((root / folder).rglob("*")):
            hidden = any(
                part.startswith(".") or part in {"__pycache__", "target"} for part in file.relative_to(root).parts[1:]
            )
            if file.is_file() and file.suffix in SUFFIXES and not hidden:
                yield file


@pytest.mark.parametrize("reason", REFUSED)
def test_texts_name_nothing_outside_the_project(root: Path, reason: str) -> None:
    pattern = re.compile(REFUSED[reason])
    for file in texts(root):
        # Some broken example files are broken in their encoding.
        found = pattern.search(file.read_text(encoding="utf-8", errors="replace"))
        assert found is None, f"{file.relative_to(root)}: {reason}: {found.group() if found else ''}"


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-dev.lock"])
def test_lock_files_name_versions_and_hashes_alone(root: Path, name: str) -> None:
    requirement = r"[a-z0-9-]+==[\w.+]+(?: ; [^\\]+)? \\"
    for line in (root / name).read_text(encoding="utf-8").splitlines():
        assert re.fullmatch(rf"{requirement}|    --hash=sha256:[0-9a-f]{{64}}(?: \\)?", line), line


def test_lock_files_of_rust_name_the_public_index_alone(root: Path) -> None:
    index = "registry+https://github.com/rust-lang/{}-index".format(".".join(["crates", "io"]))
    locks = [file for file in (root / "prover" / "kernel").rglob("Cargo.lock") if "target" not in file.parts]
    assert locks
    for lock in locks:
        packages = tomllib.loads(lock.read_text(encoding="utf-8"))["package"]
        assert {package["source"] for package in packages if "source" in package} == {index}
        assert all(("source" in package) == ("checksum" in package) for package in packages)


def test_development_lock_agrees_with_run_time_lock(root: Path) -> None:
    pinned = [
        {line for line in (root / name).read_text(encoding="utf-8").splitlines() if "==" in line}
        for name in ("requirements.lock", "requirements-dev.lock")
    ]
    assert pinned[0] <= pinned[1]


def test_links_resolve(root: Path) -> None:
    spec = importlib.util.spec_from_file_location("check_links", root / "tools" / "check_links.py")
    assert spec is not None
    assert spec.loader is not None
    check_links = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(check_links)
    assert [message for text in check_links.texts() for message in check_links.broken_links(text)] == []


def test_documented_modules_exist(root: Path) -> None:
    """A path such as `verifier/crossmargin_verifier/protocol/group.py` in a text of docs leads to a file."""
    for text in [*root.glob("*.md"), *(root / "docs").rglob("*.md")]:
        for name in re.findall(
            r"`((?:circuits|crossmargin|docs|examples|prover|tests|verifier)/[a-z_][\w./-]*)`",
            text.read_text(encoding="utf-8"),
        ):
            assert (root / name).exists(), f"{text.relative_to(root)}: {name}"


def test_specification_numbers_every_step(root: Path) -> None:
    """Code cites "SPEC P6"; each step of the numbering has one definition in docs/SPEC.md."""
    text = (root / "docs" / "SPEC.md").read_text(encoding="utf-8")
    last = {"S": 9, "B": 5, "P": 10, "V": 10, "H": 5}
    steps = [
        f"{kind}{number}" for kind, end in last.items() for number in range(1, end + 1) if (kind, number) != ("P", 2)
    ]
    for step in steps:
        assert len(re.findall(rf"^#+ {step} ", text, flags=re.MULTILINE)) == 1, step
    for section in range(1, 14):
        assert len(re.findall(rf"^## {section}\. ", text, flags=re.MULTILINE)) == 1, section


def test_code_cites_steps_that_exist(root: Path) -> None:
    """Every "SPEC S4" or "SPEC section 5" in the source has a heading in docs/SPEC.md."""
    text = (root / "docs" / "SPEC.md").read_text(encoding="utf-8")
    steps = set(re.findall(r"^#+ ([SBPVH]\d+) ", text, flags=re.MULTILINE))
    sections = set(re.findall(r"^#+ (\d+(?:\.\d+)?)\.? ", text, flags=re.MULTILINE))
    for folder in ("circuits", "crossmargin", "prover", "verifier", "tests"):
        for file in (root / folder).rglob("*.py"):
            source = file.read_text(encoding="utf-8")
            for step in re.findall(r"SPEC ([SBPVH]\d+)\b", source):
                assert step in steps, f"{file}: SPEC {step}"
            for section in re.findall(r"SPEC section (\d+(?:\.\d+)?)", source):
                assert section in sections, f"{file}: SPEC section {section}"


def test_hash_labels_are_specified(root: Path) -> None:
    """The table of S1 lists every label that code hashes with."""
    text = (root / "docs" / "SPEC.md").read_text(encoding="utf-8")
    table = text[text.index("### S1 ") : text.index("### S2 ")]
    used = set()
    for folder in ("circuits", "prover", "verifier"):
        for file in (root / folder).rglob("*.py"):
            used |= set(re.findall(r"tag(?:ged_hash|_prefix)\(\"([\w-]+)\"", file.read_text(encoding="utf-8")))
    assert used
    for label in used:
        assert f"`{label}`" in table, label
