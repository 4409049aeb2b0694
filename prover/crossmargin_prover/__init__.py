"""The prover: commit a book, prove statements about it, publish the bundle, deliver a receipt to every account.

    import crossmargin as cm
    from crossmargin_prover import commit, deliver, prove, publish

    book = cm.load("examples/small")
    commit(book, "build/vault")
    prove(book, "build/vault")
    publish(book, "build/vault", "build/bundle")
    deliver("build/vault", "build/receipts")

Every step resumes an interrupted run and returns its result as a value. `pipeline` runs all steps in order. A `Run`
sets the backend, the executor, the sizes, and the callbacks for progress and warnings. The package imports a public
name on first access. The prover imports the verifier; the verifier never imports the prover.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from crossmargin_prover.backend.interface import Backend as Backend
    from crossmargin_prover.backend.interface import BackendError as BackendError
    from crossmargin_prover.backend.registry import select_backend as select_backend
    from crossmargin_prover.bundle import ClaimsOpenError as ClaimsOpenError
    from crossmargin_prover.commitments import ChangedInputError as ChangedInputError
    from crossmargin_prover.signing import SigningKey as SigningKey
    from crossmargin_prover.vault.vault import Vault as Vault
    from crossmargin_prover.vault.vault import VaultError as VaultError
    from crossmargin_prover.workflow.commit import commit as commit
    from crossmargin_prover.workflow.deliver import deliver as deliver
    from crossmargin_prover.workflow.order import OrderError as OrderError
    from crossmargin_prover.workflow.pipeline import pipeline as pipeline
    from crossmargin_prover.workflow.prices import SecondPricesError as SecondPricesError
    from crossmargin_prover.workflow.prove import InsolventError as InsolventError
    from crossmargin_prover.workflow.prove import prove as prove
    from crossmargin_prover.workflow.publish import publish as publish
    from crossmargin_prover.workflow.run import Run as Run

__all__ = [
    "Backend",
    "BackendError",
    "ChangedInputError",
    "ClaimsOpenError",
    "InsolventError",
    "OrderError",
    "Run",
    "SecondPricesError",
    "SigningKey",
    "Vault",
    "VaultError",
    "commit",
    "deliver",
    "pipeline",
    "prove",
    "publish",
    "select_backend",
]

_PLACES = {
    "Backend": "backend.interface",
    "BackendError": "backend.interface",
    "ChangedInputError": "commitments",
    "ClaimsOpenError": "bundle",
    "InsolventError": "workflow.prove",
    "OrderError": "workflow.order",
    "Run": "workflow.run",
    "SecondPricesError": "workflow.prices",
    "SigningKey": "signing",
    "Vault": "vault.vault",
    "VaultError": "vault.vault",
    "commit": "workflow.commit",
    "deliver": "workflow.deliver",
    "pipeline": "workflow.pipeline",
    "prove": "workflow.prove",
    "publish": "workflow.publish",
    "select_backend": "backend.registry",
}


def __getattr__(name: str) -> object:
    """Import a public name from its module and return it."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found: object = getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    """Return the public names."""
    return sorted(__all__)
