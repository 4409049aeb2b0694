"""Rows of the deposits table: amounts that arrived on a chain, by block, final or pending.

A deposit in a block at or below its chain's finalized block is part of the balance; a later one is pending. Amounts are
above zero: a withdrawal lowers the balance as soon as the holder requests it, so that a chain reorganisation never
leaves collateral that does not exist. Several deposits of one account and asset are added up.
"""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from crossmargin.book.records import RecordBuilder
from crossmargin.loading.accounts import Locator
from crossmargin.loading.cells import in_units, members, report
from crossmargin.loading.decimals import Status, parse_digits, to_units
from crossmargin.loading.problems import LineProblems
from crossmargin.loading.table import Table
from crossmargin.market.instruments import Catalogue
from crossmargin.units import format_decimal
from crossmargin_circuits.layout import ColumnKind

__all__ = ["DEPOSIT_COLUMNS", "Deposits", "add_deposits", "with_deposits"]

DEPOSIT_COLUMNS = ("account", "sub_account", "asset", "block", "amount")


@dataclass(frozen=True, repr=False)
class Deposits:
    """Entries of final deposits, of pending deposits, and of the number of pending deposits."""

    catalogue: Catalogue
    arrived: RecordBuilder
    pending: RecordBuilder
    counts: RecordBuilder

    @classmethod
    def empty(cls, catalogue: Catalogue) -> "Deposits":
        """Return an empty set of entries."""
        width = len(catalogue.layout())
        every = np.ones(width, dtype=np.bool_)
        return cls(catalogue, *(RecordBuilder(width, every) for _ in range(3)))


def add_deposits(table: Table, locator: Locator, deposits: Deposits, problems: LineProblems) -> None:
    """Enter the deposits of a batch; leave out and report rows with a problem."""
    catalogue = deposits.catalogue
    assets = catalogue.assets
    names = [asset.name for asset in assets]
    subs = locator.locate(table, problems)
    asset = members(table, "asset", names, problems)
    chains = [catalogue.chain_of(name) for name in names]
    on_chain = np.array([chain is not None for chain in chains])
    nowhere = (asset >= 0) & ~on_chain[asset]
    problems.add(
        table,
        nowhere,
        "asset",
        lambda row: f"{names[asset[row]]} is held on no chain",
        "name the asset on its chain, or enter the amount in balances",
    )
    ones = np.ones(len(asset), dtype=np.int64)
    block, block_status = to_units(parse_digits(table.frame["block"]), ones, 0 * ones)
    report(table, "block", block_status, asset, ["one block"] * len(assets), problems)
    whole = block_status == Status.OK
    problems.add(table, whole & (block < 0), "block", "negative", "write the number of the block")
    amount, status = in_units(table.frame["amount"], asset, [one.unit for one in assets])
    finer = [f"the unit {format_decimal(one.unit)} of {one.name}" for one in assets]
    report(table, "amount", status, asset, finer, problems)
    known = (asset >= 0) & (status == Status.OK)
    low = known & (amount <= 0)
    problems.add(table, low, "amount", "not positive", "enter a withdrawal in balances, when it is asked for")
    limits = np.array([one.limit_units for one in assets], dtype=np.int64)
    beyond = known & (amount > limits[asset])
    problems.add(
        table,
        beyond,
        "amount",
        lambda row: f"beyond the limit of {format_decimal(assets[asset[row]].limit)} {names[asset[row]]}",
        "check the amount, or raise the asset's limit",
    )
    good = known & (subs >= 0) & ~nowhere & whole & (block >= 0) & ~low & ~beyond
    finalized = np.array([-1 if chain is None else chain.finalized for chain in chains], dtype=np.int64)
    final = good & (block <= finalized[asset])
    later = good & ~final
    layout = catalogue.layout()
    columns = np.array([layout.index(ColumnKind.BALANCE, name) for name in names], dtype=np.int64)[asset]
    deposits.arrived.add(subs[final], columns[final], amount[final])
    deposits.pending.add(subs[later], columns[later], amount[later])
    deposits.counts.add(subs[later], columns[later], ones[later])


def with_deposits(records: csr_array, arrived: csr_array) -> csr_array:
    """Return the sum of two matrices of records, exactly."""
    height, width = records.shape
    builder = RecordBuilder(int(width), np.ones(int(width), dtype=np.bool_))
    for matrix in (records, arrived):
        rows = np.repeat(np.arange(height, dtype=np.int64), np.diff(matrix.indptr))
        builder.add(rows, matrix.indices.astype(np.int64), matrix.data)
    return builder.build(int(height))[0]
