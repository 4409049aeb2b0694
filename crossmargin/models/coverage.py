"""Per-asset coverage: total debt in each asset, without netting one account's debt against another's claim.

The claim of an account on asset a is its value in a at mark, in units of a:

    claim_a(x) = balance_a + entry_a + sum over instruments settled in a of mark value per lot * position

For every asset, borrowable or not, the statement adds an auxiliary debt n_a >= max(0, -claim_a) and discloses its total
D_a. For a made-up account, only this row shows that it owes nothing. With the disclosed net total T_a (in which
positions cancel) it bounds the claims of all accounts together, none netted with a debt, by T_a + D_a (SPEC 10.4). At
most D_a of the claims on an asset depends on debtors instead of reserves.
"""

import numpy as np

from crossmargin.models.policy_builder import PolicyBuilder
from crossmargin_circuits.expression import Scale
from crossmargin_circuits.layout import ColumnKind
from crossmargin_circuits.policy import Definition, Role

__all__ = ["debts"]


def debts(builder: PolicyBuilder) -> None:
    """Add the claim array and the disclosed debt of every asset, in units of the asset (a builder with quantum 1)."""
    catalogue, layout = builder.catalogue, builder.layout
    values = builder.valuation.unit_values()
    settled = np.array(catalogue.settlement_of_columns())
    for asset in catalogue.assets:
        unit_value = values[layout.index(ColumnKind.BALANCE, asset.name)]
        mine = np.where(settled == asset.name, values / unit_value, 0.0)
        claim = builder.value(f"claim {asset.name}", f"claim on {asset.name}", mine)
        builder.definitions.append(
            Definition(
                f"debt {asset.name}",
                f"claim on {asset.name} + debt >= 0",
                Role.DEBT,
                Scale(-1, claim),
                asset.name,
            )
        )
