"""The frame of a Parquet file, read before its values: sizes within limits, pages whole, page checksums right.

Source: Apache Parquet, `parquet.thrift` and "Checksumming". A file ends with its metadata, their length and "PAR1".
The metadata name every column chunk; a chunk is a sequence of pages, each behind a header. A header may hold the CRC-32
of the page's bytes as stored. A file of a few kilobytes can state sizes of gigabytes, so sizes are compared with limits
before a reader allocates them. Many files have no page checksums; `control.json` covers those.
"""

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from crossmargin.errors import KEPT_PROBLEMS, InputError, InputErrors
from crossmargin.loading.columns import MAX_FIELD_BYTES
from crossmargin.loading.thrift import CompactReader, ThriftError

__all__ = [
    "FREE_BYTES",
    "FREE_ROWS",
    "MAX_EXPANSION",
    "MAX_FOOTER_BYTES",
    "MAX_ROWS",
    "MAX_ROWS_PER_BYTE",
    "check_parquet",
]

MAX_FOOTER_BYTES = 1 << 22
"""Most bytes of a file's metadata: a row group takes some 500, so this is 8,000 of them."""

MAX_ROWS = (1 << 31) - 1
"""Most rows of a table: sub-accounts are numbered in 32 bits."""

FREE_ROWS = 1 << 22
"""Rows that a file of any size may have: as text they take some 300 MB."""

MAX_ROWS_PER_BYTE = 64
"""Rows beyond FREE_ROWS for each byte of the file; only a few values repeated over and over take less room."""

FREE_BYTES = 1 << 28
"""Bytes that the pages of a file of any size may have after decompression."""

MAX_EXPANSION = 256
"""Bytes beyond FREE_BYTES after decompression for each byte of the file; tables of books shrink to a tenth at most."""

CHUNK_SLACK = 1 << 16
"""Bytes of a column chunk beyond its fields: levels, headers, indices."""

_MAGIC = b"PAR1"
_HEADER_BYTES = 1 << 12
_MAX_HEADER_BYTES = 1 << 20
_WRITE_AGAIN = "copy the file again, or write it again"
_ORDINARY = "write ordinary text, integers or decimals, one row for each line of the table"


@dataclass(frozen=True)
class _Chunk:
    """The pages of one column in one row group: place, number of values, first byte, bytes as stored."""

    where: str
    values: int
    start: int
    stored: int


@dataclass(frozen=True)
class _Page:
    """A page: first byte behind its header, bytes as stored and after decompression, values (rows), checksum if any."""

    start: int
    stored: int
    size: int
    values: int
    checksum: int | None


def check_parquet(path: Path) -> int:
    """Check the frame of a file and every page checksum it has; return the number of rows.

    Raises:
        InputErrors: not a Parquet file, cut off or damaged, sizes beyond the limits, or pages changed since written.
    """
    file = path.name
    try:
        with path.open("rb") as stream:
            size = stream.seek(0, 2)
            metadata = _metadata(stream, size, file)
            rows = _rows(metadata, size, file)
            chunks = {chunk: list(_pages(stream, size, chunk)) for chunk in _chunks(metadata, rows)}
            _check_sizes(chunks, size, file)
            problems = [
                InputError(f"{chunk.where}: a page does not match its checksum", hint=_WRITE_AGAIN, file=file)
                for chunk, pages in chunks.items()
                for page in pages
                if not _intact(stream, page)
            ]
    except OSError as error:
        raise _refused(f"cannot be read: {error.strerror}", "check the path and its rights", file) from None
    except (ThriftError, LookupError, TypeError, AttributeError, ValueError):
        raise _refused("not a readable Parquet file: cut off or damaged", _WRITE_AGAIN, file) from None
    if problems:
        raise InputErrors(problems[:KEPT_PROBLEMS], len(problems))
    return rows


def _metadata(stream: BinaryIO, size: int, file: str) -> Mapping[int, Any]:
    stream.seek(0)
    if stream.read(4) != _MAGIC:
        raise _refused("not a Parquet file", "write it as Parquet, or name it .csv if it is text", file)
    stream.seek(max(size - 8, 0))
    tail = stream.read(8)
    if size < 12 or tail[4:] != _MAGIC:
        raise _refused("the Parquet file is cut off", _WRITE_AGAIN, file)
    length = int.from_bytes(tail[:4], "little")
    if length > size - 12:
        raise ThriftError("metadata longer than the file")
    if length > MAX_FOOTER_BYTES:
        raise _refused(f"metadata of {length} bytes", "write row groups of 100,000 rows or more", file)
    stream.seek(size - 8 - length)
    return CompactReader(stream.read(length)).struct()


def _rows(metadata: Mapping[int, Any], size: int, file: str) -> int:
    rows = int(metadata[3])
    if rows != sum(group[3] for group in metadata.get(4, [])) or rows < 0:
        raise ThriftError("row groups of another number of rows")
    if rows > min(MAX_ROWS, FREE_ROWS + MAX_ROWS_PER_BYTE * size):
        raise _refused(f"{rows} rows in {size} bytes", _ORDINARY, file)
    return rows


def _chunks(metadata: Mapping[int, Any], rows: int) -> Iterator[_Chunk]:
    for number, group in enumerate(metadata.get(4, []), start=1):
        for column in group[1]:
            stated = column[3]
            if len(stated[3]) > 1:
                continue  # a column of a nested type: its type is refused before it is read
            name = b".".join(stated[3]).decode("utf-8", "replace")
            dictionary = stated.get(11, 0)
            start = min(stated[9], dictionary) if dictionary > 0 else stated[9]
            if stated[5] != group[3] or not 0 <= stated[5] <= rows:
                raise ThriftError("a column with another number of values than its row group")
            yield _Chunk(f"row group {number}, column {name}", stated[5], start, stated[7])


def _pages(stream: BinaryIO, size: int, chunk: _Chunk) -> Iterator[_Page]:
    end = chunk.start + chunk.stored
    if chunk.start < len(_MAGIC) or chunk.stored < 0 or end > size:
        raise ThriftError("a column chunk outside the file")
    at, values = chunk.start, 0
    while at < end:
        header, body = _header(stream, at)
        page = _Page(body, header[3], header[2], header.get(5, header.get(8, {})).get(1, 0), header.get(4))
        at = body + page.stored
        if min(page.stored, page.size, page.values) < 0 or at > end:
            raise ThriftError("a page outside its column chunk")
        values += page.values
        yield page
    if values != chunk.values:
        raise ThriftError("pages with another number of values than their column chunk")


def _check_sizes(chunks: Mapping[_Chunk, list[_Page]], size: int, file: str) -> None:
    """Refuse pages that would unpack to far more than their values, or the whole file, can need."""
    total = 0
    for chunk, pages in chunks.items():
        grown = sum(page.size for page in pages)
        if grown > chunk.values * MAX_FIELD_BYTES + CHUNK_SLACK * len(pages):
            raise _refused(f"{chunk.where}: {grown} bytes for {chunk.values} values", _ORDINARY, file)
        total += grown
    if total > FREE_BYTES + MAX_EXPANSION * size:
        raise _refused(f"{size} bytes that unpack to {total}", _ORDINARY, file)


def _intact(stream: BinaryIO, page: _Page) -> bool:
    if page.checksum is None:
        return True
    stream.seek(page.start)
    return zlib.crc32(stream.read(page.stored)) == page.checksum % 2**32


def _header(stream: BinaryIO, at: int) -> tuple[Mapping[int, Any], int]:
    """Return the page header at a byte of the file, and the first byte of its page."""
    length = _HEADER_BYTES
    while True:
        stream.seek(at)
        data = stream.read(length)
        reader = CompactReader(data)
        try:
            return reader.struct(), at + reader.position
        except ThriftError:
            if len(data) < length or length >= _MAX_HEADER_BYTES:
                raise
        length *= 16


def _refused(reason: str, hint: str, file: str) -> InputErrors:
    return InputErrors([InputError(reason, hint=hint, file=file)])
