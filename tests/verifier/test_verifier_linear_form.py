"""The opened form against what it is meant to say, on random witnesses and random challenges (SPEC P6)."""

import random
from dataclasses import dataclass

import pytest

from crossmargin_circuits.relation import Auxiliary, Relation, Row
from crossmargin_verifier.protocol.field import ORDER, dot
from crossmargin_verifier.protocol.linear_form import auxiliary_weights, shard_claim, shard_weights
from crossmargin_verifier.protocol.polynomial import eq_table
from crossmargin_verifier.protocol.shape import Shape

RELATION = Relation(
    ("usd", "btc"),
    (Auxiliary("long", False), Auxiliary("shortfall", True), Auxiliary("requirement", True)),
    (
        Row("long covers", (0, -1), (1, 0, 0), 3),
        Row("solvent", (100, 90), (-20, 1, 0), -2),
    ),
)


@dataclass
class Witness:
    records: list[list[int]]
    values: list[list[int]]


def witness(generator: random.Random, accounts: int, empty: int = 0) -> Witness:
    """Of some accounts, and of empty leaves behind them, whose slacks are L' aux without an offset."""
    records = [[generator.randrange(2**40), generator.randrange(-(2**20), 2**20)] for _ in range(accounts)]
    values = []
    for record in records:
        auxiliaries = [2**21 + generator.randrange(99), generator.randrange(2**33), generator.randrange(2**64)]
        auxiliaries[1] += max(0, -RELATION.slacks(record, auxiliaries)[1])
        values.append([*RELATION.slacks(record, auxiliaries), *auxiliaries])
        assert all(0 <= value < 2**64 for value in values[-1])
    for _ in range(empty):
        auxiliaries = [0, generator.randrange(2**33), generator.randrange(2**64)]
        records.append([0, 0])
        values.append([0, auxiliaries[1], *auxiliaries])
    return Witness(records, values)


@pytest.mark.parametrize(
    ("accounts", "empty", "packing"), [(1, 0, 0), (2, 0, 0), (2, 0, 1), (1, 1, 1), (8, 0, 2), (5, 3, 2), (6, 2, 0)]
)
def test_form_of_a_shard(accounts: int, empty: int, packing: int) -> None:
    """For a true witness the form comes to the claim; for one with a single wrong entry it does not."""
    generator = random.Random(accounts * 10 + packing)

    def scalar() -> int:
        return generator.randrange(ORDER)

    shape = Shape(accounts + empty, 1, 2, 3, 2, 2, packing)
    tau, rho = [[scalar() for _ in range(shape.variables)] for _ in range(2)]
    mu = scalar()
    first = shape.first_account_variable
    at_accounts = eq_table(rho[first:])
    at_rows = eq_table(rho[first + packing :])
    given = witness(generator, accounts, empty)

    record = [dot(at_accounts, [row[column] for row in given.records]) for column in range(2)]
    bits = [
        dot(
            at_rows,
            [given.values[(row << shape.packing) + a][j] >> t & 1 for row in range(shape.leaves >> shape.packing)],
        )
        for a in range(1 << shape.packing)
        for j in range(shape.values)
        for t in range(64)
    ]
    a, g = scalar(), [[scalar() for _ in range(degree)] for degree in shape.degrees]
    masks = [a, *(entry for row in g for entry in row)]
    cube = [
        value >> t & 1
        for row in given.values
        for value in (*row, *[0] * ((1 << shape.value_variables) - shape.values))
        for t in range(64)
    ]
    # z_1 .. z_6 number the bit, then come the values, then the accounts: the order of `cube`, low bit first.
    beta = (dot(eq_table(rho), cube) + a * rho[0] * (1 - rho[0])) % ORDER
    phi = sum(
        entry * (pow(at, e, ORDER) - shift)
        for row, at, shift in zip(g, rho, tau, strict=True)
        for e, entry in enumerate(row, 1)
    )

    weights = shard_weights(RELATION, shape, tau, rho, mu)
    share = sum(at_accounts[:accounts]) % ORDER
    assert (share == 1) == (empty == 0)
    claim = shard_claim(RELATION, mu, beta, phi, share)
    opened = [*record, *bits, *masks, scalar()]
    assert len(weights) == len(opened) == shape.opening_length
    assert dot(weights, opened) == claim
    assert weights[-1] == 0
    # An offset for empty leaves too would state another claim.
    assert (claim == shard_claim(RELATION, mu, beta, phi, 1)) == (empty == 0)
    for index in generator.sample(range(len(opened) - 1), 12):
        wrong = list(opened)
        wrong[index] += 1
        assert dot(weights, wrong) != claim


def test_form_of_the_auxiliary_totals() -> None:
    generator = random.Random(5)
    accounts, packing = 8, 2
    given = witness(generator, accounts)
    zeta = generator.randrange(ORDER)
    values = RELATION.values
    sums = [
        sum(given.values[row * 4 + a][j] >> t & 1 for row in range(accounts >> packing))
        for a in range(4)
        for j in range(values)
        for t in range(64)
    ]
    totals = [sum(row[3] for row in given.values), sum(row[4] for row in given.values)]
    weights = auxiliary_weights(RELATION, packing, zeta)
    assert len(weights) == len(sums) + 1
    assert dot(weights, [*sums, 99]) == (totals[0] + zeta * totals[1]) % ORDER
