"""A proven statement in the vault: reads the files of its folder, and names a damaged one."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from crossmargin_circuits.errors import CrossmarginError, MalformedError
from crossmargin_circuits.policy import POLICY_FILE, Policy
from crossmargin_verifier.protocol.manifests import STATEMENT_FILE, StatementManifest

__all__ = ["Proven"]

Decoded = TypeVar("Decoded")


@dataclass(frozen=True)
class Proven:
    """A proven statement, by name, and the folder of its public files."""

    statement: str
    folder: Path

    @property
    def policy(self) -> Policy:
        """The published policy.

        Raises:
            MalformedError: the file is damaged; names it.
        """
        return self._read(POLICY_FILE, Policy.decode)

    @property
    def manifest(self) -> StatementManifest:
        """The statement's manifest.

        Raises:
            MalformedError: the file is damaged; names it.
        """
        return self._read(STATEMENT_FILE, StatementManifest.decode)

    def _read(self, name: str, decode: Callable[[bytes], Decoded]) -> Decoded:
        path = self.folder / name
        try:
            return decode(path.read_bytes())
        except FileNotFoundError:
            raise MalformedError(f"{path} is missing: prove that statement again") from None
        except CrossmarginError as error:
            raise MalformedError(f"{path}: {error}: prove that statement again") from None
