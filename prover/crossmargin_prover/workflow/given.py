"""A vault as callers give it: the vault itself, or the path of its folder."""

from pathlib import Path

from crossmargin_prover.vault.vault import Vault

__all__ = ["given_vault", "open_vault"]


def given_vault(vault: Vault | str | Path) -> Vault:
    """Return a vault as it is, or that of a folder, whether it is there or not."""
    return vault if isinstance(vault, Vault) else Vault(Path(vault))


def open_vault(vault: Vault | str | Path) -> Vault:
    """Return a vault that has a finished snapshot.

    Raises:
        VaultError: it has none.
    """
    return Vault.open(given_vault(vault).path)
