"""A claim: one line of a verdict, with its result, its figures and what they mean."""

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Claim", "Result", "line"]

MAX_LINE = 200
"""Limit on characters of untrusted text in one place of the verdict."""


class Result(StrEnum):
    """The result of a claim; INFO is a figure without a judgement."""

    PASS = "PASS"  # noqa: S105 - the word, not a secret
    FAIL = "FAIL"
    INFO = "INFO"


@dataclass(frozen=True)
class Claim:
    """One line of the verdict: subject, result, figures, and their meaning."""

    name: str
    result: Result
    figures: str
    meaning: str


def line(text: str) -> str:
    """Return untrusted text as one short line: single spaces, no control characters."""
    line = " ".join("".join(c if c.isprintable() else "?" for c in text).split())
    return line if len(line) <= MAX_LINE else f"{line[: MAX_LINE - 3]}..."
