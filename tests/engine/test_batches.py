"""Tables are read in batches: how large these are changes neither the book nor what is said about a bad line."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.book import records
from crossmargin.book.book import Book
from crossmargin.book.records import RecordBuilder, beyond, pool, sum_entries
from crossmargin.errors import InputErrors
from crossmargin.loading import csv, keys, load_book, load_folder, parquet
from crossmargin.loading.keys import Keys
from crossmargin.market.instruments import Catalogue
from crossmargin_circuits.layout import RECORD_BOUND

WriteFolder = Callable[..., Path]
Files = Mapping[str, str]

EXAMPLES = Path(__file__).parents[2] / "examples"
FOLDERS = [
    *(EXAMPLES / name for name in ("small", "binance")),
    *(folder for kind in ("broken", "edges") for folder in sorted((EXAMPLES / kind).iterdir()) if folder.is_dir()),
]
TABLES = {
    "accounts": ["account", "sub_account"],
    "balances": ["account", "sub_account", "asset", "amount"],
    "positions": ["account", "sub_account", "instrument", "quantity", "entry_price"],
}


@contextmanager
def batches(size: int) -> Iterator[None]:
    """Read about `size` rows at a time, and add up as few."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv, "BATCH_BYTES", 20 * size)
        patch.setattr(parquet, "BATCH_ROWS", size)
        patch.setattr(records, "CHUNK_ENTRIES", size)
        yield


def told(book: Book) -> list[Any]:
    """Everything that a book is."""
    pending = book.pending.assets() if book.pending else None
    parts: list[Any] = [book.accounts, book.sub_accounts, book.owners.tolist(), book.rejected, pending]
    for matrix in (book.records, book.sub_records):
        parts += [part.tolist() for part in (matrix.indptr, matrix.indices, matrix.data)]
    return parts


def outcome(load: Callable[[], Book]) -> list[Any]:
    """Everything that a load gives: the book, or the problems."""
    try:
        return told(load())
    except InputErrors as errors:
        return [errors.count, *((str(problem), problem.hint) for problem in errors.problems)]


@pytest.mark.parametrize("size", [1, 3])
@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: str(folder.relative_to(EXAMPLES)))
def test_examples_load_the_same_in_small_batches(folder: Path, size: int) -> None:
    whole = outcome(lambda: load_folder(folder).book)
    with batches(size):
        assert outcome(lambda: load_folder(folder).book) == whole


accounts = st.sampled_from(["ann", "bob", "cid"])
subs = st.sampled_from(["", "hedge"])
amounts = st.sampled_from(["1", "-2.5", "0", "600", "-600", "x", "", "0.0000000001", "1001"])
balance_rows = st.tuples(accounts | st.just("eve"), subs, st.sampled_from(["USDC", "BTC", "SOL", "DOGE"]), amounts)
position_rows = st.tuples(
    accounts | st.just(""),
    subs,
    st.sampled_from(["BTC_USDC-PERPETUAL", "BTC-PERPETUAL", "BTC-27JUN25-100000-C"]),
    st.sampled_from(["5", "-5", "0", "0.5", "1000000", "9999999"]),
    st.sampled_from(["", "80000.5", "0", "x", "0.02"]),
)
tables = st.fixed_dictionaries(
    {
        "accounts": st.lists(st.tuples(accounts, subs), max_size=7),
        "balances": st.lists(balance_rows, max_size=12),
        "positions": st.lists(position_rows, max_size=12),
    }
)


@given(tables, st.integers(1, 8), st.sampled_from(["csv", "parquet"]), st.sampled_from(["refuse", "reject"]))
def test_random_tables_load_the_same_in_small_batches(
    tmp_path_factory: pytest.TempPathFactory,
    catalogue: Catalogue,
    rows: dict[str, list[tuple[str, ...]]],
    size: int,
    suffix: str,
    on_bad: Any,
) -> None:
    folder = tmp_path_factory.mktemp("tables")
    for name, columns in TABLES.items():
        if suffix == "csv":
            lines = [",".join(row) for row in [columns, *rows[name]]]
            (folder / f"{name}.csv").write_text("".join(f"{line}\n" for line in lines))
        else:
            frame = pl.DataFrame(rows[name], schema=dict.fromkeys(columns, pl.String), orient="row")
            frame.write_parquet(folder / f"{name}.parquet", row_group_size=max(1, size - 1))
    whole = outcome(lambda: load_book(folder, catalogue, on_bad))
    with batches(size):
        assert outcome(lambda: load_book(folder, catalogue, on_bad)) == whole


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_problem_in_a_late_batch_names_its_line(write_folder: WriteFolder, files: Files, suffix: str) -> None:
    rows = [("ann", "", "BTC", "1"), ("ann", "hedge", "BTC", "2"), ("bob", "", "USDC", "3"), ("bob", "", "BTC", "4?")]
    folder = write_folder({"balances.csv": None})
    frame = pl.DataFrame(rows, schema=dict.fromkeys(TABLES["balances"], pl.String), orient="row")
    first = 1
    if suffix == "parquet":
        frame.write_parquet(folder / "balances.parquet", row_group_size=2)
    else:
        frame.write_csv(folder / "balances.csv", quote_style="never")
        first = 2
    for size in (1, 2, 3, 100):
        with batches(size), pytest.raises(InputErrors, match="not a finite decimal") as caught:
            load_folder(folder)
        assert [(one.line, one.field) for one in caught.value.problems] == [(first + 3, "amount")]


@pytest.mark.parametrize("size", [1, 2, 100])
def test_duplicate_lines_in_different_batches(write_folder: WriteFolder, files: Files, size: int) -> None:
    """Every line but the first of a cell is a duplicate, also of a line that is bad or zero."""
    text = "account,sub_account,asset,amount\nann,,USDC,x\nbob,,BTC,0\nann,hedge,USDC,1\nann,,USDC,5\nbob,,BTC,1\n"
    folder = write_folder({"balances.csv": text + "bob,,BTC,2\n"})
    with batches(size):
        with pytest.raises(InputErrors) as caught:
            load_folder(folder)
        lines = [(problem.line, problem.field) for problem in caught.value.problems]
        assert (caught.value.count, lines) == (4, [(2, "amount"), (5, "asset"), (6, "asset"), (7, "asset")])
        with pytest.raises(InputErrors, match="all 2 accounts were rejected"):
            load_folder(folder, on_bad="reject")


def test_an_account_over_several_batches(write_folder: WriteFolder, files: Files) -> None:
    whole = told(load_folder(write_folder()).book)
    head, *rows = files["positions.csv"].splitlines()
    mixed = "\n".join([head, *rows[::2], *rows[1::2]]) + "\n"
    for number, text in enumerate((files["positions.csv"], mixed)):
        folder = write_folder({"positions.csv": text}, name=str(number))
        with batches(1):
            assert told(load_folder(folder).book) == whole


def test_wrong_lines_of_all_batches_and_tables_are_told_together(write_folder: WriteFolder, files: Files) -> None:
    bad = {name: files[name] + "a,b\n" * 3 + "\n" for name in ("balances.csv", "positions.csv")}
    # A bad amount is not told: a file with wrong lines is no table.
    bad["balances.csv"] = bad["balances.csv"].replace("50000", "x")
    with batches(1), pytest.raises(InputErrors) as caught:
        load_folder(write_folder(bad))
    told = [(problem.file, problem.line) for problem in caught.value.problems]
    assert told == [(name, line) for name in bad for line in range(6, 10)]


def test_a_quote_in_a_late_batch_names_its_line(write_folder: WriteFolder, files: Files) -> None:
    text = files["balances.csv"].replace("bob,,SOL,3", 'bob,,"SOL,3')
    with batches(1), pytest.raises(InputErrors, match="a quote that does not enclose") as caught:
        load_folder(write_folder({"balances.csv": text}))
    assert [(problem.line, problem.field) for problem in caught.value.problems] == [(5, "asset")]


def test_a_batch_that_begins_with_a_byte_order_mark(write_folder: WriteFolder, files: Files) -> None:
    text = files["balances.csv"].replace("bob,,BTC", "\ufeffbob,,BTC")
    for size in (1, 100):
        with batches(size), pytest.raises(InputErrors, match=r"line 4, account: account not in accounts\.csv"):
            load_folder(write_folder({"balances.csv": text}, name=f"mark{size}"))


def test_damage_in_a_late_row_group(write_folder: WriteFolder) -> None:
    folder = write_folder({"balances.csv": None})
    rows = [("ann", "", "USDC", f"{number}x") for number in range(300)]
    frame = pl.DataFrame(rows, schema=dict.fromkeys(TABLES["balances"], pl.String), orient="row")
    path = folder / "balances.parquet"
    frame.write_parquet(path, row_group_size=100, compression="uncompressed")
    data = bytearray(path.read_bytes())
    at = data.rindex(b"299x")
    data[at - 1200 : at] = bytes(1200)
    path.write_bytes(data)
    with batches(100), pytest.raises(InputErrors) as caught:
        load_folder(folder)
    assert [str(problem) for problem in caught.value.problems] == [
        "balances.parquet: not a readable Parquet file: cut off or damaged; copy the file again, or write it again"
    ]


def test_pairs_of_one_hash_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = pl.DataFrame({"account": ["a", "b", "a", "c"], "sub_account": ["", "", "x", ""]})
    asked = pl.DataFrame({"account": ["c", "a", "d", "b", "a", "b"], "sub_account": ["", "x", "", "", "", "x"]})
    wanted = [3, 2, -1, 1, 0, -1]
    assert Keys(pairs).find(asked).tolist() == wanted
    for same in (0, 7, 2**64 - 1):
        monkeypatch.setattr(keys, "_hashes", lambda frame, same=same: np.full(len(frame), same, dtype=np.uint64))
        assert Keys(pairs).find(asked).tolist() == wanted


WIDTH = 5
cells = st.tuples(
    st.integers(0, 5),
    st.integers(0, WIDTH - 1),
    st.sampled_from([0, 1, -1, 7, RECORD_BOUND, -RECORD_BOUND, RECORD_BOUND - 1]),
)


@given(st.lists(st.lists(cells, max_size=12), max_size=4), st.integers(1, 6), st.lists(st.integers(0, 2), min_size=6))
def test_built_records_are_exact_sums(blocks: list[list[tuple[int, int, int]]], size: int, owners: list[int]) -> None:
    additive = np.arange(WIDTH) >= 3
    builder = RecordBuilder(WIDTH, additive)
    sums: dict[tuple[int, int], int] = {}
    times: dict[tuple[int, int], int] = {}
    for block in blocks:
        table = np.array(block, dtype=np.int64).reshape(-1, 3)
        builder.add(table[:, 0], table[:, 1], table[:, 2])
        for row, column, value in block:
            sums[row, column] = sums.get((row, column), 0) + value
            times[row, column] = times.get((row, column), 0) + 1
    with batches(size):
        matrix, repeated = builder.build(6)
        owner = np.array([0, 1, 2, *owners[:3]], dtype=np.int64)
        pooled = pool(matrix, owner, 3)

    def cut(value: int) -> int:
        return min(max(value, -RECORD_BOUND), RECORD_BOUND)

    found = {(row, int(c)): int(v) for row in range(6) for c, v in zip(*entries_of(matrix, row), strict=True)}
    assert found == {cell: cut(value) for cell, value in sums.items() if value}
    again = sorted(row * WIDTH + column for (row, column), count in times.items() if count > 1 and column < 3)
    assert repeated.later(np.array([key for key in again for _ in range(3)], dtype=np.int64)).tolist() == [
        False, True, True
    ] * len(again)  # fmt: skip
    for number in range(3):
        rows = [row for row in range(6) if owner[row] == number]
        total = [cut(sum(found.get((row, column), 0) for row in rows)) for column in range(WIDTH)]
        assert pooled[[number], :].toarray()[0].tolist() == total
    limits = np.full(WIDTH, 5, dtype=np.int64)
    over = sorted(zip(*(part.tolist() for part in beyond(matrix, limits)), strict=True))
    assert over == sorted(cell for cell, value in found.items() if abs(value) > 5)


def entries_of(matrix: Any, row: int) -> tuple[list[int], list[int]]:
    """Columns, in order, and values of a row."""
    part = slice(int(matrix.indptr[row]), int(matrix.indptr[row + 1]))
    columns = matrix.indices[part].tolist()
    assert columns == sorted(set(columns))
    return columns, matrix.data[part].tolist()


def test_sums_beyond_the_bound_are_not_cut_between_batches(write_folder: WriteFolder, files: Files) -> None:
    """What one batch adds to beyond 2^62 may be taken back by the next one."""
    top = RECORD_BOUND - 1
    values = np.array([top, top, -top, -top, 5], dtype=np.int64)
    rows, columns = np.zeros(5, dtype=np.int64), np.full(5, 3, dtype=np.int64)
    assert sum_entries(rows, columns, values, WIDTH).values.tolist() == [5]
    builder = RecordBuilder(WIDTH, np.ones(WIDTH, dtype=np.bool_))
    for part in (slice(0, 2), slice(2, 5)):
        builder.add(rows[part], columns[part], values[part])
    assert builder.build(1)[0].toarray().tolist() == [[0, 0, 0, 5, 0]]
