"""The stand-alone verifier: it needs the standard library, py_ecc and the circuits, no prover and no margin core.

    from crossmargin_verifier import check_bundle

    verdict = check_bundle("build/demo/bundle")
    print(verdict.text)

A check returns a claim or raises. `RejectedError` and `MalformedError` are findings about the files; `CannotCheckError`
means that the check reached no finding. The package imports a public name on first access, so importing one module
loads no other.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from crossmargin_circuits.errors import CrossmarginError as CrossmarginError
    from crossmargin_verifier.bundle.check import check_bundle as check_bundle
    from crossmargin_verifier.bundle.check_receipt import check_receipt as check_receipt
    from crossmargin_verifier.bundle.checked_receipt import CheckedReceipt as CheckedReceipt
    from crossmargin_verifier.bundle.claim import Claim as Claim
    from crossmargin_verifier.bundle.claim import Result as Result
    from crossmargin_verifier.bundle.folder import CannotCheckError as CannotCheckError
    from crossmargin_verifier.bundle.verdict import Outcome as Outcome
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
    "Outcome",
    "RejectedError",
    "Result",
    "Verdict",
    "check_bundle",
    "check_receipt",
]

_PLACES = {
    "CannotCheckError": "crossmargin_verifier.bundle.folder",
    "CheckedReceipt": "crossmargin_verifier.bundle.checked_receipt",
    "Claim": "crossmargin_verifier.bundle.claim",
    "CrossmarginError": "crossmargin_circuits.errors",
    "KernelArithmetic": "crossmargin_verifier.kernel",
    "MalformedError": "crossmargin_verifier.protocol.errors",
    "Outcome": "crossmargin_verifier.bundle.verdict",
    "RejectedError": "crossmargin_verifier.protocol.errors",
    "Result": "crossmargin_verifier.bundle.claim",
    "Verdict": "crossmargin_verifier.bundle.verdict",
    "check_bundle": "crossmargin_verifier.bundle.check",
    "check_receipt": "crossmargin_verifier.bundle.check_receipt",
}


def __getattr__(name: str) -> object:
    """Import a public name from its module and return it."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found: object = getattr(import_module(_PLACES[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    """Return the public names."""
    return sorted(__all__)
