"""A claim: what is stated, about what, its result, and a sentence with the figures.

A claim begins with its topic, one of a closed list, never with a name that a venue chose.
"""

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Claim", "Result", "Topic"]


class Result(StrEnum):
    """The result of a claim; only PASS and INFO leave a book verified."""

    PASS = "PASS"  # noqa: S105 - the word, not a secret
    FAIL = "FAIL"
    OPEN = "OPEN"
    """Needed for a verdict on solvency, and not judged by anything in the bundle."""
    INFO = "INFO"
    """A figure without a judgement."""


class Topic(StrEnum):
    """What a claim is about."""

    SOLVENCY = "solvency"
    SHORTFALL = "shortfall"
    FULL_FORM = "full form"
    ENTRY_VALUES = "entry values"
    COVERAGE = "coverage"
    CROWDING = "crowding"
    POSITIONS = "positions"
    LIABILITIES = "liabilities"
    OPEN_INTEREST = "open interest"
    AMOUNTS = "amounts"
    PRICES = "prices"
    RESERVES = "reserves"


@dataclass(frozen=True)
class Claim:
    """One claim.

    statement: the number of the statement, from 1, or 0 where the claim is about the whole book; subject: the asset,
    instrument or column, or ""; text: what is stated, or why not.
    """

    topic: Topic
    statement: int
    subject: str
    result: Result
    text: str
