"""The accounts table: who is in the book, with which sub-accounts, and where other tables' rows belong.

One row per account or sub-account; the unnamed sub-account "" is an account's own wallet. Ids are compared byte for
byte, so ids that could be mistaken for each other by a space or a control character are refused.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from crossmargin.errors import InputError, InputErrors
from crossmargin.loading.problems import LineProblems
from crossmargin.loading.table import Table

__all__ = ["ACCOUNT_COLUMNS", "MAX_ID_BYTES", "Accounts", "index_accounts"]

ACCOUNT_COLUMNS = ("account", "sub_account")

MAX_ID_BYTES = 256
"""Bytes of an account id or sub-account name: an e-mail address has 254, a public key 130."""

_UNPRINTABLE = r"\p{C}|\p{Zl}|\p{Zp}|^\s|\s$"

Rows = NDArray[np.int64]


@dataclass(frozen=True, repr=False)
class Accounts:
    """names: distinct accounts in file order; subs: distinct (account, sub_account) rows with `owner` and `first`.

    owner: number of the account of each sub-account; first: row of the accounts table of each account.
    """

    table: Table
    names: list[str]
    sub_names: list[str]
    owner: Rows
    first: Rows
    _keys: pl.DataFrame

    def locate(self, table: Table, problems: LineProblems) -> Rows:
        """Return the number of the sub-account of every row of a table, or -1 where there is none (a problem)."""
        keys = table.frame.select(ACCOUNT_COLUMNS)
        if not len(keys):
            return np.zeros(0, dtype=np.int64)
        # Rows of one account mostly stand together: only the first row of each run is looked up.
        moved = keys.select(
            pl.any_horizontal(pl.col(name) != pl.col(name).shift(1) for name in ACCOUNT_COLUMNS).fill_null(True)
        ).to_series()
        heads = keys.filter(moved).join(self._keys, on=ACCOUNT_COLUMNS, how="left", maintain_order="left")
        found = heads["sub"].fill_null(-1).to_numpy()
        subs: Rows = found[np.cumsum(moved.to_numpy()) - 1]
        unknown = subs < 0
        if unknown.any():
            known = table.frame["account"].is_in(pl.Series(self.names).implode()).to_numpy()
            mend = f"add it to {self.table.file} or remove the line"
            empty = (table.frame["account"] == "").to_numpy()
            problems.add(table, unknown & empty, "account", "empty account id", "write the account's id")
            problems.add(table, unknown & ~known & ~empty, "account", f"account not in {self.table.file}", mend)
            problems.add(table, unknown & known, "sub_account", f"sub-account not in {self.table.file}", mend)
        return subs


def index_accounts(table: Table, problems: LineProblems) -> Accounts:
    """Check the accounts table and index it.

    Raises:
        InputErrors: no row at all.
    """
    frame = table.frame
    if not len(frame):
        raise InputErrors([InputError("no account", mend="a book has at least one account", file=table.file)])
    account, sub = frame["account"], frame["sub_account"]
    problems.add(table, (account == "").to_numpy(), "account", "empty account id", "write the account's id")
    for field, column in (("account", account), ("sub_account", sub)):
        long = (column.str.len_bytes() > MAX_ID_BYTES).to_numpy()
        problems.add(table, long, field, f"more than {MAX_ID_BYTES} bytes", "use a shorter id")
        odd = column.str.contains(_UNPRINTABLE).to_numpy()
        mend = "remove it; ids are compared byte for byte"
        problems.add(table, odd, field, "a control character, or a space at an end", mend)
    first = frame.select(pl.struct(ACCOUNT_COLUMNS).is_first_distinct()).to_series().to_numpy()
    named = (sub != "").to_numpy()
    problems.add(table, ~first & ~named, "account", "duplicate account", "keep one line for it")
    problems.add(table, ~first & named, "sub_account", "duplicate sub-account", "keep one line for it")
    return _indexed(table, first)


def _indexed(table: Table, distinct: NDArray[np.bool_]) -> Accounts:
    rows = table.frame.with_row_index("row").filter(pl.Series(distinct))
    names = rows.select("account", "row").unique("account", keep="first", maintain_order=True)
    numbered = names.select("account").with_row_index("owner")
    owners = rows.join(numbered, on="account", how="left", maintain_order="left")
    return Accounts(
        table=table,
        names=names["account"].to_list(),
        sub_names=rows["sub_account"].to_list(),
        owner=owners["owner"].cast(pl.Int64).to_numpy(),
        first=names["row"].cast(pl.Int64).to_numpy(),
        _keys=rows.select(ACCOUNT_COLUMNS).with_columns(sub=pl.int_range(pl.len(), dtype=pl.Int64)),
    )
