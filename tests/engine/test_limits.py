"""Inputs that would take memory or time out of all proportion are refused before that, in one short line a fault."""

import base64
import os
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random

import polars as pl
import pytest

from crossmargin.errors import MAX_PART_LENGTH, InputError, InputErrors, shortened
from crossmargin.loading import csv, history, load_folder, parquet_pages, yaml
from crossmargin.loading.parquet_pages import check_parquet
from crossmargin.loading.thrift import CompactReader, ThriftError

WriteFolder = Callable[..., Path]

WITH_CHECKSUMS = """
UEFSMRUAFUQVRBW7r5nuBRwVCBUAFQYVBhwAAAACAAAACAEDAAAAYW5uAwAAAGFubgMAAABib2IDAAAAYm9iFQAVNhU2FdCM9FkcFQgVABUGFQYcAAAA
AgAAAAgBAAAAAAUAAABoZWRnZQAAAAAAAAAAFQAVSBVIFZPEhsoDHBUIFQAVBhUGHAAAAAIAAAAIAQQAAABVU0RDBAAAAFVTREMDAAAAQlRDAwAAAFNP
TBUAFUwVTBX/86TLDhwVCBUAFQYVBhwAAAACAAAACAEFAAAANTAwMDAGAAAALTEwMC41BAAAADEuMjUBAAAAMxUEGVw1ABgGc2NoZW1hFQgAFQwlAhgH
YWNjb3VudCUATBwAAAAVDCUCGAtzdWJfYWNjb3VudCUATBwAAAAVDCUCGAVhc3NldCUATBwAAAAVDCUCGAZhbW91bnQlAEwcAAAAFggZHBlMJgAcFQwZ
JQYAGRgHYWNjb3VudBUAFggWdhZ2JghJHBUAFQAVAgA8FhgZBhkmAAgAAAAmABwVDBklBgAZGAtzdWJfYWNjb3VudBUAFggWZhZmJn5JHBUAFQAVAgA8
FgoZBhkmAAgAAAAmABwVDBklBgAZGAVhc3NldBUAFggWehZ6JuQBSRwVABUAFQIAPBYcGQYZJgAIAAAAJgAcFQwZJQYAGRgGYW1vdW50FQAWCBZ+Fn4m
3gJJHBUAFQAVAgA8FiAZBhkmAAgAAAAW1AMWCCYIFtQDACggcGFycXVldC1jcHAtYXJyb3cgdmVyc2lvbiAyNi4wLjEZTBwAABwAABwAABwAAABvAQAA
UEFSMQ==
"""
"""A table of balances written by pyarrow 26.0.1: write_table(table, path, write_page_checksum=True, compression="none",
use_dictionary=False, store_schema=False, write_statistics=False)."""


def faults(folder: Path) -> list[str]:
    with pytest.raises(InputErrors) as caught:
        load_folder(folder)
    assert all(len(line) < 1000 for line in str(caught.value).split("\n"))
    assert len(str(caught.value).split("\n")) == len(caught.value.problems) + 1
    return [str(problem) for problem in caught.value.problems]


@pytest.fixture
def parquet(write_folder: WriteFolder) -> Callable[[pl.DataFrame], Path]:
    """Write a book whose accounts are a Parquet file."""

    def write(frame: pl.DataFrame) -> Path:
        folder = write_folder({"accounts.csv": None})
        frame.write_parquet(folder / "accounts.parquet")
        return folder

    return write


def test_millions_of_rows_in_a_small_file(parquet: Callable[[pl.DataFrame], Path]) -> None:
    count = 6 * 2**20
    folder = parquet(pl.select(account=pl.repeat("ann", count), sub_account=pl.repeat("", count)))
    size = (folder / "accounts.parquet").stat().st_size
    assert size < 2**15
    [fault] = faults(folder)
    assert fault.startswith(f"accounts.parquet: {count} rows in {size} bytes; ")


def test_a_long_value_in_a_small_file(parquet: Callable[[pl.DataFrame], Path]) -> None:
    """The page states the length it will have; nothing of that size is allocated."""
    folder = parquet(pl.DataFrame({"account": ["x" * 10**7], "sub_account": [""]}))
    assert (folder / "accounts.parquet").stat().st_size < 2**13
    [fault] = faults(folder)
    assert fault.startswith("accounts.parquet: row group 1, column account: 100000")
    assert "bytes for 1 values" in fault


def test_pages_that_unpack_to_far_more_than_the_file(
    parquet: Callable[[pl.DataFrame], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet_pages, "FREE_BYTES", 2**20)
    # One account id less than the longest that a field may be, on every row.
    frame = pl.DataFrame({"account": [f"{number:08}" + "x" * 1000 for number in range(30000)]})
    folder = parquet(frame.with_columns(sub_account=pl.lit("")))
    [fault] = faults(folder)
    assert "bytes that unpack to 3" in fault


def test_metadata_that_are_too_long(parquet: Callable[[pl.DataFrame], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    folder = parquet(pl.DataFrame({"account": ["ann"], "sub_account": [""]}))
    monkeypatch.setattr(parquet_pages, "MAX_FOOTER_BYTES", 100)
    assert "metadata of" in faults(folder)[0]


def test_page_checksums_are_compared(write_folder: WriteFolder) -> None:
    folder = write_folder({"balances.csv": None})
    path = folder / "balances.parquet"
    data = bytearray(base64.b64decode(WITH_CHECKSUMS))
    path.write_bytes(data)
    assert load_folder(folder).book.record("bob")[1:3] == [125_000_000, 3_000_000]
    for value, column in ((b"50000", "amount"), (b"USDC", "asset"), (b"hedge", "sub_account")):
        damaged = bytearray(data)
        damaged[damaged.index(value)] ^= 1
        path.write_bytes(damaged)
        assert faults(folder) == [
            f"balances.parquet: row group 1, column {column}: a page does not match its checksum; "
            "copy the file again, or write it again"
        ]


def test_a_nested_column_is_refused_by_its_type(parquet: Callable[[pl.DataFrame], Path]) -> None:
    """Its pages hold another number of values than there are rows, and are no damage."""
    folder = parquet(pl.DataFrame({"account": [["ann", "bob"], ["cid"]], "sub_account": ["", ""]}))
    assert faults(folder) == ["accounts.parquet, account: column of type List(String); write text"]


def test_every_damaged_page_is_named(tmp_path: Path) -> None:
    data = bytearray(base64.b64decode(WITH_CHECKSUMS))
    for value in (b"50000", b"USDC"):
        data[data.index(value)] ^= 1
    path = tmp_path / "balances.parquet"
    path.write_bytes(data)
    with pytest.raises(InputErrors) as caught:
        check_parquet(path)
    assert caught.value.count == 2


def test_damage_ends_in_one_line_and_nothing_on_standard_error(
    write_folder: WriteFolder, capfd: pytest.CaptureFixture[str]
) -> None:
    """The reader of Parquet aborts loudly on some damage: that is its file's fault, told once, by us."""
    folder = write_folder({"accounts.csv": None})
    path = folder / "accounts.parquet"
    rows = {"account": ["ann", "ann", "bob"], "sub_account": ["", "hedge", ""]}
    pl.DataFrame(rows).write_parquet(path, compression="uncompressed")
    data = path.read_bytes()
    random = Random(1)
    refused = 0
    for _ in range(150):
        damaged = bytearray(data)
        for _ in range(random.choice([1, 2, 8])):
            bit = random.randrange(8 * len(data))
            damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        try:
            load_folder(folder)
        except InputErrors as errors:
            refused += 1
            assert len(str(errors).split("\n")) <= 21
    assert refused > 75
    assert capfd.readouterr().err == ""


def test_a_panic_of_the_reader_is_damage(
    write_folder: WriteFolder, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def panics(*arguments: object, **options: object) -> None:
        os.write(2, b"thread 'main' panicked at src/lib.rs: stack backtrace:\n")
        raise pl.exceptions.PanicException("index out of bounds")

    folder = write_folder({"accounts.csv": None})
    pl.DataFrame({"account": ["ann"], "sub_account": [""]}).write_parquet(folder / "accounts.parquet")
    monkeypatch.setattr(pl, "scan_parquet", panics)
    assert faults(folder) == [
        "accounts.parquet: not a readable Parquet file: cut off or damaged; copy the file again, or write it again"
    ]
    assert capfd.readouterr().err == ""


def test_what_is_written_while_a_file_is_read_is_passed_on(
    write_folder: WriteFolder, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    scan = pl.scan_parquet

    def warns(path: Path, **options: bool) -> pl.LazyFrame:
        os.write(2, b"a warning\n")
        return scan(path, **options)  # type: ignore[arg-type]

    folder = write_folder({"accounts.csv": None})
    rows = {"account": ["ann", "ann", "bob"], "sub_account": ["", "hedge", ""]}
    pl.DataFrame(rows).write_parquet(folder / "accounts.parquet")
    monkeypatch.setattr(pl, "scan_parquet", warns)
    load_folder(folder)
    assert capfd.readouterr().err == "a warning\n"


def test_a_program_without_standard_error_reads_parquet(write_folder: WriteFolder) -> None:
    folder = write_folder({"accounts.csv": None})
    rows = {"account": ["ann", "ann", "bob"], "sub_account": ["", "hedge", ""]}
    pl.DataFrame(rows).write_parquet(folder / "accounts.parquet")
    program = f"import os; os.close(2); import crossmargin.loading as l; print(len(l.load({str(folder)!r}).book))"
    done = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, check=True)
    assert done.stdout == b"2\n"


@pytest.mark.parametrize("table", ["accounts.csv", "balances.csv"])
def test_a_line_that_does_not_end(write_folder: WriteFolder, monkeypatch: pytest.MonkeyPatch, table: str) -> None:
    """No more of a line is read than is needed to refuse it."""
    monkeypatch.setattr(csv, "BATCH_BYTES", 64)
    monkeypatch.setattr(csv, "MAX_LINE_BYTES", 1000)
    header = b"account,sub_account" + (b",asset,amount" if table.startswith("b") else b"")
    folder = write_folder({table: header + b"\nann," + b"x" * 5000 + b"\n"})
    [fault] = faults(folder)
    assert fault == f"{table}, line 2: a line of more than 1000 bytes; end every row with a line feed (LF)"


def test_long_lines_within_the_limit_are_read(write_folder: WriteFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv, "BATCH_BYTES", 8)
    monkeypatch.setattr(csv, "MAX_LINE_BYTES", 80)
    assert len(load_folder(write_folder()).book) == 2


def test_a_field_of_a_megabyte_is_not_repeated(write_folder: WriteFolder) -> None:
    long = "x" * 10**6
    folder = write_folder({"balances.csv": f"account,sub_account,asset,amount\nann,,{long},1\n{long},,USDC,1\n"})
    first, second = faults(folder)
    assert first.startswith("balances.csv, line 2, asset: unknown asset 'xxx")
    assert second.startswith("balances.csv, line 3, account: account not in accounts.csv")


@pytest.mark.parametrize("name", ["venue.yaml", "model.yaml", "reserves.yaml"])
def test_many_small_values(write_folder: WriteFolder, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(yaml, "MAX_VALUES", 1000)
    folder = write_folder({name: "list:\n" + "- 1\n" * 2000})
    [fault] = faults(folder)
    assert fault.startswith(f"{name}, line ")
    assert "more than 1000 values; split or shorten the file" in fault


def test_a_large_yaml_file_is_not_parsed(write_folder: WriteFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_folder({"market.yaml": b"- 1\n" * (yaml.MAX_FILE_BYTES // 4 + 1)})
    monkeypatch.setattr(yaml.yaml, "parse", None)
    with pytest.raises(InputError, match=f"larger than {yaml.MAX_FILE_BYTES} bytes"):
        yaml.read_yaml(folder / "market.yaml")


def test_a_key_of_150_kilobytes(write_folder: WriteFolder) -> None:
    key = "k" * 150_000
    for text in (f"{key}: 1\n{key}: 2\n", f"venue: a\nbook: b\n{key}: 1\n", f"venue: {{{key}: {{a: *x}}}}\n"):
        path = write_folder({"venue.yaml": text}, name=f"book{len(text)}")
        assert all(len(fault) < 1000 for fault in faults(path))


def test_long_texts_are_shortened_in_the_middle() -> None:
    assert shortened("short") == "short"
    long = shortened("a" * 5000 + "the end")
    assert long.startswith("aaaa")
    assert long.endswith("the end")
    assert f"({5007 - MAX_PART_LENGTH} characters)" in long
    assert len(long) < MAX_PART_LENGTH + 40
    assert shortened("two\nlines\x1b[31m") == "two\\nlines\\x1b[31m"
    error = InputError("r" * 10**6, hint="h" * 10**6, file="f" * 10**6, line=7, field="a\nb" * 10**6)
    assert len(str(error)) < 5 * MAX_PART_LENGTH
    assert "\n" not in str(error)


def test_a_history_that_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "MAX_BYTES", 100)
    path = tmp_path / "history.csv"
    path.write_text("time,BTC\n" + "2025-01-01T00:00:00Z,1\n" * 9)
    problems: list[InputError] = []
    assert history.load_history(path, problems) is None
    assert [str(problem) for problem in problems] == ["history.csv: larger than 100 bytes; keep fewer rows"]


def test_structures_that_are_none() -> None:
    deep = b"\x1c" * 1000
    huge = b"\x19\xfc" + b"\xff" * 4 + b"\x0f"
    for data in (b"", b"\x15", deep, huge, b"\x18\xff\x7f", b"\x15" + b"\xff" * 11, b"\x1e\x00"):
        with pytest.raises(ThriftError):
            CompactReader(data).struct()


def test_a_structure_of_every_type() -> None:
    """A field is its distance from the field before and its type; written by hand from the specification."""
    data = (
        b"\x11\x12"  # fields 1 and 2: true, false
        + b"\x13\x7f"  # field 3: a byte
        + b"\x15\x03"  # field 4: -2, as zigzag
        + b"\x16\x80\x01"  # field 5: 64
        + b"\x17"
        + struct.pack("<d", 1.5)  # field 6: a double
        + b"\x18\x02ab"  # field 7: bytes
        + b"\x19\x25\x02\x04"  # field 8: a list of the integers 1 and 2
        + b"\x1b\x01\x58\x02\x01x"  # field 9: a map from 1 to "x"
        + b"\x1c\x05\x2a\x08\x00"  # field 10: a structure whose field 21 is 4
        + b"\x00"
    )
    reader = CompactReader(data)
    found = reader.struct()
    assert reader.position == len(data)
    assert found[6] == struct.pack("<d", 1.5)
    del found[6]
    assert found == {1: True, 2: False, 3: 127, 4: -2, 5: 64, 7: b"ab", 8: [1, 2], 9: [(1, b"x")], 10: {21: 4}}
