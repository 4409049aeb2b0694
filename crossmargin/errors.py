"""What is wrong with an input file: where, why, and the hint.

`InputError` is one problem; `InputErrors` is everything that was found wrong in one load. Neither repeats an amount or
a quantity: those are secrets, and the file and line lead to them.
"""

from collections.abc import Sequence

from crossmargin_circuits.errors import CrossmarginError

__all__ = ["KEPT_PROBLEMS", "SHOWN_PROBLEMS", "InputError", "InputErrors"]

KEPT_PROBLEMS = 1000
"""Problems of one load that are kept as objects; the rest are counted, so that a wholly wrong file stays cheap."""

SHOWN_PROBLEMS = 20
"""Problems that the message of an `InputErrors` lists."""


class InputError(CrossmarginError):
    """One problem of one input: file, line (Parquet: row), field, reason and hint; empty where they do not apply."""

    def __init__(
        self, reason: str, *, hint: str = "", file: str = "", line: int | None = None, field: str = ""
    ) -> None:
        """Record the problem; `hint` says what to do, as an imperative."""
        self.reason = reason
        self.hint = hint
        self.file = file
        self.line = line
        self.field = field
        super().__init__(reason)

    @property
    def place(self) -> str:
        """Where it is: "balances.csv, line 17, amount"."""
        word = "row" if self.file.endswith(".parquet") else "line"
        line = "" if self.line is None else f"{word} {self.line}"
        return ", ".join(part for part in (self.file, line, self.field) if part)

    def at(self, *, file: str = "", line: int | None = None, field: str = "") -> "InputError":
        """Return the same problem with the parts of the place that it did not have yet."""
        return InputError(
            self.reason,
            hint=self.hint,
            file=self.file or file,
            line=line if self.line is None else self.line,
            field=self.field or field,
        )

    def __str__(self) -> str:
        """Return "place: reason; hint"."""
        text = f"{self.reason}; {self.hint}" if self.hint else self.reason
        return f"{self.place}: {text}" if self.place else text


class InputErrors(CrossmarginError):  # noqa: N818 (the plural says that it is several)
    """Everything found wrong in one load: the first problems, and how many there are in all."""

    def __init__(self, problems: Sequence[InputError], count: int | None = None) -> None:
        """Record the problems; `count` is their true number where only the first were kept."""
        self.problems = tuple(problems)
        self.count = len(self.problems) if count is None else count
        super().__init__(self.problems, self.count)

    def __str__(self) -> str:
        """Return one line per problem, up to SHOWN_PROBLEMS, and the count."""
        shown = self.problems[:SHOWN_PROBLEMS]
        lines = [f"{self.count} problem{'s' if self.count != 1 else ''} in the input"]
        lines += [f"  {problem}" for problem in shown]
        if self.count > len(shown):
            lines.append(f"  and {self.count - len(shown)} more")
        return "\n".join(lines)
