"""The accounts table: the accounts of the book, their sub-accounts, and the owner of each row in other tables.

One row per account or sub-account; the unnamed sub-account "" is an account's own wallet. Ids are compared byte for
byte, so ids with a control character or a space at an end, which people could confuse, are refused.

The optional column `holder_part` holds a text that the holder chose, which becomes part of the id that is committed:
NAME#PART. Every row of an account may state it, and rows that do must agree.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from crossmargin.book.book import PART_MARK
from crossmargin.errors import InputError, InputErrors
from crossmargin.loading.keys import KEY_COLUMNS, Keys
from crossmargin.loading.problems import LineProblems
from crossmargin.loading.table import Origin, Place, Table, place

__all__ = ["HOLDER_PART", "MAX_ID_BYTES", "Accounts", "Locator", "index_accounts"]

HOLDER_PART = "holder_part"
"""The optional column of the accounts table."""

MAX_PART_LENGTH = 64
"""Most characters of a holder's part: room for 256 bits in hexadecimal."""

MAX_ID_BYTES = 256
"""Most bytes of an account id or sub-account name: an e-mail address has 254, a public key 130."""

_UNPRINTABLE = r"\p{C}|\p{Zl}|\p{Zp}|^\s|\s$"
_PART = rf"^[A-Za-z0-9_.-]{{1,{MAX_PART_LENGTH}}}$"

Rows = NDArray[np.int64]


@dataclass(frozen=True, repr=False)
class Accounts:
    """names: distinct accounts in file order; subs: distinct (account, sub_account) rows with `owner`.

    owner: number of each sub-account's account; first: each account's row in the accounts table; parts: the holder's
    part of each account's id, "" for none, or an empty list where no account has one.
    """

    names: list[str]
    sub_names: list[str]
    owner: Rows
    first: Rows
    origins: tuple[Origin, ...]
    parts: list[str]

    def place(self, row: int) -> Place:
        """Return the place of the first row of account number `row`."""
        return place(self.origins, int(self.first[row]))

    def account(self, row: int) -> str:
        """Return the id of account number `row`."""
        return self.names[row]


@dataclass(frozen=True, repr=False)
class Locator:
    """Finds the sub-accounts of other tables' rows; file: of the accounts."""

    keys: Keys
    file: str

    def locate(self, table: Table, problems: LineProblems) -> Rows:
        """Return each row's sub-account number, or -1 where there is none (a problem)."""
        keys = table.frame.select(KEY_COLUMNS)
        # Rows of one account are mostly adjacent, so look up only the first row of each run.
        moved = keys.select(
            pl.any_horizontal(pl.col(name) != pl.col(name).shift(1) for name in KEY_COLUMNS).fill_null(True)
        ).to_series()
        runs = moved.to_numpy()
        subs: Rows = self.keys.find(keys.filter(moved))[np.cumsum(runs) - 1]
        unknown = subs < 0
        known = np.zeros(len(subs), dtype=np.bool_)
        if unknown.any():
            known[unknown] = self.keys.has_account(keys["account"].filter(pl.Series(unknown)))
        empty = (keys["account"] == "").to_numpy()
        hint = f"add it to {self.file} or remove the line"
        problems.add(table, unknown & empty, "account", "empty account id", "write the account's id")
        problems.add(table, unknown & ~known & ~empty, "account", f"account not in {self.file}", hint)
        problems.add(table, unknown & known, "sub_account", f"sub-account not in {self.file}", hint)
        return subs


def index_accounts(table: Table, problems: LineProblems) -> tuple[Accounts, Locator]:
    """Check the accounts table and index it.

    Raises:
        InputErrors: no row at all.
    """
    frame = table.frame
    if not len(frame):
        raise InputErrors([InputError("no account", hint="a book has at least one account", file=table.file)])
    account, sub = frame["account"], frame["sub_account"]
    problems.add(table, (account == "").to_numpy(), "account", "empty account id", "write the account's id")
    for field, column in (("account", account), ("sub_account", sub)):
        long = (column.str.len_bytes() > MAX_ID_BYTES).to_numpy()
        problems.add(table, long, field, f"more than {MAX_ID_BYTES} bytes", "use a shorter id")
        odd = column.str.contains(_UNPRINTABLE).to_numpy()
        hint = "remove it; ids are compared byte for byte"
        problems.add(table, odd, field, "a control character, or a space at an end", hint)
    first = frame.select(pl.struct(KEY_COLUMNS).is_first_distinct()).to_series().to_numpy()
    named = (sub != "").to_numpy()
    problems.add(table, ~first & ~named, "account", "duplicate account", "keep one line for it")
    problems.add(table, ~first & named, "sub_account", "duplicate sub-account", "keep one line for it")
    return _indexed(table, first, _check_parts(table, problems))


def _check_parts(table: Table, problems: LineProblems) -> pl.Series | None:
    """Return the holder's part that each row's account has, or None where no row states one."""
    if HOLDER_PART not in table.frame.columns or (table.frame[HOLDER_PART] == "").all():
        return None
    account, part = table.frame["account"], table.frame[HOLDER_PART]
    odd = ((part != "") & ~part.str.contains(_PART)).to_numpy()
    hint = f"write 1 to {MAX_PART_LENGTH} of the characters A-Z a-z 0-9 _ . -"
    problems.add(table, odd, HOLDER_PART, "not a holder's part of an id", hint)
    marked = account.str.contains(PART_MARK, literal=True).to_numpy()
    reason = f"an account id with {PART_MARK}, in a table with holders' parts"
    hint = f"write the id without {PART_MARK}, which stands between id and part"
    problems.add(table, marked, "account", reason, hint)
    stated = table.frame.select("account", HOLDER_PART).filter(pl.col(HOLDER_PART) != "")
    first = stated.unique("account", keep="first")
    of_account = table.frame.select("account").join(first, on="account", how="left", maintain_order="left")
    chosen = of_account[HOLDER_PART].fill_null("")
    differs = ((part != "") & (part != chosen)).to_numpy()
    reason = "another part than on an earlier line of this account"
    problems.add(table, differs, HOLDER_PART, reason, "write one part for an account, or leave the field empty")
    return chosen


def _indexed(table: Table, distinct: NDArray[np.bool_], part: pl.Series | None) -> tuple[Accounts, Locator]:
    rows = table.frame.select(KEY_COLUMNS).with_row_index("row")
    if not distinct.all():
        rows = rows.filter(pl.Series(distinct))
    names = rows.select("account", "row").unique("account", keep="first", maintain_order=True)
    numbered = names.select("account").with_row_index("owner")
    owners = rows.join(numbered, on="account", how="left", maintain_order="left")
    accounts = Accounts(
        names=names["account"].to_list(),
        sub_names=rows["sub_account"].to_list(),
        owner=owners["owner"].cast(pl.Int64).to_numpy(),
        first=names["row"].cast(pl.Int64).to_numpy(),
        origins=table.origins,
        parts=[] if part is None else part.gather(names["row"]).to_list(),
    )
    return accounts, Locator(Keys(rows), table.file)
