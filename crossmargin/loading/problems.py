"""Bad lines of a load: all counted, and those to be shown kept as errors or rejected lines.

Tables come in batches, and every batch makes the same checks in the same order. The number of a check within its
section therefore tells which problems belong together: they are listed as if each check had seen the whole table.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from crossmargin.book.book import Rejected
from crossmargin.errors import KEPT_PROBLEMS, InputError, InputErrors
from crossmargin.loading.table import Place

__all__ = ["LineProblems", "OnBad"]

OnBad = Literal["refuse", "reject"]
"""refuse: any bad line refuses the load; reject: its account is left out of the book and listed."""

Describe = str | Callable[[int], str]


class Lines(Protocol):
    """Rows with a place in a file and an account."""

    def place(self, row: int, /) -> Place:
        """Return the place of a row."""

    def account(self, row: int, /) -> str:
        """Return the account of a row."""


@dataclass(frozen=True)
class _Found:
    account: str
    error: InputError


class LineProblems:
    """The problems of the rows of the tables."""

    def __init__(self, on_bad: OnBad) -> None:
        """Start with none; on_bad "reject" keeps all of them, "refuse" as many as an `InputErrors` holds."""
        self._kept = KEPT_PROBLEMS if on_bad == "refuse" else None
        self._found: list[list[_Found]] = []
        self._sections: dict[str, int] = {}
        self._next = 0
        self.count = 0
        """Number of problems."""

    def begin(self, section: str) -> None:
        """Begin the checks of a section, or of its next batch; sections follow one another."""
        self._next = self._sections.setdefault(section, len(self._found))

    def add(self, lines: Lines, bad: NDArray[np.bool_], field: str, reason: Describe, hint: Describe) -> None:
        """Record the rows where `bad` is true, as the next check; reason and hint may depend on the row."""
        if self._next == len(self._found):
            self._found.append([])
        found = self._found[self._next]
        self._next += 1
        rows = np.flatnonzero(bad)
        self.count += len(rows)
        room = len(rows) if self._kept is None else self._kept - len(found)
        for row in rows[:room].tolist():
            file, line, counted = lines.place(row)
            why, how = (text if isinstance(text, str) else text(row) for text in (reason, hint))
            error = InputError(why, hint=how, file=file, line=line, field=field, counted=counted)
            found.append(_Found(lines.account(row), error))

    def errors(self) -> InputErrors:
        """Return the first problems, in the order of files and lines, and the count of all."""
        problems = [each.error for found in self._found for each in found[:KEPT_PROBLEMS]]
        files = {file: number for number, file in enumerate(dict.fromkeys(problem.file for problem in problems))}
        problems.sort(key=lambda problem: (files[problem.file], problem.line or 0))
        return InputErrors(problems[:KEPT_PROBLEMS], self.count)

    def rejected(self) -> list[Rejected]:
        """Return one entry per bad line, all of them, check by check; needs on_bad "reject"."""
        rejected = []
        for found in self._found:
            for each in found:
                error = each.error
                reason = f"{error.field}: {error.reason}" if error.field else error.reason
                rejected.append(Rejected(each.account, error.file, error.line, reason, error.counted))
        return rejected
