"""Generators with unknown discrete logarithms, by hashing to the curve (SPEC S2).

gen(l): for ctr = 0, 1, ..: x = H_gen(l || u32 ctr) as an integer; the first x < p on the curve; y even.
They do not depend on the relation, so a process derives them once and keeps them.
"""

import hashlib
from functools import cache

from crossmargin_circuits.digest import tag_prefix
from crossmargin_circuits.relation import VALUE_BITS
from crossmargin_verifier.protocol.group import PRIME, Affine, lift_x

__all__ = [
    "account_generators",
    "blinding_generator",
    "generator",
    "mask_generators",
    "position_generators",
    "slack_generators",
    "value_generator",
]


@cache
def generator(label: bytes) -> Affine:
    """Return gen(label), kept for the life of the process."""
    prefix = hashlib.sha256(tag_prefix("gen") + label)
    counter = 0
    while True:
        attempt = prefix.copy()
        attempt.update(counter.to_bytes(4, "big"))
        x = int.from_bytes(attempt.digest(), "big")
        if x < PRIME:
            point = lift_x(x, 0)
            if point is not None:
                return point
        counter += 1


def _indexed(kind: bytes, *indices: int) -> Affine:
    return generator(kind + b"".join(index.to_bytes(4, "big") for index in indices))


def position_generators(count: int) -> list[Affine]:
    """Return A_0 .. A_{count-1}, one per base column."""
    return [_indexed(b"A", column) for column in range(count)]


def account_generators(account: int, values: int) -> list[Affine]:
    """Return B_{a,j,t} at 64 j + t for one account a of a slack row, j < values = J and 64 bits t."""
    return [_indexed(b"B", account, value, bit) for value in range(values) for bit in range(VALUE_BITS)]


def slack_generators(values: int, packing: int) -> list[Affine]:
    """Return B_{a,j,t} at (a J + j) 64 + t, for a < 2^packing accounts."""
    return [base for account in range(1 << packing) for base in account_generators(account, values)]


def mask_generators(count: int) -> list[Affine]:
    """Return M_0 .. M_{count-1}, one per mask."""
    return [_indexed(b"M", entry) for entry in range(count)]


def blinding_generator() -> Affine:
    """Return H, the generator of blindings."""
    return generator(b"H")


def value_generator() -> Affine:
    """Return U, which carries the value of the linear form in an opening."""
    return generator(b"U")
