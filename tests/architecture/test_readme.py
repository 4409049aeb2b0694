"""What README.md says to type is true: every help text in it is compared, every command and target exists."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from crossmargin_prover.cli import main as prover
from crossmargin_verifier.cli import main as verifier

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PROGRAMS = {"crossmargin": prover, "crossmargin-verify": verifier}


def transcripts() -> Iterator[tuple[str, str]]:
    """Yield (command, output shown) for every `$` line of every console block."""
    for block in BLOCK.findall(README.read_text(encoding="utf-8")):
        command, shown = "", []
        for line in block.splitlines():
            if line.startswith("$ "):
                if command:
                    yield command, "\n".join(shown).strip()
                command, shown = line[2:].strip(), []
            else:
                shown.append(line)
        if command:
            yield command, "\n".join(shown).strip()


TRANSCRIPTS = list(transcripts())
PROGRAM_CALLS = [command for command, _ in TRANSCRIPTS if Path(shlex.split(command, comments=True)[0]).name in PROGRAMS]
HELP_TEXTS = [(command, shown) for command, shown in TRANSCRIPTS if command in PROGRAM_CALLS and "--help" in command]
MAKE_CALLS = [command for command, _ in TRANSCRIPTS if command.startswith("make")]


def run(words: list[str]) -> Result:
    name = Path(words[0]).name
    return CliRunner().invoke(PROGRAMS[name], words[1:], prog_name=name, terminal_width=80)


@pytest.mark.parametrize(("command", "shown"), HELP_TEXTS)
def test_help_text_is_current(command: str, shown: str) -> None:
    finished = run(shlex.split(command, comments=True))
    assert finished.exit_code == 0, finished.output
    assert [line.rstrip() for line in finished.stdout.strip().splitlines()] == [
        line.rstrip() for line in shown.splitlines()
    ]


@pytest.mark.parametrize("command", PROGRAM_CALLS)
def test_command_and_its_options_exist(command: str) -> None:
    arguments = shlex.split(command, comments=True)
    path = [arguments[0]]
    for word in arguments[1:]:
        if word.startswith("-") or not re.fullmatch(r"[a-z][a-z-]*", word) or run([*path, word, "--help"]).exit_code:
            break
        path.append(word)
    finished = run([*path, "--help"])
    assert finished.exit_code == 0, finished.output
    if len(arguments) > 1 and not arguments[1].startswith("-"):
        assert len(path) > 1, f"no such command: {command}"
    for option in re.findall(r"--[a-z][a-z-]*", command):
        assert option in finished.stdout, f"{command}: no option {option}"


@pytest.mark.parametrize("command", MAKE_CALLS)
def test_make_target_exists(command: str) -> None:
    targets = set(re.findall(r"^([a-z]+):.*## ", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for word in shlex.split(command, comments=True)[1:]:
        assert "=" in word or word in targets, word


def test_make_help_lists_every_target() -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    (listed,) = re.findall(r"^\.PHONY: (.*)$", text, re.MULTILINE)
    assert set(re.findall(r"^([a-z]+):.*## ", text, re.MULTILINE)) == set(listed.split())


def test_readme_shows_commands() -> None:
    assert MAKE_CALLS
    assert PROGRAM_CALLS
