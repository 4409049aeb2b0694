"""Parquet tables: text, integer or decimal columns, never floats.

`check_parquet` reads the frame of a file first. polars then reads the values; it verifies no checksum and panics on
damage that it does not foresee.
"""

import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from crossmargin.errors import InputError, InputErrors
from crossmargin.loading.columns import check_columns, with_optional
from crossmargin.loading.parquet_pages import check_parquet

__all__ = ["BATCH_ROWS", "ParquetTable"]

BATCH_ROWS = 1 << 18
"""Rows read at a time: some tens of megabytes."""

_STDERR = 2
_REDIRECTED = threading.Lock()


@dataclass(frozen=True)
class ParquetTable:
    """A Parquet file that should be a table with these columns, and may have the optional ones."""

    path: Path
    columns: tuple[str, ...]
    optional: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Name of the file."""
        return self.path.name

    def batches(self) -> Iterator[pl.DataFrame]:
        """Yield the rows, BATCH_ROWS at a time.

        Raises:
            InputErrors: cut off or damaged, beyond the limits, other columns, or a column of another type.
        """
        rows = check_parquet(self.path)
        with _readable(self.name):
            table = pl.scan_parquet(self.path, glob=False, hive_partitioning=False)
            schema = table.collect_schema()
        columns = with_optional(schema.names(), self.columns, self.optional)
        check_columns(schema, columns, self.name)
        for start in range(0, rows, BATCH_ROWS):
            with _readable(self.name):
                frame = table.select(columns).slice(start, BATCH_ROWS).collect()
            if len(frame) != min(BATCH_ROWS, rows - start):
                raise _damaged(self.name)
            yield frame

    def whole(self) -> pl.DataFrame:
        """Return all rows.

        Raises:
            InputErrors: as `batches`.
        """
        frames = list(self.batches())
        return pl.concat(frames) if frames else pl.DataFrame(schema=dict.fromkeys(self.columns, pl.String))


@contextmanager
def _readable(file: str) -> Iterator[None]:
    """Turn every failure of the reader into one problem of its file."""
    try:
        with _without_backtraces():
            yield
    except MemoryError:
        raise
    except (Exception, pl.exceptions.PanicException) as error:
        raise _damaged(file) from error


@contextmanager
def _without_backtraces() -> Iterator[None]:
    """Keep the reader's own output off standard error if it fails.

    Rust reports a panic on the file descriptor itself before Python sees the exception, so the descriptor is redirected
    for the time of a read. Output of a successful read is passed on.
    """
    with _REDIRECTED, tempfile.TemporaryFile() as caught:
        try:
            kept = os.dup(_STDERR)
        except OSError:
            yield
            return
        if sys.stderr is not None:
            sys.stderr.flush()
        os.dup2(caught.fileno(), _STDERR)
        try:
            yield
            caught.seek(0)
            written = caught.read()
            with suppress(OSError):
                os.write(kept, written)
        finally:
            os.dup2(kept, _STDERR)
            os.close(kept)


def _damaged(file: str) -> InputErrors:
    hint = "copy the file again, or write it again"
    return InputErrors([InputError("not a readable Parquet file: cut off or damaged", hint=hint, file=file)])
