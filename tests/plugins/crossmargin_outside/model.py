"""A margin model from outside: a flat rate on the value of every position."""

from typing import Literal

import numpy as np

import crossmargin as cm
from crossmargin.fields import NotNegative
from crossmargin.models.policy_builder import PolicyBuilder
from crossmargin_circuits.expression import Abs, Expression, Sum
from crossmargin_circuits.layout import ColumnKind


class FlatRate(cm.MarginModel):
    """requirement = rate * sum over instruments of |position * value of one lot|."""

    model: Literal["flat_rate"]
    rate: NotNegative

    def requirement(self, builder: PolicyBuilder) -> Expression:
        """Write one charge for each instrument."""
        values = builder.valuation.unit_values()
        charges = []
        for number, column in enumerate(builder.layout.columns):
            if column.kind is ColumnKind.POSITION:
                charge = np.zeros(len(values))
                charge[number] = float(self.rate) * abs(values[number])
                charges.append(Abs(builder.charge(f"charge {column.name}", f"rate on {column.name}", charge)))
        return Sum(tuple(charges))
