"""The effort for the policies of one bundle: many small policies may not cost what no single one may.

A policy by itself has limits (SPEC A.5), but a few hundred bytes of it can reach them, and a bundle may have many. The
effort grows with the bytes of the policies, since an honest policy costs in proportion to its file.
"""

from crossmargin_circuits.errors import LimitError

__all__ = ["Effort"]

BASE_WORK = 2**25
"""Work that any bundle may cost: that of one policy at its limit, some two seconds."""

WORK_PER_BYTE = 64
"""Work besides for each byte of policies."""


class Effort:
    """Work that is left for compiling the policies of one bundle, in coefficients of pieces."""

    def __init__(self) -> None:
        """Take on the policies of one bundle."""
        self._left = BASE_WORK

    def allow(self, policy_bytes: int) -> None:
        """Take on the work that another policy of this size deserves."""
        self._left += WORK_PER_BYTE * policy_bytes

    def spend(self, work: int, path: str) -> None:
        """Take work off.

        Raises:
            LimitError: nothing is left; names the part of the policy.
        """
        self._left -= work
        if self._left < 0:
            raise LimitError(f"policy: {path}: too much work to compile for a bundle of this size")
