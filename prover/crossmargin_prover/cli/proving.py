"""`crossmargin commit`, `prove`, `publish`, `receipts`, and `run`, which does all of them."""

import sys
import time
from collections.abc import Sequence
from concurrent.futures import Executor
from pathlib import Path

import click

from crossmargin.cli.output import (
    REFUSED,
    book_option,
    load,
    print_json,
    printable,
    reject_option,
    reporting,
    stage_progress,
)
from crossmargin.loading import load_parameters
from crossmargin_prover.backend import available, select_backend
from crossmargin_prover.bundle import check_bundle_folder
from crossmargin_prover.signing import SigningKey
from crossmargin_prover.statement import DEFAULT_PACKING
from crossmargin_prover.vault.vault import Vault, VaultError
from crossmargin_prover.workflow.commit import commit as commit_book
from crossmargin_prover.workflow.commit import holds_book, renew_report
from crossmargin_prover.workflow.deliver import check_receipts_folder, write_receipts
from crossmargin_prover.workflow.prove import is_proven
from crossmargin_prover.workflow.prove import prove as prove_one
from crossmargin_prover.workflow.publish import publish as publish_statements
from crossmargin_prover.workflow.publish import times
from crossmargin_prover.workflow.thin_totals import thin_totals
from crossmargin_verifier.bundle.verdict import Verdict
from crossmargin_verifier.workers import cores_here, worker_pool

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
    help="Accounts per shard, a power of two up to 2^20. [default: what costs least]",
)
since_option = click.option(
    "--since",
    type=click.Path(path_type=Path, file_okay=False),
    help="Vault of an earlier snapshot: what did not change is taken over from it.",
)
signing_option = click.option(
    "--signing-key",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The venue's key that signs receipts, 32 bytes in hexadecimal. [default: that of --since, or a fresh one]",
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
restart_option = click.option(
    "--restart", is_flag=True, help="Give up what an interrupted run of a statement has finished."
)
processes_option = click.option(
    "--processes",
    type=click.IntRange(min=1),
    default=cores_here(),
    show_default="all cores",
    help="Shards worked on at a time.",
)


@click.command(short_help="Commit the book, once per snapshot.")
@book_option
@vault_option
@since_option
@shard_option
@signing_option
@reject_option
@backend_option
@processes_option
@reporting
def commit(
    book: Path,
    vault: Path,
    since: Path | None,
    shard: int | None,
    signing_key: Path | None,
    reject_bad_accounts: bool,
    backend: str,
    processes: int,
) -> None:
    """Commit every account's balances and positions, once per snapshot.

    Publish the printed digest (transparency log, chain, newspaper) before anything else. A run that was interrupted is
    finished by the same command; it goes on from the finished shards.

    \b
    Example:
      crossmargin commit --book examples/book --vault build/vault
    """
    with worker_pool(processes) as executor:
        _commit_once(book, vault, since, shard, signing_key, reject_bad_accounts, backend, executor)


def _commit(
    book: Path,
    vault: Path,
    since: Path | None,
    shard: int | None,
    signing_key: Path | None,
    reject_bad_accounts: bool,
    backend: str,
    executor: Executor | None,
) -> None:
    if shard is not None and shard & (shard - 1):
        raise click.BadParameter(f"{shard} is not a power of two", param_hint="--shard")
    earlier = None if since is None else Vault.open(since)
    start = time.monotonic()
    inputs = load(book, reject_bad_accounts)
    click.echo(f"  load: {len(inputs.book):,} done in {time.monotonic() - start:.1f} s", err=True)
    target = Vault.create(vault, None if signing_key is None else SigningKey.read(signing_key), earlier)
    click.echo(f"backend: {backend}", err=True)
    with target.locked(), stage_progress() as progress:
        committed = commit_book(
            inputs,
            target,
            select_backend(backend),
            accounts_per_shard=shard,
            since=earlier,
            executor=executor,
            progress=progress,
        )
    report = committed.report
    click.echo(f"{report.loaded} accounts committed, {report.padding} padding, {report.rejected_accounts} rejected")
    digest = committed.snapshot.manifest.digest.hex()
    if committed.taken_over:
        click.echo(f"no account changed: the earlier snapshot, its digest {digest} and its receipts stay")
        return
    if committed.anew:
        click.echo(f"every account is committed anew: {committed.anew}")
    elif earlier is not None:
        fresh = report.loaded - committed.unchanged - committed.changed
        click.echo(
            f"blinded anew: {committed.unchanged} accounts without a change, {committed.changed} with one; "
            f"committed anew: {fresh}"
        )
    click.echo(f"snapshot digest {digest}: publish it now")


def _commit_once(
    book: Path,
    vault: Path,
    since: Path | None,
    shard: int | None,
    signing_key: Path | None,
    reject_bad_accounts: bool,
    backend: str,
    executor: Executor | None,
) -> None:
    """Commit the book, unless the vault holds its finished snapshot already."""
    opened = Vault(vault)
    if since is not None and since.resolve() == vault.resolve():
        raise VaultError(f"{vault}: --since names this vault itself: name the earlier one")
    if not opened.is_finished:
        _commit(book, vault, since, shard, signing_key, reject_bad_accounts, backend, executor)
        return
    inputs = load(book, reject_bad_accounts)
    if not holds_book(opened, inputs):
        raise VaultError(f"{vault} holds the finished snapshot of other accounts: choose another folder")
    manifest = opened.load().manifest
    if shard is not None and shard != manifest.accounts_per_shard:
        raise VaultError(f"{vault} is committed already, in shards of {manifest.accounts_per_shard}: leave --shard out")
    if signing_key is not None and SigningKey.read(signing_key).public != opened.signing_key.public:
        raise VaultError(f"{vault} has another signing key already: leave --signing-key out")
    with opened.locked():
        renew_report(opened, inputs)
    click.echo(f"committed already; snapshot digest {manifest.digest.hex()}")


@click.command(short_help="Prove statements about the snapshot.")
@book_option
@vault_option
@click.option(
    "--statement", "statements", multiple=True, help="Statement of model.yaml; may be repeated. [default: all]"
)
@since_option
@packing_option
@restart_option
@signing_option
@reject_option
@backend_option
@processes_option
@reporting
def prove(
    book: Path,
    vault: Path,
    statements: tuple[str, ...],
    since: Path | None,
    packing: int,
    restart: bool,
    signing_key: Path | None,
    reject_bad_accounts: bool,
    backend: str,
    processes: int,
) -> None:
    """Prove statements about the committed snapshot, at the prices and under the model of the book folder.

    The accounts come from the vault; a change of prices or model needs no new snapshot and no new receipts. With
    --since the book is committed first, into a new vault, from the earlier vault as far as accounts did not change.
    A run that was interrupted is finished by the same command; it goes on from the finished shards.

    \b
    Examples:
      crossmargin prove --book examples/book --vault build/vault --statement maintenance
      crossmargin prove --book examples/book --vault build/vault-13h --since build/vault-12h
    """
    with worker_pool(processes) as executor:
        if since is not None:
            _commit_once(book, vault, since, None, signing_key, reject_bad_accounts, backend, executor)
        _prove(book, vault, statements, packing, restart, backend, executor)


def _prove(
    book: Path,
    vault: Path,
    statements: Sequence[str],
    packing: int,
    restart: bool,
    backend: str,
    executor: Executor | None,
) -> None:
    parameters = load_parameters(book)
    opened = Vault.open(vault)
    click.echo(f"backend: {backend}", err=True)
    with opened.locked():
        for name in statements or [each.name for each in parameters.model.statements]:
            click.echo(f"statement {name}", err=True)
            with stage_progress() as progress:
                folder = prove_one(
                    opened,
                    parameters,
                    name,
                    select_backend(backend),
                    packing=packing,
                    restart=restart,
                    executor=executor,
                    progress=progress,
                )
            click.echo(f"{name}: proven, in {folder}")


@click.command(short_help="Publish the bundle, with its verdict.")
@book_option
@vault_option
@click.option(
    "--statement", "statements", multiple=True, help="Proven statement; may be repeated. [default: all proven]"
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of the public bundle.")
@click.option("--json", "as_json", is_flag=True, help="Print the verdict as JSON.")
@backend_option
@processes_option
@reporting
def publish(
    book: Path, vault: Path, statements: tuple[str, ...], out: Path, as_json: bool, backend: str, processes: int
) -> None:
    """Put proven statements and declared reserves together into a public bundle, and print the verdict on it.

    The whole bundle is verified first; what the verifier refuses is not published.

    \b
    Example:
      crossmargin publish --book examples/book --vault build/vault --out build/bundle
    """
    with worker_pool(processes) as executor:
        verdict = _publish(book, vault, statements, out, backend, executor)
    if as_json:
        print_json(verdict.data)
    else:
        click.echo(verdict.text, nl=False)
    sys.exit(0 if verdict.verified else REFUSED)


def _publish(
    book: Path, vault: Path, statements: Sequence[str], out: Path, backend: str, executor: Executor | None
) -> Verdict:
    opened = Vault.open(vault)
    if len(times(opened)) > 1:
        click.echo("warning: the proven statements are about prices of different times", err=True)
    for each in thin_totals(opened):
        click.echo(f"warning: published total over few accounts: {printable(each)}", err=True)
    with opened.locked(), stage_progress() as progress:
        return publish_statements(
            opened,
            load_parameters(book),
            statements,
            out,
            select_backend(backend),
            executor=executor,
            progress=progress,
        )


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
    _receipts(vault, out, accounts)


def _receipts(vault: Path, out: Path, accounts: Sequence[str]) -> None:
    with stage_progress() as progress:
        count = write_receipts(Vault.open(vault), out, accounts, progress)
    click.echo(f"{count} receipts in {out} (index.json says whose; private)")


@click.command(short_help="The whole way in one command.")
@book_option
@vault_option
@click.option("--bundle", type=click.Path(path_type=Path), required=True, help="Folder of the public bundle.")
@click.option(
    "--receipts",
    "out",
    type=click.Path(path_type=Path),
    help="Private folder for the receipts. [default: none]",
)
@since_option
@shard_option
@packing_option
@restart_option
@signing_option
@reject_option
@backend_option
@processes_option
@reporting
def run(
    book: Path,
    vault: Path,
    bundle: Path,
    out: Path | None,
    since: Path | None,
    shard: int | None,
    packing: int,
    restart: bool,
    signing_key: Path | None,
    reject_bad_accounts: bool,
    backend: str,
    processes: int,
) -> None:
    """The whole way: commit, prove all statements, publish, and write receipts where a folder for them is named.

    A run that was interrupted is finished by the same command; what is finished is not done again.

    \b
    Example:
      crossmargin run --book examples/book --vault build/vault --bundle build/bundle --receipts build/receipts
    """
    check_bundle_folder(bundle)
    for private in (vault, *([] if out is None else [out])):
        if bundle.resolve() in (private.resolve(), *private.resolve().parents):
            raise VaultError(f"{private} would be inside the public bundle: choose another folder")
    if out is not None:
        check_receipts_folder(out)
    with worker_pool(processes) as executor:
        _commit_once(book, vault, since, shard, signing_key, reject_bad_accounts, backend, executor)
        parameters = load_parameters(book)
        names = [each.name for each in parameters.model.statements]
        missing = [name for name in names if not is_proven(Vault(vault), parameters, name, packing)]
        if missing:
            _prove(book, vault, missing, packing, restart, backend, executor)
        verdict = _publish(book, vault, names, bundle, backend, executor)
    if out is not None:
        _receipts(vault, out, ())
    click.echo(verdict.text, nl=False)
    sys.exit(0 if verdict.verified else REFUSED)
