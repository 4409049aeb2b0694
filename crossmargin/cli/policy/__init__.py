"""`crossmargin policy`: read a policy as formulas, compute its risk arrays again."""

import click

from crossmargin.cli.lazy_group import LazyGroup

__all__ = ["policy"]

COMMANDS = {
    "show": "Print the model as formulas.",
    "check": "Compute the risk arrays again and compare.",
}


@click.group(
    cls=LazyGroup,
    modules={name: (f"{__name__}.{name}", text) for name, text in COMMANDS.items()},
    short_help="Show a policy as formulas, or compute it again.",
)
def policy() -> None:
    """Read a statement's policy as formulas, or compute its risk arrays again."""
