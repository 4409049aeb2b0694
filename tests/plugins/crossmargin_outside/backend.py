"""A backend from outside: plain Python, which counts its commitments and multiplies for the verifier, too."""

from collections.abc import Sequence

from crossmargin_prover.backend.interface import Costs, Int64Array
from crossmargin_prover.backend.reference import ReferenceBackend
from crossmargin_verifier.protocol.arithmetic import PlainArithmetic
from crossmargin_verifier.protocol.group import Point


class CountingArithmetic(PlainArithmetic):
    """Plain arithmetic that counts the points that it decoded."""

    points = 0

    def msm_encoded(self, scalars: bytes, encodings: bytes) -> Point:
        """Return the sum of the plain arithmetic."""
        CountingArithmetic.points += len(encodings) // 33
        return super().msm_encoded(scalars, encodings)


class CountingBackend(ReferenceBackend):
    """Plain Python with figures of its own."""

    name = "counting"
    costs = Costs(largest_shard=2, opening_accounts=1, rerandomize_entries=1)
    arithmetic = CountingArithmetic()
    rows = 0

    def commit_sparse(
        self, indptr: Int64Array, indices: Int64Array, data: Int64Array, blindings: Sequence[int]
    ) -> list[Point]:
        """Return the commitments of the plain backend."""
        CountingBackend.rows += len(blindings)
        return super().commit_sparse(indptr, indices, data, blindings)
