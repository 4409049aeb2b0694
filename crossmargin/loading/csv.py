"""CSV tables in one strict dialect, so that a row is a line and a line is a row.

UTF-8 without byte-order mark, commas, and a line feed at the end of every line, including the last. A field may stand
in double quotes, as some tools write empty text, but contains no comma, quote or line end. A few passes over the bytes
check this, some lines at a time; only a file that fails is read line by line, to name every bad line.
"""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from crossmargin.errors import KEPT_PROBLEMS, InputError, InputErrors
from crossmargin.loading.columns import with_optional

__all__ = ["BATCH_BYTES", "MAX_LINE_BYTES", "CsvTable", "csv_batches", "header_of"]

BATCH_BYTES = 1 << 24
"""Bytes read at a time, up to the next line end: a few hundred thousand rows."""

MAX_LINE_BYTES = 1 << 20
"""Most bytes of a line beyond a batch: the widest layout, a user file with five hundred assets, needs 100,000."""

_MARKS = (
    ((b"\xef\xbb\xbf",), "a byte-order mark before the header", "save as UTF-8 without byte-order mark"),
    ((b"\xff\xfe", b"\xfe\xff"), "not UTF-8: UTF-16", "save the file as UTF-8"),
)
_REPLACEMENTS = (
    (b"\r", "a carriage return", "write line ends as a single line feed (LF), not CRLF"),
    (b"\x00", "a zero byte", "write the file as UTF-8 text"),
)
_NO_SEPARATORS = bytes(byte for byte in range(256) if byte not in b",\n")


@dataclass(frozen=True)
class CsvTable:
    """A CSV file that should be a table with these columns, and then any of the optional ones; the first row is
    line 2."""

    path: Path
    columns: tuple[str, ...]
    optional: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Name of the file."""
        return self.path.name

    def batches(self) -> Iterator[pl.DataFrame]:
        """Yield the rows, about BATCH_BYTES at a time.

        Raises:
            InputErrors: as `csv_batches`.
        """
        return csv_batches(self.path, self.columns, self.optional)

    def whole(self) -> pl.DataFrame:
        """Return all rows.

        Raises:
            InputErrors: as `csv_batches`.
        """
        frames = list(self.batches())
        return pl.concat(frames) if frames else pl.DataFrame(schema=dict.fromkeys(self.columns, pl.String))


def csv_batches(path: Path, columns: Sequence[str], optional: Sequence[str] = ()) -> Iterator[pl.DataFrame]:
    """Yield the rows, about BATCH_BYTES at a time, as text columns without nulls.

    optional: columns that the header may name after the others, in this order.

    Raises:
        InputErrors: not this dialect, another header, lines with too few or too many fields, or a quote that does not
            enclose a field.
    """
    header = header_of(path)
    columns = with_optional(header, columns, optional)
    if header != list(columns):
        raise InputErrors([_wrong_header(path.name, header, columns, optional)])
    head = b""
    for chunk in _chunks(path):
        # Put the header before every chunk, because the parser takes liberties with the beginning of a file.
        data = head + chunk
        head = head or data[: data.index(b"\n") + 1]
        frame = _frame_of(data, columns)
        if frame is None or (b'"' in data and _bad_quotes(frame)):
            raise _refusal(path, columns)
        if len(frame):
            yield frame.with_columns(pl.all().str.strip_chars('"')) if b'"' in data else frame


def header_of(path: Path) -> list[str]:
    """Return the names in the first line of a file, after checking the whole file's dialect except for field counts.

    Raises:
        InputErrors: unreadable, empty, byte-order mark, not UTF-8, carriage returns, zero bytes, or no final line feed.
    """
    head, size, faults = b"", 0, [-1] * (1 + len(_REPLACEMENTS))
    ended = False
    for chunk in _chunks(path):
        if not size:
            head = chunk
            _check_marks(chunk, path.name)
        for number, at in enumerate((_undecoded(chunk), *(chunk.find(character) for character, _, _ in _REPLACEMENTS))):
            if at >= 0 and faults[number] < 0:
                faults[number] = size + at
        size += len(chunk)
        ended = chunk.endswith(b"\n")
    if not size:
        raise InputErrors([InputError("empty file", hint="write at least the header line", file=path.name, line=1)])
    words = (("not UTF-8", "save the file as UTF-8"), *((reason, hint) for _, reason, hint in _REPLACEMENTS))
    for (reason, hint), at in zip(words, faults, strict=True):
        if at >= 0:
            raise InputErrors([InputError(reason, hint=hint, file=path.name, line=_line_at(path, at))])
    if not ended:
        reason, hint = "the last line does not end: the file may be cut off", "end it with a line feed"
        raise InputErrors([InputError(reason, hint=hint, file=path.name, line=_line_at(path, size))])
    names = head[: head.index(b"\n")].decode("utf-8").split(",")
    return [name[1:-1] if name.startswith('"') and name.endswith('"') else name for name in names]


def _chunks(path: Path) -> Iterator[bytes]:
    """Yield the bytes of a file, whole lines at a time."""
    lines = 0
    try:
        with path.open("rb") as stream:
            while chunk := stream.read(BATCH_BYTES):
                rest = b"" if chunk.endswith(b"\n") else stream.readline(MAX_LINE_BYTES)
                lines += chunk.count(b"\n")
                if len(rest) == MAX_LINE_BYTES and not rest.endswith(b"\n"):
                    reason, hint = f"a line of more than {MAX_LINE_BYTES} bytes", "end every row with a line feed (LF)"
                    raise InputErrors([InputError(reason, hint=hint, file=path.name, line=lines + 1)])
                lines += len(rest) > 0
                yield chunk + rest
    except OSError as error:
        reason = f"cannot be read: {error.strerror}"
        raise InputErrors([InputError(reason, hint="check the path and its rights", file=path.name)]) from None


def _check_marks(data: bytes, file: str) -> None:
    for marks, reason, hint in _MARKS:
        if data.startswith(marks):
            raise InputErrors([InputError(reason, hint=hint, file=file, line=1)])


def _undecoded(data: bytes) -> int:
    """Return where the bytes stop being UTF-8, or -1."""
    if not data.isascii():
        try:
            data.decode("utf-8")
        except UnicodeDecodeError as error:
            return error.start
    return -1


def _line_at(path: Path, offset: int) -> int:
    """Return the line of a byte of the file."""
    line = 1
    for chunk in _chunks(path):
        line += chunk.count(b"\n", 0, max(offset, 0))
        offset -= len(chunk)
    return line


def _frame_of(data: bytes, columns: Sequence[str]) -> pl.DataFrame | None:
    """Return the rows below the header, quotes unchanged; None where the number of fields is wrong."""
    if not _even(data, len(columns)):
        return None
    schema = dict.fromkeys(columns, pl.String)
    rows = data.count(b"\n") - 1
    if not rows:
        return pl.DataFrame(schema=schema)
    try:
        frame = pl.read_csv(
            io.BytesIO(data), has_header=False, skip_rows=1, schema=schema, infer_schema=False, quote_char=None
        )
    except pl.exceptions.PolarsError:
        return None
    return frame.fill_null("") if len(frame) == rows else None


def _even(data: bytes, width: int) -> bool:
    """Return whether every line has `width` fields."""
    separators = data.translate(None, _NO_SEPARATORS)
    return separators == (b"," * (width - 1) + b"\n") * (len(separators) // width)


def _bad_quotes(frame: pl.DataFrame) -> dict[str, list[int]]:
    """Return the rows of each column, if any, with a quote that does not enclose the field."""
    bad = {}
    for name in frame.columns:
        quoted = pl.col(name).str.contains('"', literal=True)
        whole = pl.col(name).str.contains('^"[^"]*"$')
        rows = frame.select((quoted & ~whole).arg_true()).to_series().to_list()
        if rows:
            bad[name] = rows
    return bad


def _refusal(path: Path, columns: Sequence[str]) -> InputErrors:
    """Return every line with a wrong number of fields or, if there is none, every misplaced quote."""
    found = _wrong_counts(path, len(columns)) or _wrong_quotes(path, columns)
    return found or InputErrors([InputError("not a readable CSV file", hint="write it again", file=path.name)])


def _wrong_counts(path: Path, width: int) -> InputErrors | None:
    """Return an error for every line without exactly `width` fields."""
    problems: list[InputError] = []
    count, first = 0, 1
    for chunk in _chunks(path):
        lines = [] if _even(chunk, width) else chunk.split(b"\n")[:-1]
        for number, line in enumerate(lines, start=first):
            fields = line.count(b",") + 1 if line else 0
            if fields != width:
                count += 1
                if len(problems) < KEPT_PROBLEMS:
                    reason = f"{fields} fields where {width} are needed" if line else "an empty line"
                    hint = "write one field per column of the header" if line else "remove it"
                    problems.append(InputError(reason, hint=hint, file=path.name, line=number))
        first += chunk.count(b"\n")
    return InputErrors(problems, count) if problems else None


def _wrong_quotes(path: Path, columns: Sequence[str]) -> InputErrors | None:
    """Return an error for every field, column by column, with a quote that does not enclose it."""
    reason, hint = "a quote that does not enclose the field", "leave quotes out; no field needs them"
    problems: dict[str, list[InputError]] = {name: [] for name in columns}
    count, first, head = 0, 2, b""
    for chunk in _chunks(path):
        data = head + chunk
        head = head or data[: data.index(b"\n") + 1]
        frame = _frame_of(data, columns)
        if frame is None:
            return None
        for name, rows in _bad_quotes(frame).items():
            count += len(rows)
            for row in rows[: KEPT_PROBLEMS - len(problems[name])]:
                problems[name].append(InputError(reason, hint=hint, file=path.name, line=first + row, field=name))
        first += len(frame)
    return InputErrors([each for name in columns for each in problems[name]][:KEPT_PROBLEMS], count) if count else None


def _wrong_header(file: str, header: Sequence[str], columns: Sequence[str], optional: Sequence[str]) -> InputError:
    expected = ",".join(name for name in columns if name not in optional)
    expected += "".join(f", with or without ,{name} behind it" for name in optional)
    missing = [name for name in columns if name not in header]
    foreign = [name for name in header if name not in columns]
    reason = "wrong header"
    if missing:
        reason += f", without {', '.join(missing)}"
    if foreign:
        reason += f", with unknown {', '.join(foreign[:8])}"
    if not missing and not foreign:
        reason += ", columns repeated or in another order"
    return InputError(reason, hint=f"write the header {expected}", file=file, line=1)
