"""A source from outside: a book in an SQLite database, its parameters as JSON in a table of their own."""

import json
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path

import polars as pl

from crossmargin.loading import Parameters, TableSource, build_parameters

COLUMNS = {
    "accounts": ("account", "sub_account"),
    "balances": ("account", "sub_account", "asset", "amount"),
    "positions": ("account", "sub_account", "instrument", "quantity", "entry_price"),
}
BATCH = 2


class Query:
    """One table of the database."""

    def __init__(self, database: "Database", table: str) -> None:
        """Name the table."""
        self._database = database
        self._table = table
        self.name = f"{database.name}, {table}"

    def batches(self) -> Iterator[pl.DataFrame]:
        """Yield the rows, a few at a time."""
        columns = COLUMNS[self._table]
        query = f"SELECT {', '.join(columns)} FROM {self._table} ORDER BY rowid"  # noqa: S608 (fixed names)
        rows = self._database.connection.execute(query)
        while found := rows.fetchmany(BATCH):
            yield pl.DataFrame(found, schema=dict.fromkeys(columns, pl.String), orient="row")

    def whole(self) -> pl.DataFrame:
        """Return all rows."""
        return pl.concat(self.batches())


class Database:
    """The book in a database file."""

    def __init__(self, path: str) -> None:
        """Open the file, which has to be there."""
        self.name = Path(path).name
        self.connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)

    def tables(self) -> Mapping[str, TableSource]:
        """Return the three tables."""
        return {table: Query(self, table) for table in COLUMNS}

    def parameters(self) -> Parameters:
        """Return what the table `parameters` holds."""
        found = dict(self.connection.execute("SELECT name, content FROM parameters"))
        return build_parameters(**{name: json.loads(content) for name, content in found.items()})
