"""Every true statement has a proof that verifies: sizes, edges of the ranges, shards, modes and executors."""

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossmargin_circuits.layout import RECORD_BOUND
from crossmargin_prover.backend import select_backend
from crossmargin_prover.commitments import stand_alone_snapshot
from crossmargin_prover.randomness import SystemRandomness
from crossmargin_prover.snapshot import PADDING, receipt_for
from crossmargin_verifier.protocol.inclusion import verify_receipt, verify_same_position
from crossmargin_verifier.protocol.manifests import (
    AUXILIARY_TOTALS_FILE,
    BOUNDED,
    COLUMNS_FILE,
    POSITIONS_FILE,
    SNAPSHOT_FILE,
    TOTALS_FILE,
)
from crossmargin_verifier.protocol.statement_files import StatementFiles
from crossmargin_verifier.protocol.verify import verify_statement

LARGEST = 2**64 - 1
EQUITY = [((1, 1), (), 0)]
DEBTS = [((1, 0), (1, 0), 0), ((0, 1), (0, 1), 0), ((2, 3), (0, 0), 0)]


def debts(record: Any) -> tuple[int, ...]:
    return tuple(max(-entry, 0) for entry in record)


@pytest.mark.parametrize(
    ("records", "per_shard", "packing"),
    [
        pytest.param([(3, -2)], 1, 0, id="one account"),
        pytest.param([(3, -2), (0, 7)], 2, 1, id="one slack row in a shard"),
        pytest.param([(3, -2)] * 5, 2, 0, id="three shards, top tree and last shard padded"),
        pytest.param([(3, -2)] * 5, 1, 4, id="five shards of one account, packing lowered"),
        pytest.param([(0, 0)] * 4, 4, 1, id="all accounts empty"),
        pytest.param([], 2, 0, id="no account"),
    ],
)
def test_sizes(venue: Any, records: list[tuple[int, int]], per_shard: int, packing: int) -> None:
    relation = venue.relation(EQUITY)
    snapshot = venue.commit(relation, records, per_shard)
    files = venue.prove(snapshot, relation, packing=packing)
    shown = verify_statement(StatementFiles(files), relation, venue.policy_digest)
    assert shown.totals == (sum(r[0] for r in records), sum(r[1] for r in records))
    assert shown.auxiliary_totals is None
    assert AUXILIARY_TOTALS_FILE not in files


@pytest.mark.parametrize("record", [(LARGEST, 0), (0, 0), (LARGEST // 2, LARGEST // 2 + 1)], ids=["low", "zero", "sum"])
def test_largest_and_smallest_slacks(venue: Any, record: tuple[int, int]) -> None:
    """Slacks of 2^64 - 1 and 0, from records that are below 2^62."""
    relation = venue.relation([((4, 4, 1), (), 0)])
    low, high = (entry // 4 for entry in record)
    snapshot = venue.commit(relation, [(low, high, 3), (0, 0, 0)], 2)
    files = venue.prove(snapshot, relation)
    assert verify_statement(StatementFiles(files), relation, venue.policy_digest).totals == (low, high, 3)


def test_largest_records_of_both_signs(venue: Any) -> None:
    top = RECORD_BOUND - 1
    relation = venue.relation([((1, 1), (), 0), ((-1, -1), (), 0)])
    snapshot = venue.commit(relation, [(top, -top), (-top, top)], 2)
    files = venue.prove(snapshot, relation, packing=1)
    assert verify_statement(StatementFiles(files), relation, venue.policy_digest).totals == (0, 0)


def test_largest_auxiliaries(venue: Any) -> None:
    relation = venue.relation([((0, 0), (1,), 0)], [True])
    snapshot = venue.commit(relation, [(1, 2)], 2)
    files = venue.prove(snapshot, relation, lambda record: (LARGEST,), packing=1)
    assert verify_statement(StatementFiles(files), relation, venue.policy_digest).auxiliary_totals == (2 * LARGEST,)


def test_negative_offset_met_by_an_auxiliary(venue: Any) -> None:
    relation = venue.relation([((1, 0), (1,), -5)], [False])
    snapshot = venue.commit(relation, [(7, 0), (2, 0)], 2)
    files = venue.prove(snapshot, relation, lambda record: (max(5 - record[0], 0),))
    shown = verify_statement(StatementFiles(files), relation, venue.policy_digest)
    assert shown.auxiliary_totals is None


@pytest.mark.parametrize("disclosed", [(True, True), (False, True), (False, False)], ids=["both", "second", "none"])
def test_disclosed_auxiliaries(venue: Any, disclosed: tuple[bool, bool]) -> None:
    """J = 5 values, so that three values of the cube are absent."""
    relation = venue.relation(DEBTS, disclosed)
    snapshot = venue.commit(relation, [(9, -6), (-3, 2), (50, 0)], 4)
    files = venue.prove(snapshot, relation, debts, packing=0)
    shown = verify_statement(StatementFiles(files), relation, venue.policy_digest)
    assert shown.totals == (56, -4)
    expected = tuple(total for total, flag in zip((3, 6), disclosed, strict=True) if flag)
    assert (shown.auxiliary_totals or ()) == expected


@pytest.mark.parametrize("open_totals", [True, False])
def test_bounded_mode(venue: Any, open_totals: bool) -> None:
    relation = venue.relation(DEBTS, (True, False))
    snapshot = venue.commit(relation, [(9, -6), (-3, 2)], 2, open_totals=open_totals)
    files = venue.prove(snapshot, relation, debts, mode=BOUNDED)
    shown = verify_statement(StatementFiles(files), relation, venue.policy_digest)
    assert (shown.totals is not None) is open_totals
    assert shown.auxiliary_totals == ((3,) if open_totals else None)
    assert (TOTALS_FILE in files) is open_totals


def test_bounded_mode_with_one_account_and_largest_records(venue: Any) -> None:
    relation = venue.relation(EQUITY)
    top = RECORD_BOUND - 1
    snapshot = venue.commit(relation, [(top, -top)], 1, open_totals=False)
    files = venue.prove(snapshot, relation, mode=BOUNDED)
    verify_statement(StatementFiles(files), relation, venue.policy_digest)


def test_stand_alone_proof_of_accounts_of_a_book(venue: Any) -> None:
    relation = venue.relation(EQUITY)
    book = venue.commit(relation, [(5 + number, -number) for number in range(6)], 4)
    leaves = [leaf for leaf, number in enumerate(book.whole().order) if number in (1, 4, 5)]
    alone = stand_alone_snapshot(book, leaves, SystemRandomness(), select_backend())
    files = venue.prove(alone, relation, mode=BOUNDED, packing=2)
    shown = verify_statement(StatementFiles(files), relation, venue.policy_digest)
    assert shown.totals is None
    assert shown.snapshot.leaves == 4
    for index, leaf in enumerate(leaves):
        receipt = verify_receipt(
            receipt_for(book, leaf), book.files[SNAPSHOT_FILE], book.files[COLUMNS_FILE], holder=book.whole().ids[leaf]
        )
        verify_same_position(receipt, alone.whole().encodings, index)


def test_every_holder_finds_his_record(venue: Any) -> None:
    records = [(100 + number, -number) for number in range(5)]
    snapshot = venue.commit(venue.relation(EQUITY), records, 4)
    found = []
    whole = snapshot.whole()
    for leaf, number in enumerate(whole.order):
        if number != PADDING:
            verified = verify_receipt(
                receipt_for(snapshot, leaf),
                snapshot.files[SNAPSHOT_FILE],
                snapshot.files[COLUMNS_FILE],
                holder=f"holder-{number}",
                snapshot_digest=snapshot.manifest.digest,
                record=records[number],
            )
            assert verified.position == whole.encoding(leaf)
            found.append(number)
    assert sorted(found) == list(range(5))
    assert len({whole.encoding(leaf) for leaf in range(8)}) == 8


def test_statements_share_a_snapshot(venue: Any) -> None:
    first, second = venue.relation(EQUITY), venue.relation([((3, 2), (), 0), ((1, 0), (), 0)])
    snapshot = venue.commit(first, [(3, -2), (4, 4)], 2)
    statements = [venue.prove(snapshot, relation) for relation in (first, second, first)]
    for name in (COLUMNS_FILE, SNAPSHOT_FILE, POSITIONS_FILE, TOTALS_FILE):
        assert len({files[name] for files in statements}) == 1
    # Two proofs of one statement share nothing, since blindings and masks are fresh.
    assert statements[0]["slack.cm1"] != statements[2]["slack.cm1"]
    assert statements[0]["shard-000000.cm1"][-128:] != statements[2]["shard-000000.cm1"][-128:]


@pytest.mark.parametrize("pool", ["threads", "processes"])
def test_shards_through_an_executor(venue: Any, pool: str) -> None:
    stages: dict[str, list[int]] = {}

    def progress(stage: str, done: int, total: int) -> None:
        stages.setdefault(stage, []).append(done)

    relation = venue.relation(EQUITY)
    snapshot = venue.commit(relation, [(3, -2)] * 3, 1)
    makers: dict[str, Callable[[], Any]] = {
        "threads": lambda: ThreadPoolExecutor(2),
        "processes": lambda: ProcessPoolExecutor(1, mp_context=get_context("spawn")),
    }
    with makers[pool]() as executor:
        files = venue.prove(snapshot, relation, executor=executor, progress=progress)
    verify_statement(StatementFiles(files), relation, venue.policy_digest)
    assert stages == {"commit slacks": [0, 1, 2, 3], "prove shards": [0, 1, 2, 3]}


@st.composite
def books(draw: st.DrawFn) -> tuple[Any, list[Any], int, int, int]:
    columns, auxiliaries = draw(st.integers(1, 3)), draw(st.integers(0, 1))
    coefficients = st.integers(-5, 5)
    # Every row holds with auxiliary 0 large enough, or has non-negative coefficients over non-negative records.
    rows = []
    for _ in range(draw(st.integers(1, 2))):
        if auxiliaries and draw(st.booleans()):
            base = draw(st.lists(coefficients, min_size=columns, max_size=columns))
            rows.append((base, [1] * auxiliaries, draw(st.integers(-9, 0))))
        else:
            base = draw(st.lists(st.integers(0, 5), min_size=columns, max_size=columns))
            rows.append((base, [0] * auxiliaries, 0))
    entries = st.integers(0, 2**20)
    records = draw(st.lists(st.lists(entries, min_size=columns, max_size=columns), max_size=3))
    return (
        (rows, draw(st.lists(st.booleans(), min_size=auxiliaries, max_size=auxiliaries))),
        records,
        draw(st.sampled_from([1, 2])),
        draw(st.integers(0, 1)),
        draw(st.sampled_from([0, 1])),
    )


@settings(max_examples=3)
@given(case=books())
def test_random_books(venue: Any, case: tuple[Any, list[Any], int, int, int]) -> None:
    """Relations with auxiliaries that are set far above what the rows need."""
    (rows, disclosed), records, per_shard, packing, mode = case
    relation = venue.relation(rows, disclosed)
    snapshot = venue.commit(relation, records, per_shard)
    files = venue.prove(snapshot, relation, lambda record: [2**40] * len(disclosed), packing=packing, mode=mode)
    shown = verify_statement(StatementFiles(files), relation, venue.policy_digest)
    assert shown.totals == tuple(sum(record[v] for record in records) for v in range(len(relation.columns)))
