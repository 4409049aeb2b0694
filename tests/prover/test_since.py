"""A later snapshot from an earlier one: the same commitments to the new records, with blindings of their own."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from crossmargin_circuits.relation import Relation, Row
from crossmargin_prover.backend import select_backend
from crossmargin_prover.commitments import commit_snapshot
from crossmargin_prover.randomness import SystemRandomness
from crossmargin_prover.snapshot import CommittedSnapshot, receipt_for
from crossmargin_prover.statement import GivenWitness, prove_statement
from crossmargin_prover.vault.rerandomize import Earlier
from crossmargin_prover.workflow.shard_size import largest_shard
from crossmargin_verifier.protocol.files import SnapshotFiles, StatementFiles
from crossmargin_verifier.protocol.generators import blinding_generator, position_generators
from crossmargin_verifier.protocol.group import encode_point, msm
from crossmargin_verifier.protocol.inclusion import verify_receipt
from crossmargin_verifier.protocol.manifests import COLUMNS_FILE, SNAPSHOT_FILE
from crossmargin_verifier.protocol.verify import ClaimedStatement, verify_statements

BACKEND = select_backend()
RANDOMNESS = SystemRandomness()
RELATION = Relation(("usd", "btc", "perp"), (), (Row("covered", (1, 0, 0), ()),))
TOP = 2**62 - 1

Book = dict[str, list[int]]
FIRST: Book = {"ann": [5, 1, -1], "ben": [7, 0, 3], "carl": [9, 9, 9], "dora": [1, 0, 0], "egon": [TOP, TOP, -TOP]}


def commit(sid: str, book: Book, since: Earlier | None = None) -> CommittedSnapshot:
    records = csr_array(np.array(list(book.values()), dtype=np.int64))
    size = min(4, largest_shard(len(book)))
    return commit_snapshot(sid, 1, RELATION.columns, records, list(book), size, RANDOMNESS, BACKEND, since=since)


def check(snapshot: CommittedSnapshot, book: Book) -> None:
    """Check every commitment and every receipt against the plain definition (SPEC S4)."""
    whole = snapshot.whole()
    bases = [*position_generators(3), blinding_generator()]
    blindings = whole.blindings(snapshot.manifest.sid)
    for leaf, (holder, blinding) in enumerate(zip(whole.ids, blindings, strict=True)):
        assert list(whole.records.row(leaf)) == book[holder]
        assert whole.encoding(leaf) == encode_point(msm([*book[holder], blinding], bases))
        public = snapshot.files[SNAPSHOT_FILE], snapshot.files[COLUMNS_FILE]
        verify_receipt(receipt_for(snapshot, leaf), *public, holder=holder)


def test_accounts_that_stay_change_come_and_go() -> None:
    earlier = commit("venue/book/1", FIRST)
    book = {
        "ben": [7, 0, 3],
        "ann": [5, 1, 4],
        "carl": [1, 2, 3],
        "frieda": [2, 2, 2],
        "egon": [TOP, -TOP, TOP],
    }
    since = Earlier(earlier)
    snapshot = commit("venue/book/2", book, since)
    check(snapshot, book)
    # ben is as he was, one entry of ann changed, all of carl's, and egon's changes are too large to be added.
    assert (since.unchanged, since.changed) == (1, 1)
    whole = snapshot.whole().records
    values = [[whole.row(leaf)[0]] for leaf in range(5)]
    witness = GivenWitness(np.zeros((5, 0), np.uint64), values, snapshot.manifest)
    files = prove_statement(snapshot, RELATION, bytes(32), witness, RANDOMNESS, BACKEND)
    totals = np.array(list(book.values()), dtype=object).sum(axis=0)
    claimed = {"equity": ClaimedStatement(StatementFiles(files), RELATION, bytes(32))}
    assert verify_statements(SnapshotFiles(snapshot.files), claimed).totals == tuple(totals)
    # The records changed, so that their proofs are others too.
    proofs = [{name: each.files[name] for name in each.files if "records" in name} for each in (earlier, snapshot)]
    assert len(set(proofs[0].values()) | set(proofs[1].values())) == 4


def test_nothing_of_the_earlier_snapshot_shows() -> None:
    """Commitments, nonces and order are fresh: who did not change cannot be told."""
    earlier = commit("venue/book/1", FIRST)
    later = [commit(sid, FIRST, Earlier(earlier)) for sid in ("venue/book/1", "venue/book/2")]
    points = [{snapshot.whole().encoding(leaf) for leaf in range(5)} for snapshot in (earlier, *later)]
    assert len(set.union(*points)) == 15
    nonces = [{snapshot.whole().nonce(leaf) for leaf in range(5)} for snapshot in (earlier, *later)]
    assert len(set.union(*nonces)) == 15
    many = {f"holder {number}": [number, 0, 1] for number in range(12)}
    base = commit("venue/book/1", many)
    orders = {tuple(commit("venue/book/2", many, Earlier(base)).whole().order.tolist()) for _ in range(3)}
    assert len(orders) == 3


entries = st.integers(-3, 3) | st.sampled_from([TOP, -TOP])
books = st.dictionaries(
    st.sampled_from(["ann", "ben", "carl", "dora"]), st.lists(entries, min_size=3, max_size=3), min_size=1
)


@settings(max_examples=40)
@given(books, books)
def test_any_change(first: Book, second: Book) -> None:
    check(commit("venue/book/2", second, Earlier(commit("venue/book/1", first))), second)


def test_work_is_that_of_the_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    earlier = commit("venue/book/1", FIRST)
    committed: list[int] = []

    class Counting:
        def __getattr__(self, name: str) -> Any:
            return getattr(BACKEND, name)

        def commit_sparse(self, indptr: Any, indices: Any, data: Any, blindings: Any) -> Any:
            committed.append(len(data))
            return BACKEND.commit_sparse(indptr, indices, data, blindings)

    book = {**FIRST, "ann": [5, 1, 7]}
    records = csr_array(np.array(list(book.values()), dtype=np.int64))
    commit_snapshot(
        "venue/book/2", 1, RELATION.columns, records, list(book), 4, RANDOMNESS, Counting(), since=Earlier(earlier)
    )
    assert sum(committed) == 1
