"""Command line of the exchange: margin, commit, prove, publish, receipts, the whole way in one command, and a demo."""

import resource

import click

from crossmargin.cli.margin import margin
from crossmargin.cli.policy import policy
from crossmargin_prover.cli.demo import demo
from crossmargin_prover.cli.proving import commit, prove, publish, receipts, run

__all__ = ["main"]


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="crossmargin", message="crossmargin %(version)s, protocol crossmargin/1")
def main() -> None:
    """Prove that every account of a cross-margined book covers its margin requirement, without showing a position.

    The steps, each a command: margin (look at the book), commit (once per snapshot; publish its digest first),
    prove (once per statement), publish (the bundle), receipts (one per account). `run` does all of them.

    Exit code: 0 done, 1 refused (bad input, an account that does not satisfy a strict statement, a failing claim),
    2 wrong usage.
    """
    # A core file of a process that crashed would hold records, nonces and masks.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


for command in (margin, commit, prove, publish, receipts, run, policy, demo):
    main.add_command(command)
