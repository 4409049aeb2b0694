"""The part of an id that its holder chose: read from any layout of the accounts table, committed behind a mark."""

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from crossmargin.errors import InputErrors
from crossmargin.loading import Parameters, load, load_folder
from crossmargin.loading.source import FrameSource

WriteFolder = Callable[..., Path]

ACCOUNTS = "account,sub_account,holder_part\nann,,blue-heron\nann,hedge,\nbob,,\n"


def test_without_the_column_an_account_is_committed_under_its_name(write_folder: WriteFolder) -> None:
    book = load_folder(write_folder()).book
    assert book.holder_parts == ()
    assert book.holder_ids is book.accounts


def test_a_part_stands_behind_a_mark(write_folder: WriteFolder) -> None:
    book = load_folder(write_folder({"accounts.csv": ACCOUNTS})).book
    assert book.accounts == ("ann", "bob")
    assert book.holder_ids == ("ann#blue-heron", "bob")
    assert book.number("ann") == 0
    assert "heron" not in repr(book)


@pytest.mark.parametrize("rows", ["ann,,\nann,hedge,x.Y_1-2\nbob,,\n", "ann,,x.Y_1-2\nann,hedge,x.Y_1-2\nbob,,\n"])
def test_any_row_of_an_account_may_state_its_part(write_folder: WriteFolder, rows: str) -> None:
    text = f"account,sub_account,holder_part\n{rows}"
    assert load_folder(write_folder({"accounts.csv": text})).book.holder_ids == ("ann#x.Y_1-2", "bob")


def test_an_empty_column_is_none(write_folder: WriteFolder) -> None:
    text = "account,sub_account,holder_part\nann,,\nann,hedge,\nbob#1,,\n"
    balances = "account,sub_account,asset,amount\nann,,USDC,1\nbob#1,,USDC,1\n"
    positions = "account,sub_account,instrument,quantity,entry_price\n"
    book = load_folder(write_folder({"accounts.csv": text, "balances.csv": balances, "positions.csv": positions})).book
    assert book.holder_ids == ("ann", "bob#1")


def test_parquet_and_frames_have_it_too(write_folder: WriteFolder, parameters: Parameters) -> None:
    folder = write_folder({"accounts.csv": None})
    frame = pl.DataFrame(
        [("blue-heron", "ann", ""), (None, "ann", "hedge"), (None, "bob", "")],
        schema=["holder_part", "account", "sub_account"],
        orient="row",
    )
    frame.write_parquet(folder / "accounts.parquet")
    assert load_folder(folder).book.holder_ids == ("ann#blue-heron", "bob")
    tables = {
        name: pl.read_csv(folder / f"{name}.csv", infer_schema=False).fill_null("")
        for name in ("balances", "positions")
    }
    assert load(FrameSource(frame, **tables), parameters=parameters).book.holder_ids == ("ann#blue-heron", "bob")


@pytest.mark.parametrize(
    ("find", "put", "line", "field", "reason"),
    [
        ("blue-heron", "blue heron", 2, "holder_part", "not a holder's part"),
        ("blue-heron", "a" * 65, 2, "holder_part", "not a holder's part"),
        ("blue-heron", "h#ron", 2, "holder_part", "not a holder's part"),
        ("ann,hedge,", "ann,hedge,red-kite", 3, "holder_part", "another part than on an earlier line"),
        ("bob", "bob#1", 4, "account", "an account id with #"),
    ],
)
def test_refused_where_it_is_wrong(
    write_folder: WriteFolder, find: str, put: str, line: int, field: str, reason: str
) -> None:
    balances = "account,sub_account,asset,amount\nann,,USDC,1\n"
    positions = "account,sub_account,instrument,quantity,entry_price\n"
    text = ACCOUNTS.replace(find, put)
    folder = write_folder({"accounts.csv": text, "balances.csv": balances, "positions.csv": positions})
    with pytest.raises(InputErrors) as caught:
        load_folder(folder)
    (problem,) = caught.value.problems
    assert (problem.file, problem.line, problem.field) == ("accounts.csv", line, field)
    assert reason in problem.reason
    assert problem.hint


def test_a_rejected_account_takes_its_part_along(write_folder: WriteFolder) -> None:
    text = ACCOUNTS.replace("blue-heron", "blue heron").replace("bob,,", "bob,,red-kite")
    book = load_folder(write_folder({"accounts.csv": text}), on_bad="reject").book
    assert book.holder_ids == ("bob#red-kite",)
    assert [(each.account, each.line) for each in book.rejected] == [("ann", 2)]


@pytest.mark.parametrize("header", ["account,sub_account,holder_parts", "account,holder_part,sub_account"])
def test_another_header_is_refused_with_both_that_are_right(write_folder: WriteFolder, header: str) -> None:
    text = ACCOUNTS.replace("account,sub_account,holder_part", header)
    with pytest.raises(InputErrors) as caught:
        load_folder(write_folder({"accounts.csv": text}))
    problem = caught.value.problems[0]
    assert (problem.file, problem.line) == ("accounts.csv", 1)
    assert "account,sub_account, with or without ,holder_part behind it" in problem.hint
