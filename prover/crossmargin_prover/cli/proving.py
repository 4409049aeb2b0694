"""`crossmargin commit`, `prove`, `publish`, `receipts`, and `run`, the full pipeline: options and output.

`crossmargin_prover.workflow` holds the rules of a run.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from crossmargin.cli.output import (
    CLAIMS_OPEN,
    book_option,
    load,
    print_json,
    printable,
    reject_option,
    reporting,
    stage_progress,
)
from crossmargin.loading import Inputs, load_parameters
from crossmargin_prover.backend import available, select_backend
from crossmargin_prover.bundle import ClaimsOpenError
from crossmargin_prover.statement import DEFAULT_PACKING
from crossmargin_prover.workflow.commit import Committed
from crossmargin_prover.workflow.commit import commit as commit_book
from crossmargin_prover.workflow.deliver import Delivered, deliver
from crossmargin_prover.workflow.folders import check_folders
from crossmargin_prover.workflow.pipeline import Step, pipeline
from crossmargin_prover.workflow.prove import prove as prove_statements
from crossmargin_prover.workflow.proven import Proven
from crossmargin_prover.workflow.publish import Published
from crossmargin_prover.workflow.publish import publish as publish_bundle
from crossmargin_prover.workflow.run import Run
from crossmargin_verifier.bundle.anchor import ANCHOR_FILE
from crossmargin_verifier.bundle.verdict import Outcome, Verdict
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
    help="Accounts per shard, a power of two up to 2^20. [default: the cheapest size]",
)
since_option = click.option(
    "--since",
    type=click.Path(path_type=Path, file_okay=False),
    help="Vault of an earlier snapshot; reuse everything that has not changed.",
)
signing_option = click.option(
    "--signing-key",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The venue's key that signs receipts, 32 bytes in hexadecimal. [default: that of --since, or a fresh one]",
)


class _BackendName(click.ParamType[str]):
    """The name of a backend that is installed when the command runs."""

    name = "backend"

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """Return the names of the installed backends."""
        return f"[{'|'.join(available())}]"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the name if the backend is installed."""
        if value not in available():
            self.fail(f"{value!r} is not installed; there are: {', '.join(available())}", param, ctx)
        return value

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Return the names that complete the typed text."""
        return [CompletionItem(name) for name in available() if name.startswith(incomplete)]


backend_option = click.option(
    "--backend",
    type=_BackendName(),
    default=lambda: available()[0],
    show_default="the compiled kernel, if installed",
    help="Backend that does the arithmetic.",
)
packing_option = click.option(
    "--packing",
    type=click.IntRange(0, 4),
    default=DEFAULT_PACKING,
    show_default=True,
    help="2^PACKING accounts share a slack row: fewer published bytes, slower proofs.",
)
series_option = click.option(
    "--series",
    is_flag=True,
    help="The folder holds one bundle per publication, each under its own name, and a link `latest`.",
)
older_option = click.option(
    "--older", is_flag=True, help="Replace a later bundle, or one of another snapshot with the same time."
)
despite_option = click.option(
    "--despite-claims", is_flag=True, help="Publish even if claims of the bundle fail or are not judged."
)
prices_option = click.option(
    "--other-prices",
    is_flag=True,
    help="Publish a snapshot at a second set of prices, although the totals at both tell more about single accounts.",
)
restart_option = click.option(
    "--restart", is_flag=True, help="Discard the finished shards of an interrupted statement."
)
processes_option = click.option(
    "--processes",
    type=click.IntRange(min=1),
    default=cores_here(),
    show_default="all cores",
    help="Number of shards to prove in parallel.",
)


class _Terminal:
    """The display of a run on a terminal: a bar for each running stage, and results between bars."""

    def __init__(self) -> None:
        self._stage: Callable[[str, int, int], None] | None = None
        self._bars = ExitStack()

    def progress(self, stage: str, done: int, total: int) -> None:
        """Show the progress of a stage."""
        if self._stage is None:
            self._stage = self._bars.enter_context(stage_progress())
        self._stage(stage, done, total)

    def end_stage(self) -> None:
        """Leave the bars as they are; later output appears below them."""
        self._stage = None
        self._bars.close()

    def log(self, line: str) -> None:
        """Show the start of a step, or a warning."""
        self.end_stage()
        click.echo(printable(line), err=True)

    def show(self, result: Step) -> None:
        """Show the result of a step."""
        self.end_stage()
        click.echo("\n".join(_lines(result)))


def _lines(result: Step) -> Iterator[str]:
    """Yield the result of a step as lines."""
    match result:
        case Committed():
            yield from _commitment(result)
        case Proven():
            yield f"{result.statement}: proven, in {result.folder}"
        case Published():
            yield result.verdict.text.removesuffix("\n")
            yield from _publication(result)
        case Delivered():
            yield f"{result.receipts} receipts in {result.folder} (private; index.json maps accounts to files)"


def _commitment(result: Committed) -> Iterator[str]:
    digest, report = f"  {result.digest.hex()}", result.report
    if result.found:
        yield "committed already; snapshot digest"
        yield digest
        return
    yield f"{report.loaded} accounts committed, {report.rejected_accounts} rejected"
    if report.control is not None:
        yield "files as control.json states them, SHA-256"
        yield f"  {report.control}"
    if result.reused:
        yield "no account changed: the earlier snapshot and its receipts remain valid; its digest"
        yield digest
        return
    if result.recommitted:
        yield f"recommitting all accounts: {result.recommitted}"
    elif result.rerandomized:
        yield (
            f"re-randomized: {result.unchanged} unchanged accounts, {result.changed} changed; committed: {result.new}"
        )
    yield "snapshot digest: publish it now, where you cannot change it later"
    yield digest


def _publication(result: Published) -> Iterator[str]:
    """Yield what to publish where."""
    yield "\nPublish"
    yield f"  the folder {result.bundle}, for everybody"
    yield f"  the bundle digest, SHA-256 of {ANCHOR_FILE}, where you cannot change it later"
    yield f"    {result.digest.hex()}"


@contextmanager
def _terminal() -> Iterator[_Terminal]:
    terminal = _Terminal()
    try:
        yield terminal
    finally:
        terminal.end_stage()


@contextmanager
def _running(
    backend: str, processes: int, shard: int | None = None, packing: int = DEFAULT_PACKING
) -> Iterator[tuple[Run, _Terminal]]:
    """Yield the run that the options describe, and its display."""
    with _terminal() as terminal, worker_pool(processes) as executor:
        try:
            run = Run(
                backend=select_backend(backend),
                executor=executor,
                shard=shard,
                packing=packing,
                progress=terminal.progress,
                log=terminal.log,
            )
        except ValueError as error:
            raise click.UsageError(str(error)) from None
        click.echo(f"backend: {run.backend.name}", err=True)
        yield run, terminal


def _load(book: str, reject_bad_accounts: bool) -> Inputs:
    start = time.monotonic()
    inputs = load(book, reject_bad_accounts)
    click.echo(f"  load: {len(inputs.book):,} done in {time.monotonic() - start:.1f} s", err=True)
    return inputs


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
    book: str,
    vault: Path,
    since: Path | None,
    shard: int | None,
    signing_key: Path | None,
    reject_bad_accounts: bool,
    backend: str,
    processes: int,
) -> None:
    """Commit every account's balances and positions, once per snapshot.

    Publish the printed digest (transparency log, chain, newspaper) before anything else. Re-run the same command to
    resume an interrupted run.

    \b
    Example:
      crossmargin commit --book examples/book --vault build/vault
    """
    with _running(backend, processes, shard) as (run, terminal):
        inputs = _load(book, reject_bad_accounts)
        terminal.show(commit_book(inputs, vault, run, since=since, signing_key=signing_key))


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
    book: str,
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

    The accounts come from the vault; new prices or another model need no new snapshot and no new receipts. With
    --since, first commit the book into a new vault, reusing the unchanged accounts of the earlier vault. Re-run the
    same command to resume an interrupted run.

    \b
    Examples:
      crossmargin prove --book examples/book --vault build/vault --statement maintenance
      crossmargin prove --book examples/book --vault build/vault-13h --since build/vault-12h
    """
    with _running(backend, processes, packing=packing) as (run, terminal):
        if since is not None:
            inputs = _load(book, reject_bad_accounts)
            terminal.show(commit_book(inputs, vault, run, since=since, signing_key=signing_key))
            del inputs
        parameters = load_parameters(book)
        for name in statements or [each.name for each in parameters.model.statements]:
            for proven in prove_statements(parameters, vault, [name], run, restart=restart):
                terminal.show(proven)


@click.command(short_help="Publish the bundle with its verdict.")
@book_option
@vault_option
@click.option(
    "--statement", "statements", multiple=True, help="Proven statement; may be repeated. [default: all proven]"
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of the public bundle.")
@click.option(
    "--since",
    type=click.Path(path_type=Path, file_okay=False),
    help="Vault of the snapshot published before; warn where few accounts changed.",
)
@series_option
@older_option
@despite_option
@prices_option
@click.option("--json", "as_json", is_flag=True, help="Print the verdict as JSON.")
@backend_option
@processes_option
@reporting
def publish(
    book: str,
    vault: Path,
    statements: tuple[str, ...],
    out: Path,
    since: Path | None,
    series: bool,
    older: bool,
    despite_claims: bool,
    other_prices: bool,
    as_json: bool,
    backend: str,
    processes: int,
) -> int:
    """Publish proven statements and declared reserves as a public bundle, and print its verdict.

    The command verifies the whole bundle first. It does not publish a bundle that the verifier rejects, nor, without
    --despite-claims, one with claims that fail or that nobody judged; an earlier bundle then stays.

    \b
    Example:
      crossmargin publish --book examples/book --vault build/vault --out build/bundle
    """
    with _running(backend, processes) as (run, terminal), _refused_bundle(terminal, as_json):
        published = publish_bundle(
            load_parameters(book),
            vault,
            out,
            statements,
            run,
            since=since,
            series=series,
            older=older,
            despite_claims=despite_claims,
            other_prices=other_prices,
        )
        if as_json:
            terminal.end_stage()
            print_json(published.verdict.data)
        else:
            terminal.show(published)
    return _code(published.verdict)


def _code(verdict: Verdict) -> int:
    return 0 if verdict.outcome is Outcome.VERIFIED else CLAIMS_OPEN


@contextmanager
def _refused_bundle(terminal: _Terminal, as_json: bool = False) -> Iterator[None]:
    """Print the verdict on a bundle that is not published, before the refusal."""
    try:
        yield
    except ClaimsOpenError as error:
        terminal.end_stage()
        if as_json:
            print_json(error.verdict.data)
        else:
            click.echo(error.verdict.text, nl=False)
        raise


@click.command(short_help="Write the private receipts.")
@vault_option
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Private folder for the receipts.")
@click.option("--account", "accounts", multiple=True, help="Account id; may be repeated. [default: all accounts]")
@reporting
def receipts(vault: Path, out: Path, accounts: tuple[str, ...]) -> None:
    """Write one private, signed receipt per account.

    Deliver each NAME.json to its holder only: it needs no other file. NAME.cm2 is the receipt alone, without signature.

    \b
    Example:
      crossmargin receipts --vault build/vault --out build/receipts
    """
    with _terminal() as terminal:
        terminal.show(deliver(vault, out, accounts, progress=terminal.progress))


@click.command(short_help="Run the full pipeline in one command.")
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
@series_option
@older_option
@despite_option
@prices_option
@signing_option
@reject_option
@backend_option
@processes_option
@reporting
def run(
    book: str,
    vault: Path,
    bundle: Path,
    out: Path | None,
    since: Path | None,
    shard: int | None,
    packing: int,
    restart: bool,
    series: bool,
    older: bool,
    despite_claims: bool,
    other_prices: bool,
    signing_key: Path | None,
    reject_bad_accounts: bool,
    backend: str,
    processes: int,
) -> int:
    """Run the full pipeline: commit, prove all statements, publish, and write receipts if --receipts names a folder.

    Re-run the same command to resume an interrupted run; it skips finished work.

    \b
    Example:
      crossmargin run --book examples/book --vault build/vault --bundle build/bundle --receipts build/receipts
    """
    check_folders(vault, bundle, out, since, series=series)
    code = 0
    with _running(backend, processes, shard, packing) as (how, terminal), _refused_bundle(terminal):
        # Pass the book without keeping a reference, so that its memory is free after the commitment.
        steps = pipeline(
            _load(book, reject_bad_accounts),
            vault,
            bundle,
            out,
            how,
            since=since,
            signing_key=signing_key,
            restart=restart,
            series=series,
            older=older,
            despite_claims=despite_claims,
            other_prices=other_prices,
        )
        for result in steps:
            terminal.show(result)
            if isinstance(result, Published):
                code = _code(result.verdict)
    return code
