"""`crossmargin commit`, `prove`, `publish`, `receipts`, and `run`, which does all of them."""

import os
import sys
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path

import click

from crossmargin.loading import load_parameters
from crossmargin_prover.backend import available, select_backend
from crossmargin_prover.cli.output import (
    REFUSED,
    book_option,
    load,
    print_json,
    printable,
    reject_option,
    reporting,
    stage_progress,
)
from crossmargin_prover.signing import SigningKey
from crossmargin_prover.vault import Vault
from crossmargin_prover.workflow import DEFAULT_PACKING, thin_totals, write_receipts
from crossmargin_prover.workflow import commit as commit_book
from crossmargin_prover.workflow import prove as prove_one
from crossmargin_prover.workflow import publish as publish_statements

__all__ = ["commit", "prove", "publish", "receipts", "run"]

vault_option = click.option(
    "--vault",
    "vault",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Private folder of one snapshot: records, nonces, keys. Never publish it.",
)
shard_option = click.option(
    "--shard",
    type=click.IntRange(min=1),
    help="Accounts per shard, a power of two. [default: fits the book, at most 4096]",
)
signing_option = click.option(
    "--signing-key",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The venue's key that signs receipts, 32 bytes in hexadecimal. [default: a fresh key for this vault]",
)
backend_option = click.option(
    "--backend",
    type=click.Choice(available()),
    default=available()[0],
    show_default=True,
    help="Who does the arithmetic.",
)
packing_option = click.option(
    "--packing",
    type=click.IntRange(0, 4),
    default=DEFAULT_PACKING,
    show_default=True,
    help="2^PACKING accounts share a slack row: fewer published bytes, slower proofs.",
)
processes_option = click.option(
    "--processes",
    type=click.IntRange(min=1),
    default=os.cpu_count() or 1,
    show_default="all cores",
    help="Shards worked on at a time.",
)


@contextmanager
def _executor(processes: int) -> Iterator[Executor | None]:
    """Yield a pool of processes, or None to work in this one."""
    if processes == 1:
        yield None
        return
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        yield pool


def _check_shard(size: int | None) -> None:
    if size is not None and size & (size - 1):
        raise click.BadParameter(f"{size} is not a power of two", param_hint="--shard")


@click.command(short_help="Commit the book, once per snapshot.")
@book_option
@vault_option
@shard_option
@signing_option
@reject_option
@backend_option
@processes_option
@reporting
def commit(
    book: Path,
    vault: Path,
    shard: int | None,
    signing_key: Path | None,
    reject_bad_accounts: bool,
    backend: str,
    processes: int,
) -> None:
    """Commit every account's balances and positions, once per snapshot.

    Publish the printed digest (transparency log, chain, newspaper) before anything else.

    \b
    Example:
      crossmargin commit --book examples/book --vault build/vault
    """
    _check_shard(shard)
    inputs = load(book, reject_bad_accounts)
    target = Vault.create(vault, None if signing_key is None else SigningKey.read(signing_key))
    click.echo(f"backend: {backend}", err=True)
    with stage_progress() as progress, _executor(processes) as executor:
        snapshot, report = commit_book(
            inputs, target, select_backend(backend), accounts_per_shard=shard, executor=executor, progress=progress
        )
    click.echo(f"{report.loaded} accounts committed, {report.padding} padding, {report.rejected_accounts} rejected")
    click.echo(f"snapshot digest {snapshot.manifest.digest.hex()}: publish it now")


@click.command(short_help="Prove statements about the snapshot.")
@book_option
@vault_option
@click.option(
    "--statement", "statements", multiple=True, help="Statement of model.yaml; may be repeated. [default: all]"
)
@packing_option
@backend_option
@processes_option
@reporting
def prove(book: Path, vault: Path, statements: tuple[str, ...], packing: int, backend: str, processes: int) -> None:
    """Prove statements about the committed snapshot, at the prices and under the model of the book folder.

    The accounts come from the vault; a change of prices or model needs no new snapshot and no new receipts.

    \b
    Example:
      crossmargin prove --book examples/book --vault build/vault --statement maintenance
    """
    parameters = load_parameters(book)
    opened = Vault.open(vault)
    click.echo(f"backend: {backend}", err=True)
    with _executor(processes) as executor:
        for name in statements or [each.name for each in parameters.model.statements]:
            click.echo(f"statement {name}", err=True)
            with stage_progress() as progress:
                folder = prove_one(
                    opened,
                    parameters,
                    name,
                    select_backend(backend),
                    packing=packing,
                    executor=executor,
                    progress=progress,
                )
            click.echo(f"{name}: proven and verified, in {folder}")


@click.command(short_help="Publish the bundle, with its verdict.")
@book_option
@vault_option
@click.option(
    "--statement", "statements", multiple=True, help="Proven statement; may be repeated. [default: all proven]"
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of the public bundle.")
@click.option("--json", "as_json", is_flag=True, help="Print the verdict as JSON.")
@reporting
def publish(book: Path, vault: Path, statements: tuple[str, ...], out: Path, as_json: bool) -> None:
    """Put proven statements and declared reserves together into a public bundle, and print the verdict on it.

    \b
    Example:
      crossmargin publish --book examples/book --vault build/vault --out build/bundle
    """
    opened = Vault.open(vault)
    for each in thin_totals(opened):
        click.echo(f"warning: published total over few accounts: {printable(each)}", err=True)
    verdict = publish_statements(opened, load_parameters(book), statements, out)
    if as_json:
        print_json(verdict.data)
    else:
        click.echo(verdict.text, nl=False)
    sys.exit(0 if verdict.verified else REFUSED)


@click.command(short_help="Write the private receipts.")
@vault_option
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Private folder for the receipts.")
@click.option("--account", "accounts", multiple=True, help="Account id; may be repeated. [default: all accounts]")
@reporting
def receipts(vault: Path, out: Path, accounts: tuple[str, ...]) -> None:
    """Write one private, signed receipt per account, each with a readable twin.

    Deliver each to its holder and to nobody else.

    \b
    Example:
      crossmargin receipts --vault build/vault --out build/receipts
    """
    with stage_progress() as progress:
        count = write_receipts(Vault.open(vault), out, accounts, progress)
    click.echo(f"{count} receipts in {out} (index.json says whose; private)")


@click.command(short_help="The whole way in one command.")
@book_option
@vault_option
@click.option("--bundle", type=click.Path(path_type=Path), required=True, help="Folder of the public bundle.")
@click.option(
    "--receipts", "out", type=click.Path(path_type=Path), required=True, help="Private folder for the receipts."
)
@shard_option
@packing_option
@signing_option
@reject_option
@backend_option
@processes_option
@click.pass_context
def run(
    context: click.Context,
    book: Path,
    vault: Path,
    bundle: Path,
    out: Path,
    shard: int | None,
    packing: int,
    signing_key: Path | None,
    reject_bad_accounts: bool,
    backend: str,
    processes: int,
) -> None:
    """The whole way: commit, prove all statements, write receipts, publish.

    \b
    Example:
      crossmargin run --book examples/book --vault build/vault --bundle build/bundle --receipts build/receipts
    """
    context.invoke(
        commit,
        book=book,
        vault=vault,
        shard=shard,
        signing_key=signing_key,
        reject_bad_accounts=reject_bad_accounts,
        backend=backend,
        processes=processes,
    )
    context.invoke(prove, book=book, vault=vault, statements=(), packing=packing, backend=backend, processes=processes)
    context.invoke(receipts, vault=vault, out=out, accounts=())
    context.invoke(publish, book=book, vault=vault, statements=(), out=bundle, as_json=False)
