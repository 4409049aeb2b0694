"""Folders full of what belongs to others, and one small run of the command line for all tests of this district."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from crossmargin_prover.cli import main

EXAMPLE = Path(__file__).parents[2] / "examples" / "small"

DESPITE = ("--processes", 1, "--despite-claims")
"""A bundle of one statement lacks claims of a solvency verdict."""

Contents = dict[str, tuple[str, bytes | str]]


def command(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def contents(folder: Path) -> Contents:
    """Everything below a folder: its kind, and its bytes or the target of a link; links are not followed."""
    found: Contents = {}
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(parent) / name
            relative = str(path.relative_to(folder))
            if path.is_symlink():
                found[relative] = "link", str(path.readlink())
            elif path.is_dir():
                found[relative] = "folder", b""
            else:
                found[relative] = "file", path.read_bytes()
    return found


def fill(folder: Path, files: dict[str, str]) -> Path:
    """Make files; a text that begins with -> is a link."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if text.startswith("->"):
            path.symlink_to(text[2:])
        else:
            path.write_text(text, encoding="utf-8")
    return folder


HOME = {
    ".ssh/id_ed25519": "private key",
    ".git/HEAD": "ref: refs/heads/main",
    ".env": "TOKEN=1",
    ".config/app/settings": "x",
    "Documents/thesis.txt": "years of work",
}
HIDDEN = {name: text for name, text in HOME.items() if name.startswith(".")}


@pytest.fixture(scope="session")
def proven(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A vault with the small example and its coverage statement."""
    vault = tmp_path_factory.mktemp("proven") / "vault"
    options = ("--book", EXAMPLE, "--vault", vault, "--processes", 1)
    assert command("commit", *options, "--shard", 4).exit_code == 0
    assert command("prove", *options, "--statement", "coverage", "--packing", 0).exit_code == 0
    return vault


@pytest.fixture
def vault(proven: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(proven, tmp_path / "vault"))


@pytest.fixture
def publish(vault: Path) -> Callable[..., Result]:
    def run(out: Path, *options: object) -> Result:
        return command("publish", "--book", EXAMPLE, "--vault", vault, "--out", out, *DESPITE, *options)

    return run
