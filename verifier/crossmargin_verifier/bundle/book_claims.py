"""Claims about the book as a whole, from the totals of its columns: number of accounts, open interest."""

from collections.abc import Sequence

from crossmargin_circuits.amounts import format_units
from crossmargin_circuits.layout import Column, ColumnKind
from crossmargin_verifier.bundle.claim import Claim, Result
from crossmargin_verifier.bundle.declarations import BundleManifest

__all__ = ["count_claims", "open_interest_claims"]


def count_claims(manifest: BundleManifest, accounts: int, leaves: int) -> list[Claim]:
    """Compare the opened number of accounts with what the venue reports."""
    counted = manifest.loaded == accounts and manifest.loaded + manifest.padding == leaves
    return [
        Claim(
            "accounts",
            Result.PASS if counted else Result.FAIL,
            f"{accounts} committed, {leaves - accounts} padding; venue says {manifest.loaded} loaded, "
            f"{manifest.padding} padding, {manifest.rejected} rejected",
            "the total of the account column, 1 for each checked account, is the number the venue reports",
        )
    ]


def open_interest_claims(columns: Sequence[Column], totals: Sequence[int]) -> list[Claim]:
    """Check that the positions in every instrument add up to zero."""
    positions = [(c, total) for c, total in zip(columns, totals, strict=True) if c.kind is ColumnKind.POSITION]
    open_ones = [(column, total) for column, total in positions if total]
    claims = [
        Claim(
            f"open interest {column.name}",
            Result.FAIL,
            f"net {format_units(total, column)}",
            "longs and shorts do not cancel: a side of a trade is missing from the book",
        )
        for column, total in open_ones
    ]
    if positions and not open_ones:
        claims.append(
            Claim(
                "open interest",
                Result.PASS,
                f"net zero in all {len(positions)} instruments",
                "longs and shorts of every instrument cancel over the book",
            )
        )
    return claims
