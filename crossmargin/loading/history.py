"""`history.csv`: closing prices, a column `time` and one column for each asset or underlying, oldest row first."""

import csv
import io
import re
from pathlib import Path

from pydantic import ValidationError

from crossmargin.errors import KEPT_PROBLEMS, InputError
from crossmargin.fields import problems_of
from crossmargin.market.history import PriceHistory

__all__ = ["load_history"]

MAX_BYTES = 16 * 2**20
"""Most bytes of the file: five years of daily prices of a thousand names, read in some five seconds."""

TIME = "time"

_ROW = re.compile(r"(times|prices\.(?P<name>.+?))(\[(?P<row>[0-9]+)\])?", re.DOTALL)


def load_history(path: Path, problems: list[InputError]) -> PriceHistory | None:
    """Return the history of a file, or None where there is none or it is refused; add its problems to `problems`."""
    if not path.exists():
        return None
    found = _read(path, problems)
    if found is None:
        return None
    names, rows, lines = found
    data = {
        "times": [row[0] for row in rows],
        "prices": {name: [row[number] for row in rows] for number, name in enumerate(names, start=1)},
    }
    try:
        return PriceHistory.model_validate(data)
    except ValidationError as error:
        problems += [_located(each, path.name, names, lines) for each in problems_of(error)]
        return None


def _read(path: Path, problems: list[InputError]) -> tuple[list[str], list[list[str]], list[int]] | None:
    """Return the names, the cells of every row, and the line of each row."""

    def refuse(reason: str, hint: str, line: int | None = None, field: str = "") -> None:
        problems.append(InputError(reason, hint=hint, file=path.name, line=line, field=field))

    try:
        if path.stat().st_size > MAX_BYTES:
            refuse(f"larger than {MAX_BYTES} bytes", "keep fewer rows")
            return None
        text = path.read_bytes().decode("utf-8")
    except OSError as error:
        refuse(f"cannot be read: {error.strerror}", "check the path and its rights")
        return None
    except UnicodeDecodeError:
        refuse("not UTF-8", "save the file as UTF-8")
        return None
    if text and not text.endswith("\n"):
        line = text.count("\n") + 1
        refuse("the last line does not end: the file may be cut off", "end it with a line feed", line)
        return None
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    header: list[str] | None = None
    rows: list[list[str]] = []
    lines: list[int] = []
    try:
        header = next(reader, None)
        for row in reader:
            rows.append(row)
            lines.append(reader.line_num)
    except csv.Error as error:
        refuse(f"not CSV: {error}", "quote cells as CSV asks", reader.line_num)
        return None
    if not header or header[0] != TIME or len(header) < 2 or len(set(header)) != len(header):
        refuse("wrong header", "write time, then one distinct name of an asset or underlying in each column", 1)
        return None
    uneven = [(len(row), line) for row, line in zip(rows, lines, strict=True) if len(row) != len(header)]
    for cells, line in uneven[:KEPT_PROBLEMS]:
        refuse(f"{cells} cells, {len(header)} needed", "give every name a price", line)
    return None if uneven else (header[1:], rows, lines)


def _located(problem: InputError, file: str, names: list[str], lines: list[int]) -> InputError:
    """Return a problem with its line and column; a problem of a name belongs to the first line.

    The fields of the value are "times[2]" and "prices.BTC[2]", for row 2.
    """
    name, line = problem.field.removeprefix("prices."), None
    if name in names:
        line = 1
    elif found := _ROW.fullmatch(problem.field):
        name = found["name"] or TIME
        line = None if found["row"] is None else lines[int(found["row"])]
    return InputError(problem.reason, hint=problem.hint, file=file, line=line, field=name)
