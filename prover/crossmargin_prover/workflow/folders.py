"""The folders that a run accepts: one per kind, and no private folder inside a public one."""

from pathlib import Path

from crossmargin.placement import real_path
from crossmargin_prover.bundle import check_bundle_folder
from crossmargin_prover.vault.vault import Vault, VaultError
from crossmargin_prover.workflow.deliver import check_receipts_folder
from crossmargin_prover.workflow.given import given_vault
from crossmargin_prover.workflow.series import check_series

__all__ = ["check_earlier_vault", "check_folders"]


def check_folders(
    vault: Vault | str | Path,
    bundle: str | Path,
    receipts: str | Path | None = None,
    since: Vault | str | Path | None = None,
    *,
    series: bool = False,
) -> None:
    """Refuse unsuitable folders of a full run before any work.

    Raises:
        CrossmarginError: a private folder would lie inside the bundle, a folder holds something else, or the earlier
            vault is this one.
    """
    private, bundle = [given_vault(vault).path], Path(bundle)
    if series:
        check_series(bundle)
    else:
        check_bundle_folder(bundle)
    if receipts is not None:
        private.append(Path(receipts))
    for each in private:
        if real_path(bundle) in (real_path(each), *real_path(each).parents):
            raise VaultError(f"{each} would be inside the public bundle: choose another folder")
    if receipts is not None:
        check_receipts_folder(Path(receipts))
    if since is not None:
        check_earlier_vault(given_vault(since), given_vault(vault))


def check_earlier_vault(since: Vault, vault: Vault) -> None:
    """Refuse a vault as its own earlier vault.

    Raises:
        VaultError: both are the same folder.
    """
    if real_path(since.path) == real_path(vault.path):
        raise VaultError(f"{vault.path}: --since names this vault itself: name the earlier one")
