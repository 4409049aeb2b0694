"""Weights of the opened linear forms (SPEC P6, V5, P10).

The form of a shard states, by powers of mu: b_hat(rho) = beta (power 0), g(rho) = phi (power 1) and row k at rho_acc
(power k + 2). The offset of a row counts for accounts, not for empty leaves: its factor is sum_{i<cnt} eq(rho_acc, i).
"""

from collections.abc import Sequence

from crossmargin_circuits.relation import VALUE_BITS, Relation
from crossmargin_verifier.protocol.field import ORDER, dot
from crossmargin_verifier.protocol.polynomial import eq_table, powers
from crossmargin_verifier.protocol.shape import BIT_VARIABLES, Shape

__all__ = ["auxiliary_weights", "shard_claim", "shard_weights"]


def shard_weights(relation: Relation, shape: Shape, tau: Sequence[int], rho: Sequence[int], mu: int) -> list[int]:
    """Return w for the opening of a shard, l_0 weights in the order (x | b | o_M | H); tau, rho: n challenges each."""
    row_weights = powers(mu, len(relation.rows) + 2)[2:]
    first = shape.first_account_variable

    base = [-dot(row_weights, column) for column in zip(*(row.base for row in relation.rows), strict=True)]
    auxiliary = [-dot(row_weights, column) for column in zip(*(row.auxiliary for row in relation.rows), strict=True)]
    weights = [entry % ORDER for entry in base]

    # b_{a,j,t}: eq(rho_a, a) (eq(rho_val, j) eq(rho_bit, t) + theta_j 2^t), theta_j the weight of value j in the rows.
    bits = eq_table(rho[:BIT_VARIABLES])
    values = eq_table(rho[BIT_VARIABLES:first])
    thetas = [*row_weights, *auxiliary]
    for account in eq_table(rho[first : first + shape.packing]):
        for value, theta in zip(values, thetas, strict=False):
            digit = account * value % ORDER
            place = account * theta % ORDER
            for power, bit in enumerate(bits):
                weights.append((digit * bit + (place << power)) % ORDER)

    # o_M: a, then g_{d,e}.
    weights.append(rho[0] * (1 - rho[0]) % ORDER)
    for degree, at, shift in zip(shape.degrees, rho, tau, strict=True):
        weights += [mu * (power - shift) % ORDER for power in powers(at, degree + 1)[1:]]
    weights.append(0)
    return weights


def shard_claim(relation: Relation, mu: int, beta: int, phi: int, share: int) -> int:
    """Return the value that the form of a shard must have; share: sum_{i<cnt} eq(rho_acc, i)."""
    offsets = dot(powers(mu, len(relation.rows) + 2)[2:], [row.offset for row in relation.rows])
    return (beta + mu * phi + share * offsets) % ORDER


def auxiliary_weights(relation: Relation, packing: int, zeta: int) -> list[int]:
    """Return w for the opening of the auxiliary totals: zeta^e 2^t on the bits of the e-th disclosed one, else 0."""
    one_account = [0] * (VALUE_BITS * relation.values)
    for weight, number in zip(powers(zeta, len(relation.disclosed)), relation.disclosed, strict=True):
        start = VALUE_BITS * (len(relation.rows) + number)
        one_account[start : start + VALUE_BITS] = [(weight << bit) % ORDER for bit in range(VALUE_BITS)]
    return one_account * (1 << packing) + [0]
