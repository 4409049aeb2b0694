"""Bad lines of a load: collected as row numbers, turned into errors or rejected accounts only where there are any."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from crossmargin.book import Rejected
from crossmargin.errors import KEPT_PROBLEMS, InputError, InputErrors
from crossmargin.loading.table import Table

__all__ = ["LineProblems", "OnBad"]

OnBad = Literal["refuse", "reject"]
"""refuse: any bad line refuses the load; reject: its account is left out of the book and listed."""

Describe = str | Callable[[int], str]


@dataclass(frozen=True)
class _Group:
    table: Table
    rows: NDArray[np.int64]
    field: str
    reason: Describe
    mend: Describe

    def error(self, row: int) -> InputError:
        reason = self.reason if isinstance(self.reason, str) else self.reason(row)
        mend = self.mend if isinstance(self.mend, str) else self.mend(row)
        file, line = self.table.place(row)
        return InputError(reason, mend=mend, file=file, line=line, field=self.field)


class LineProblems:
    """Everything that is wrong with the rows of the tables; each table has a column `account`."""

    def __init__(self) -> None:
        """Start with none."""
        self._groups: list[_Group] = []

    def add(self, table: Table, bad: NDArray[np.bool_], field: str, reason: Describe, mend: Describe) -> None:
        """Record the rows where `bad` is true; reason and mend may depend on the row."""
        rows = np.flatnonzero(bad)
        if len(rows):
            self._groups.append(_Group(table, rows, field, reason, mend))

    @property
    def count(self) -> int:
        """Number of problems."""
        return sum(len(group.rows) for group in self._groups)

    def errors(self) -> InputErrors:
        """Return the first problems, in the order of files and lines, and the count of all."""
        problems = [group.error(int(row)) for group in self._groups for row in group.rows[:KEPT_PROBLEMS]]
        files = {file: number for number, file in enumerate(dict.fromkeys(problem.file for problem in problems))}
        problems.sort(key=lambda problem: (files[problem.file], problem.line or 0))
        return InputErrors(problems[:KEPT_PROBLEMS], self.count)

    def rejected(self) -> list[Rejected]:
        """Return one entry per bad line, all of them."""
        found = []
        for group in self._groups:
            accounts = group.table.frame["account"]
            for row in group.rows:
                error = group.error(int(row))
                reason = f"{error.field}: {error.reason}" if error.field else error.reason
                found.append(Rejected(accounts[int(row)], error.file, error.line, reason))
        return found
