"""The log of a vault: every statement about its snapshot that was published, so that a second set of prices is seen.

Statements about one snapshot at many prices give away single accounts: each price adds one linear view of the records.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from crossmargin_circuits.errors import MalformedError

__all__ = ["PublishedStatement", "decode_publications", "encode_publications"]

FORMAT = "crossmargin-published/1"


@dataclass(frozen=True)
class PublishedStatement:
    """A statement that a bundle shows: its name, its digest, the digest of its policy and the time of the prices.

    prices: `as_of` of the policy, Unix seconds.
    """

    name: str
    statement: bytes
    policy: bytes
    prices: int


def encode_publications(snapshot: bytes, statements: Iterable[PublishedStatement]) -> bytes:
    """Return the log as JSON; snapshot: the digest that all statements are about."""
    listed = [
        {"name": each.name, "statement": each.statement.hex(), "policy": each.policy.hex(), "prices": each.prices}
        for each in statements
    ]
    return json.dumps({"format": FORMAT, "snapshot": snapshot.hex(), "statements": listed}, indent=2).encode("ascii")


def decode_publications(data: bytes, snapshot: bytes, where: str) -> tuple[PublishedStatement, ...]:
    """Read the log; where: its name in errors.

    Raises:
        MalformedError: not a log, or that of another snapshot.
    """
    try:
        log: Any = json.loads(data)
        if log["format"] != FORMAT or bytes.fromhex(log["snapshot"]) != snapshot:
            raise MalformedError(f"{where}: not the log of this snapshot: restore the file")
        return tuple(
            PublishedStatement(
                name=str(each["name"]),
                statement=bytes.fromhex(each["statement"]),
                policy=bytes.fromhex(each["policy"]),
                prices=int(each["prices"]),
            )
            for each in log["statements"]
        )
    except (ValueError, KeyError, TypeError, RecursionError):
        raise MalformedError(f"{where}: not a log of published statements: restore the file") from None
