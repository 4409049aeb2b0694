"""Output for people: money, tables, progress, errors without tracebacks."""

import functools
import json
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, ParamSpec

import click
from click.shell_completion import CompletionItem
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from crossmargin.cli.lazy_group import INTERRUPTED, OUTPUT_LOST
from crossmargin.cli.streams import lasting_output
from crossmargin.errors import shortened
from crossmargin.loading import Inputs
from crossmargin.loading import load as load_inputs
from crossmargin.loading.problems import OnBad
from crossmargin.units import format_money, format_units
from crossmargin_circuits.errors import CrossmarginError
from crossmargin_circuits.policy import ValueUnit

__all__ = [
    "CLAIMS_OPEN",
    "REFUSED",
    "book_option",
    "book_place",
    "complete_folder",
    "console",
    "load",
    "money",
    "plain",
    "print_json",
    "printable",
    "reject_option",
    "reporting",
    "stage_progress",
    "table",
]

REFUSED = 1
CLAIMS_OPEN = 4

Arguments = ParamSpec("Arguments")


def book_place(context: click.Context, option: click.Parameter, value: str | None) -> str | None:
    """Return a book folder, or SCHEME:REST for a source of an installed package, as typed.

    Raises:
        click.BadParameter: a file.
    """
    if value is not None and Path(value).is_file():
        raise click.BadParameter(f"Directory {value!r} is a file.")
    return value


def complete_folder(context: click.Context, option: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the marker with which a shell completes folder names."""
    return [CompletionItem(incomplete, type="dir")]


book_option = click.option(
    "--book",
    "book",
    metavar="DIRECTORY",
    callback=book_place,
    shell_complete=complete_folder,
    required=True,
    help="Book folder: venue, instruments, market, model, reserves, accounts, balances, positions. Or SCHEME:REST of "
    "an installed source.",
)
reject_option = click.option(
    "--reject-bad-accounts",
    is_flag=True,
    help="Leave out and report accounts with bad lines instead of refusing the book.",
)


def console(width: int | None = None) -> Console:
    """Return the terminal for results; width: characters of a line, by default those of the terminal."""
    return Console(highlight=False, width=width or (None if sys.stdout.isatty() else 140))


def load(book: str, reject_bad_accounts: bool) -> Inputs:
    """Load a book and print the rejected accounts.

    Raises:
        InputErrors: bad input.
    """
    on_bad: OnBad = "reject" if reject_bad_accounts else "refuse"
    inputs = load_inputs(book, on_bad)
    for each in inputs.book.rejected:
        click.echo(printable(f"rejected account {shortened(each.account)}: {each.place}: {each.reason}"), err=True)
    for waiting in inputs.book.pending.assets() if inputs.book.pending is not None else ():
        amount = format_units(waiting.units, inputs.catalogue.asset(waiting.asset).unit)
        deposits = f"{waiting.count} deposit{'' if waiting.count == 1 else 's'} of {amount} {waiting.asset}"
        click.echo(f"pending: {deposits} above the finalized block, no collateral yet", err=True)
    return inputs


def money(quanta: int, unit: ValueUnit, places: int = 2) -> str:
    """Return an amount of money with thousands separators, rounded down to `places` decimals for reading."""
    return format_money(quanta, Decimal(unit.quantum), places)


def printable(text: str) -> str:
    """Return text without control characters: files come from strangers, terminals obey them."""
    return "".join(c if c.isprintable() else "?" for c in text)


def plain(text: str) -> str:
    """Return text for a rich console, without control characters and markup."""
    return escape(printable(text))


def table(title: str, *columns: tuple[str, bool]) -> Table:
    """Return an empty table; each column is (heading, whether it holds numbers)."""
    made = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading, is_number in columns:
        made.add_column(heading, justify="right" if is_number else "left", no_wrap=is_number)
    return made


def print_json(data: Any) -> None:
    """Print data for programs in ASCII, which works on any terminal and in any locale."""
    click.echo(json.dumps(data, indent=2))


@contextmanager
def stage_progress(quiet: bool = False) -> Iterator[Callable[[str, int, int], None]]:
    """Yield a progress callback (stage, done, total): a bar per stage on a terminal, one line per stage elsewhere."""
    if quiet:
        yield lambda stage, done, total: None
    elif not sys.stderr.isatty():
        started: dict[str, tuple[float, int]] = {}

        def line(stage: str, done: int, total: int) -> None:
            start, found = started.setdefault(stage, (time.monotonic(), done))
            if done == total:
                del started[stage]
                seconds = time.monotonic() - start
                resumed = f", {found:,} found finished" if found else ""
                rate = f", {(total - found) / seconds:,.0f}/s" if seconds >= 1 else ""
                click.echo(f"  {stage}: {total:,} done in {seconds:.1f} s{rate}{resumed}", err=True)

        yield line
    else:
        columns = (
            TextColumn("  {task.description:20}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]:>12}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=Console(stderr=True)) as bars:
            tasks: dict[str, Any] = {}

            def bar(stage: str, done: int, total: int) -> None:
                if stage not in tasks or bars.tasks[tasks[stage]].completed > done:
                    tasks[stage] = bars.add_task(stage, total=total, completed=done, rate="")
                speed = bars.tasks[tasks[stage]].speed
                bars.update(tasks[stage], completed=done, rate=f"{speed:,.0f}/s" if speed else "")

            yield bar


def reporting(command: Callable[Arguments, int | None]) -> Callable[Arguments, None]:
    """Turn expected errors of a command into one message and exit code 1, and Ctrl-C into exit code 130.

    A command returns its exit code, or None on success. It finishes its work even if its output cannot be written; exit
    code 3 means that only the output failed.
    """

    @functools.wraps(command)
    def wrapped(*args: Arguments.args, **kwargs: Arguments.kwargs) -> None:
        with lasting_output() as output:
            is_done, code = _outcome(lambda: command(*args, **kwargs))
            if is_done and output.lost is not None:
                click.echo(f"done, but the output could not be written: {output.lost.strerror}", err=True)
                code = code or OUTPUT_LOST
        if code:
            sys.exit(code)

    return wrapped


def _outcome(command: Callable[[], int | None]) -> tuple[bool, int]:
    """Run a command; return whether it did its work, and the exit code. Print the reason of a refusal."""
    try:
        return True, command() or 0
    except SystemExit as end:
        # A library ended the program with an exit code of its choice.
        click.echo(
            f"refused: a library ended the program with {end.code!r}; re-run the same command to resume",
            err=True,
        )
    except CrossmarginError as error:
        click.echo("\n".join(map(printable, f"refused: {error}".split("\n"))), err=True)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        click.echo(printable(f"refused: {where}{error.strerror or error}"), err=True)
    except (BrokenExecutor, MemoryError):
        click.echo(
            "refused: memory ran out, or the system ended a worker process: use fewer --processes or a "
            "smaller --shard, and re-run the same command to resume",
            err=True,
        )
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted: re-run the same command to resume", err=True)
        return False, INTERRUPTED
    return False, REFUSED
