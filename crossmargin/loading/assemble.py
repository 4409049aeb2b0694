"""From record entries to the book: add up, check what accounts hold in total, refuse or reject."""

from collections.abc import Sequence

import numpy as np

from crossmargin.book import Book, Entries, column_limits, pool, sum_entries
from crossmargin.errors import InputError, InputErrors
from crossmargin.loading.accounts import Accounts
from crossmargin.loading.problems import LineProblems, OnBad
from crossmargin_circuits.layout import RecordLayout

__all__ = ["assemble"]


def assemble(
    accounts: Accounts, parts: Sequence[Entries], layout: RecordLayout, problems: LineProblems, on_bad: OnBad
) -> Book:
    """Return the book of all entries.

    Raises:
        InputErrors: with on_bad "refuse", any problem; with "reject", that no account is left.
    """
    entries = sum_entries(
        np.concatenate([part.rows for part in parts]),
        np.concatenate([part.columns for part in parts]),
        np.concatenate([part.values for part in parts]),
        len(layout),
    )
    _check_totals(accounts, entries, layout, problems)
    names, subs, owner = accounts.names, accounts.sub_names, accounts.owner
    if not problems.count:
        return Book.from_entries(layout, names, subs, owner, entries)
    if on_bad == "refuse":
        raise problems.errors()
    rejected = problems.rejected()
    out = {entry.account for entry in rejected}
    stays = np.array([name not in out for name in names])
    if not stays.any():
        reason = f"all {len(names)} accounts were rejected, for {len(rejected)} bad lines"
        first = problems.errors().problems[0]
        raise InputErrors([InputError(reason, mend="load without rejecting to see all reasons"), first])
    sub_stays = stays[owner]
    new_owner, new_sub = np.cumsum(stays) - 1, np.cumsum(sub_stays) - 1
    kept = sub_stays[entries.rows]
    return Book.from_entries(
        layout,
        [name for name, stay in zip(names, stays, strict=True) if stay],
        [sub for sub, stay in zip(subs, sub_stays, strict=True) if stay],
        new_owner[owner[sub_stays]],
        Entries(new_sub[entries.rows[kept]], entries.columns[kept], entries.values[kept]),
        rejected,
    )


def _check_totals(accounts: Accounts, entries: Entries, layout: RecordLayout, problems: LineProblems) -> None:
    """Report accounts whose sums, over rows or over sub-accounts, are beyond a column's limit."""
    limits = column_limits(layout)
    pooled = pool(entries, accounts.owner, len(layout))
    over, pooled_over = entries.over(limits), pooled.over(limits)
    owners = np.concatenate((accounts.owner[entries.rows[over]], pooled.rows[pooled_over]))
    columns = np.concatenate((entries.columns[over], pooled.columns[pooled_over]))
    cells = np.unique(np.stack((owners, columns)), axis=1)
    for number in np.unique(cells[1]):
        bad = np.zeros(len(accounts.table.frame), dtype=np.bool_)
        bad[accounts.first[cells[0, cells[1] == number]]] = True
        key = layout.columns[int(number)].key
        mend = "check the account's lines, or raise the limit in instruments.yaml"
        problems.add(accounts.table, bad, "", f"the account's total {key} is beyond its limit", mend)
