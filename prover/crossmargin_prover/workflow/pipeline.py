"""The full pipeline: commit, prove missing statements, publish, deliver."""

from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from crossmargin.loading import Inputs, Parameters
from crossmargin_prover.signing import SigningKey
from crossmargin_prover.vault.vault import Vault
from crossmargin_prover.workflow.commit import Committed, commit
from crossmargin_prover.workflow.deliver import Delivered, deliver
from crossmargin_prover.workflow.folders import check_folders
from crossmargin_prover.workflow.given import given_inputs
from crossmargin_prover.workflow.prove import prove, unproven
from crossmargin_prover.workflow.proven import Proven
from crossmargin_prover.workflow.publish import Published, publish
from crossmargin_prover.workflow.run import Run

if TYPE_CHECKING:
    from crossmargin import Book

__all__ = ["Step", "pipeline"]

Step = Committed | Proven | Published | Delivered
"""The result of a step."""


def pipeline(
    book: "Book | Inputs",
    vault: Vault | str | Path,
    bundle: str | Path,
    receipts: str | Path | None = None,
    run: Run | None = None,
    *,
    since: Vault | str | Path | None = None,
    signing_key: SigningKey | str | Path | None = None,
    restart: bool = False,
    series: bool = False,
    older: bool = False,
    despite_claims: bool = False,
    other_prices: bool = False,
) -> Iterator[Step]:
    """Run the full pipeline on a book, and yield the result of each step as soon as it is done.

    The same call resumes an interrupted pipeline and skips finished work. The options are those of the steps; receipts:
    a private folder, or None to write none.

    Raises:
        CrossmarginError: as in the steps; unsuitable folders raise before any work.

    >>> import crossmargin as cm
    >>> from crossmargin_prover import pipeline
    >>> steps = pipeline(cm.load("examples/small"), "build/vault", "build/bundle", "build/receipts")
    >>> next(steps)  # the next step proves the first statement
    Committed(5 accounts, digest ...)
    """
    run = run or Run()
    check_folders(vault, bundle, receipts, since, series=series)
    inputs = given_inputs(book)
    parameters = Parameters(**{each.name: getattr(inputs, each.name) for each in fields(Parameters)})
    committed = commit(inputs, vault, run, since=since, signing_key=signing_key)
    # The remaining steps read the vault only, so the book need not stay in memory.
    del book, inputs
    yield committed
    names = [each.name for each in parameters.model.statements]
    for name in unproven(parameters, vault, run):
        yield from prove(parameters, vault, [name], run, restart=restart)
    yield publish(
        parameters,
        vault,
        bundle,
        names,
        run,
        since=since,
        series=series,
        older=older,
        despite_claims=despite_claims,
        other_prices=other_prices,
    )
    if receipts is not None:
        yield deliver(vault, receipts, progress=run.progress)
