"""A group of commands that imports the module of a command when it is run, so that help and completion start fast."""

import sys
from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click

__all__ = ["INTERRUPTED", "LazyGroup"]

INTERRUPTED = 130
"""Exit code of a command that was interrupted: 128 and the number of the signal, as shells have it."""


class LazyGroup(click.Group):
    """A group that knows its commands by name and short help, and loads one when it is run or its own help is asked.

    modules: command name to (module, short help); the module has the command under the same name.
    """

    def __init__(self, *arguments: Any, modules: Mapping[str, tuple[str, str]], **options: Any) -> None:
        """Enter each command in the list of the group by name and short help alone."""
        super().__init__(*arguments, **options)
        self._modules = {name: module for name, (module, _) in modules.items()}
        for name, (_, short_help) in modules.items():
            self.add_command(click.Command(name, short_help=short_help))

    def load(self, name: str) -> click.Command:
        """Import the command of this name and return it."""
        command: click.Command = getattr(import_module(self._modules[name]), name)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; Ctrl-C while its module is imported ends with the same code as later."""
        try:
            return super().invoke(ctx)
        except (KeyboardInterrupt, click.Abort):
            click.echo("interrupted", err=True)
            sys.exit(INTERRUPTED)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return name, command and remaining arguments, with the real command in place of its entry in the list."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, command if name is None else self.load(name), rest
