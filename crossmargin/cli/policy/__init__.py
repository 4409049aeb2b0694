"""`crossmargin policy`: read a policy as formulas, recompute its risk arrays."""

import click

from crossmargin.cli.lazy_group import LazyGroup

__all__ = ["policy"]

COMMANDS = {
    "show": "Print the model as formulas.",
    "check": "Recompute the risk arrays and compare.",
}


@click.group(
    cls=LazyGroup,
    modules={name: (f"{__name__}.{name}", text) for name, text in COMMANDS.items()},
    short_help="Show a policy as formulas, or recompute it.",
)
def policy() -> None:
    """Read a statement's policy as formulas, or recompute its risk arrays."""
