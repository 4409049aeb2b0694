"""Scan ranges by underlying: how far prices and volatilities move in the models that shock them.

price_range 0.15 scans prices between -15 % and +15 %, volatility_up 0.4 multiplies an implied volatility by 1.4,
volatility_down 0.25 by 0.75. Assets without a range do not move; their haircut is then all that is charged.
"""

from collections.abc import Mapping

from crossmargin.errors import InputError
from crossmargin.fields import Name
from crossmargin.models.base import ModelConfig
from crossmargin.scenarios import ScanRange
from crossmargin.setting import Setting

__all__ = ["ScanModel"]


class ScanModel(ModelConfig):
    """A model with scan ranges; every underlying needs one, an asset may have one."""

    scan: dict[Name, ScanRange]

    def check(self, setting: Setting) -> list[InputError]:
        """Return what is missing or foreign in `scan` for this catalogue."""
        problems = super().check(setting)
        catalogue = setting.catalogue
        known = {*catalogue.underlyings, *(asset.name for asset in catalogue.assets)}
        for name in catalogue.underlyings:
            if name not in self.scan:
                problems.append(
                    InputError(f"no scan range for underlying {name}", mend=f"add scan.{name}", field="scan")
                )
        for name in self.scan:
            if name not in known:
                problems.append(
                    InputError(
                        f"{name} is neither an asset nor an underlying",
                        mend="remove it or correct the name",
                        field=f"scan.{name}",
                    )
                )
        return problems

    def ranges(self, setting: Setting) -> Mapping[str, ScanRange]:
        """Return the ranges that hold in a setting."""
        return self.scan
