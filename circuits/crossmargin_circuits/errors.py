"""Errors of the circuits: the reasons to refuse a policy, a relation or a file."""

__all__ = [
    "MAX_LINE_LENGTH",
    "BudgetError",
    "CrossmarginError",
    "CurvatureError",
    "FullFormError",
    "LimitError",
    "MalformedError",
    "PolicyError",
    "shortened",
]

MAX_LINE_LENGTH = 2000
"""Characters of a line of a message: names in it come from files, and may be as long as the file."""

_ENDING = 60


def shortened(text: str, length: int = MAX_LINE_LENGTH) -> str:
    """Return a text, without its middle if it has more than `length` characters."""
    left_out = len(text) - length
    if left_out <= 0:
        return text
    return f"{text[: length - _ENDING]}... ({left_out} characters) ...{text[-_ENDING:]}"


class CrossmarginError(Exception):
    """Base of every error that crossmargin raises on purpose."""

    def __str__(self) -> str:
        """Return the message with long lines shortened."""
        return "\n".join(map(shortened, super().__str__().split("\n")))


class MalformedError(CrossmarginError):
    """The bytes are not the canonical encoding of any value: they cannot be decoded."""


class LimitError(CrossmarginError):
    """More than this implementation takes on: no finding about the files."""


class PolicyError(CrossmarginError):
    """A policy that decodes but does not describe one relation (unknown name, missing array, ...)."""


class CurvatureError(PolicyError):
    """An expression that is not convex (or concave) where it must be; names the node and the alternative."""


class FullFormError(PolicyError):
    """An equity under which made-up accounts owe more cheaply than one account; names the column, if one is at fault.

    column: its key, or None where all columns together are at fault; reason: the rest of the message.
    """

    def __init__(self, reason: str, column: str | None = None) -> None:
        """State what is wrong with the equity."""
        super().__init__(f"equity: {column}: {reason}" if column else f"equity: {reason}")
        self.column = column
        self.reason = reason


class BudgetError(PolicyError):
    """A row or an auxiliary that can leave its integer range within the stated column limits."""
