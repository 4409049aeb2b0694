"""Habits of the source that no linter checks: no assert, no boolean verdict, one word per thing."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

REFUSED_WORDS = {
    "client": "account, or holder",
    "clients": "accounts, or holders",
    "customer": "account, or holder",
    "customers": "accounts, or holders",
    "dummies": "padding",
    "dummy": "padding",
    "health": "equity and requirement",
    "param": "parameter",
    "params": "parameters",
    "user": "account, or holder",
    "users": "accounts, or holders",
}
REFUSED_MODULES = {"common", "helper", "helpers", "misc", "util", "utils"}


def source_files(packages: dict[str, Path]) -> Iterator[tuple[Path, ast.Module]]:
    for folder in packages.values():
        for file in sorted(folder.rglob("*.py")):
            yield file, ast.parse(file.read_text(encoding="utf-8"))


def test_no_assert_statement(packages: dict[str, Path]) -> None:
    """An assert is deleted by `python -O`, and with it whatever it refused."""
    for file, tree in source_files(packages):
        lines = [node.lineno for node in ast.walk(tree) if isinstance(node, ast.Assert)]
        assert not lines, f"{file}: assert in lines {lines}"


ENDS = ("raise", "sys.exit(", "_stop(")


def test_what_catches_everything_swallows_nothing(packages: dict[str, Path]) -> None:
    """It raises again, or ends the program with a code of its own, lest a crash of a library look like a verdict."""
    for file, tree in source_files(packages):
        for node in ast.walk(tree):
            if isinstance(node, ast.ExceptHandler):
                names = {name.id for name in ast.walk(node.type) if isinstance(name, ast.Name)} if node.type else {""}
                assert "" not in names, f"{file}:{node.lineno}"
                if "BaseException" in names:
                    assert ast.unparse(node.body[-1]).startswith(ENDS), f"{file}:{node.lineno}"


def test_verification_returns_no_bool(packages: dict[str, Path]) -> None:
    """Failure is an exception and success is silence, or a typed result."""
    for file, tree in source_files(packages):
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and re.match(r"_?(verify|check)(_|$)", node.name):
                returned = ast.unparse(node.returns) if node.returns else ""
                assert not re.search(r"\bbool\b", returned), f"{file}:{node.lineno}: {node.name}"


def bound_names(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.lineno, node.name
        elif isinstance(node, ast.arg):
            # Where click calls a method by keyword, click chose the name.
            if not (node.annotation and "click." in ast.unparse(node.annotation)):
                yield node.lineno, node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.attr


def words(name: str) -> list[str]:
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)]


def test_refused_words_name_nothing(packages: dict[str, Path]) -> None:
    for file, tree in source_files(packages):
        for line, name in bound_names(tree):
            for word in words(name):
                assert word not in REFUSED_WORDS, f"{file}:{line}: {name}: say {REFUSED_WORDS[word]}"


def test_modules_are_named_by_what_they_hold(packages: dict[str, Path]) -> None:
    for file, _ in source_files(packages):
        assert file.stem not in REFUSED_MODULES, file


@pytest.mark.parametrize(
    ("name", "expected"), [("HTTPUserName", ["http", "user", "name"]), ("a_params", ["a", "params"])]
)
def test_words_of_a_name(name: str, expected: list[str]) -> None:
    assert words(name) == expected
