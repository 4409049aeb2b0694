"""The stand-alone verifier: standard library, py_ecc and the circuits; nothing of the prover or the margin core.

    from crossmargin_verifier import check_bundle

    verdict = check_bundle("build/demo/bundle")
    print(verdict.text)

A check returns a claim or raises: `RejectedError` and `MalformedError` speak about the files, `CannotCheckError` says
that nothing can be said about them. Names are resolved when they are first asked for, so that a module of this package
loads no other.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from crossmargin_circuits.errors import CrossmarginError as CrossmarginError
    from crossmargin_verifier.bundle.check import CheckedReceipt as CheckedReceipt
    from crossmargin_verifier.bundle.check import check_bundle as check_bundle
    from crossmargin_verifier.bundle.check import check_receipt as check_receipt
    from crossmargin_verifier.bundle.claim import Claim as Claim
    from crossmargin_verifier.bundle.claim import Result as Result
    from crossmargin_verifier.bundle.folder import CannotCheckError as CannotCheckError
    from crossmargin_verifier.bundle.verdict import Verdict as Verdict
    from crossmargin_verifier.kernel import KernelArithmetic as KernelArithmetic
    from crossmargin_verifier.protocol.errors import MalformedError as MalformedError
    from crossmargin_verifier.protocol.errors import RejectedError as RejectedError

__all__ = [
    "CannotCheckError",
    "CheckedReceipt",
    "Claim",
    "CrossmarginError",
    "KernelArithmetic",
    "MalformedError",
    "RejectedError",
    "Result",
    "Verdict",
    "check_bundle",
    "check_receipt",
]

_PLACES = {
    "CannotCheckError": "crossmargin_verifier.bundle.folder",
    "CheckedReceipt": "crossmargin_verifier.bundle.check",
    "Claim": "crossmargin_verifier.bundle.claim",
    "CrossmarginError": "crossmargin_circuits.errors",
    "KernelArithmetic": "crossmargin_verifier.kernel",
    "MalformedError": "crossmargin_verifier.protocol.errors",
    "RejectedError": "crossmargin_verifier.protocol.errors",
    "Result": "crossmargin_verifier.bundle.claim",
    "Verdict": "crossmargin_verifier.bundle.verdict",
    "check_bundle": "crossmargin_verifier.bundle.check",
    "check_receipt": "crossmargin_verifier.bundle.check",
}


def __getattr__(name: str) -> object:
    """Return a public name, from the module that defines it."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found: object = getattr(import_module(_PLACES[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    """Return the public names."""
    return sorted(__all__)
