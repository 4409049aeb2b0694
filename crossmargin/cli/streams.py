"""Standard output and error that never stop a command: it finishes its work even if its output is lost.

A closed pipe (`| head`) is no failure: the command continues and writes no more. After any other loss of output, such
as a full disk, the command continues too, and the caller learns of the loss at the end.
"""

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

__all__ = ["Output", "lasting_output"]


class _Lasting(io.FileIO):
    """A file that accepts every write, and discards all output after the first failed write."""

    failure: OSError | None = None

    def write(self, data: "ReadableBuffer") -> int:
        """Write, or discard after a failure; return the number of bytes."""
        if self.failure is None:
            try:
                return super().write(data)
            except OSError as error:
                self.failure = error
        return memoryview(data).nbytes


@dataclass(frozen=True)
class Output:
    """Standard output while a command runs."""

    _file: _Lasting | None

    @property
    def lost(self) -> OSError | None:
        """The cause of lost output; None if nothing is lost, or the reader closed the pipe."""
        failure = None if self._file is None else self._file.failure
        # On Windows a closed pipe is an invalid argument.
        no_reader = (errno.EPIPE, errno.EINVAL) if os.name == "nt" else (errno.EPIPE,)
        return None if failure is not None and failure.errno in no_reader else failure


@contextmanager
def lasting_output() -> Iterator[Output]:
    """Replace standard output and error by such streams while the block runs, if they are files."""
    before = sys.stdout, sys.stderr
    out, error = map(_over, before)
    sys.stdout, sys.stderr = out or before[0], error or before[1]
    try:
        yield Output(None if out is None else out.buffer.raw)  # type: ignore[attr-defined]
    finally:
        for stream in (out, error):
            if stream is not None:
                stream.flush()
        sys.stdout, sys.stderr = before


def _over(stream: TextIO | None) -> io.TextIOWrapper | None:
    """Return a lasting stream to the same file; to the null device if Python found none; None if it is not a file."""
    if stream is None:
        # The caller closed it (`>&-`).
        file = _Lasting(os.devnull, "wb")
        return io.TextIOWrapper(io.BufferedWriter(file), encoding="utf-8", errors="backslashreplace")
    try:
        stream.flush()
        file = _Lasting(stream.fileno(), "wb", closefd=False)
    except (AttributeError, OSError, ValueError):
        return None
    return io.TextIOWrapper(
        io.BufferedWriter(file), encoding=stream.encoding, errors=stream.errors, line_buffering=stream.isatty()
    )
