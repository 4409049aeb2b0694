"""The compiled kernel as arithmetic of the verifier: optional, faster, and trusted wherever it is chosen.

Only this module imports the kernel, and only on request. The kernel then becomes part of the trusted base, like Python
itself; the plain verifier does not need it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType

from crossmargin_circuits.errors import CrossmarginError
from crossmargin_circuits.version import VERSION
from crossmargin_verifier.protocol.arithmetic import decode_encodings
from crossmargin_verifier.protocol.field import SCALAR_BYTES, encode_scalars
from crossmargin_verifier.protocol.group import Affine, Point
from crossmargin_verifier.workers import threads_here

__all__ = ["INTERFACE", "KernelArithmetic", "KernelError", "load_kernel"]

INTERFACE = 3
"""Number of the interface to the kernel; both sides raise it together."""

_HINT = f"install crossmargin-kernel {VERSION} or, in a checkout, run `make kernel`"

_IDENTITY = bytes(2 * SCALAR_BYTES)


class KernelError(CrossmarginError):
    """The kernel is missing, belongs to another version, or failed; this is no finding about the files."""


def load_kernel() -> ModuleType:
    """Return the compiled kernel of this package's version.

    Raises:
        KernelError: it is not installed, or has another version or interface.
    """
    try:
        import crossmargin_kernel
    except ImportError as error:
        reason = "" if isinstance(error, ModuleNotFoundError) else f": {error}"
        raise KernelError(f"the compiled kernel is not installed here{reason}; {_HINT}") from None
    found = (getattr(crossmargin_kernel, "VERSION", None), getattr(crossmargin_kernel, "INTERFACE", None))
    if found != (VERSION, INTERFACE):
        raise KernelError(
            f"the installed kernel is {found[0]}, interface {found[1]}: this package needs {VERSION}, interface "
            f"{INTERFACE}; {_HINT}"
        )
    return crossmargin_kernel


@dataclass(frozen=True)
class KernelArithmetic:
    """Compiled decoding and multiplication.

    threads: of one multiplication; by default one in a worker process, else one per core.
    """

    threads: int | None = None

    def msm(self, scalars: Sequence[int], points: Sequence[Affine]) -> Point:
        """Return sum_i scalars_i points_i for any integers.

        Raises:
            KernelError: the kernel is missing, or refuses or fails.
        """
        data = b"".join([x.to_bytes(SCALAR_BYTES, "big") + y.to_bytes(SCALAR_BYTES, "big") for x, y in points])
        kernel = load_kernel()
        try:
            return _decode_sum(kernel.msm(encode_scalars(scalars), data, self._threads))
        except (ValueError, RuntimeError) as error:
            raise KernelError(f"the kernel does not multiply: {error}") from None

    def msm_encoded(self, scalars: bytes, encodings: bytes) -> Point:
        """Return sum_i scalars_i P_i of encoded points.

        Raises:
            MalformedPointError: the first encoding that is no point, in the words of the plain arithmetic.
            KernelError: the kernel is missing, fails, or refuses points that the plain arithmetic accepts.
        """
        kernel = load_kernel()
        try:
            return _decode_sum(kernel.msm_encoded(scalars, encodings, self._threads))
        except (ValueError, RuntimeError) as error:
            # The reference decides whether an encoding is a point.
            decode_encodings(encodings)
            raise KernelError(f"the kernel does not multiply: {error}") from None

    @property
    def _threads(self) -> int:
        return threads_here() if self.threads is None else self.threads


def _decode_sum(data: bytes) -> Point:
    """Return the point of a multiplication's 64 bytes, x and y; 64 zero bytes are the identity."""
    if data == _IDENTITY:
        return None
    return int.from_bytes(data[:SCALAR_BYTES], "big"), int.from_bytes(data[SCALAR_BYTES:], "big")
