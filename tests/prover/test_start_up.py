"""Help, version and completion load no numerical package, and their list of commands is that of the commands."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator

import click
import pytest

from crossmargin.cli.lazy_group import LazyGroup
from crossmargin_prover.cli import main

HEAVY = {"matplotlib", "numpy", "polars", "py_ecc", "pydantic", "rich", "scipy", "yaml"}
MOST_MODULES = 10
"""Of the project itself; a group needs its own module, its packages and the class of lazy groups."""

LIST_MODULES = """
import atexit, json, sys
atexit.register(lambda: print("modules", json.dumps(sorted(sys.modules)), file=sys.stderr))
from {module} import main
main({arguments!r}, prog_name={program!r})
"""


def loaded_by(program: str, *arguments: str, **surroundings: str) -> set[str]:
    """Run a program in a fresh interpreter and return the modules that it has loaded at its end."""
    module = {"crossmargin": "crossmargin_prover.cli", "crossmargin-verify": "crossmargin_verifier.cli"}[program]
    code = LIST_MODULES.format(module=module, arguments=list(arguments), program=program)
    finished = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env={**os.environ, **surroundings}
    )
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout
    return set(json.loads(finished.stderr.rpartition("modules ")[2]))


def assert_light(modules: set[str]) -> None:
    tops = {name.partition(".")[0] for name in modules}
    assert not tops & HEAVY
    own = [name for name in modules if name.startswith("crossmargin")]
    assert 1 < len(own) <= MOST_MODULES, own


@pytest.mark.parametrize(
    "arguments", [("--help",), ("--version",), ("margin", "--help"), ("policy", "--help")], ids=" ".join
)
def test_help_and_version_load_little(arguments: tuple[str, ...]) -> None:
    assert_light(loaded_by("crossmargin", *arguments))


@pytest.mark.parametrize("arguments", [("--help",), ("--version",), ("bundle", "--help"), ("receipt", "--help")])
def test_help_of_the_verifier_loads_little(arguments: tuple[str, ...]) -> None:
    assert_light(loaded_by("crossmargin-verify", *arguments))


@pytest.mark.parametrize("words", ["crossmargin ", "crossmargin mar", "crossmargin margin s", "crossmargin policy "])
def test_completion_of_commands_loads_little(words: str) -> None:
    number = str(len(words.split(" ")) - 1)
    assert_light(loaded_by("crossmargin", COMP_WORDS=words, COMP_CWORD=number, _CROSSMARGIN_COMPLETE="bash_complete"))


def lazy_groups(group: LazyGroup) -> Iterator[LazyGroup]:
    yield group
    for name in group.commands:
        command = group.load(name)
        if isinstance(command, LazyGroup):
            yield from lazy_groups(command)


@pytest.mark.parametrize("group", [pytest.param(group, id=str(group.name)) for group in lazy_groups(main)])
def test_list_of_commands_is_that_of_the_commands(group: LazyGroup) -> None:
    for name, entry in group.commands.items():
        command = group.load(name)
        assert (command.name, command.short_help) == (name, entry.short_help)


def test_command_runs_through_its_entry() -> None:
    context = click.Context(main)
    name, command, rest = main.resolve_command(context, ["margin", "show", "--json"])
    assert (name, command, rest) == ("margin", main.load("margin"), ["show", "--json"])
