"""Problems of an input file: the place, the reason and a hint.

`InputError` is one problem; `InputErrors` holds every problem found in one load. Neither repeats an amount or a
quantity: those are secrets, and the file and line lead to them.
"""

from collections.abc import Sequence
from typing import Literal

from crossmargin_circuits.errors import CrossmarginError
from crossmargin_circuits.errors import shortened as shortened_to

__all__ = [
    "KEPT_PROBLEMS",
    "MAX_PART_LENGTH",
    "SHOWN_PROBLEMS",
    "Counted",
    "InputError",
    "InputErrors",
    "place_of",
    "shortened",
]

KEPT_PROBLEMS = 1000
"""Problems of one load kept as objects. Further ones are only counted, so that a wholly wrong file stays cheap."""

SHOWN_PROBLEMS = 20
"""Problems listed in the message of an `InputErrors`."""

MAX_PART_LENGTH = 400
"""Most characters of a reason, hint, file or field: they can quote names and values as long as the input."""

Counted = Literal["line", "row"]
"""Meaning of a problem's number: lines of a text file from 1, or rows of any other table from 1."""


def shortened(text: str) -> str:
    """Return text on one line: unprintable characters escaped, the middle of a long text left out."""
    text = shortened_to(text, MAX_PART_LENGTH)
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def place_of(file: str, line: int | None, field: str = "", counted: Counted = "line") -> str:
    """Return "balances.csv, line 17, amount", without the parts that are empty."""
    number = "" if line is None else f"{counted} {line}"
    return ", ".join(part for part in (file, number, field) if part)


class InputError(CrossmarginError):
    """One problem of one input: file, line (or row), field, reason and hint; empty where they do not apply."""

    def __init__(
        self,
        reason: str,
        *,
        hint: str = "",
        file: str = "",
        line: int | None = None,
        field: str = "",
        counted: Counted = "line",
    ) -> None:
        """Record the problem, long parts shortened; `hint` is an imperative."""
        self.reason = shortened(reason)
        self.hint = shortened(hint)
        self.file = shortened(file)
        self.line = line
        self.field = shortened(field)
        self.counted = counted
        super().__init__(self.reason)

    @property
    def place(self) -> str:
        """The place: "balances.csv, line 17, amount"."""
        return place_of(self.file, self.line, self.field, self.counted)

    def at(self, *, file: str = "", line: int | None = None, field: str = "") -> "InputError":
        """Return the same problem with the missing parts of its place filled in."""
        return InputError(
            self.reason,
            hint=self.hint,
            file=self.file or file,
            line=line if self.line is None else self.line,
            field=self.field or field,
            counted=self.counted,
        )

    def __str__(self) -> str:
        """Return "place: reason; hint"."""
        text = f"{self.reason}; {self.hint}" if self.hint else self.reason
        return f"{self.place}: {text}" if self.place else text


class InputErrors(CrossmarginError):  # noqa: N818 (the plural says that it is several)
    """All problems of one load: the first ones, and the number of all."""

    def __init__(self, problems: Sequence[InputError], count: int | None = None) -> None:
        """Record the problems; `count` is the number of all, where only the first ones are kept."""
        self.problems = tuple(problems)
        self.count = len(self.problems) if count is None else count
        super().__init__(self.problems, self.count)

    def __str__(self) -> str:
        """Return the count and one line per problem, up to SHOWN_PROBLEMS."""
        shown = self.problems[:SHOWN_PROBLEMS]
        lines = [f"{self.count} problem{'s' if self.count != 1 else ''} in the input"]
        lines += [f"  {problem}" for problem in shown]
        if self.count > len(shown):
            lines.append(f"  and {self.count - len(shown)} more")
        return "\n".join(lines)
