"""A group of commands that imports a command's module when the command runs; help and completion start fast."""

import sys
from collections.abc import Mapping
from contextlib import suppress
from importlib import import_module
from typing import Any

import click

__all__ = ["INTERRUPTED", "OUTPUT_LOST", "LazyGroup"]

OUTPUT_LOST = 3
"""Exit code where all was done, and only its output could not be written."""

INTERRUPTED = 130
"""Exit code of an interrupted command: 128 plus the number of the signal, as in shells."""


class LazyGroup(click.Group):
    """A group that lists its commands by name and short help, and loads a command for a run or for its own help.

    modules: command name to (module, short help); the module has the command under the same name.
    """

    def __init__(self, *arguments: Any, modules: Mapping[str, tuple[str, str]], **options: Any) -> None:
        """List each command of the group by name and short help only."""
        super().__init__(*arguments, **options)
        self._modules = {name: module for name, (module, _) in modules.items()}
        for name, (_, short_help) in modules.items():
            self.add_command(click.Command(name, short_help=short_help))

    def load(self, name: str) -> click.Command:
        """Import the command of this name and return it."""
        command: click.Command = getattr(import_module(self._modules[name]), name)
        return command

    def main(self, *arguments: Any, **options: Any) -> Any:
        """Run the program; a command answers its own failures, so that what is left is help that cannot be written."""
        try:
            return super().main(*arguments, **options)
        except OSError as error:
            with suppress(OSError):
                click.echo(f"the output could not be written: {error.strerror}", err=True)
            sys.exit(OUTPUT_LOST)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; Ctrl-C during the import of its module gives the same exit code as later."""
        try:
            return super().invoke(ctx)
        except (KeyboardInterrupt, click.Abort):
            click.echo("interrupted", err=True)
            sys.exit(INTERRUPTED)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return name, command and remaining arguments; the real command replaces its entry in the list."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, command if name is None else self.load(name), rest
