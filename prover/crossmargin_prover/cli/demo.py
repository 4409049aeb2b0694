"""`crossmargin demo`: the full pipeline on the example book, as the venue, an auditor and a holder see it."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from re import escape
from textwrap import fill

import click
import numpy as np

from crossmargin.cli.margin.explain import print_explanation
from crossmargin.cli.margin.show import print_book
from crossmargin.cli.output import CLAIMS_OPEN, reporting, stage_progress
from crossmargin.engine.evaluate import evaluate
from crossmargin.engine.explain import explain
from crossmargin.loading import Inputs, load_folder
from crossmargin.models import build_policy
from crossmargin.placement import (
    PUBLIC_FILE,
    PUBLIC_FOLDER,
    Names,
    check_target,
    make_folder,
    real_path,
    remove_folder,
    write_file,
)
from crossmargin_circuits.compile import compile_policy
from crossmargin_circuits.errors import CrossmarginError
from crossmargin_prover.snapshot import encode_receipt
from crossmargin_prover.vault.names import BUNDLE, RECEIPTS, VAULT
from crossmargin_prover.workflow.commit import commit
from crossmargin_prover.workflow.deliver import deliver
from crossmargin_prover.workflow.prove import InsolventError, prove
from crossmargin_prover.workflow.publish import publish
from crossmargin_prover.workflow.run import Run
from crossmargin_verifier.bundle.verdict import Outcome
from crossmargin_verifier.protocol.inclusion import Receipt

__all__ = ["demo", "example_book"]

PACKAGE = Path(__file__).resolve().parents[1]

DEMO_FILE = "crossmargin-demo.txt"
"""Marks the folder of a demo, which the next demo may replace."""

DEMO_TEXT = b"This folder was made by `crossmargin demo`, which replaces it the next time.\n"

DEMO = (
    Names((r"tampered/receipt\.cm2",))
    | VAULT.below("vault")
    | BUNDLE.below("bundle")
    | BUNDLE.below("tampered/bundle")
    | RECEIPTS.below("receipts")
)

WIDTH = 80
"""Characters of a line."""


@click.command(short_help="Run the full pipeline on an example book.")
@click.option(
    "--book",
    type=click.Path(path_type=Path, file_okay=False),
    help="Book folder. [default: the example book of 1,000 accounts]",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default="crossmargin-demo",
    show_default=True,
    help="Folder for the demo; replaces that of an earlier demo.",
)
@reporting
def demo(book: Path | None, out: Path) -> None:
    """Run the full pipeline on an example book: margin, proof, verdict, receipt, and how tampering is rejected.

    \b
    Examples:
      crossmargin demo
      crossmargin demo --book examples/small --out build/demo
    """
    _make_place(out)
    inputs = load_folder(example_book() if book is None else book)
    _say("1. The venue computes the margin of its book")
    account = _show_margin(inputs)

    run = Run()
    _say(f"2. It commits every account and proves each statement ({run.backend.name})")
    vault = out / "vault"
    with stage_progress() as progress:
        committed = commit(inputs, vault, replace(run, progress=progress))
    click.echo(f"snapshot digest (a venue publishes it first, elsewhere)\n  {committed.digest.hex()}")
    _strict_is_refused(vault, inputs, run)
    for statement in inputs.model.statements:
        click.echo(f"proving {statement.name}")
        with stage_progress() as progress:
            prove(inputs, vault, [statement.name], replace(run, progress=progress))

    _say("3. It publishes the bundle, and writes a receipt for each holder")
    bundle, receipts = out / "bundle", out / "receipts"
    with stage_progress() as progress:
        # A book whose claims fail is shown as it is.
        published = publish(inputs, vault, bundle, run=replace(run, progress=progress), despite_claims=True)
        deliver(vault, receipts, progress=progress)
    click.echo(f"bundle digest (a venue publishes it elsewhere, too)\n  {published.digest.hex()}")

    _say("4. An auditor verifies the bundle, with the published digests")
    digest = ("--snapshot", committed.digest.hex())
    code = 0 if published.verdict.outcome is Outcome.VERIFIED else CLAIMS_OPEN
    _verify(code, "bundle", str(bundle), *digest, "--bundle-digest", published.digest.hex())

    _say("5. A holder checks their receipt")
    name = json.loads((receipts / "index.json").read_bytes())["receipts"][account]
    receipt = receipts / f"{name}.json"
    _verify(0, "receipt", str(receipt), "--id", account, *digest, "--bundle", str(bundle))

    _say("6. Tampering is rejected")
    _verify(1, "bundle", str(_tampered_bundle(bundle, out / "tampered" / "bundle")))
    tampered = _tampered_receipt(receipts / f"{name}.cm2", out / "tampered")
    _verify(1, "receipt", str(tampered), "--id", account, "--bundle", str(bundle))

    _say("Done")
    click.echo(f"everything is in {real_path(out)}")
    click.echo(f"public bundle      {bundle}  ({_size(bundle):,} bytes)")
    click.echo(f"private receipts   {receipts}  ({len(inputs.book)} accounts)")
    click.echo(f"private vault      {out / 'vault'}")
    click.echo(f"tampered copies    {out / 'tampered'}")
    click.echo(f"\n{fill(published.verdict.headline, WIDTH)}")


def example_book() -> Path:
    """Return the folder of the example book: inside an installed package, beside the packages in a checkout."""
    packed = PACKAGE / "example_book"
    return packed if packed.is_dir() else PACKAGE.parents[1] / "examples" / "book"


def _make_place(out: Path) -> None:
    """Make an empty folder with a marker; clear the files of an earlier demo, which carries the same marker.

    Raises:
        CrossmarginError: the folder holds something else.
    """
    check_target(real_path(out), DEMO | Names((escape(DEMO_FILE),)), DEMO_FILE)
    if (out / DEMO_FILE).exists() and not (out / DEMO_FILE).read_bytes() == DEMO_TEXT:
        raise CrossmarginError(f"{out / DEMO_FILE} is not the marker of a demo: choose another folder")
    remove_folder(real_path(out), DEMO)
    make_folder(out, PUBLIC_FOLDER, PUBLIC_FOLDER)
    write_file(out / DEMO_FILE, DEMO_TEXT, PUBLIC_FILE)


def _show_margin(inputs: Inputs) -> str:
    """Print the book's margin and explain the account with the largest saving from pooling; return its id."""
    policy = build_policy(inputs.venue.venue, inputs.environment, inputs.model, inputs.model.margin_statements[0])
    compiled = compile_policy(policy)
    book = inputs.book
    print_book(book, evaluate(compiled, book.records), policy, top=8, width=WIDTH)
    several = np.flatnonzero(np.bincount(book.owners, minlength=len(book)) > 1).tolist() or [0]
    explained = [explain(compiled, book, book.accounts[number]) for number in several]
    best = max(explained, key=lambda each: each.pooling_saves)
    click.echo()
    print_explanation(best, policy, width=WIDTH)
    return best.account


def _strict_is_refused(vault: Path, inputs: Inputs, run: Run) -> None:
    """Show that no strict statement can be proven about a book with an under-water account."""
    strict = replace(inputs, model=inputs.model.model_copy(update={"strict": True}))
    try:
        prove(strict, vault, [inputs.model.margin_statements[0]], run)
    except InsolventError as error:
        click.echo("a strict statement, without a shortfall, cannot be proven about this book:")
        for line in str(error).splitlines():
            click.echo(fill(line, WIDTH, initial_indent="  ", subsequent_indent="      "))


def _verify(expected: int, *arguments: str) -> None:
    """Run the stand-alone verifier in a separate process and require an exit code."""
    click.echo(f"$ {_shown(arguments)}")
    command = [sys.executable, "-m", "crossmargin_verifier.cli", *arguments]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
    for line in done.stderr.splitlines():
        click.echo(fill(line, WIDTH, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False))
    if done.returncode != expected:
        raise CrossmarginError(f"the verifier ended with exit code {done.returncode}, expected {expected}")
    click.echo(f"[exit code {done.returncode}]")


def _shown(arguments: tuple[str, ...]) -> str:
    """Return a command of the verifier with an option, and its value, on a line."""
    lines, at = [f"crossmargin-verify {arguments[0]}"], 1
    while at < len(arguments):
        size = 2 if arguments[at].startswith("--") else 1
        part = " ".join(arguments[at : at + size])
        if len(part) + 6 <= WIDTH:
            lines.append(f"    {part}")
        else:
            lines += [f"    {arguments[at]}", f"      {arguments[at + 1]}"]
        at += size
    return " \\\n".join(lines)


def _tampered_bundle(bundle: Path, copy: Path) -> Path:
    """Copy a bundle and change one bit in the middle of a shard proof."""
    shutil.copytree(bundle, copy)
    shard = sorted(copy.glob("statements/*/shard-*.cm2"))[-1]
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    return copy


def _tampered_receipt(original: Path, folder: Path) -> Path:
    """Copy a receipt and add one unit to one entry of its record."""
    receipt = Receipt.decode(original.read_bytes())
    record = (*receipt.record[:-1], receipt.record[-1] + 1)
    path = folder / "receipt.cm2"
    path.write_bytes(encode_receipt(replace(receipt, record=record)))
    return path


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _say(text: str) -> None:
    click.echo(f"\n=== {text} ".ljust(WIDTH + 1, "="))
