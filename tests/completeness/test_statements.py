"""Every true statement has a proof that verifies: sizes, edges of the ranges, shards, several statements, executors."""

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
from crossmargin_prover.snapshot import receipt_for
from crossmargin_verifier.protocol.inclusion import verify_receipt, verify_same_position
from crossmargin_verifier.protocol.manifests import (
    AUXILIARY_TOTALS_FILE,
    COLUMNS_FILE,
    SNAPSHOT_FILE,
    TOTALS_FILE,
    records_file,
    shard_file,
)

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
        pytest.param([(3, -2)] * 5, 2, 0, id="three shards, one account in the last"),
        pytest.param([(3, -2)] * 7, 4, 1, id="a row shared with an empty leaf"),
        pytest.param([(3, -2)] * 5, 8, 2, id="a row of empty leaves alone"),
        pytest.param([(3, -2)] * 5, 1, 4, id="five shards of one account, packing lowered"),
        pytest.param([(0, 0)] * 4, 4, 1, id="accounts that hold nothing"),
    ],
)
def test_sizes(venue: Any, records: list[tuple[int, int]], per_shard: int, packing: int) -> None:
    relation = venue.relation(EQUITY)
    snapshot = venue.commit(relation, records, per_shard)
    files = venue.prove(snapshot, relation, packing=packing)
    shown = venue.verify(snapshot, (files, relation))
    assert shown.totals == (sum(r[0] for r in records), sum(r[1] for r in records))
    assert shown.snapshot.accounts == len(records)
    assert shown.statements["s0"].auxiliary_totals is None
    assert AUXILIARY_TOTALS_FILE not in files


@pytest.mark.parametrize("record", [(LARGEST, 0), (0, 0), (LARGEST // 2, LARGEST // 2 + 1)], ids=["low", "zero", "sum"])
def test_largest_and_smallest_slacks(venue: Any, record: tuple[int, int]) -> None:
    """Slacks of 2^64 - 1 and 0, from records that are below 2^62."""
    relation = venue.relation([((4, 4, 1), (), 0)])
    low, high = (entry // 4 for entry in record)
    snapshot = venue.commit(relation, [(low, high, 3), (0, 0, 0)], 2)
    files = venue.prove(snapshot, relation)
    assert venue.verify(snapshot, (files, relation)).totals == (low, high, 3)


def test_largest_records_of_both_signs(venue: Any) -> None:
    """Projections of the largest records, with and without a second account, stay in their range."""
    top = RECORD_BOUND - 1
    relation = venue.relation([((1, 1), (), 0), ((-1, -1), (), 0)])
    for records, per_shard in (([(top, -top), (-top, top)], 2), ([(top, -top)], 1)):
        snapshot = venue.commit(relation, records, per_shard)
        files = venue.prove(snapshot, relation, packing=1)
        assert venue.verify(snapshot, (files, relation)).totals == tuple(map(sum, zip(*records, strict=True)))


def test_auxiliary_totals_count_accounts_alone(venue: Any) -> None:
    """Auxiliaries of the largest size; the empty leaf adds none."""
    relation = venue.relation([((0, 0), (1,), 0)], [True])
    snapshot = venue.commit(relation, [(1, 2)] * 3, 4)
    files = venue.prove(snapshot, relation, lambda record: (LARGEST,), packing=1)
    assert venue.verify(snapshot, (files, relation)).statements["s0"].auxiliary_totals == (3 * LARGEST,)


@pytest.mark.parametrize("offset", [-5, 5], ids=["charge", "relief"])
def test_offsets_count_for_accounts_alone(venue: Any, offset: int) -> None:
    """Both signs; in the empty leaves of the last shard the row is 0 whatever the offset."""
    relation = venue.relation([((1, 0), (1,), offset)], [True])
    snapshot = venue.commit(relation, [(7, 0), (2, 0), (-9, 0), (0, 0), (3, 3)], 4)
    files = venue.prove(snapshot, relation, lambda record: (max(-offset - record[0], 0),), packing=1)
    shown = venue.verify(snapshot, (files, relation))
    lacking = [max(-offset - each, 0) for each in (7, 2, -9, 0, 3)]
    assert shown.statements["s0"].auxiliary_totals == (sum(lacking),)


@pytest.mark.parametrize("disclosed", [(True, True), (False, True), (False, False)], ids=["both", "second", "none"])
def test_disclosed_auxiliaries(venue: Any, disclosed: tuple[bool, bool]) -> None:
    """J = 5 values, so that three values of the cube are absent."""
    relation = venue.relation(DEBTS, disclosed)
    snapshot = venue.commit(relation, [(9, -6), (-3, 2), (50, 0)], 4)
    files = venue.prove(snapshot, relation, debts, packing=0)
    shown = venue.verify(snapshot, (files, relation))
    assert shown.totals == (56, -4)
    expected = tuple(total for total, flag in zip((3, 6), disclosed, strict=True) if flag)
    assert (shown.statements["s0"].auxiliary_totals or ()) == expected


def test_a_single_account_of_a_book(venue: Any) -> None:
    """N = n = 1 without totals: X_i is that of the book, under the book's columns; no other file is."""
    relation = venue.relation(EQUITY)
    book = venue.commit(relation, [(5 + number, -number) for number in range(6)], 4)
    whole = book.whole()
    leaf = whole.order.tolist().index(4)
    alone = stand_alone_snapshot(book, leaf, SystemRandomness(), select_backend())
    files = venue.prove(alone, relation)
    shown = venue.verify(alone, (files, relation))
    assert (shown.totals, shown.snapshot.accounts, shown.snapshot.leaves) == (None, 1, 1)
    assert TOTALS_FILE not in alone.files
    receipt = verify_receipt(
        receipt_for(book, leaf), book.files[SNAPSHOT_FILE], book.files[COLUMNS_FILE], holder=whole.ids[leaf]
    )
    assert shown.snapshot.columns_digest == book.manifest.columns_digest
    verify_same_position(receipt, alone.manifest, alone.whole().encodings, 0)


def test_every_holder_finds_their_record(venue: Any) -> None:
    records = [(100 + number, -number) for number in range(5)]
    snapshot = venue.commit(venue.relation(EQUITY), records, 4)
    whole = snapshot.whole()
    for leaf, number in enumerate(whole.order):
        verified = verify_receipt(
            receipt_for(snapshot, leaf),
            snapshot.files[SNAPSHOT_FILE],
            snapshot.files[COLUMNS_FILE],
            holder=f"holder-{number}",
            snapshot_digest=snapshot.manifest.digest,
            record=records[number],
        )
        assert verified.position == whole.encoding(leaf)
    assert sorted(whole.order) == list(range(5))
    assert len({whole.encoding(leaf) for leaf in range(5)}) == 5


def test_several_statements_about_one_snapshot(venue: Any) -> None:
    """Record proofs and totals are made once; statements of other shapes and packings share one verification."""
    first, second = venue.relation(EQUITY), venue.relation([((3, 2), (), 0), ((1, 0), (), 0)])
    snapshot = venue.commit(first, [(3, -2), (4, 4), (5, 5)], 2)
    before = dict(snapshot.files)
    statements = [
        (venue.prove(snapshot, relation, packing=packing), relation)
        for relation, packing in ((first, 1), (second, 0), (first, 1))
    ]
    assert snapshot.files == before
    assert sum(name.startswith("records") for name in before) == snapshot.manifest.shards == 2
    assert all(set(before).isdisjoint(files) for files, _ in statements)
    shown = venue.verify(snapshot, *statements)
    assert shown.totals == (12, 7)
    assert list(shown.statements) == ["s0", "s1", "s2"]
    # Two proofs of one statement share nothing, since blindings and masks are fresh.
    assert statements[0][0]["slack.cm2"] != statements[2][0]["slack.cm2"]
    assert statements[0][0][shard_file(0)][-128:] != statements[2][0][shard_file(0)][-128:]


def test_records_without_a_statement(venue: Any) -> None:
    snapshot = venue.commit(venue.relation(EQUITY), [(3, -2)] * 3, 2)
    assert venue.verify(snapshot).totals == (9, -6)


@pytest.mark.parametrize("pool", ["threads", "processes"])
def test_shards_through_an_executor(venue: Any, pool: str) -> None:
    stages: dict[str, list[int]] = {}

    def progress(stage: str, done: int, total: int) -> None:
        stages.setdefault(stage, []).append(done)

    relation = venue.relation(EQUITY)
    makers: dict[str, Callable[[], Any]] = {
        "threads": lambda: ThreadPoolExecutor(2),
        "processes": lambda: ProcessPoolExecutor(1, mp_context=get_context("spawn")),
    }
    with makers[pool]() as executor:
        snapshot = venue.commit(relation, [(3, -2)] * 3, 2, executor=executor, progress=progress)
        files = venue.prove(snapshot, relation, executor=executor, progress=progress)
    venue.verify(snapshot, (files, relation))
    assert records_file(1) in snapshot.files
    expected = ("commit positions", "prove records", "commit slacks", "prove shards")
    assert stages == {stage: [0, 2, 3] for stage in expected}


@st.composite
def books(draw: st.DrawFn) -> tuple[Any, list[Any], int, int]:
    columns, auxiliaries = draw(st.integers(1, 3)), draw(st.integers(0, 1))
    coefficients = st.integers(-5, 5)
    # Every row holds with auxiliary 0 large enough, or has non-negative coefficients over non-negative records.
    rows = []
    for _ in range(draw(st.integers(1, 2))):
        if auxiliaries and draw(st.booleans()):
            base = draw(st.lists(coefficients, min_size=columns, max_size=columns))
            rows.append((base, [1] * auxiliaries, draw(st.integers(-9, 9))))
        else:
            base = draw(st.lists(st.integers(0, 5), min_size=columns, max_size=columns))
            rows.append((base, [0] * auxiliaries, draw(st.integers(0, 9))))
    entries = st.integers(0, 2**20)
    records = draw(st.lists(st.lists(entries, min_size=columns, max_size=columns), min_size=1, max_size=3))
    return (
        (rows, draw(st.lists(st.booleans(), min_size=auxiliaries, max_size=auxiliaries))),
        records,
        draw(st.sampled_from([1, 2][: len(records)])),
        draw(st.integers(0, 1)),
    )


@settings(max_examples=3)
@given(case=books())
def test_random_books(venue: Any, case: tuple[Any, list[Any], int, int]) -> None:
    """Relations with auxiliaries that are set far above what the rows need."""
    (rows, disclosed), records, per_shard, packing = case
    relation = venue.relation(rows, disclosed)
    snapshot = venue.commit(relation, records, per_shard)
    files = venue.prove(snapshot, relation, lambda record: [2**40] * len(disclosed), packing=packing)
    shown = venue.verify(snapshot, (files, relation))
    assert shown.totals == tuple(sum(record[v] for record in records) for v in range(len(relation.columns)))
