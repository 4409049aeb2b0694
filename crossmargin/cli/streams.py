"""Standard output and error that never stop a command: what is done is done, also where nobody can be told.

A reader who has seen enough (`| head`) is no failure: the command goes on and writes no more. Where output is lost in
any other way, a full disk above all, the command goes on too, and the caller learns of it at the end.
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
    """A file that takes everything; from the first write that fails it writes nothing more."""

    failure: OSError | None = None

    def write(self, data: "ReadableBuffer") -> int:
        """Write, or pretend to; returns the number of bytes."""
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
        """Why output is lost; None where it is not, or nobody wanted more of it."""
        failure = None if self._file is None else self._file.failure
        # On Windows a closed pipe is an invalid argument.
        no_reader = (errno.EPIPE, errno.EINVAL) if os.name == "nt" else (errno.EPIPE,)
        return None if failure is not None and failure.errno in no_reader else failure


@contextmanager
def lasting_output() -> Iterator[Output]:
    """Put such streams in place of standard output and error, where they are files, while the block runs."""
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
    """Return a lasting stream to the same file, to nowhere where Python found none, or None where it is no file."""
    if stream is None:
        # Closed by the caller (`>&-`).
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
