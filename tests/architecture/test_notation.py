"""Every name that docs/notation.md gives "in code" exists there, and every size has one."""

import re
from pathlib import Path

from crossmargin_verifier.protocol.records import RecordShape
from crossmargin_verifier.protocol.shape import Shape


def column_in_code(text: str, of: str) -> list[list[str]]:
    """Return the names of each row of the table whose last column is called "in code", of a class."""
    lines = text.splitlines()
    first = next(number for number, line in enumerate(lines) if f"| in code, of `{of}`" in line)
    rows = []
    for line in lines[first + 2 :]:
        if not line.startswith("|"):
            break
        rows.append(re.findall(r"`([^`]+)`", line.rstrip("| ").rpartition("|")[2]))
    return rows


def test_names_of_the_notation_exist_in_the_code(root: Path) -> None:
    text = (root / "docs" / "notation.md").read_text(encoding="utf-8")
    for shape, sizes in ((Shape(4, 3, 2, 1, 1, 2, 1), 10), (RecordShape(4, 2), 5)):
        rows = column_in_code(text, type(shape).__name__)
        assert len(rows) > sizes
        assert all(rows), "a size without a name in the code"
        for name in (name for names in rows for name in names):
            assert isinstance(getattr(shape, name), int | tuple), name


def test_a_name_that_is_not_there_is_found() -> None:
    table = "| a | in code, of `Shape` |\n|---|---|\n| n | `kappa`, `rows` |\n| m | |\n\n| b | `no` |\n"
    rows = column_in_code(table, "Shape")
    assert rows == [["kappa", "rows"], []]
    assert not hasattr(Shape, rows[0][0])
