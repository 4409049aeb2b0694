"""Records are sums of sub-account records, exactly, and nothing wraps."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array

from crossmargin.book import exact_sum
from crossmargin.book.book import Book, Entries
from crossmargin.book.exact_sum import column_totals
from crossmargin.book.records import sum_entries
from crossmargin.errors import InputError
from crossmargin_circuits.encoding import MAX_JSON_INTEGER
from crossmargin_circuits.layout import RECORD_BOUND, Column, ColumnKind, RecordLayout

WIDTH = 4
cells = st.tuples(st.integers(0, 3), st.integers(0, WIDTH - 1), st.integers(-RECORD_BOUND, RECORD_BOUND))


def layout(limit: int = 1000) -> RecordLayout:
    names = ["EUR", "USDC", "BTC", "ETH"]
    return RecordLayout(tuple(Column(ColumnKind.BALANCE, name, f"1 {name}", limit) for name in names))


def entries(rows: list[tuple[int, int, int]]) -> Entries:
    table = np.array(rows, dtype=np.int64).reshape(-1, 3)
    return sum_entries(table[:, 0], table[:, 1], table[:, 2], WIDTH)


@given(st.lists(cells, max_size=60))
def test_sums_are_exact_and_saturate(rows: list[tuple[int, int, int]]) -> None:
    totals: dict[tuple[int, int], int] = {}
    for row, column, value in rows:
        totals[row, column] = totals.get((row, column), 0) + value
    found = entries(rows)
    pairs = list(zip(found.rows.tolist(), found.columns.tolist(), strict=True))
    assert pairs == sorted(totals)
    for pair, value in zip(pairs, found.values.tolist(), strict=True):
        assert value == min(max(totals[pair], -RECORD_BOUND), RECORD_BOUND)


def test_records_pool_sub_accounts() -> None:
    owners = np.array([0, 0, 1])
    book = Book.from_entries(
        layout(), ["ann", "bob"], ["", "hedge", ""], owners, entries([(0, 1, 5), (1, 1, -7), (1, 2, 3), (2, 3, 4)])
    )
    assert book.records.toarray().tolist() == [[0, -2, 3, 0], [0, 0, 0, 4]]
    assert book.sub_records.toarray().tolist() == [[0, 5, 0, 0], [0, -7, 3, 0], [0, 0, 0, 4]]
    assert book.record("ann") == [0, -2, 3, 0]
    assert book.sub_rows("ann") == [0, 1]
    assert book.sub_rows("bob") == [2]
    assert (len(book), book.number("bob"), book.records.dtype) == (2, 1, np.int64)
    with pytest.raises(InputError, match="no account 'eve'"):
        book.record("eve")


def test_sub_accounts_need_not_stand_together() -> None:
    rows = entries([(0, 1, 5), (1, 2, 6), (2, 1, 7)])
    book = Book.from_entries(layout(), ["ann", "bob"], ["", "", "x"], np.array([0, 1, 0]), rows)
    assert book.records.toarray().tolist() == [[0, 12, 0, 0], [0, 0, 6, 0]]


def test_cancelled_entries_leave_no_trace() -> None:
    book = Book.from_entries(layout(), ["ann"], ["", "x"], np.array([0, 0]), entries([(0, 1, 5), (1, 1, -5)]))
    assert book.records.nnz == 0
    assert book.sub_records.nnz == 2


def test_repr_shows_no_position() -> None:
    book = Book.from_entries(layout(), ["ann"], [""], np.array([0]), entries([(0, 1, 737)]))
    assert "737" not in repr(book)
    assert "737" not in repr(entries([(0, 1, 737)]))


@pytest.mark.parametrize("rows", [[(0, 1, 1001)], [(0, 1, -1001)], [(0, 1, 600), (1, 1, 600)]])
def test_limits_hold_for_accounts_and_sub_accounts(rows: list[tuple[int, int, int]]) -> None:
    with pytest.raises(InputError, match="balance USDC beyond its limit"):
        Book.from_entries(layout(), ["ann"], ["", "x"], np.array([0, 0]), entries(rows))


def test_a_sum_that_would_wrap_is_beyond_the_limit() -> None:
    top = RECORD_BOUND - 1
    rows = entries([(number, 1, top) for number in range(4)])
    with pytest.raises(InputError, match="beyond its limit"):
        Book.from_entries(layout(MAX_JSON_INTEGER), ["ann"], ["", "a", "b", "c"], np.array([0, 0, 0, 0]), rows)


def test_every_account_has_a_sub_account() -> None:
    with pytest.raises(InputError, match="without a sub-account"):
        Book.from_entries(layout(), ["ann", "bob"], [""], np.array([0]), entries([]))
    with pytest.raises(InputError, match="no account"):
        Book.from_entries(layout(), [], [], np.array([], dtype=np.int64), entries([]))


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.sampled_from([0, 1, -1, 7, -(2**62), 2**62 - 1, 2**32, -(2**32) - 1])),
        max_size=40,
    ),
    st.integers(1, 9),
)
def test_column_totals_are_exact(given_cells: list[tuple[int, int]], size: int) -> None:
    columns = [column for column, _ in given_cells]
    values = np.array([value for _, value in given_cells], dtype=np.int64)
    places = np.arange(len(values)), np.array(columns, dtype=np.int64)
    matrix = csr_array((values, places), shape=(max(len(values), 1), 4), dtype=np.int64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exact_sum, "CHUNK_ENTRIES", size)
        found = column_totals(matrix)
    assert found == [sum(value for at, value in given_cells if at == column) for column in range(4)]
