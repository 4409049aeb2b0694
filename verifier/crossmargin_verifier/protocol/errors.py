"""The two families of errors that cross the verifier's border (SPEC V1 - V10, H1 - H5).

`MalformedError`: bytes that could not be decoded (always SPEC V1); its text names file, field and offset.
`RejectedError`: decoded, but does not hold; it names the step and, where there is one, shard and round.
"""

from crossmargin_circuits.errors import CrossmarginError, MalformedError

__all__ = ["MalformedError", "RejectedError"]


class RejectedError(CrossmarginError):
    """A statement, a receipt or a signature that decodes and does not hold."""

    def __init__(self, step: str, reason: str, shard: int | None = None, round: int | None = None) -> None:
        """Name the SPEC step, the reason and, where they apply, the shard (from 0) and the round (from 1)."""
        where = "".join(
            f", {word} {number}" for word, number in (("shard", shard), ("round", round)) if number is not None
        )
        super().__init__(f"{step}{where}: {reason}")
        self.step = step
        self.reason = reason
        self.shard = shard
        self.round = round
