"""CSV tables in one strict dialect, so that a row is a line and a line is a row.

UTF-8 without byte-order mark, lines that end with a line feed (the last one too), commas. A field may stand in double
quotes, as some tools write empty text, but has no comma, quote or line end inside. The whole file is checked for this
with a few passes over its bytes; only a file that fails is read line by line, to name every bad line.
"""

import io
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from crossmargin.errors import KEPT_PROBLEMS, InputError, InputErrors

__all__ = ["check_bytes", "frame_of", "header_of", "read_bytes", "read_csv"]

_REPLACEMENTS = (
    (b"\r", "a carriage return", "write line ends as a single line feed (LF), not CRLF"),
    (b"\x00", "a zero byte", "write the file as UTF-8 text"),
)


def read_csv(path: Path, columns: Sequence[str]) -> pl.DataFrame:
    """Return the rows as text columns.

    Raises:
        InputErrors: not this dialect, another header, or lines with too few or too many fields.
    """
    data = read_bytes(path)
    check_bytes(data, path.name)
    header = header_of(data)
    if header != list(columns):
        raise InputErrors([_wrong_header(path.name, header, columns)])
    return frame_of(data, path.name, header)


def read_bytes(path: Path) -> bytes:
    """Return the bytes of a file.

    Raises:
        InputErrors: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        reason = f"cannot be read: {error.strerror}"
        raise InputErrors([InputError(reason, mend="check the path and its rights", file=path.name)]) from None


def check_bytes(data: bytes, file: str) -> None:
    """Refuse what is not this dialect, header and field counts apart.

    Raises:
        InputErrors: empty, byte-order mark, not UTF-8, carriage returns, quotes, zero bytes, or no final line feed.
    """

    def refuse(reason: str, mend: str, at: int) -> InputErrors:
        line = data.count(b"\n", 0, at) + 1
        return InputErrors([InputError(reason, mend=mend, file=file, line=line)])

    if not data:
        raise refuse("empty file", "write at least the header line", 0)
    if data.startswith(b"\xef\xbb\xbf"):
        raise refuse("a byte-order mark before the header", "save as UTF-8 without byte-order mark", 0)
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise refuse("not UTF-8: UTF-16", "save the file as UTF-8", 0)
    if not data.isascii():
        try:
            data.decode("utf-8")
        except UnicodeDecodeError as error:
            raise refuse("not UTF-8", "save the file as UTF-8", error.start) from None
    for character, reason, mend in _REPLACEMENTS:
        at = data.find(character)
        if at >= 0:
            raise refuse(reason, mend, at)
    if not data.endswith(b"\n"):
        raise refuse("the last line does not end: the file may be cut off", "end it with a line feed", len(data))


def header_of(data: bytes) -> list[str]:
    """Return the names in the first line."""
    names = data[: data.index(b"\n")].decode("utf-8").split(",")
    return [name[1:-1] if name.startswith('"') and name.endswith('"') else name for name in names]


def frame_of(data: bytes, file: str, header: Sequence[str]) -> pl.DataFrame:
    """Return the rows below the header as text columns; the bytes have passed `check_bytes`.

    Raises:
        InputErrors: lines with too few or too many fields, or a quote that does not enclose a field.
    """
    if data.count(b",") != (len(header) - 1) * data.count(b"\n"):
        raise _wrong_counts(data, file, len(header))
    schema = dict.fromkeys(header, pl.String)
    if data.count(b"\n") == 1:
        return pl.DataFrame(schema=schema)
    try:
        frame = pl.read_csv(
            io.BytesIO(data), has_header=False, skip_rows=1, schema=schema, infer_schema=False, quote_char=None
        )
    except pl.exceptions.PolarsError:
        raise _wrong_counts(data, file, len(header)) from None
    if len(frame) != data.count(b"\n") - 1:
        raise _wrong_counts(data, file, len(header))
    frame = frame.fill_null("")
    return _unquoted(frame, file) if b'"' in data else frame


def _unquoted(frame: pl.DataFrame, file: str) -> pl.DataFrame:
    """Return the fields without the quotes that enclose them."""
    problems = []
    for name in frame.columns:
        quoted = pl.col(name).str.contains('"', literal=True)
        whole = pl.col(name).str.contains('^"[^"]*"$')
        for row in frame.select((quoted & ~whole).arg_true()).to_series().to_list():
            reason, mend = "a quote that does not enclose the field", "leave quotes out; no field needs them"
            problems.append(InputError(reason, mend=mend, file=file, line=row + 2, field=name))
        frame = frame.with_columns(pl.col(name).str.strip_chars('"'))
    if problems:
        raise InputErrors(problems[:KEPT_PROBLEMS], len(problems))
    return frame


def _wrong_header(file: str, header: Sequence[str], columns: Sequence[str]) -> InputError:
    expected = ",".join(columns)
    missing = [name for name in columns if name not in header]
    foreign = [name for name in header if name not in columns]
    reason = "wrong header"
    if missing:
        reason += f", without {', '.join(missing)}"
    if foreign:
        reason += f", with unknown {', '.join(name[:64] for name in foreign[:8])}"
    if not missing and not foreign:
        reason += ", columns repeated or in another order"
    return InputError(reason, mend=f"write the header {expected}", file=file, line=1)


def _wrong_counts(data: bytes, file: str, width: int) -> InputErrors:
    """Return an error for every line that has not `width` fields."""
    problems: list[InputError] = []
    count = 0
    for number, line in enumerate(data.split(b"\n")[:-1], start=1):
        fields = line.count(b",") + 1 if line else 0
        if fields != width:
            count += 1
            if len(problems) < KEPT_PROBLEMS:
                reason = f"{fields} fields where {width} are needed" if line else "an empty line"
                mend = "write one field per column of the header" if line else "remove it"
                problems.append(InputError(reason, mend=mend, file=file, line=number))
    if not problems:
        problems.append(InputError("not a readable CSV file", mend="write it again", file=file))
    return InputErrors(problems, max(count, 1))
