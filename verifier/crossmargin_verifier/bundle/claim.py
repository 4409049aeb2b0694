"""A claim: one line of a verdict, with its result, its figures and what they mean."""

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Claim", "Result", "line"]

MAX_LINE = 200
"""Characters of a stranger's text that the verdict shows in one place."""


class Result(StrEnum):
    """How a claim came out; INFO is a figure that is shown and not judged."""

    PASS = "PASS"  # noqa: S105 - the word, not a secret
    FAIL = "FAIL"
    INFO = "INFO"


@dataclass(frozen=True)
class Claim:
    """One line of the verdict: what was looked at, how it came out, the figures, and what that means."""

    name: str
    result: Result
    figures: str
    meaning: str


def line(text: str) -> str:
    """Return a text of strangers as one short line: single spaces, no control characters."""
    line = " ".join("".join(c if c.isprintable() else "?" for c in text).split())
    return line if len(line) <= MAX_LINE else f"{line[: MAX_LINE - 3]}..."
