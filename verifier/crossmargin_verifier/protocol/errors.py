"""The families of errors that cross the verifier's border (SPEC V1 - V9, H1 - H5).

`MalformedError`: bytes that could not be decoded (always SPEC V1); its text names file, field and offset.
`RejectedError`: decoded, but does not hold; it names the step and, where there is one, statement and
shard.
"""

from crossmargin_circuits.errors import CrossmarginError, LimitError, MalformedError

__all__ = ["LimitError", "MalformedError", "RejectedError"]


class RejectedError(CrossmarginError):
    """A statement, a receipt or a signature decodes but does not hold."""

    def __init__(self, step: str, reason: str, shard: int | None = None, statement: str | None = None) -> None:
        """Name the SPEC step, the reason and, where there is one, the shard (from 0) and the statement."""
        places = (("statement", statement), ("shard", shard))
        where = "".join([f", {noun} {place}" for noun, place in places if place is not None])
        super().__init__(f"{step}{where}: {reason}")
        self.step = step
        self.reason = reason
        self.shard = shard
        self.statement = statement
