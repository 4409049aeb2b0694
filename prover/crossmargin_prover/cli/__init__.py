"""Command line of the exchange: margins, each step from commitment to receipts, the full pipeline, and a demo."""

import resource

import click

from crossmargin.cli.lazy_group import LazyGroup
from crossmargin_circuits.version import VERSION

__all__ = ["main"]

COMMANDS = {
    "margin": ("crossmargin.cli.margin", "Compute, explain, compare, stress and replay margin."),
    "commit": ("crossmargin_prover.cli.proving", "Commit the book, once per snapshot."),
    "prove": ("crossmargin_prover.cli.proving", "Prove statements about the snapshot."),
    "publish": ("crossmargin_prover.cli.proving", "Publish the bundle with its verdict."),
    "receipts": ("crossmargin_prover.cli.proving", "Write the private receipts."),
    "run": ("crossmargin_prover.cli.proving", "Run the full pipeline in one command."),
    "control": ("crossmargin.cli.control", "Write the control file of a book folder."),
    "policy": ("crossmargin.cli.policy", "Show a policy as formulas, or recompute it."),
    "demo": ("crossmargin_prover.cli.demo", "Run the full pipeline on an example book."),
}


@click.group(
    cls=LazyGroup, modules=COMMANDS, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}
)
@click.version_option(VERSION, message="crossmargin %(version)s, protocol crossmargin/2")
def main() -> None:
    """Prove that every account of a cross-margined book covers its margin requirement, without revealing a position.

    Each step is a command: margin (inspect the book), commit (once per snapshot; publish its digest first), prove (once
    per statement), publish (the bundle), receipts (one per account). `run` performs commit to receipts in one command.

    Exit codes: 0 done, 1 refused (bad input, an account that violates a strict statement, a bundle with open claims),
    2 wrong usage, 3 done, but the output could not be written, 4 published, but a claim fails or is not judged, 130
    interrupted.
    """
    # A core file of a crashed process would hold records, nonces and masks.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
