"""User files of Binance's zkmerkle-proof-of-solvency: spot accounts with debts."""

from collections.abc import Callable
from pathlib import Path

import pytest

from crossmargin.book.book import Book
from crossmargin.errors import InputErrors
from crossmargin.loading import load_folder
from crossmargin.loading.binance import binance_assets, load_binance
from crossmargin.market.instruments import Catalogue

HEADER = "rn,id,e_usdc,d_usdc,usdc,vl_usdc,m_usdc,pm_usdc,e_btc,d_btc,btc,vl_btc,m_btc,pm_btc,total_net_balance_usdt"
IDS = [f"{number:064x}" for number in range(1, 4)]
ROWS = [
    f"0,{IDS[0]},1000.5,0.0,1000.5,0.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,1000.5",
    f"1,{IDS[1]},500.0,620.25,-120.25,100.0,200.0,200.0,0.03,0.0,0.03,1.56e-05,0.0,0.0,2429.75",
    f"2,{IDS[2]},0.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0",
]


def write(folder: Path, rows: list[str], header: str = HEADER, name: str = "users0.csv") -> Path:
    path = folder / name
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def balances(book: Book) -> list[list[int]]:
    return [[int(entry) for entry in row[:3]] for row in book.records.toarray()]


def test_balance_is_equity_less_debt(tmp_path: Path, catalogue: Catalogue) -> None:
    book = load_binance([write(tmp_path, ROWS)], catalogue)
    assert book.accounts == tuple(IDS)
    assert balances(book) == [[1_000_500_000, 0, 0], [-120_250_000, 3_000_000, 0], [0, 0, 0]]


def test_amounts_with_an_exponent(tmp_path: Path, catalogue: Catalogue) -> None:
    rows = [ROWS[0].replace("1000.5,0.0,1000.5", "2.5E+2,1e-06,249.999999")]
    assert balances(load_binance([write(tmp_path, rows)], catalogue)) == [[249_999_999, 0, 0]]


def test_older_layout_with_prices(tmp_path: Path, catalogue: Catalogue) -> None:
    header = "rn,id,e_sol,d_sol,sol,e_btc,d_btc,btc,sol_udst_price,btc_udst_price,total_net_balance_usdt"
    rows = [f"1,{IDS[0]},2.0,0.0,2.0,0.5,0.1,0.4,130.00000000,85000.00000000,34260.0"]
    assert balances(load_binance([write(tmp_path, rows, header)], catalogue)) == [[0, 40_000_000, 2_000_000]]


def test_several_files_are_one_book(tmp_path: Path, catalogue: Catalogue) -> None:
    files = [write(tmp_path, ROWS[:1]), write(tmp_path, ROWS[1:], name="users1.csv")]
    assert balances(load_binance(files, catalogue)) == balances(load_binance([write(tmp_path, ROWS)], catalogue))
    with pytest.raises(InputErrors, match="a header other than"):
        load_binance([files[1], write(tmp_path, [], HEADER.replace("btc", "sol"))], catalogue)
    again = write(tmp_path, [*ROWS[:1], ROWS[2]], name="users2.csv")
    with pytest.raises(InputErrors, match=r"users2.csv, line 3, account: duplicate account"):
        load_binance([files[1], again], catalogue)


@pytest.mark.parametrize(
    ("find", "put", "line", "field", "reason"),
    [
        (IDS[1], IDS[0], 3, "account", "duplicate account"),
        (IDS[1], "ab" * 31, 3, "id", "64 hexadecimal digits"),
        (IDS[1], "", 3, "account", "empty account id"),
        ("500.0", "-500.0", 3, "e_usdc", "negative"),
        ("620.25", "-620.25", 3, "d_usdc", "negative"),
        ("620.25", "nan", 3, "d_usdc", "not a finite decimal"),
        ("620.25", "", 3, "d_usdc", "empty"),
        ("620.25", "1e99999", 3, "d_usdc", "not a finite decimal"),
        ("500.0", "500.0000001", 3, "e_usdc", "finer than the unit 0.000001 of USDC"),
        ("500.0", "1000000000.1", 3, "e_usdc", "beyond the limit of 1000000000 USDC"),
        ("100.0,200.0,200.0", "100.0,200.0,200.000001", 3, "pm_usdc", "more pledged than the equity"),
        ("1.56e-05", "1.56e-09", 3, "vl_btc", "finer than"),
    ],
)
def test_bad_lines(
    tmp_path: Path, catalogue: Catalogue, find: str, put: str, line: int, field: str, reason: str
) -> None:
    path = write(tmp_path, [ROWS[0], ROWS[1].replace(find, put, 1), ROWS[2]])
    with pytest.raises(InputErrors) as caught:
        load_binance([path], catalogue)
    problem = caught.value.problems[0]
    assert (problem.file, problem.line, problem.field) == ("users0.csv", line, field)
    assert reason in problem.reason
    book = load_binance([path], catalogue, on_bad="reject")
    assert IDS[2] in book.accounts
    assert IDS[1] not in book.accounts
    assert [entry.line for entry in book.rejected] == [3]


def test_debt_in_an_asset_that_cannot_be_borrowed(tmp_path: Path, catalogue: Catalogue) -> None:
    header = HEADER.replace("usdc", "sol")
    with pytest.raises(InputErrors, match="d_sol: a debt in SOL, which cannot be borrowed"):
        load_binance([write(tmp_path, [ROWS[0].replace("1000.5,0.0,", "1000.5,0.1,")], header)], catalogue)


def test_assets_must_be_in_the_catalogue(tmp_path: Path, catalogue: Catalogue) -> None:
    with pytest.raises(InputErrors, match=r"line 1, e_doge: asset 'DOGE' is not in the catalogue"):
        load_binance([write(tmp_path, ROWS, HEADER.replace("btc", "doge"))], catalogue)


@pytest.mark.parametrize(
    "header",
    [
        "rn,id,total_net_balance_usdt",
        HEADER.replace("rn,", ""),
        HEADER.replace("d_btc", "debt_btc"),
        HEADER.replace("btc", "usdc"),
        HEADER.replace(",total_net_balance_usdt", ""),
        HEADER.replace("vl_usdc,m_usdc", "m_usdc,vl_usdc"),
    ],
)
def test_other_headers(header: str) -> None:
    with pytest.raises(InputErrors, match="not the header of a user file"):
        binance_assets(header.split(","), "users0.csv")


def test_book_folder_with_user_files(write_folder: Callable[..., Path]) -> None:
    folder = write_folder({"accounts.csv": None, "balances.csv": None, "positions.csv": None})
    (folder / "binance").mkdir()
    with pytest.raises(InputErrors, match="no user file"):
        load_folder(folder)
    write(folder / "binance", ROWS)
    assert load_folder(folder).book.accounts == tuple(IDS)
    (folder / "balances.csv").write_text("account,sub_account,asset,amount\n")
    with pytest.raises(InputErrors, match=r"a folder binance beside balances.csv"):
        load_folder(folder)
