"""Turn prices into integer risk arrays, once (SPEC S7): here floats end.

A value in the value currency per column unit is divided by the value quantum and rounded to the nearest integer, ties
to even. Positions are signed, so no direction of rounding is the safe one; the error is at most half a quantum per
unit or lot, and the rounded integers, not the prices behind them, are the model that is proven.
"""

from decimal import Decimal

import numpy as np
import numpy.typing as npt

from crossmargin.errors import InputError
from crossmargin.market.instruments import Catalogue, Kind
from crossmargin_circuits.encoding import MAX_JSON_INTEGER
from crossmargin_circuits.layout import ColumnKind, RecordLayout
from crossmargin_circuits.policy import RiskArray

__all__ = ["RESOLUTION", "ROUNDING", "check_resolution", "risk_array"]

ROUNDING = "to the nearest quantum, ties to even"

HIDDEN = 1.0
"""USD that rounding the value of an option may add to, or take from, an account that holds its limit, if by more than
one part in RESOLUTION."""

RESOLUTION = 1000
"""Rounding may change the value of a unit of an asset, or of a lot of a future, by one part in this many."""


def risk_array(
    name: str, meaning: str, values: npt.NDArray[np.float64], quantum: Decimal, layout: RecordLayout
) -> RiskArray:
    """Round `values` (V,), in the value currency per column unit, to quanta.

    Raises:
        InputError: a value is not finite, or beyond 2^53 - 1 quanta, where neither floats nor policy files are exact.
    """
    quanta = np.rint(values / float(quantum))
    bad = np.flatnonzero(~(np.abs(quanta) <= MAX_JSON_INTEGER))
    if len(bad):
        column = layout.columns[int(bad[0])]
        raise InputError(
            f"{name}: the value of one unit of {column.key} is not a finite number below 2^53 quanta",
            field="value_unit.quantum",
            hint=f"choose a coarser quantum or a smaller lot or unit than {column.unit}",
        )
    return RiskArray(name, meaning, tuple(int(value) for value in quanta))


def check_resolution(
    values: npt.NDArray[np.float64],
    quantum: Decimal,
    catalogue: Catalogue,
    full: npt.NDArray[np.float64] | None = None,
) -> None:
    """Refuse a quantum that is coarse against the value of a unit: the rounded integers would be another model.

    values: (V,), in the value currency per column unit; full: what a change is measured against where `values` are but
    parts of it. An option may be worth next to nothing: a position at its limit may then change by HIDDEN at most.

    Raises:
        InputError: names the column and the hint.
    """
    exact = values / float(quantum)
    whole = exact if full is None else full / float(quantum)
    changed = np.abs(np.rint(exact) - exact) * RESOLUTION > np.abs(whole)
    errors = np.abs(np.rint(exact) - exact) * float(quantum)
    for column, coarse, error in zip(catalogue.layout().columns, changed.tolist(), errors.tolist(), strict=True):
        if not coarse:
            continue
        if column.kind is ColumnKind.POSITION and catalogue.instrument(column.name).kind is Kind.OPTION:
            if error * column.limit > HIDDEN:
                raise InputError(
                    f"rounding to the quantum hides {error * column.limit:.6g} USD in {column.key} at its limit",
                    field="value_unit.quantum",
                    hint="choose a finer quantum, or a lower limit or a larger lot in instruments.yaml",
                )
            continue
        raise InputError(
            f"rounding to the quantum changes the value of one unit of {column.key} ({column.unit}) by more than "
            f"one part in {RESOLUTION}",
            field="value_unit.quantum",
            hint="choose a finer quantum, or a coarser unit or lot in instruments.yaml",
        )
