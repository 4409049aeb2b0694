"""Per-asset coverage: what is owed in one asset, without netting one account's debt against another's claim.

For every borrowable asset a the statement adds an auxiliary debt n_a >= max(0, -balance_a) whose total D_a is opened.
With the opened net total T_a it shows that the positive balances of any set of checked accounts are at most T_a + D_a
(SPEC 10.4): the part of the claims on an asset that rests on borrowers, not on reserves, is at most D_a.
"""

from crossmargin.instruments import Catalogue
from crossmargin_circuits.expression import Linear, Scale
from crossmargin_circuits.layout import ColumnKind
from crossmargin_circuits.policy import Definition, RiskArray, Role

__all__ = ["debts"]


def debts(catalogue: Catalogue) -> tuple[list[RiskArray], list[Definition]]:
    """Return one array and one disclosed debt per borrowable asset, in units of the asset."""
    layout = catalogue.layout()
    arrays: list[RiskArray] = []
    definitions: list[Definition] = []
    for asset in catalogue.assets:
        if not asset.borrowable:
            continue
        column = layout.index(ColumnKind.BALANCE, asset.name)
        unit = tuple(int(number == column) for number in range(len(layout)))
        arrays.append(RiskArray(f"balance {asset.name}", f"balance of {asset.name}", unit))
        definitions.append(
            Definition(
                f"debt {asset.name}",
                f"balance of {asset.name} + debt >= 0",
                Role.DEBT,
                Scale(-1, Linear(f"balance {asset.name}")),
                asset.name,
            )
        )
    return arrays, definitions
