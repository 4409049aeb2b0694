"""Command line of the stand-alone verifier.

exit code 0      verified
exit code 1      rejected: a proof or a file is wrong; no other outcome has this code
exit code 2      could not check: no bundle, the machine failed, beyond this verifier's limits, or wrong usage
exit code 3      the output could not be written
exit code 4      verified, but a claim fails or is not judged
exit code 130    interrupted (Ctrl-C): no finding about the files

Help and version load no arithmetic: a command imports the verifying code when it runs.
"""

import errno
import json
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

import click

from crossmargin_circuits.errors import CrossmarginError, LimitError
from crossmargin_circuits.version import VERSION
from crossmargin_verifier.workers import Progress, cores_here, no_progress, worker_pool

if TYPE_CHECKING:
    from crossmargin_verifier.protocol.arithmetic import Arithmetic

__all__ = ["main"]

VERIFIED = 0
REJECTED = 1
CANNOT_CHECK = 2
OUTPUT_LOST = 3
CLAIMS_OPEN = 4
INTERRUPTED = 130


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
            self.fail(f"{self._size} bytes in hexadecimal expected", param, ctx)
        return data


class _NamedDigest(click.ParamType[tuple[str, bytes]]):
    """STATEMENT=HEX."""

    name = "STATEMENT=HEX"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, bytes]:
        name, _, digest = value.partition("=")
        return name, _Digest().convert(digest, param, ctx)


class _Program(click.Group):
    """A group whose commands end with the code for rejected only when they reject files, help and usage included."""

    def make_context(self, *arguments: Any, **options: Any) -> click.Context:
        """Read the command line, or print help or version."""
        with _no_verdict():
            return super().make_context(*arguments, **options)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command, and turn the errors that it leaves to click into exit codes."""
        with _no_verdict():
            return super().invoke(ctx)


@contextmanager
def _no_verdict() -> Iterator[None]:
    """Replace click's exit code 1, which means rejected here, after an interruption or a failed write of the help."""
    try:
        yield
    except (KeyboardInterrupt, click.Abort):
        _interrupted(as_json=False)
    except OSError as error:
        _silence(sys.stdout)
        if _is_closed_pipe(error):
            sys.exit(VERIFIED)
        _stop("output lost", str(error), OUTPUT_LOST, as_json=False)


@click.group(cls=_Program, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(VERSION, message="crossmargin-verify %(version)s, protocol crossmargin/2")
def main() -> None:
    """Verify a margin solvency bundle, or one holder's receipt, without seeing a position and without prover code.

    Exit codes: 0 verified, 1 rejected, 2 could not check, 3 output lost,
    4 verified but claims fail or are not judged, 130 interrupted.
    """


@main.command(short_help="Verify a bundle and print its verdict.")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--bundle-digest",
    type=_Digest(),
    help="SHA-256 of anchor.json from an independent publication: it covers every other file and digest.",
)
@click.option("--snapshot", type=_Digest(), help="Snapshot digest from an independent publication.")
@click.option(
    "--statement", "statements", type=_NamedDigest(), multiple=True, help="Expected statement digest; may be repeated."
)
@click.option(
    "--policy", "policies", type=_NamedDigest(), multiple=True, help="Expected policy digest; may be repeated."
)
@click.option("--key", type=_Digest(33), help="The venue's receipt key from an independent publication.")
@click.option("--kernel", is_flag=True, help="Use the compiled kernel: faster, but you then trust its arithmetic.")
@click.option(
    "--processes",
    type=click.IntRange(1),
    default=cores_here(),
    help="Number of processes, or threads with --kernel. [default: one per core]",
)
@click.option("--patient", is_flag=True, help="Verify also what takes long for the size of the bundle.")
@click.option("--json", "as_json", is_flag=True, help="Print the verdict as JSON.")
def bundle(
    folder: Path,
    bundle_digest: bytes | None,
    snapshot: bytes | None,
    statements: tuple[tuple[str, bytes], ...],
    policies: tuple[tuple[str, bytes], ...],
    key: bytes | None,
    kernel: bool,
    processes: int,
    patient: bool,
    as_json: bool,
) -> None:
    """Verify the bundle in FOLDER and print the verdict, claim by claim.

    The verifier computes in plain Python unless you pass --kernel.

    \b
    Examples:
      crossmargin-verify bundle build/demo/bundle
      crossmargin-verify bundle build/demo/bundle --kernel --processes 2
      crossmargin-verify bundle build/demo/bundle --bundle-digest 5c2f... --policy maintenance=9a01...

    \b
    Exit codes: 0 verified; 1 rejected: a proof or a file is wrong; 2 could not
    check; 3 the output is lost; 4 verified, but claims fail or are not judged.
    """
    from crossmargin_verifier.bundle.check import check_bundle
    from crossmargin_verifier.bundle.verdict import Outcome

    expected = {"bundle": bundle_digest} if bundle_digest is not None else {}
    expected |= {"snapshot": snapshot} if snapshot is not None else {}
    expected |= {f"{name} statement": digest for name, digest in statements}
    expected |= {f"{name} policy": digest for name, digest in policies}
    expected |= {"receipt key": key} if key is not None else {}
    terminal = sys.stderr.isatty() and not as_json
    with _outcome(as_json):
        with _workplace(kernel, processes) as (arithmetic, executor), _meter(terminal) as progress:
            if kernel or terminal:
                _print(f"{_describe(kernel, processes)}\n", err=True)
            verdict = check_bundle(
                folder, expected, executor=executor, arithmetic=arithmetic, progress=progress, patient=patient
            )
        _print(json.dumps(verdict.data, indent=2) + "\n" if as_json else verdict.text)
    sys.exit(VERIFIED if verdict.outcome is Outcome.VERIFIED else CLAIMS_OPEN)


@main.command(short_help="Check your own record.")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--id", "holder", required=True, help="Your account id as you know it, not as the receipt says it.")
@click.option("--snapshot", type=_Digest(), help="Snapshot digest from an independent publication.")
@click.option("--key", type=_Digest(33), help="The venue's receipt key from an independent publication.")
@click.option(
    "--bundle", "folder", type=click.Path(path_type=Path), help="Public bundle, to compute your margin as well."
)
@click.option(
    "--files",
    type=click.Path(path_type=Path),
    help="Folder with snapshot.cm2 and columns.cm2, for a bare receipt without a bundle.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def receipt(
    file: Path,
    holder: str,
    snapshot: bytes | None,
    key: bytes | None,
    folder: Path | None,
    files: Path | None,
    as_json: bool,
) -> None:
    """Check that your own record is in the snapshot, and with a bundle see your margin.

    FILE is the .json file that the venue delivered, which needs no other file, or the bare receipt.

    \b
    Exit codes: 0 verified; 1 it does not fit; 2 it is of another snapshot, or
    no receipt, or was changed, or a file is missing.

    \b
    Examples:
      crossmargin-verify receipt receipts/3f2a....json --id acct-0042 --snapshot 5c2f...
      crossmargin-verify receipt receipts/3f2a....json --id acct-0042 --bundle build/demo/bundle
    """
    from crossmargin_verifier.bundle.check_receipt import check_receipt

    if folder is not None and files is not None:
        raise click.UsageError("--bundle has the files: leave --files out")
    with _outcome(as_json):
        checked = check_receipt(file, holder, snapshot_digest=snapshot, key=key, bundle=folder, files=files)
        _print(json.dumps(checked.data, indent=2) + "\n" if as_json else checked.text)


@contextmanager
def _outcome(as_json: bool) -> Iterator[None]:
    """End the program with the exit code of its failure: 1 if the verifier rejects, never for any other reason."""
    from crossmargin_verifier.bundle.check import CannotCheckError
    from crossmargin_verifier.bundle.check_receipt import AnotherSnapshotError, NotAReceiptError, UnfitReceiptError
    from crossmargin_verifier.kernel import KernelError

    try:
        yield
    except AnotherSnapshotError as error:
        _stop("another snapshot", str(error), CANNOT_CHECK, as_json)
    except NotAReceiptError as error:
        _stop("not a receipt", str(error), CANNOT_CHECK, as_json)
    except UnfitReceiptError as error:
        _stop("does not fit", f"{error}; {error.advice}", REJECTED, as_json)
    except KernelError as error:
        _stop("could not check", f"{error}, or leave --kernel out", CANNOT_CHECK, as_json)
    except (CannotCheckError, LimitError) as error:
        _stop("could not check", str(error), CANNOT_CHECK, as_json)
    except CrossmarginError as error:
        _stop("rejected", str(error), REJECTED, as_json)
    except MemoryError:
        _stop("could not check", "memory ran out", CANNOT_CHECK, as_json)
    except _OutputLostError as error:
        _stop("output lost", str(error), OUTPUT_LOST, as_json)
    except (KeyboardInterrupt, click.Abort):
        _interrupted(as_json)
    except BaseException as error:
        # The machine, a library or this program failed. A library may even raise SystemExit with any code; none of this
        # is a finding about the files.
        reason = f"{type(error).__name__}: {error}".removesuffix(": ")
        _stop("could not check", reason, CANNOT_CHECK, as_json)


@contextmanager
def _workplace(kernel: bool, processes: int) -> Iterator["tuple[Arithmetic, Executor | None]"]:
    """Yield the arithmetic and its executor: threads suffice for the kernel, which releases the interpreter lock."""
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
        try:
            yield KernelArithmetic(1), threads
        except BaseException:
            threads.shutdown(wait=False, cancel_futures=True)
            raise


def _describe(kernel: bool, processes: int) -> str:
    if kernel:
        return f"  arithmetic: compiled kernel {VERSION}, which is trusted here; threads: {processes}"
    return f"  arithmetic: plain Python; processes: {processes}"


@contextmanager
def _meter(terminal: bool) -> Iterator[Progress]:
    """Yield a progress callback: a meter on a terminal, silent elsewhere; later output starts on a new line."""
    if not terminal:
        yield no_progress
        return
    meter = _Meter()
    try:
        yield meter
    finally:
        meter.end_line()


class _Meter:
    """One line per stage on a terminal, rewritten while the stage runs: share done, rate and time left."""

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

    def end_line(self) -> None:
        """Start a new line below an unfinished one."""
        if self._width:
            with suppress(OSError):
                click.echo(err=True)


def _print(text: str, *, err: bool = False) -> None:
    """Print text with escapes for characters that the terminal lacks; a closed pipe (`| head`) is no failure."""
    stream = sys.stderr if err else sys.stdout
    encoding = getattr(stream, "encoding", None) or "utf-8"
    try:
        click.echo(text.encode(encoding, "backslashreplace").decode(encoding), nl=False, err=err)
    except OSError as error:
        _silence(stream)
        if not _is_closed_pipe(error):
            raise _OutputLostError(str(error)) from None


class _OutputLostError(Exception):
    """The output could not be written: a full disk, say."""


def _is_closed_pipe(error: OSError) -> bool:
    # On Windows it is an invalid argument.
    return error.errno == errno.EPIPE or (os.name == "nt" and error.errno == errno.EINVAL)


def _silence(stream: TextIO) -> None:
    """Redirect buffered output to the null device; at exit it would fail again and change the exit code."""
    with suppress(OSError, ValueError), Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), stream.fileno())


def _interrupted(as_json: bool) -> NoReturn:
    _stop("interrupted", "the check did not finish: no finding about the files", INTERRUPTED, as_json)


def _stop(word: str, reason: str, code: int, as_json: bool) -> NoReturn:
    # The exit code matters even if no output can be written.
    with suppress(OSError, _OutputLostError):
        if as_json:
            _print(json.dumps({"outcome": word, "reason": reason}) + "\n")
        else:
            _print(f"{word.upper()}: {_plain(reason)}\n", err=True)
    sys.exit(code)


def _plain(text: str) -> str:
    """Return text without control characters: files come from strangers, terminals obey them."""
    return "".join(character if character.isprintable() else "?" for character in str(text))


if __name__ == "__main__":
    main()
