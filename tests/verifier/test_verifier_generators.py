import hashlib

from crossmargin_verifier.protocol.generators import (
    account_generators,
    generator,
    mask_generators,
    position_generators,
    slack_generators,
)
from crossmargin_verifier.protocol.group import PRIME


def u32(*numbers: int) -> bytes:
    return b"".join(number.to_bytes(4, "big") for number in numbers)


def test_definition_by_exhaustive_search() -> None:
    """Euler's criterion instead of a square root, and every counter before the accepted one fails it."""
    for label in (b"A" + u32(7), b"M" + u32(2), b"H"):
        counter = 0
        while True:
            tag = b"crossmargin/2/gen"
            x = int.from_bytes(hashlib.sha256(bytes([len(tag)]) + tag + label + u32(counter)).digest(), "big")
            if x < PRIME and pow(x**3 + 7, (PRIME - 1) // 2, PRIME) == 1:
                break
            counter += 1
        point = generator(label)
        assert point[0] == x
        assert point[1] % 2 == 0


def test_order_of_slack_generators() -> None:
    """B_{a,j,t} stands at (a J + j) 64 + t."""
    values, packing = 2, 1
    points = slack_generators(values, packing)
    assert len(points) == len(set(points)) == 64 * values << packing
    assert points == [*account_generators(0, values), *account_generators(1, values)]
    for account, value, bit in [(0, 0, 0), (0, 1, 5), (1, 0, 63), (1, 1, 63)]:
        assert points[(account * values + value) * 64 + bit] == generator(b"B" + u32(account, value, bit))


def test_lists_are_prefixes_of_each_other() -> None:
    assert position_generators(4)[:2] == position_generators(2)
    assert mask_generators(4)[:2] == mask_generators(2)
    assert account_generators(3, 4)[:128] == account_generators(3, 2)
    assert not set(position_generators(4)) & set(mask_generators(4))
