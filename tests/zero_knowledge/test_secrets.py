"""Ids, records, nonces, blindings and masks appear in no public file, no repr and no error."""

from collections.abc import Iterator

import numpy as np
import pytest
from scipy.sparse import csr_array

from crossmargin_circuits.relation import Auxiliary, Relation, Row
from crossmargin_prover.backend import select_backend
from crossmargin_prover.commitments import commit_snapshot
from crossmargin_prover.masks import Masks, RecordMasks
from crossmargin_prover.randomness import SystemRandomness
from crossmargin_prover.slack import SlackRows
from crossmargin_prover.snapshot import CommittedSnapshot, receipt_for
from crossmargin_prover.statement import GivenWitness, prove_statement
from crossmargin_prover.vault.arrays import SnapshotPlan
from crossmargin_prover.vault.rerandomize import Earlier, Origins
from crossmargin_prover.witness import WitnessError
from crossmargin_verifier.protocol.inclusion import Receipt
from crossmargin_verifier.protocol.records import RecordShape
from crossmargin_verifier.protocol.shape import Shape

BACKEND = select_backend()
RELATION = Relation(("usd",), (Auxiliary("debt", False),), (Row("covered", (1,), (1,)),))
AMOUNTS = (7777777777, -8888888888)
IDS = ("alice@example.org", "bob@example.org")


def commit(ids: tuple[str, ...] = IDS, amounts: tuple[int, ...] = AMOUNTS, per_shard: int = 2) -> CommittedSnapshot:
    records = csr_array(np.array([[amount] for amount in amounts]))
    return commit_snapshot("book", 1, RELATION.columns, records, ids, per_shard, SystemRandomness(), BACKEND)


def prove(snapshot: CommittedSnapshot, shortfall: int = 0) -> dict[str, bytes]:
    whole = snapshot.whole().records
    amounts = [whole.row(leaf)[0] for leaf in range(len(whole))]
    auxiliaries = [[max(-amount, 0)] for amount in amounts]
    slacks = [[max(amount, 0) + shortfall * (amount > 0)] for amount in amounts]
    return prove_statement(
        snapshot,
        RELATION,
        bytes(32),
        GivenWitness(auxiliaries, slacks, snapshot.manifest),
        SystemRandomness(),
        BACKEND,
        name_account=lambda shard, place: f"account #{shard.order[place]}",
    )


def secrets_of(snapshot: CommittedSnapshot) -> Iterator[bytes]:
    yield from (holder.encode() for holder in IDS)
    whole = snapshot.whole()
    for leaf, blinding in enumerate(whole.blindings(snapshot.manifest.sid)):
        yield whole.nonce(leaf)
        yield blinding.to_bytes(32, "big")
    for amount in AMOUNTS:
        for size in (5, 8):
            yield amount.to_bytes(size, "big", signed=True)
            yield amount.to_bytes(size, "little", signed=True)
        yield str(abs(amount)).encode()


def test_public_files_hold_no_secret() -> None:
    snapshot = commit()
    # The totals are public; here they are no amount of one account.
    for name, data in {**snapshot.files, **prove(snapshot)}.items():
        for secret in secrets_of(snapshot):
            assert secret not in data, name


def test_reprs_hold_no_secret() -> None:
    snapshot = commit()
    masks = Masks.draw(Shape(2, 1, 1, 1, 0, 1, 0), 0, SystemRandomness(), b"")
    record_masks = RecordMasks.draw(RecordShape(2, 1), 0, SystemRandomness(), b"")
    values = np.array([[7777777777, 0]], dtype=np.uint64)
    whole = snapshot.whole()
    blindings = whole.blindings(snapshot.manifest.sid)
    receipt = Receipt.decode(receipt_for(snapshot, 0))
    shown = [
        snapshot,
        whole,
        snapshot.shards,
        SnapshotPlan(bytes(32), bytes(32), whole.order),
        whole.records,
        Origins(whole.records, whole.points, "book", whole.ids, whole.nonces, (True,) * 2),
        Earlier(snapshot),
        GivenWitness([], [[7777777777]] * 2, snapshot.manifest),
        masks,
        record_masks,
        receipt,
        SlackRows(bytes(32), bytes(32), [blindings[0]], np.array([7777777777]), bytes(33)),
        BACKEND.bit_sumcheck(values, [1] * 7, masks.cube),
        BACKEND.record_sumcheck(
            whole.records.indptr, whole.records.indices, whole.records.data, 1, bytes(range(78)), bytes(range(39))
        ),
    ]
    hidden = [*IDS, "7777777777", "8888888888", *map(str, masks.vector), str(masks.blinding), str(values[0, 0])]
    hidden += [*map(str, record_masks.vector), str(record_masks.blinding)]
    hidden += [str(blinding) for blinding in blindings]
    hidden += [whole.nonce(leaf).hex() for leaf in range(2)] + [repr(whole.nonce(leaf)) for leaf in range(2)]
    for thing in shown:
        for text in hidden:
            assert text not in f"{thing!r} {thing}"


def test_errors_name_an_account_only_as_the_caller_does() -> None:
    snapshot = commit()
    with pytest.raises(WitnessError) as refused:
        prove(snapshot, shortfall=1)
    assert str(refused.value) == "account #0: row 'covered': the slack is not L x + L' aux + c"
    with pytest.raises(WitnessError) as twice:
        commit(ids=("alice@example.org", "alice@example.org"))
    assert str(twice.value) == "account 1: id used by an earlier account"


def test_equal_accounts_look_unlike() -> None:
    """Equal records have different commitments, in one snapshot and in the next."""
    snapshot, again = (commit(amounts=(5, 5)).whole() for _ in range(2))
    assert len({each.encoding(leaf) for each in (snapshot, again) for leaf in range(2)}) == 4


def test_accounts_stand_in_a_fresh_random_order() -> None:
    ids = tuple(f"holder-{number}" for number in range(12))
    orders = {tuple(commit(ids, tuple(range(12)), 4).whole().order) for _ in range(4)}
    assert len(orders) == 4
    for order in orders:
        assert sorted(order) == list(range(12))
