"""The size of the one multiplication that a bundle asks for (V9), compared with the size of the bundle.

    points = V + m + sum over a < max G of 64 max J  +  n + sum over statements of SN/G

Generators stand in no file, so a short bundle may ask for many: a policy of some kilobytes has hundreds of rows, each
of which needs 64 G of them. An honest bundle needs one point for some twenty bytes. Beyond that the verifier asks
whether the reader is patient, before any generator is derived. The compiled kernel makes committed points cheap, and
leaves generators as dear as they are.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from crossmargin_circuits.relation import VALUE_BITS
from crossmargin_verifier.kernel import KernelArithmetic
from crossmargin_verifier.protocol.arithmetic import Arithmetic
from crossmargin_verifier.protocol.errors import LimitError
from crossmargin_verifier.protocol.manifests import SnapshotManifest
from crossmargin_verifier.protocol.records import RecordShape
from crossmargin_verifier.protocol.shape import Shape, values_by_place

__all__ = ["Points", "check_points", "points_of"]

FREE_POINTS = 7200
"""Points that a bundle of any size may ask for: about five seconds in plain Python on two cores."""

BYTES_PER_POINT = 20
"""Bytes of a bundle that justify one point."""

KERNEL_FACTOR = 16
"""So many committed points cost the compiled kernel no more than one costs plain Python; it derives no generators."""


@dataclass(frozen=True)
class Points:
    """The points of the multiplication: generators, which are derived in Python, and committed points of the files."""

    generators: int
    committed: int

    @property
    def count(self) -> int:
        """All of them."""
        return self.generators + self.committed

    def cost(self, *, with_kernel: bool) -> int:
        """Return the points that cost as much in plain Python."""
        return self.generators + (self.committed // KERNEL_FACTOR if with_kernel else self.committed)


def points_of(snapshot: SnapshotManifest, columns: int, shapes: Sequence[Shape]) -> Points:
    """Return the generators and committed points of the multiplication."""
    records = RecordShape(snapshot.accounts_per_shard, columns)
    generators = columns + max([records.masks, *(shape.masks for shape in shapes)])
    generators += VALUE_BITS * sum(values_by_place(shapes))
    return Points(generators, snapshot.accounts + sum(shape.leaves >> shape.packing for shape in shapes))


def check_points(points: Points, size: int, arithmetic: Arithmetic) -> None:
    """Refuse to multiply more points than a bundle of `size` bytes justifies.

    Raises:
        LimitError: names both.
    """
    allowed = max(FREE_POINTS, size // BYTES_PER_POINT)
    with_kernel = isinstance(arithmetic, KernelArithmetic)
    if points.cost(with_kernel=with_kernel) > allowed:
        faster = "" if with_kernel or points.cost(with_kernel=True) > allowed else ", or use the kernel"
        raise LimitError(
            f"a bundle of {size:,} bytes asks for {points.count:,} points, which takes long for its size: be patient "
            f"(--patient){faster}"
        )
