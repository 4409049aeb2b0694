"""`crossmargin margin`: the views of a book's margin that a risk engineer needs."""

import click

from crossmargin.cli.lazy_group import LazyGroup

__all__ = ["margin"]

COMMANDS = {
    "show": "Show totals, and the accounts with the least excess.",
    "explain": "Explain one account: parts, worst scenario, binding rows.",
    "compare": "Compare several models on one book.",
    "stress": "Shock the market and compute margins again.",
    "replay": "Compute the requirement along a path of prices.",
    "liquidation": "Show margin calls, liquidation prices and partial plans.",
    "cascade": "Replay a liquidation cascade with price impact.",
    "crowding": "Show the totals that a crowding statement discloses.",
    "models": "Show the proving cost of each model: rows, auxiliaries, bits.",
}


@click.group(
    cls=LazyGroup,
    modules={name: (f"{__name__}.{name}", text) for name, text in COMMANDS.items()},
    short_help="Compute, explain, compare, stress and replay margin.",
)
def margin() -> None:
    """Compute the margin of a book under its model, or under any other model file.

    Tables are for people; --json prints the same for programs; --plot draws it as SVG or PNG. These commands prove
    nothing, and their figures for single accounts are private.
    """
