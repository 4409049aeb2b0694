"""User files of Binance's zkmerkle-proof-of-solvency, read as spot accounts with debts.

Source of the layout: the repository binance/zkmerkle-proof-of-solvency (its sample users and its documents). Columns:
`rn`, `id` (64 hexadecimal digits), then for every asset X, in lower case,

    e_X equity, d_X debt, X net, vl_X, m_X, pm_X      equity pledged for loans, margin and portfolio margin

or only the first three (older files, which also have one `X_udst_price` per asset), and `total_net_balance_usdt`
last. The balance is equity - debt. The pledged amounts are part of the equity: they are not added, and their sum must
not exceed it. The net, price and total columns are derived and not read. Amounts may have an exponent, as these files
do (1.56e-05).
"""

import re
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import numpy as np
import polars as pl

from crossmargin.book.book import Book
from crossmargin.book.records import RecordBuilder
from crossmargin.errors import InputError, InputErrors
from crossmargin.loading.accounts import index_accounts
from crossmargin.loading.assemble import assemble
from crossmargin.loading.csv import csv_batches, header_of
from crossmargin.loading.decimals import Integers, Status, parse_digits, to_units
from crossmargin.loading.ledger import CheckRecords
from crossmargin.loading.problems import LineProblems, OnBad
from crossmargin.loading.table import Origin, Table
from crossmargin.market.instruments import Asset, Catalogue
from crossmargin.units import decimal_places, format_decimal
from crossmargin_circuits.layout import ColumnKind

__all__ = ["BINANCE_FOLDER", "binance_assets", "binance_files", "load_binance"]

BINANCE_FOLDER = "binance"
"""Folder of these files inside a book folder, in place of the accounts, balances and positions tables."""

_HEAD = ["rn", "id"]
_TOTAL = "total_net_balance_usdt"
_PLEDGED = ("vl_", "m_", "pm_")
_ID = r"^[0-9a-fA-F]{64}$"
_EXPONENT = re.compile(r"-?[0-9]+(\.[0-9]+)?[eE][+-]?[0-9]{1,2}")


def binance_files(folder: Path) -> list[Path]:
    """Return the user files of a folder, ordered by name.

    Raises:
        InputErrors: there is none.
    """
    found = sorted(folder.glob("*.csv"))
    if not found:
        raise InputErrors([InputError("no user file", hint="add CSV files", file=folder.name)])
    return found


def binance_assets(header: Sequence[str], file: str) -> list[str]:
    """Return the assets named in a header, in its lower case.

    Raises:
        InputErrors: it is not a header of this layout.
    """
    names = [name[2:] for name in header if name.startswith("e_")]
    for group in (("e_{}", "d_{}", "{}", "vl_{}", "m_{}", "pm_{}"), ("e_{}", "d_{}", "{}")):
        columns = [form.format(name) for name in names for form in group]
        prices = [] if len(group) == 6 else [f"{name}_udst_price" for name in names]
        for derived in ([], prices):
            if list(header) == [*_HEAD, *columns, *derived, _TOTAL] and len(set(names)) == len(names) > 0:
                return names
    reason = "not the header of a user file"
    hint = f"write rn,id, then e_X,d_X,X,vl_X,m_X,pm_X for every asset X, then {_TOTAL}"
    raise InputErrors([InputError(reason, hint=hint, file=file, line=1)])


def load_binance(
    files: Sequence[Path], catalogue: Catalogue, on_bad: OnBad = "refuse", check: CheckRecords | None = None
) -> Book:
    """Return the book of user files: one account per line, no sub-accounts, no positions.

    Asset X is the catalogue's asset of that name in upper case; catalogue assets missing from the files are zero. Files
    must agree on the header.

    Raises:
        InputErrors: files not in this layout, assets missing from the catalogue, bad lines.
    """
    table, names = _read(files)
    problems = LineProblems(on_bad)
    assets = _assets(names, catalogue, table.file)
    ids = table.frame["account"]
    odd = ~ids.str.contains(_ID).to_numpy() & (ids != "").to_numpy()
    problems.add(table, odd, "id", "not 64 hexadecimal digits", "write the 32 bytes of the id in hexadecimal")
    accounts, _ = index_accounts(table, problems)
    subs = np.full(len(table.frame), -1, dtype=np.int64)
    distinct = table.frame["account"].is_first_distinct().to_numpy()
    subs[distinct] = np.arange(len(accounts.sub_names))
    layout = catalogue.layout()
    builder = RecordBuilder(len(layout), np.zeros(len(layout), dtype=np.bool_))
    for name, asset in zip(names, assets, strict=True):
        balance, good = _balances(table, name, asset, problems)
        keep = good & distinct & (balance != 0)
        column = layout.index(ColumnKind.BALANCE, asset.name)
        rows = subs[keep]
        builder.add(rows, np.full(len(rows), column, dtype=np.int64), balance[keep])
    records, _ = builder.build(len(accounts.names))
    faults = check(records, layout) if check is not None and not problems.count else []
    if faults:
        raise InputErrors(faults)
    return assemble(accounts, records, layout, problems, on_bad)


def _read(files: Sequence[Path]) -> tuple[Table, list[str]]:
    frames: list[pl.DataFrame] = []
    origins: list[Origin] = []
    first: list[str] = []
    start = 0
    for path in files:
        header = header_of(path)
        names = binance_assets(header, path.name)
        if first and header != first:
            reason, hint = f"a header other than that of {files[0].name}", "write all user files with one header"
            raise InputErrors([InputError(reason, hint=hint, file=path.name, line=1)])
        first = header
        read = [f"{kind}{name}" for name in names for kind in ("e_", "d_", *_PLEDGED) if f"{kind}{name}" in header]
        origins.append(Origin(path.name, first=2, start=start))
        for frame in csv_batches(path, header):
            frames.append(frame.select(pl.col("id").alias("account"), *read, sub_account=pl.lit("")))
            start += len(frame)
    if not frames:
        frames.append(pl.DataFrame(schema=dict.fromkeys(["account", "sub_account"], pl.String)))
    return Table(pl.concat(frames), tuple(origins)), binance_assets(first, files[0].name)


def _assets(names: Sequence[str], catalogue: Catalogue, file: str) -> list[Asset]:
    known = {asset.name: asset for asset in catalogue.assets}
    missing = [
        InputError(
            f"asset {name.upper()[:64]!r} is not in the catalogue",
            hint="add it to the assets of instruments.yaml",
            file=file,
            line=1,
            field=f"e_{name}"[:64],
        )
        for name in names
        if name.upper() not in known
    ]
    if missing:
        raise InputErrors(missing)
    return [known[name.upper()] for name in names]


def _balances(table: Table, name: str, asset: Asset, problems: LineProblems) -> tuple[Integers, np.ndarray]:
    """Return equity - debt in units of the asset, and the rows with sound values in every column of the asset."""
    equity, good = _amounts(table, f"e_{name}", asset, problems)
    debt, fine = _amounts(table, f"d_{name}", asset, problems)
    good &= fine
    pledged = np.zeros(len(equity), dtype=np.int64)
    for kind in _PLEDGED:
        if f"{kind}{name}" in table.frame.columns:
            part, fine = _amounts(table, f"{kind}{name}", asset, problems)
            good &= fine
            over = good & (part > equity - pledged)
            problems.add(table, over, f"{kind}{name}", "more pledged than the equity", "correct the pledged amounts")
            good &= ~over
            pledged = np.where(good, pledged + part, 0)
    if not asset.borrowable:
        reason = f"a debt in {asset.name}, which cannot be borrowed"
        owed = good & (debt > 0)
        problems.add(table, owed, f"d_{name}", reason, "correct the debt, or make the asset borrowable")
        good &= ~owed
    return np.where(good, equity - debt, 0), good


def _amounts(table: Table, field: str, asset: Asset, problems: LineProblems) -> tuple[Integers, np.ndarray]:
    mantissa, places = decimal_places(asset.unit)
    text = _plain(table.frame[field])
    size = len(text)
    parsed = parse_digits(text)
    units, status = to_units(parsed, np.full(size, mantissa, dtype=np.int64), np.full(size, places, dtype=np.int64))
    for kind in Status:
        if kind is not Status.OK:
            fine = f" the unit {format_decimal(asset.unit)} of {asset.name}" if kind is Status.FINE else ""
            problems.add(table, status == kind, field, kind.reason + fine, kind.hint)
    good = status == Status.OK
    negative = good & (units < 0)
    problems.add(table, negative, field, "negative", "write zero or more; a debt stands in the d_ column")
    beyond = good & (units > asset.limit_units)
    reason = f"beyond the limit of {format_decimal(asset.limit)} {asset.name}"
    problems.add(table, beyond, field, reason, "check the amount, or raise the asset's limit")
    good &= ~negative & ~beyond
    return np.where(good, units, 0), good


def _plain(text: pl.Series) -> pl.Series:
    """Return the column with exponents written out; a text that is not a number stays, for the parser to refuse."""
    rows = np.flatnonzero(text.str.contains("[eE]").to_numpy())
    if not len(rows):
        return text
    plain = text.to_list()
    for row in rows:
        if _EXPONENT.fullmatch(plain[row]):
            plain[row] = format(Decimal(plain[row]), "f")
    return pl.Series(text.name, plain, dtype=pl.String)
