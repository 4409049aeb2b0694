"""accounts, balances and positions: the book they make, and every line that cannot be part of it."""

from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.errors import InputErrors
from crossmargin.loading import load_folder
from crossmargin.loading.cells import entry_values
from crossmargin.market.instruments import Catalogue
from crossmargin_circuits.layout import RECORD_BOUND

WriteFolder = Callable[..., Path]
Files = Mapping[str, str]

BALANCES, POSITIONS, ACCOUNTS = "balances.csv", "positions.csv", "accounts.csv"


def parquet(folder: Path, name: str, schema: dict[str, pl.DataType] | None = None) -> None:
    """Turn a CSV table of a folder into Parquet, some columns as other types."""
    source = folder / f"{name}.csv"
    frame = pl.read_csv(source, infer_schema=False).fill_null("")
    frame.with_columns(pl.col(column).cast(kind) for column, kind in (schema or {}).items()).write_parquet(
        folder / f"{name}.parquet"
    )
    source.unlink()


def test_records(write_folder: WriteFolder) -> None:
    book = load_folder(write_folder()).book
    assert book.accounts == ("ann", "bob")
    assert book.sub_accounts == ("", "hedge", "")
    assert book.owners.tolist() == [0, 0, 1]
    keys = [column.key for column in book.layout.columns]
    # Linear: -1500 * 0.001 * 80000.5 USDC; inverse: -3000 * 10 / 86500 BTC, rounded down.
    wallet = {"balance USDC": 50_000 * 10**6, "position BTC_USDC-PERPETUAL": 1500}
    wallet["entry USDC"] = -120_000_750_000
    hedge = {"balance USDC": -100_500_000, "position BTC_USDC-PERPETUAL": -500}
    hedge["entry USDC"] = 45_000_000_000
    bob = {"balance BTC": 125_000_000, "balance SOL": 3_000_000, "position BTC-PERPETUAL": -3000}
    bob |= {"position BTC-27JUN25-100000-C": -5, "entry BTC": (-3000 * 10 * 10**8) // 86500}
    assert [dict(zip(keys, row, strict=True)) for row in book.sub_records.toarray().tolist()] == [
        dict.fromkeys(keys, 0) | record for record in (wallet, hedge, bob)
    ]
    pooled = {key: wallet.get(key, 0) + hedge.get(key, 0) for key in keys}
    assert dict(zip(keys, book.record("ann"), strict=True)) == pooled
    assert book.record("bob") == book.sub_records.toarray().tolist()[2]


def test_parquet_gives_the_same_book(write_folder: WriteFolder) -> None:
    there = load_folder(write_folder()).book
    folder = write_folder(name="parquet")
    parquet(folder, "accounts")
    parquet(folder, "balances", {"amount": pl.Decimal(20, 6), "asset": pl.Categorical()})
    parquet(
        folder, "positions", {"instrument": pl.Enum(["BTC_USDC-PERPETUAL", "BTC-PERPETUAL", "BTC-27JUN25-100000-C"])}
    )
    book = load_folder(folder).book
    assert book.accounts == there.accounts
    assert (book.sub_records != there.sub_records).nnz == 0
    assert (book.records != there.records).nnz == 0


def test_integer_columns_are_exact(write_folder: WriteFolder, files: Files) -> None:
    folder = write_folder(
        {BALANCES: "account,sub_account,asset,amount\nann,,USDC,999999999\n", POSITIONS: files[POSITIONS]}
    )
    parquet(folder, "balances", {"amount": pl.Int64()})
    assert load_folder(folder).book.record("ann")[0] == 999_999_999_000_000


def test_one_account_and_empty_accounts_are_legal(write_folder: WriteFolder, files: Files) -> None:
    empty = {name: files[name].split("\n")[0] + "\n" for name in (BALANCES, POSITIONS)}
    book = load_folder(write_folder(empty)).book
    assert book.records.toarray().tolist() == [[0] * 8] * 2
    book = load_folder(write_folder({**empty, ACCOUNTS: "account,sub_account\nann,\n"}, name="one")).book
    assert book.accounts == ("ann",)


def test_fields_may_stand_in_quotes(write_folder: WriteFolder, files: Files) -> None:
    def quoted(text: str) -> str:
        return "".join(",".join(f'"{field}"' for field in line.split(",")) + "\n" for line in text.splitlines())

    there = load_folder(write_folder()).book
    book = load_folder(
        write_folder({name: quoted(files[name]) for name in (ACCOUNTS, BALANCES, POSITIONS)}, name="q")
    ).book
    assert book.accounts == there.accounts
    assert (book.sub_records != there.sub_records).nnz == 0


def test_rows_may_stand_in_any_order(write_folder: WriteFolder, files: Files) -> None:
    def reverse(text: str) -> str:
        head, *rows = text.splitlines()
        return "\n".join([head, *reversed(rows)]) + "\n"

    there = load_folder(write_folder()).book
    book = load_folder(
        write_folder({name: reverse(files[name]) for name in (BALANCES, POSITIONS)}, name="reversed")
    ).book
    assert (book.sub_records != there.sub_records).nnz == 0


def test_ids_are_kept_byte_for_byte(write_folder: WriteFolder, files: Files) -> None:
    ids = ["Ann", "ann", "ánn", "a\u0301nn", "1e5", "007", "NaN", "null", "a b"]
    book = load_folder(
        write_folder(
            {
                ACCOUNTS: "account,sub_account\n" + "".join(f"{name},\n" for name in ids),
                BALANCES: "account,sub_account,asset,amount\n" + "".join(f"{n},,USDC,{i}\n" for i, n in enumerate(ids)),
                POSITIONS: files[POSITIONS].split("\n")[0] + "\n",
            }
        )
    ).book
    assert book.accounts == tuple(ids)
    assert [record[0] for record in book.records.toarray().tolist()] == [i * 10**6 for i in range(len(ids))]


CASES = [
    # file, find, put, line, field, words of the reason
    (ACCOUNTS, "bob,\n", ",\n", 4, "account", "empty account id"),
    (ACCOUNTS, "bob,\n", "bob,\nann,\n", 5, "account", "duplicate account"),
    (ACCOUNTS, "bob,\n", "bob,\nann,hedge\n", 5, "sub_account", "duplicate sub-account"),
    (ACCOUNTS, "bob,\n", "bob ,\n", 4, "account", "space"),
    (ACCOUNTS, "bob,\n", "b\x07b,\n", 4, "account", "control character"),
    (ACCOUNTS, "bob,\n", "b\u200bb,\n", 4, "account", "control character"),
    (ACCOUNTS, "bob,\n", "b" * 257 + ",\n", 4, "account", "256 bytes"),
    (BALANCES, "bob,,BTC", "eve,,BTC", 4, "account", "not in accounts.csv"),
    (BALANCES, "bob,,BTC", ",,BTC", 4, "account", "empty account id"),
    (BALANCES, "ann,hedge", "ann,Hedge", 3, "sub_account", "not in accounts.csv"),
    (BALANCES, "SOL", "DOGE", 5, "asset", "unknown asset 'DOGE'"),
    (BALANCES, "SOL", "", 5, "asset", "empty asset"),
    (BALANCES, "1.25", "nan", 4, "amount", "not a finite decimal"),
    (BALANCES, "1.25", "", 4, "amount", "empty"),
    (BALANCES, "1.25", "1.250000001", 4, "amount", "finer than the unit 0.00000001 of BTC"),
    (BALANCES, "1.25", "1." + "2" * 40, 4, "amount", "more than 40 characters"),
    (BALANCES, "1.25", "1000.00000001", 4, "amount", "beyond the limit of 1000 BTC"),
    (BALANCES, "1.25", "-1000.00000001", 4, "amount", "beyond the limit of 1000 BTC"),
    (BALANCES, "1.25", "92233720369", 4, "amount", "beyond 2^62 units"),
    (BALANCES, "SOL,3", "SOL,-3", 5, "amount", "cannot be borrowed"),
    (BALANCES, "bob,,SOL,3", "bob,,BTC,3", 5, "asset", "earlier line"),
    (POSITIONS, "bob,,BTC-PERPETUAL", "bob,,ETH-PERPETUAL", 4, "instrument", "unknown instrument"),
    (POSITIONS, "-0.5", "-0.55", 5, "quantity", "finer than the lot 0.1 of BTC-27JUN25-100000-C"),
    (POSITIONS, "-0.5", "-1000.1", 5, "quantity", "beyond the limit of 1000 contracts"),
    (POSITIONS, "-0.5", "1e2", 5, "quantity", "not a finite decimal"),
    (POSITIONS, "-0.5,", "-0.5,-3", 5, "entry_price", "not positive"),
    (POSITIONS, "-0.5,", "-0.5,x", 5, "entry_price", "not a finite decimal"),
    (POSITIONS, "86500", "", 4, "entry_price", "empty"),
    (POSITIONS, "86500", "0", 4, "entry_price", "not positive"),
    (POSITIONS, "86500", "0.0000000001", 4, "entry_price", "entry value beyond the limit of BTC"),
    (POSITIONS, "80000.5", "1234567890123456789.5", 2, "entry_price", "more than 18 digits"),
    (POSITIONS, "ann,hedge,BTC_", "ann,,BTC_", 3, "instrument", "earlier line"),
]  # fmt: skip


@pytest.mark.parametrize(("file", "find", "put", "line", "field", "reason"), CASES)
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_bad_lines(
    write_folder: WriteFolder,
    files: Files,
    suffix: str,
    file: str,
    find: str,
    put: str,
    line: int,
    field: str,
    reason: str,
) -> None:
    """A bad line is named in the default mode; in the other its account is left out and listed."""
    folder = write_folder({file: files[file].replace(find, put, 1)})
    if suffix == "parquet":
        for name in ("accounts", "balances", "positions"):
            parquet(folder, name)
        file, line, reason = file.replace("csv", "parquet"), line - 1, reason.replace("csv", "parquet")
    with pytest.raises(InputErrors) as caught:
        load_folder(folder)
    found = [problem for problem in caught.value.problems if problem.file == file]
    assert (found[0].line, found[0].field) == (line, field)
    assert reason in found[0].reason
    assert found[0].hint
    book = load_folder(folder, on_bad="reject").book
    assert book.rejected
    assert {entry.account for entry in book.rejected}.isdisjoint(book.accounts)
    assert set(book.accounts) | {entry.account for entry in book.rejected} >= {"ann"}
    assert (file, line) in {(entry.file, entry.line) for entry in book.rejected}
    there = load_folder(write_folder(name="there")).book
    # A line of an unknown account is listed under the id it has; whose it should have been, nobody can tell.
    if {entry.account for entry in book.rejected} <= set(there.accounts):
        assert [book.record(account) for account in book.accounts] == [there.record(a) for a in book.accounts]


STRUCTURE = [
    # file, content, line, words of the reason
    (BALANCES, b"", 1, "empty file"),
    (BALANCES, b"account,sub_account,asset,quantity\n", 1, "wrong header, without amount, with unknown quantity"),
    (BALANCES, b"account,asset,sub_account,amount\n", 1, "another order"),
    (BALANCES, b"account,sub_account,asset,amount,amount\n", 1, "wrong header"),
    (BALANCES, b"\xef\xbb\xbfaccount,sub_account,asset,amount\n", 1, "byte-order mark"),
    (BALANCES, "account,sub_account,asset,amount\n".encode("utf-16"), 1, "UTF-16"),
    (BALANCES, b"account,sub_account,asset,amount\r\nann,,USDC,1\r\n", 1, "carriage return"),
    (BALANCES, b"account,sub_account,asset,amount\nann,,USDC,1\nbob,,\xff,1\n", 3, "not UTF-8"),
    (BALANCES, b'account,sub_account,asset,amount\nann,,"US"DC",1\n', 2, "quote"),
    (BALANCES, b'account,sub_account,asset,amount\nann,,USDC,"1\n', 2, "quote"),
    (BALANCES, b'account,sub_account,asset,amount\nann,,"USDC,1"\n', 2, "quote"),
    (BALANCES, b'account,sub_account,asset,amount\nann,,USDC,"\n', 2, "quote"),
    (BALANCES, b"account,sub_account,asset,amount\nann,,USDC,1\x00\n", 2, "zero byte"),
    (BALANCES, b"account,sub_account,asset,amount\nann,,USDC,1", 2, "cut off"),
    (BALANCES, b"account,sub_account,asset,amount\nann,,USDC\n", 2, "3 fields where 4"),
    (BALANCES, b"account,sub_account,asset,amount\nann,,USDC,1,\n", 2, "5 fields where 4"),
    (BALANCES, b"account,sub_account,asset,amount\nann,,USDC\nann,,USDC,1,000\n", 2, "3 fields where 4"),
    (BALANCES, b"account,sub_account,asset,amount\n\nann,,USDC,1\n", 2, "empty line"),
    (ACCOUNTS, b"account,sub_account\n", None, "no account"),
    (ACCOUNTS, None, None, "file not found"),
    ("accounts.parquet", b"PAR1", None, "both"),
]


@pytest.mark.parametrize(("file", "content", "line", "reason"), STRUCTURE)
@pytest.mark.parametrize("on_bad", ["refuse", "reject"])
def test_files_that_are_no_tables(
    write_folder: WriteFolder, on_bad: str, file: str, content: bytes | None, line: int | None, reason: str
) -> None:
    with pytest.raises(InputErrors) as caught:
        load_folder(write_folder({file: content}), on_bad=on_bad)  # type: ignore[arg-type]
    problem = caught.value.problems[0]
    assert problem.line == line
    assert reason in problem.reason
    assert problem.hint


@given(data=st.data())
def test_any_bytes_are_a_table_or_refused(
    tmp_path_factory: pytest.TempPathFactory, files: Files, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("bytes")
    for name, content in files.items():
        (folder / name).write_text(content, encoding="utf-8")
    name = data.draw(st.sampled_from([ACCOUNTS, BALANCES, POSITIONS]))
    good = files[name].encode()
    at = data.draw(st.integers(0, len(good)))
    cut = data.draw(st.integers(0, 3))
    alphabet = st.text('annbobUSDC-.0123456789,,,\n\r"\t\x00é\u2028', max_size=8).map(str.encode)
    put = data.draw(st.one_of(alphabet, st.binary(max_size=8)))
    (folder / name).write_bytes(good[:at] + put + good[at + cut :])
    try:
        book = load_folder(folder, on_bad=data.draw(st.sampled_from(["refuse", "reject"]))).book
    except InputErrors as errors:
        assert errors.count >= 1
        assert all(problem.file and problem.hint for problem in errors.problems)
    else:
        assert book.records.shape == (len(book.accounts), len(book.layout))


def test_damaged_parquet(write_folder: WriteFolder) -> None:
    folder = write_folder()
    parquet(folder, "balances")
    path = folder / "balances.parquet"
    data = path.read_bytes()
    for damaged, reason in (
        (data[: len(data) // 2], "cut off"),
        (data[:-1], "cut off"),
        (b"PAR1", "cut off"),
        (b"", "not a Parquet file"),
        (b"account,sub_account\n", "not a Parquet file"),
        (data[:4] + bytes(len(data) - 12) + data[-8:], "cut off or damaged"),
    ):
        path.write_bytes(damaged)
        with pytest.raises(InputErrors, match=reason) as caught:
            load_folder(folder)
        assert caught.value.problems[0].file == "balances.parquet"


@pytest.mark.parametrize("kind", [pl.Float64(), pl.Float32(), pl.Binary()])
def test_parquet_types_that_are_not_exact(write_folder: WriteFolder, kind: pl.DataType) -> None:
    folder = write_folder()
    parquet(folder, "balances", {"amount": kind})
    with pytest.raises(InputErrors, match="column of type") as caught:
        load_folder(folder)
    assert (caught.value.problems[0].file, caught.value.problems[0].field) == ("balances.parquet", "amount")


def test_parquet_columns(write_folder: WriteFolder) -> None:
    folder = write_folder()
    parquet(folder, "balances")
    path = folder / "balances.parquet"
    frame = pl.read_parquet(path)
    frame.select(reversed(frame.columns)).write_parquet(path)
    load_folder(folder)
    frame.rename({"amount": "Amount"}).write_parquet(path)
    with pytest.raises(InputErrors, match="without amount, with unknown Amount"):
        load_folder(folder)


def test_the_sum_of_sub_accounts_has_a_limit(write_folder: WriteFolder, files: Files) -> None:
    text = files[BALANCES] + "ann,,BTC,600\nann,hedge,BTC,600\n"
    folder = write_folder({BALANCES: text})
    with pytest.raises(InputErrors, match=r"accounts.csv, line 2: the account's total balance BTC is beyond its limit"):
        load_folder(folder)
    book = load_folder(folder, on_bad="reject").book
    assert book.accounts == ("bob",)
    assert [entry.account for entry in book.rejected] == ["ann"]


def test_every_bad_line_is_counted_and_listed(write_folder: WriteFolder) -> None:
    rows = "".join(f"acct-{number},\n" for number in range(5000))
    balances = "".join(f"acct-{number},,USDC,{'x' if number % 2 else 1}\n" for number in range(5000))
    folder = write_folder(
        {
            ACCOUNTS: "account,sub_account\n" + rows,
            BALANCES: "account,sub_account,asset,amount\n" + balances,
            POSITIONS: "account,sub_account,instrument,quantity,entry_price\n",
        }
    )
    with pytest.raises(InputErrors) as caught:
        load_folder(folder)
    assert (caught.value.count, len(caught.value.problems)) == (2500, 1000)
    assert str(caught.value).endswith("and 2480 more")
    book = load_folder(folder, on_bad="reject").book
    assert (len(book.accounts), len(book.rejected)) == (2500, 2500)
    assert book.accounts[:3] == ("acct-0", "acct-2", "acct-4")


def test_rejecting_everybody_is_no_book(write_folder: WriteFolder) -> None:
    folder = write_folder({ACCOUNTS: "account,sub_account\nann,\nann,\n", BALANCES: None, POSITIONS: None})
    (folder / BALANCES).write_text("account,sub_account,asset,amount\n")
    (folder / POSITIONS).write_text("account,sub_account,instrument,quantity,entry_price\n")
    with pytest.raises(InputErrors, match="all 1 accounts were rejected"):
        load_folder(folder, on_bad="reject")


def test_problems_repeat_no_amount(write_folder: WriteFolder, files: Files) -> None:
    folder = write_folder({BALANCES: files[BALANCES].replace("1.25", "77123456.5").replace("50000", "50000.77777777")})
    with pytest.raises(InputErrors) as caught:
        load_folder(folder)
    assert "77" not in str(caught.value)


quantities = st.integers(-(10**6), 10**6)
entry_prices = st.tuples(st.integers(1, 10**18 - 1), st.integers(0, 30))


@given(st.lists(st.tuples(st.integers(0, 1), quantities, entry_prices), min_size=1, max_size=20))
def test_entry_values_are_rounded_down(catalogue: Catalogue, rows: list[tuple[int, int, tuple[int, int]]]) -> None:
    item, lots, price, scale = (
        np.array(column, dtype=np.int64)
        for column in zip(*((which, lot, digits, places) for which, lot, (digits, places) in rows), strict=True)
    )
    values = entry_values(lots, item, price, scale, catalogue)
    for value, (which, lot, (digits, places)) in zip(values.tolist(), rows, strict=True):
        entry = Fraction(digits, 10**places)
        exact = -lot * entry * 1000 if which == 0 else lot * 10 / entry * 10**8
        floor = exact.numerator // exact.denominator
        assert value == min(max(floor, -RECORD_BOUND), RECORD_BOUND)


@given(data=st.data())
def test_books_round_trip(tmp_path_factory: pytest.TempPathFactory, files: Files, data: st.DataObject) -> None:
    """Any record within the limits, written as decimals, comes back as the same integers."""
    folder = tmp_path_factory.mktemp("book")
    for name, content in files.items():
        (folder / name).write_text(content, encoding="utf-8")
    size = data.draw(st.integers(1, 5))
    usdc = data.draw(st.lists(st.integers(-(10**15), 10**15), min_size=size, max_size=size))
    lots = data.draw(st.lists(st.integers(-(10**4), 10**4), min_size=size, max_size=size))
    ids = [f"holder-{number}" for number in range(size)]
    text = "".join(
        f"{name},,USDC,{count // 10**6}.{count % 10**6:06d}\n" for name, count in zip(ids, map(abs, usdc), strict=True)
    )
    text = "".join(
        line.replace("USDC,", "USDC,-") if count < 0 else line
        for line, count in zip(text.splitlines(True), usdc, strict=True)
    )
    options = "".join(
        f"{name},,BTC-27JUN25-100000-C,{'-' if count < 0 else ''}{abs(count) // 10}.{abs(count) % 10},\n"
        for name, count in zip(ids, lots, strict=True)
    )
    (folder / ACCOUNTS).write_text("account,sub_account\n" + "".join(f"{name},\n" for name in ids))
    (folder / BALANCES).write_text("account,sub_account,asset,amount\n" + text)
    (folder / POSITIONS).write_text("account,sub_account,instrument,quantity,entry_price\n" + options)
    records = load_folder(folder).book.records.toarray()
    assert records[:, 0].tolist() == usdc
    assert records[:, -1].tolist() == lots


def test_a_venue_without_instruments(write_folder: WriteFolder, files: Files) -> None:
    folder = write_folder(
        {
            "instruments.yaml": files["instruments.yaml"].split("instruments:")[0],
            "market.yaml": files["market.yaml"].split("marks:")[0],
            "model.yaml": files["model.yaml"],
            POSITIONS: "account,sub_account,instrument,quantity,entry_price\n",
        }
    )
    assert load_folder(folder).book.records.shape == (2, 3)
    (folder / POSITIONS).write_text(files[POSITIONS])
    with pytest.raises(InputErrors, match="unknown instrument"):
        load_folder(folder)
