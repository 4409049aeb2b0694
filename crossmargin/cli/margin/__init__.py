"""`crossmargin margin`: the margin of a book, read in every way that a risk engineer asks for."""

import click

from crossmargin.cli.lazy_group import LazyGroup

__all__ = ["margin"]

COMMANDS = {
    "show": "Totals of the book, and the accounts with the least excess.",
    "explain": "One account: parts, worst scenario, binding rows, what pooling saves.",
    "compare": "One book under several models side by side.",
    "stress": "The book after shocks of your own.",
    "replay": "The requirement along a path of prices.",
    "liquidation": "Margin calls, liquidation prices, partial liquidation plans.",
    "cascade": "Replay a liquidation cascade with price impact.",
    "crowding": "The totals that a crowding statement opens.",
    "models": "What each model costs to prove: rows, auxiliaries, bits.",
}


@click.group(
    cls=LazyGroup,
    modules={name: (f"{__name__}.{name}", text) for name, text in COMMANDS.items()},
    short_help="Compute, explain, compare, stress and replay margin.",
)
def margin() -> None:
    """Compute the margin of a book under its model, or under any other model file.

    Tables are for people; --json prints the same for programs; --plot draws it as SVG or PNG. Nothing is proven here,
    and what is shown of single accounts is private.
    """
