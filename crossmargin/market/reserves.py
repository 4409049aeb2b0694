"""Declared reserves: the venue's stated holdings per asset, and its insurance fund."""

from decimal import Decimal

from crossmargin.errors import InputError
from crossmargin.fields import Frozen, Name, NotNegative, Text
from crossmargin.market.instruments import Catalogue
from crossmargin.units import to_units

__all__ = ["Reserves"]


class Reserves(Frozen):
    """The contents of `reserves.yaml`; amounts in the asset, the insurance fund in the value currency."""

    assets: dict[Name, NotNegative]
    insurance_fund: NotNegative
    source: Text

    def check(self, catalogue: Catalogue, quantum: Decimal) -> list[InputError]:
        """Return everything missing, foreign or finer than its unit; the field is stated, the file is not."""
        problems = []
        for asset in catalogue.assets:
            if asset.name not in self.assets:
                reason = f"no reserves stated for {asset.name}"
                problems.append(InputError(reason, hint='state them; "0" if there are none', field="assets"))
        known = {asset.name: asset.unit for asset in catalogue.assets}
        for name, amount in self.assets.items():
            field = f"assets.{name}"
            if name not in known:
                hint = "remove it, or add it to the instruments file"
                problems.append(InputError(f"{name} is not an asset", hint=hint, field=field))
                continue
            try:
                to_units(amount, known[name], f"the unit of {name}")
            except InputError as error:
                problems.append(error.at(field=field))
        try:
            to_units(self.insurance_fund, quantum, "the value quantum")
        except InputError as error:
            problems.append(error.at(field="insurance_fund"))
        return problems

    def units(self, catalogue: Catalogue) -> dict[str, int]:
        """Return the reserves in units of each asset."""
        return {
            asset.name: to_units(self.assets[asset.name], asset.unit, f"the unit of {asset.name}")
            for asset in catalogue.assets
        }

    def insurance_fund_quanta(self, quantum: Decimal) -> int:
        """Return the insurance fund in value quanta."""
        return to_units(self.insurance_fund, quantum, "the value quantum")
