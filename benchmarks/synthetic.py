"""Synthetic records and relations of any size, solvent by construction, for measurements."""

import numpy as np
from scipy.sparse import csr_array

from crossmargin_circuits.relation import Relation, Row

__all__ = ["records_and_relation"]

POSITION_BITS = 40
"""Magnitude of a position, in lots."""

COEFFICIENT_BITS = 16
"""Magnitude of a risk array's entry, in quanta per lot."""

SURPLUS_BITS = 50
"""Magnitude of the equity beyond the worst row."""


def records_and_relation(
    accounts: int, columns: int, positions: int, rows: int, seed: int = 1
) -> tuple[csr_array, Relation]:
    """Return records (accounts, columns), int64 CSR, and a relation without auxiliaries that all of them satisfy.

    Every account has cash in column 0, as much as its worst row needs and a random surplus, and `positions` random
    positions in other columns.
    """
    generator = np.random.default_rng(seed)
    coefficients = generator.integers(-(2**COEFFICIENT_BITS), 2**COEFFICIENT_BITS, (rows, columns))
    coefficients[:, 0] = 1
    chosen = generator.random((accounts, columns - 1)).argpartition(positions, axis=1)[:, :positions] + 1
    held = generator.integers(-(2**POSITION_BITS), 2**POSITION_BITS, (accounts, positions))
    worst = np.array([(coefficients[row][chosen] * held).sum(axis=1) for row in range(rows)]).min(axis=0)
    cash = np.maximum(-worst, 0) + generator.integers(0, 2**SURPLUS_BITS, accounts)
    indices = np.concatenate([np.zeros((accounts, 1), np.int64), chosen], axis=1)
    data = np.concatenate([cash[:, None], held], axis=1)
    starts = np.arange(accounts + 1) * (positions + 1)
    records = csr_array((data.ravel(), indices.ravel(), starts), shape=(accounts, columns))
    records.sort_indices()
    relation = Relation(
        columns=tuple(f"column {number}" for number in range(columns)),
        auxiliaries=(),
        rows=tuple(
            Row(f"row {number}", tuple(int(entry) for entry in coefficients[number]), ()) for number in range(rows)
        ),
    )
    return records, relation
