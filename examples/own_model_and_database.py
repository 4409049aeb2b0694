"""A margin model and a source of books from outside crossmargin: a flat rate, and a database.

Run it from the root of the repository:

    python examples/own_model_and_database.py
"""

import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl

import crossmargin as cm
from crossmargin.fields import NotNegative
from crossmargin.loading import TableSource, load_parameters
from crossmargin.models.policy_builder import PolicyBuilder
from crossmargin_circuits.expression import Abs, Expression, Sum

SMALL = Path(__file__).parent / "small"


@cm.register_model
class FlatRate(cm.MarginModel):
    """requirement = rate * sum over instruments of |position * value of one lot|. Convex, and no position offsets."""

    model: Literal["flat_rate"]
    rate: NotNegative

    def requirement(self, builder: PolicyBuilder) -> Expression:
        """Write one charge for each instrument; the builder applies the statement's factor and rounds once."""
        values = builder.valuation.unit_values()
        charges = []
        for number, column in enumerate(builder.layout.columns):
            if column.kind == "position":
                charge = np.zeros(len(values))
                charge[number] = float(self.rate) * abs(values[number])
                meaning = f"{self.rate} of the value of {column.name}"
                charges.append(Abs(builder.charge(f"charge {column.name}", meaning, charge)))
        return Sum(tuple(charges))


class Query:
    """One table of a database."""

    def __init__(self, connection: sqlite3.Connection, table: str) -> None:
        """Name the table, for errors too."""
        self.connection = connection
        self.name = table

    def whole(self) -> pl.DataFrame:
        """Return all rows."""
        return pl.concat(self.batches())

    def batches(self) -> Iterator[pl.DataFrame]:
        """Yield the rows, 1,000 at a time; amounts are text in the database, so that they stay exact."""
        found = self.connection.execute(f"SELECT * FROM {self.name} ORDER BY rowid")  # noqa: S608 (a fixed name)
        names = [each[0] for each in found.description]
        while True:
            rows = found.fetchmany(1000)
            yield pl.DataFrame(rows, schema=dict.fromkeys(names, pl.String), orient="row")
            if not rows:
                return


class Ledger:
    """A book with its accounts in a database."""

    name = "ledger"

    def __init__(self, connection: sqlite3.Connection) -> None:
        """Keep the connection."""
        self.connection = connection

    def tables(self) -> Mapping[str, TableSource]:
        """Return the tables that a book has."""
        return {table: Query(self.connection, table) for table in ("accounts", "balances", "positions")}


def fill(connection: sqlite3.Connection) -> None:
    """Make the database of a venue: here from the files of the small example book."""
    for table in ("accounts", "balances", "positions"):
        frame = pl.read_csv(SMALL / f"{table}.csv", infer_schema=False)
        columns = ", ".join(f"{name} TEXT" for name in frame.columns)
        connection.execute(f"CREATE TABLE {table} ({columns})")
        marks = ", ".join("?" for _ in frame.columns)
        connection.executemany(f"INSERT INTO {table} VALUES ({marks})", frame.rows())  # noqa: S608 (a fixed name)


def main() -> None:
    """Load the book from the database, and compare its own model with the flat rate."""
    connection = sqlite3.connect(":memory:")
    fill(connection)
    book = cm.load(Ledger(connection), parameters=load_parameters(SMALL))
    print(book)

    flat = cm.load_model(
        {
            "model": "flat_rate",
            "version": 1,
            "rate": "0.05",
            "value_unit": {"currency": "USD", "quantum": "0.00000001"},
            "staleness_limit_seconds": 600,
            "statements": [{"name": "maintenance", "factor": "0.5"}, {"name": "initial", "factor": "1"}],
        }
    )
    for chosen in (book, book.with_model(flat)):
        margin = chosen.margin("initial")
        print(margin)
        print(margin.frame().select("account", "equity", "requirement", "ratio"))

    connection.execute("UPDATE balances SET amount = '-5' WHERE asset = 'SOL'")
    try:
        cm.load(Ledger(connection), parameters=load_parameters(SMALL))
    except cm.InputErrors as errors:
        print(errors)


if __name__ == "__main__":
    main()
