"""A book from any source of tables loads with the checks and the errors of files; parameters may be Python values."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from crossmargin.errors import InputErrors
from crossmargin.loading import (
    FrameSource,
    Parameters,
    TableSource,
    build_parameters,
    load,
    load_book,
    load_folder,
    load_parameters,
)
from crossmargin.loading.yaml import read_yaml
from crossmargin.market.instruments import Catalogue

WriteFolder = Callable[..., Path]
Files = Mapping[str, str]
TABLES = ("accounts", "balances", "positions")
EXACT = {
    "amount": pl.Decimal(38, 8),
    "quantity": pl.Decimal(38, 2),
    "sub_account": pl.Categorical,
    "asset": pl.Enum(["USDC", "BTC", "SOL"]),
}


@pytest.fixture
def frames(write_folder: WriteFolder) -> dict[str, pl.DataFrame]:
    folder = write_folder(name="frames")
    return {name: pl.read_csv(folder / f"{name}.csv", infer_schema=False).fill_null("") for name in TABLES}


def same(ours: Any, theirs: Any) -> bool:
    return bool(
        ours.accounts == theirs.accounts
        and ours.sub_accounts == theirs.sub_accounts
        and (ours.records != theirs.records).nnz == 0
        and (ours.sub_records != theirs.sub_records).nnz == 0
    )


def test_frames_are_the_book_that_files_are(
    write_folder: WriteFolder, frames: dict[str, pl.DataFrame], catalogue: Catalogue
) -> None:
    files = load_folder(write_folder()).book
    assert same(load_book(FrameSource(**frames), catalogue), files)
    typed = {
        name: frame.select(pl.col(column).cast(EXACT.get(column, pl.String)) for column in reversed(frame.columns))
        for name, frame in frames.items()
    }
    assert typed["balances"]["amount"].dtype == pl.Decimal(38, 8)
    assert same(load_book(FrameSource(**typed), catalogue), files)


def test_a_path_is_given_as_text_or_as_a_path(write_folder: WriteFolder) -> None:
    folder = write_folder()
    inputs = load_folder(str(folder))
    assert same(inputs.book, load_folder(folder).book)
    assert same(inputs.book, load(str(folder)).book)
    assert same(inputs.book, load_book(str(folder), inputs.catalogue))
    assert load_parameters(str(folder)) == load_parameters(folder)


def test_frames_with_parameters_are_a_whole_book(
    frames: dict[str, pl.DataFrame], parameters: Parameters, write_folder: WriteFolder
) -> None:
    inputs = load(FrameSource(**frames), parameters=parameters)
    assert same(inputs.book, load_folder(write_folder()).book)
    assert inputs.environment == parameters.environment
    assert inputs.control is None
    # What was loaded serves as the parameters of the next load.
    assert same(load(FrameSource(**frames), parameters=inputs).book, inputs.book)
    with pytest.raises(InputErrors, match="frames: a source without parameters; give them to the load"):
        load(FrameSource(**frames))


def test_deposits_come_from_a_source_too(
    frames: dict[str, pl.DataFrame], catalogue: Catalogue, parameters: Parameters
) -> None:
    row = {"account": ["ann"], "sub_account": [""], "asset": ["USDC"], "block": [7], "amount": ["1.5"]}
    with pytest.raises(InputErrors, match=r"frames, deposits, row 1, asset: USDC is held on no chain"):
        load_book(FrameSource(**frames, deposits=pl.DataFrame(row)), catalogue)


def faults(source: Any, catalogue: Catalogue) -> list[str]:
    with pytest.raises(InputErrors) as caught:
        load_book(source, catalogue)
    return [str(problem) for problem in caught.value.problems]


def test_faults_name_the_table_and_the_row(frames: dict[str, pl.DataFrame], catalogue: Catalogue) -> None:
    frames["balances"][2, "amount"] = "1e5"
    frames["positions"][1, "instrument"] = "BTC-PERPETUALS"
    found = faults(FrameSource(**frames, name="memory"), catalogue)
    assert found[0].startswith("memory, balances, row 3, amount: not a finite decimal")
    assert found[1].startswith("memory, positions, row 2, instrument: unknown instrument 'BTC-PERPETUALS'")
    frames["positions"][1, "instrument"] = "BTC-PERPETUAL"
    rejected = load_book(FrameSource(**frames), catalogue, "reject").rejected
    assert [each.place for each in rejected] == ["frames, balances, row 3"]


def test_rows_that_fill_a_cell_again(frames: dict[str, pl.DataFrame], catalogue: Catalogue) -> None:
    frames["balances"] = pl.concat([frames["balances"], frames["balances"][:1]])
    found = faults(FrameSource(**frames), catalogue)
    assert found == [
        "frames, balances, row 5, asset: this account (or sub-account) and asset stand on an earlier line; "
        "keep one line, with the sum"
    ]


@pytest.mark.parametrize(
    ("table", "change", "reason"),
    [
        ("balances", pl.col("amount").cast(pl.Float64), "frames, balances, amount: column of type Float64"),
        ("balances", pl.lit(True).alias("asset"), "frames, balances, asset: column of type Boolean; write text"),
        ("positions", pl.lit("").alias("note"), "frames, positions: wrong columns, with unknown note"),
        ("accounts", pl.lit("x" * 900).alias("account"), "frames, accounts, row 1, account: more than 256 bytes"),
        ("accounts", pl.lit("x" * 10**6).alias("account"), "frames, accounts, row 1, account: more than 256 bytes"),
        ("accounts", pl.lit(None, dtype=pl.String).alias("account"), "frames, accounts, row 1, account: empty account"),
    ],
)
def test_columns_that_are_refused(
    frames: dict[str, pl.DataFrame], catalogue: Catalogue, table: str, change: pl.Expr, reason: str
) -> None:
    frames[table] = frames[table].with_columns(change)
    assert faults(FrameSource(**frames), catalogue)[0].startswith(reason)


def test_all_tables_that_cannot_be_read_are_told_together(
    frames: dict[str, pl.DataFrame], catalogue: Catalogue
) -> None:
    broken = {name: frame.drop("account") for name, frame in frames.items()}
    found = faults(FrameSource(**broken), catalogue)
    assert [fault.split(":")[0] for fault in found] == [f"frames, {name}" for name in TABLES]


@dataclass
class Ledger:
    """A source of somebody else's, which answers as it likes."""

    answers: dict[str, Callable[[], Iterator[pl.DataFrame]]]
    name: str = "ledger"

    def tables(self) -> Mapping[str, TableSource]:
        return {name: Answer(f"ledger, {name}", answer) for name, answer in self.answers.items()}


@dataclass
class Answer:
    name: str
    answer: Callable[[], Iterator[pl.DataFrame]]

    def batches(self) -> Iterator[pl.DataFrame]:
        return self.answer()

    def whole(self) -> pl.DataFrame:
        return pl.concat(self.answer())


def test_batches_of_a_strangers_class(frames: dict[str, pl.DataFrame], catalogue: Catalogue) -> None:
    sliced = {name: (lambda frame=frame: frame.iter_slices(1)) for name, frame in frames.items()}
    assert same(load_book(Ledger(sliced), catalogue), load_book(FrameSource(**frames), catalogue))
    frames["positions"][3, "quantity"] = "0.55"
    assert faults(Ledger(sliced), catalogue) == [
        "ledger, positions, row 4, quantity: finer than the lot 0.1 of BTC-27JUN25-100000-C; write a multiple of it"
    ]


def test_tables_that_are_missing_or_unknown(frames: dict[str, pl.DataFrame], catalogue: Catalogue) -> None:
    answers = {name: (lambda frame=frame: iter([frame])) for name, frame in frames.items() if name != "positions"}
    found = faults(Ledger({**answers, "orders": answers["accounts"]}), catalogue)
    assert [fault.split(";")[0] for fault in found] == [
        "ledger: no table positions",
        "ledger: an unknown table orders",
    ]


def test_a_source_that_fails(frames: dict[str, pl.DataFrame], catalogue: Catalogue) -> None:
    def fails() -> Iterator[pl.DataFrame]:
        yield frames["balances"]
        raise ConnectionError("the line\nis down")

    answers = {name: (lambda frame=frame: iter([frame])) for name, frame in frames.items()}
    [fault] = faults(Ledger({**answers, "balances": fails}), catalogue)
    assert fault.startswith(r"ledger, balances: cannot be read: ConnectionError: the line\nis down; check the source")


def test_a_source_that_changes_between_two_readings(frames: dict[str, pl.DataFrame], catalogue: Catalogue) -> None:
    twice = pl.concat([frames["balances"], frames["balances"]])
    readings = iter([twice[:6], twice[:7]])
    answers = {name: (lambda frame=frame: iter([frame])) for name, frame in frames.items()}
    found = faults(Ledger({**answers, "balances": lambda: iter([next(readings)])}), catalogue)
    assert found == ["ledger: the tables changed while they were read; load them again"]


VALUES = ("venue", "instruments", "market", "model", "reserves")


@pytest.fixture
def values(write_folder: WriteFolder) -> dict[str, Any]:
    folder = write_folder(name="values")
    return {name: read_yaml(folder / f"{name}.yaml").value for name in VALUES}


def test_parameters_of_python_values(values: dict[str, Any], parameters: Parameters) -> None:
    assert build_parameters(**values) == parameters
    values["market"]["index"]["BTC"]["price"] = Decimal(85000)
    values["model"]["staleness_limit_seconds"] = 600
    assert build_parameters(**values) == parameters
    given = {
        "venue": parameters.venue,
        "instruments": parameters.catalogue,
        "market": parameters.market,
        "model": parameters.model,
        "reserves": parameters.reserves,
    }
    assert build_parameters(**given) == parameters
    totals = {"as_of": "2025-03-27T08:00:00Z", "source": "test", "equity": "0", "exposures": {}}
    past = {"times": ["2025-03-26T08:00:00Z", "2025-03-27T08:00:00Z"], "prices": {"BTC": ["84000", "84500"]}}
    more = build_parameters(**given, history=past, crowding=totals)
    assert (more.history is not None, more.crowding is not None) == (True, True)


def test_faults_of_python_values_name_argument_and_field(values: dict[str, Any]) -> None:
    values["market"]["index"]["BTC"]["price"] = 85000.5
    values["reserves"]["assets"]["USDC"] = "-1"
    del values["venue"]["book"]
    values["model"] = {"model": "guess"}
    values["instruments"] = ["USDC"]
    with pytest.raises(InputErrors) as caught:
        build_parameters(**values)
    assert [problem.place for problem in caught.value.problems] == [
        "venue, book",
        "instruments",
        "market, index.BTC.price",
        "model, model",
        "reserves, assets.USDC",
    ]
    for problem in caught.value.problems:
        assert "\n" not in str(problem)
        assert "pydantic" not in str(problem)


def test_parts_of_the_parameters_that_do_not_fit(values: dict[str, Any], parameters: Parameters) -> None:
    del values["market"]["index"]["SOL"]
    values["reserves"]["insurance_fund"] = "0.000000001"
    with pytest.raises(InputErrors) as caught:
        build_parameters(**{**values, "model": parameters.model})
    assert [problem.place for problem in caught.value.problems] == ["market, index.SOL", "reserves, insurance_fund"]
