"""Command line of the stand-alone verifier: exit code 0 verified, 1 rejected, 2 could not check.

Help and version do not wait for the arithmetic: a command imports what verifies when it is run.
"""

import json
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from crossmargin_circuits.errors import CrossmarginError
from crossmargin_circuits.version import VERSION
from crossmargin_verifier.workers import cores_here, no_progress, worker_pool

if TYPE_CHECKING:
    from crossmargin_verifier.bundle.check import CheckedReceipt
    from crossmargin_verifier.protocol.arithmetic import Arithmetic

__all__ = ["main"]

REJECTED = 1
CANNOT_CHECK = 2


class _Digest(click.ParamType[bytes]):
    """32 or 33 bytes in hexadecimal, possibly with NAME= in front."""

    name = "HEX"

    def __init__(self, size: int = 32) -> None:
        self._size = size

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> bytes:
        try:
            data = bytes.fromhex(value)
        except ValueError:
            data = b""
        if len(data) != self._size:
            self.fail(f"{self._size} bytes in hexadecimal are needed", param, ctx)
        return data


class _NamedDigest(click.ParamType[tuple[str, bytes]]):
    """STATEMENT=HEX."""

    name = "STATEMENT=HEX"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, bytes]:
        name, _, digest = value.partition("=")
        return name, _Digest().convert(digest, param, ctx)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(VERSION, message="crossmargin-verify %(version)s, protocol crossmargin/1")
def main() -> None:
    """Verify a margin solvency bundle, or one holder's receipt, with no position and no prover code.

    Exit code: 0 verified, 1 rejected, 2 could not check.
    """


@main.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--snapshot", type=_Digest(), help="Snapshot digest from an independent publication.")
@click.option(
    "--statement", "statements", type=_NamedDigest(), multiple=True, help="Expected statement digest; may be repeated."
)
@click.option(
    "--policy", "policies", type=_NamedDigest(), multiple=True, help="Expected policy digest; may be repeated."
)
@click.option("--key", type=_Digest(33), help="The venue's receipt key from an independent publication.")
@click.option(
    "--kernel", is_flag=True, help="Multiply with the compiled kernel: faster, and it is trusted for the arithmetic."
)
@click.option(
    "--processes",
    type=click.IntRange(1),
    default=cores_here(),
    help="Processes (with --kernel: threads) that multiply; by default one for each core.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the verdict as JSON.")
def bundle(
    folder: Path,
    snapshot: bytes | None,
    statements: tuple[tuple[str, bytes], ...],
    policies: tuple[tuple[str, bytes], ...],
    key: bytes | None,
    kernel: bool,
    processes: int,
    as_json: bool,
) -> None:
    """Verify the bundle in FOLDER and print the verdict, claim by claim.

    Plain Python multiplies, unless --kernel is given.

    \b
    Examples:
      crossmargin-verify bundle build/demo/bundle
      crossmargin-verify bundle build/demo/bundle --kernel --processes 2
      crossmargin-verify bundle build/demo/bundle --snapshot 5c2f... --policy maintenance=9a01...
    """
    from crossmargin_verifier.bundle.check import check_bundle

    expected = {"snapshot": snapshot} if snapshot is not None else {}
    expected |= {f"{name} statement": digest for name, digest in statements}
    expected |= {f"{name} policy": digest for name, digest in policies}
    expected |= {"receipt key": key} if key is not None else {}
    terminal = sys.stderr.isatty() and not as_json
    with _outcome(as_json), _workplace(kernel, processes) as (arithmetic, executor):
        if kernel or terminal:
            click.echo(_describe(kernel, processes), err=True)
        verdict = check_bundle(
            folder,
            expected,
            executor=executor,
            arithmetic=arithmetic,
            progress=_Meter() if terminal else no_progress,
        )
    with _outcome(as_json):
        click.echo(json.dumps(verdict.data, indent=2) if as_json else verdict.text, nl=as_json)
    sys.exit(0 if verdict.verified else REJECTED)


@main.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--bundle", "folder", type=click.Path(path_type=Path), required=True, help="Folder of the public bundle.")
@click.option("--id", "holder", required=True, help="Your account id as you know it, not as the receipt says it.")
@click.option("--snapshot", type=_Digest(), help="Snapshot digest from an independent publication.")
@click.option("--key", type=_Digest(33), help="The venue's receipt key from an independent publication.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def receipt(file: Path, folder: Path, holder: str, snapshot: bytes | None, key: bytes | None, as_json: bool) -> None:
    """Check that your own record is in the snapshot, and see your margin.

    FILE is the receipt (.cm1) or its readable twin (.json), which also carries the venue's signature.

    \b
    Example:
      crossmargin-verify receipt receipts/3f2a....json --bundle build/demo/bundle --id acct-0042
    """
    from crossmargin_verifier.bundle.check import check_receipt

    with _outcome(as_json):
        checked = check_receipt(file, folder, holder, snapshot_digest=snapshot, key=key)
        if as_json:
            result = {
                "verified": True,
                "signed": checked.signed,
                "unchecked policies": list(checked.unchecked),
                "receipt": checked.view,
            }
            click.echo(json.dumps(result, indent=2))
        else:
            _show_receipt(checked)


def _show_receipt(checked: "CheckedReceipt") -> None:
    view = checked.view
    click.echo(f"VERIFIED: this record of {_plain(view['account'])} is leaf {view['leaf']} of snapshot")
    click.echo(f"  {_plain(view['snapshot']['id'])} of {view['snapshot']['as_of']}")
    compared = "equal to the one you gave" if checked.snapshot_compared else "compare it with the publication"
    click.echo(f"  digest {view['snapshot']['digest']} ({compared})")
    signature = "holds" if checked.signed else "none: a complaint with this file alone proves nothing"
    known = "" if checked.key_compared or not checked.signed else " (by the key in the bundle: compare it too)"
    click.echo(f"  signature of the venue: {signature}{known}")
    click.echo("\nYour record: compare it with your own books")
    for line in view["record"]:
        click.echo(f"  {_plain(line['column']):60} {_plain(line['amount'])}")
    for margin in view["margin"]:
        click.echo(f"\n{_plain(margin['title'])}")
        for name in ("equity", "requirement", "excess", "shortfall", "worst scenario"):
            if name in margin:
                click.echo(f"  {name:15} {_plain(margin[name])}")
        for asset, claim in margin.get("claims", {}).items():
            click.echo(f"  {'claim ' + _plain(asset):15} {_plain(claim)}")
        if "debts" in margin:
            debts = ", ".join(margin["debts"].values()) or "none"
            click.echo(f"  {'debts':15} {_plain(debts)}")
        for name, amount in margin.get("exposures", {}).items():
            click.echo(f"  {_plain(name):18} {_plain(amount)}")
    for digest in checked.unchecked:
        click.echo(
            f"\nnot checked: a margin in the file under policy {_plain(digest)}, which this bundle does not have"
        )
    click.echo("\nThe proofs of the bundle were not checked here: run `crossmargin-verify bundle`, or ask who did.")
    click.echo("This file shows your positions: keep it private.")


@contextmanager
def _outcome(as_json: bool) -> Iterator[None]:
    """End the program with exit code 1 for what the verifier rejects, and with 2 for whatever else goes wrong."""
    from crossmargin_verifier.bundle.check import CannotCheckError
    from crossmargin_verifier.kernel import KernelError

    try:
        yield
    except KernelError as error:
        _stop("could not check", f"{error}, or leave --kernel out", CANNOT_CHECK, as_json)
    except CannotCheckError as error:
        _stop("could not check", str(error), CANNOT_CHECK, as_json)
    except CrossmarginError as error:
        _stop("rejected", str(error), REJECTED, as_json)
    except MemoryError:
        _stop("could not check", "memory ran out", CANNOT_CHECK, as_json)
    except Exception as error:
        # The machine or this program failed, which says nothing about the files.
        reason = f"{type(error).__name__}: {error}".removesuffix(": ")
        _stop("could not check", reason, CANNOT_CHECK, as_json)


@contextmanager
def _workplace(kernel: bool, processes: int) -> Iterator["tuple[Arithmetic, Executor | None]"]:
    """Yield who multiplies, and where: threads do for the kernel, which lets other threads run."""
    from crossmargin_verifier.kernel import KernelArithmetic, load_kernel
    from crossmargin_verifier.protocol.arithmetic import PLAIN

    if not kernel:
        with worker_pool(processes) as executor:
            yield PLAIN, executor
        return
    load_kernel()
    if processes == 1:
        yield KernelArithmetic(1), None
        return
    with ThreadPoolExecutor(processes) as threads:
        yield KernelArithmetic(1), threads


def _describe(kernel: bool, processes: int) -> str:
    if kernel:
        return f"  arithmetic: compiled kernel {VERSION}, which is trusted here; threads: {processes}"
    return f"  arithmetic: plain Python; processes: {processes}"


class _Meter:
    """One line for each stage on a terminal, rewritten while it runs: share done, rate and time left."""

    def __init__(self) -> None:
        self._started = 0.0
        self._width = 0

    def __call__(self, stage: str, done: int, total: int) -> None:
        now = time.monotonic()
        if not done:
            self._started = now
        seconds = now - self._started
        text = f"  {_plain(stage)} ..."
        if done == total:
            text = f"  {_plain(stage)}: {seconds:.1f} s"
        elif done and seconds:
            rate = done / seconds
            left = divmod(round((total - done) / rate), 60)
            text += f" {100 * done // total} %, {rate:,.0f} a second, {left[0]}:{left[1]:02} left"
        click.echo("\r" + text.ljust(self._width), err=True, nl=done == total)
        self._width = 0 if done == total else len(text)


def _stop(word: str, reason: str, code: int, as_json: bool) -> NoReturn:
    # The exit code counts, also where nothing can be written.
    with suppress(OSError):
        if as_json:
            click.echo(json.dumps({"verified": False, word: reason}))
        else:
            click.echo(f"{word.upper()}: {_plain(reason)}", err=True)
    sys.exit(code)


def _plain(text: str) -> str:
    """Return text without control characters: files come from strangers, terminals obey them."""
    return "".join(character if character.isprintable() else "?" for character in str(text))


if __name__ == "__main__":
    main()
