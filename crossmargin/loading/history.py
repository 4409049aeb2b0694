"""`history.csv`: closing prices, a column `time` and one column for each asset or underlying, oldest row first."""

import csv
import io
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from crossmargin.errors import InputError
from crossmargin.market.history import PriceHistory

__all__ = ["load_history"]

MAX_BYTES = 64 * 2**20
"""Bytes of the file: thirty years of daily prices of a thousand names."""

TIME = "time"


def load_history(path: Path, problems: list[InputError]) -> PriceHistory | None:
    """Return the history of a file, or None where there is none or it is refused; add what is wrong to `problems`."""
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
        for detail in error.errors(include_url=False):
            problems.append(_problem(path.name, lines, detail))
        return None


def _read(path: Path, problems: list[InputError]) -> tuple[list[str], list[list[str]], list[int]] | None:
    """Return the names, the cells of every row, and the line of each row."""

    def refuse(reason: str, hint: str, line: int | None = None, field: str = "") -> None:
        problems.append(InputError(reason, hint=hint, file=path.name, line=line, field=field))

    if path.stat().st_size > MAX_BYTES:
        refuse(f"larger than {MAX_BYTES} bytes", "keep fewer rows")
        return None
    try:
        text = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError:
        refuse("not UTF-8", "save the file as UTF-8")
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
    for row, line in zip(rows, lines, strict=True):
        if len(row) != len(header):
            refuse(f"{len(row)} cells, {len(header)} needed", "give every name a price", line)
            return None
    return header[1:], rows, lines


def _problem(file: str, lines: list[int], detail: Any) -> InputError:
    """Return a finding of pydantic with the line and the column it is about; names stand in the first line."""
    where = [part for part in detail["loc"] if part != "[key]"]
    context = detail.get("ctx", {})
    reason, hint = context.get("reason", detail["msg"]), context.get("hint", "follow the documented format")
    part = str(context.get("field", ""))
    if part.startswith("times["):
        where = ["times", int(part[len("times[") : -1])]
    name = TIME if where[:1] == ["times"] else str(where[1]) if len(where) > 1 else ""
    row = next((step for step in where if isinstance(step, int)), None)
    line = lines[row] if row is not None else 1 if len(where) > 1 else None
    return InputError(reason, hint=hint, file=file, line=line, field=name)
