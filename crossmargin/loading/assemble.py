"""From the records of sub-accounts to the book: pool them, check the totals of accounts, refuse or reject."""

import numpy as np
from scipy.sparse import csr_array

from crossmargin.book.book import Book, column_limits
from crossmargin.book.pending import Pending
from crossmargin.book.records import beyond, pool
from crossmargin.errors import InputError, InputErrors
from crossmargin.loading.accounts import Accounts
from crossmargin.loading.problems import LineProblems, OnBad
from crossmargin_circuits.layout import RecordLayout

__all__ = ["assemble"]


def assemble(
    accounts: Accounts,
    sub_records: csr_array,
    layout: RecordLayout,
    problems: LineProblems,
    on_bad: OnBad,
    pending: tuple[csr_array, csr_array] | None = None,
) -> Book:
    """Return the book of the records of all sub-accounts; pending: amounts and counts of their pending deposits.

    Raises:
        InputErrors: with on_bad "refuse", any problem; with "reject", no account is left.
    """
    names, subs, owner = accounts.names, accounts.sub_names, accounts.owner
    records = pool(sub_records, owner, len(names))
    problems.begin("totals")
    _check_totals(accounts, sub_records, records, layout, "total", problems)
    late: tuple[csr_array, csr_array] | None = None
    if pending is not None:
        late = pool(pending[0], owner, len(names)), pool(pending[1], owner, len(names))
        _check_totals(accounts, pending[0], late[0], layout, "pending", problems)
    if not problems.count:
        shown = Pending(layout) if late is None else Pending(layout, *late)
        return Book.from_records(
            layout, names, subs, owner, sub_records, records, pending=shown, holder_parts=accounts.parts
        )
    if on_bad == "refuse":
        raise problems.errors()
    rejected = problems.rejected()
    out = {entry.account for entry in rejected}
    stays = np.array([name not in out for name in names])
    if not stays.any():
        reason = f"all {len(names)} accounts were rejected, for {len(rejected)} bad lines"
        first = problems.errors().problems[0]
        raise InputErrors([InputError(reason, hint="load without rejecting to see all reasons"), first])
    sub_stays = stays[owner]
    new_owner = np.cumsum(stays) - 1
    return Book.from_records(
        layout,
        [name for name, stay in zip(names, stays, strict=True) if stay],
        [sub for sub, stay in zip(subs, sub_stays, strict=True) if stay],
        new_owner[owner[sub_stays]],
        sub_records[np.flatnonzero(sub_stays), :],
        rejected=rejected,
        pending=Pending(layout)
        if late is None
        else Pending(layout, *(part[np.flatnonzero(stays), :] for part in late)),
        holder_parts=[part for part, stay in zip(accounts.parts, stays, strict=True) if stay] if accounts.parts else (),
    )


def _check_totals(
    accounts: Accounts,
    sub_records: csr_array,
    records: csr_array,
    layout: RecordLayout,
    what: str,
    problems: LineProblems,
) -> None:
    """Report accounts with sums, over rows or over sub-accounts, beyond a column's limit."""
    limits = column_limits(layout)
    rows, columns = beyond(sub_records, limits)
    pooled_rows, pooled_columns = beyond(records, limits)
    owners = np.concatenate((accounts.owner[rows], pooled_rows))
    cells = np.unique(np.stack((owners, np.concatenate((columns, pooled_columns)))), axis=1)
    for number in np.unique(cells[1]):
        bad = np.zeros(len(accounts.names), dtype=np.bool_)
        bad[cells[0, cells[1] == number]] = True
        key = layout.columns[int(number)].key
        hint = "check the account's lines, or raise the limit in instruments.yaml"
        problems.add(accounts, bad, "", f"the account's {what} {key} is beyond its limit", hint)
