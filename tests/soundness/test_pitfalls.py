"""Every rule of the verifier stops an attack: without the rule the attack succeeds, and with it the files are refused.

Pitfalls of version 2 (SPEC, section on pitfalls). A test takes one rule out of prover and verifier, shows that a false
book then verifies, and lets the whole verifier judge the same attack.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from crossmargin_circuits.relation import Auxiliary, Relation, Row
from crossmargin_prover.proof_writer import ProofWriter
from crossmargin_verifier.protocol import records as verifier_records
from crossmargin_verifier.protocol.equation import PointEquation
from crossmargin_verifier.protocol.errors import MalformedError, RejectedError
from crossmargin_verifier.protocol.field import ORDER
from crossmargin_verifier.protocol.files import SnapshotFiles, StatementFiles
from crossmargin_verifier.protocol.generators import (
    blinding_generator,
    mask_generators,
    position_generators,
    slack_generators,
    value_generator,
)
from crossmargin_verifier.protocol.group import POINT_BYTES, Point, add, decode_point, msm
from crossmargin_verifier.protocol.manifests import NO_MODEL, SnapshotManifest, records_file, shard_file
from crossmargin_verifier.protocol.records import RecordShape
from crossmargin_verifier.protocol.shape import folds
from crossmargin_verifier.protocol.shard import shard_claim, verify_shard
from crossmargin_verifier.protocol.transcript import CHI, FOLD, RHO
from crossmargin_verifier.protocol.verify import ClaimedStatement, verify_statements

PART = 7 * pow(100, -1, ORDER) % ORDER
"""7/100 of a unit: a record that no account has, and that nets with -7/100 and with another 93/100."""

HUNDREDFOLD = Relation(("usd",), (), (Row("equity", (100,), ()),))
"""A row that 7/100 satisfies modulo r: 100 times it is 7."""

FRACTIONAL = [[PART], [0]], [[7], [0]]

USD = Relation(("usd",), (), (Row("equity", (1,), ()),))
RELIEVED = Relation(("usd",), (Auxiliary("debt", True),), (Row("covered", (1,), (1,), 9),))
DRAWN = "crossmargin_verifier.protocol"

Weakened = pytest.MonkeyPatch


def fractional(forger: Any, **options: Any) -> Any:
    return forger(HUNDREDFOLD, *FRACTIONAL, open_totals=False, **options)


def test_fractional_record_is_what_record_proofs_stop(
    forger: Any, monkeypatch: Weakened, verify: Any, rejected: Any
) -> None:
    """Control: without record proofs everything else holds, so each test below is about one rule of them."""
    files = fractional(forger).prove()
    with monkeypatch.context() as weakened:
        without_records(weakened, shards={0})
        verify(files, HUNDREDFOLD)
    rejected(files, HUNDREDFOLD, "V4")


def without_records(weakened: Weakened, shards: set[int]) -> None:
    """Let the verifier skip the record proofs of some shards."""
    whole = verifier_records.verify_records

    def skipped(public: Any, data: bytes) -> PointEquation:
        return PointEquation("V4", "", {}, []) if public.index in shards else whole(public, data)

    weakened.setattr(f"{DRAWN}.verify.verify_records", skipped)


def test_record_proofs_of_some_shards_only(forger: Any, monkeypatch: Weakened, verify: Any, rejected: Any) -> None:
    """The fraction lies in the shard that is left out."""
    attack = forger(HUNDREDFOLD, [[1], [2], [PART], [0]], [[100], [200], [7], [0]], open_totals=False)
    files = attack.prove()
    with monkeypatch.context() as weakened:
        without_records(weakened, shards={1})
        verify(files, HUNDREDFOLD)
    assert rejected(files, HUNDREDFOLD, "V4").shard == 1
    del files[records_file(1)]
    with pytest.raises(MalformedError, match="records-000001"):
        verify(files, HUNDREDFOLD)


def test_shift_between_positions_and_masks_of_the_records(
    forger: Any, field_backend: Any, monkeypatch: Weakened, verify: Any, rejected: Any, predict: Any
) -> None:
    """All accounts hold 7/100, C_M what is missing to nothing: works where chi is known before C_M, or is 1."""
    for chi in (1, 5):

        class Cheat(field_backend):  # type: ignore[misc]
            def begin(self, stage: str) -> None:
                super().begin(stage)
                self.records = [[0 if stage == "records" else PART]] * 2

            def bend_mask_commitment(self, point: Point) -> Point:
                if self.stage != "records":
                    return point
                return add(point, msm([-PART * pow(chi, -1, ORDER) % ORDER], position_generators(1)))  # noqa: B023

        attack = forger(HUNDREDFOLD, [[PART]] * 2, [[7]] * 2, backend=Cheat, open_totals=False)
        with monkeypatch.context() as weakened:
            predict(weakened, **{CHI: chi})
            verify(attack.prove(), HUNDREDFOLD)
        rejected(attack.prove(), HUNDREDFOLD, "V4")


def test_projections_of_any_size(
    forger: Any, field_backend: Any, monkeypatch: Weakened, verify: Any, rejected: Any
) -> None:
    """Where z_l is any field element, it says nothing: its b bytes are the range check."""

    class Cheat(field_backend):  # type: ignore[misc]
        def bend_projections(self, z: list[int]) -> list[int]:
            return [value % (ORDER if self.projection_bytes == 32 else 1 << 8 * self.projection_bytes) for value in z]

    attack = fractional(forger, backend=Cheat)
    with monkeypatch.context() as weakened:
        weakened.setattr(RecordShape, "projection_bytes", 32)
        weakened.setattr(f"{DRAWN}.verify.check_wrap", lambda *_: None)
        verify(attack.prove(), HUNDREDFOLD)
    rejected(attack.prove(), HUNDREDFOLD, "V4")


@pytest.mark.parametrize("shared", ["alpha", "beta"])
def test_bits_shared_by_all_projections(
    forger: Any, field_backend: Any, monkeypatch: Weakened, verify: Any, rejected: Any, shared: str
) -> None:
    """With one bit for all of them, C_M is drawn again until no projection looks at the account, or at the column."""
    drawn = verifier_records.record_bits

    def alike(sigma: bytes, shape: RecordShape) -> tuple[bytes, bytes]:
        block = shape.projections // 8
        alpha, beta = drawn(sigma, shape)

        def spread(bits: bytes) -> bytes:
            return b"".join([b"\xff" * block if bits[at] & 1 else bytes(block) for at in range(0, len(bits), block)])

        return (spread(alpha), beta) if shared == "alpha" else (alpha, spread(beta))

    is_choosy = True

    class Cheat(field_backend):  # type: ignore[misc]
        def record_sumcheck(self, *given: Any) -> Any:
            alpha, beta = given[-2:]
            if is_choosy and (alpha if shared == "alpha" else beta)[0]:
                raise ArithmeticError("another C_M")
            return super().record_sumcheck(*given)

    attack = fractional(forger, backend=Cheat)
    with monkeypatch.context() as weakened:
        weakened.setattr(f"{DRAWN}.records.record_bits", alike)
        weakened.setattr("crossmargin_prover.records.record_bits", alike)
        for _ in range(64):
            try:
                verify(attack.prove(), HUNDREDFOLD)
            except ArithmeticError:
                continue
            break
        else:
            raise AssertionError("no C_M suits")
    is_choosy = False
    rejected(attack.prove(), HUNDREDFOLD, "V4")


def test_record_that_wraps_around(
    forger: Any, field_backend: Any, monkeypatch: Weakened, verify: Any, rejected: Any
) -> None:
    """An account owes 2^158 units at 2^98 each; modulo r its equity is 5. The records are in range, the row is not."""
    relation = Relation(("usd", "btc"), (), (Row("equity", (2**98, 1), ()),))
    owed = ORDER >> 98
    record = [-owed, 5 - (ORDER & (2**98 - 1))]
    shape = RecordShape(2, 2)
    assert all(abs(entry) < shape.bound for entry in record)
    assert 2**98 * record[0] + record[1] == 5 - ORDER

    class Cheat(field_backend):  # type: ignore[misc]
        def bend_masks(self, masks: Any) -> Any:
            half = 1 << 8 * self.projection_bytes - 1
            return replace(masks, projections=(half,) * shape.projections)

    attack = forger(relation, [record, [0, 0]], [[5], [0]], backend=Cheat, open_totals=False)
    files = attack.prove()
    with monkeypatch.context() as weakened:
        weakened.setattr(f"{DRAWN}.verify.check_wrap", lambda *_: None)
        verify(files, relation)
    assert "can wrap" in rejected(files, relation, "V2").reason


def test_two_accounts_that_net(forger: Any, monkeypatch: Weakened, verify: Any, rejected: Any, predict: Any) -> None:
    """One owes a million, the other has it: where rho is known beforehand, rows hold for the two together alone."""
    attack = forger(USD, [[-(10**6)], [10**6 + 4]], [[0], [4]])
    with monkeypatch.context() as weakened:
        # eq(1/2, i) is the same for all accounts.
        predict(weakened, **{RHO: pow(2, -1, ORDER)})
        assert verify(attack.prove(), USD).totals == (4,)
    assert rejected(attack.prove(), USD, "V6").shard == 0


@pytest.mark.parametrize("times", [2, 10**6])
def test_account_that_counts_as_many(
    forger: Any, monkeypatch: Weakened, verify: Any, rejected: Any, times: int
) -> None:
    """A relief of 9 claimed many times by one leaf, where the claim has another factor than the accounts' weights."""
    attack = forger(RELIEVED, [[-9 * times], [-9 * times]], [[0, 0], [0, 0]])
    files = attack.prove()
    with monkeypatch.context() as weakened:
        factor_of_offsets(weakened, lambda share: times * share)
        verify(files, RELIEVED)
    rejected(files, RELIEVED, "V6")


def factor_of_offsets(weakened: Weakened, factor: Callable[[int], int]) -> None:
    """Let the claim of a shard count offsets with another factor than the sum of the weights of its accounts."""
    weakened.setattr(f"{DRAWN}.shard.shard_claim", lambda *given: shard_claim(*given[:-1], factor(given[-1]) % ORDER))


def test_offset_of_empty_leaves(forger: Any, monkeypatch: Weakened, verify: Any, rejected: Any) -> None:
    """Three accounts in a shard of four: were offsets counted for every leaf, the empty one would have its relief."""
    honest = [[9, 0], [8, 0], [0, 1]]
    files = forger(RELIEVED, [[0], [-1], [-10]], [*honest, [9, 0]], per_shard=4).prove()
    with monkeypatch.context() as weakened:
        factor_of_offsets(weakened, lambda share: 1)
        verify(files, RELIEVED)
    rejected(files, RELIEVED, "V6")


def test_empty_leaf_that_holds_something(forger: Any, monkeypatch: Weakened, verify: Any, rejected: Any) -> None:
    """A fourth point behind three accounts: where the count came from the file, it would take what the others owe."""
    records, slacks = [[3], [1], [2], [-6]], [[3], [1], [2], [0]]
    attack = forger(USD, records, slacks, per_shard=4, accounts=3, open_totals=False)
    # The forger's shards end with the count of the manifest, so the fourth record enters no proof of his.
    files = attack.prove()
    with pytest.raises(MalformedError, match="positions"):
        verify(files, USD)
    # With a file of three points, the tree is another one than that of the digest, which has the fourth.
    three = files["positions.cm2"][:6] + (3).to_bytes(8, "big") + files["positions.cm2"][14:][: 3 * POINT_BYTES]
    rejected({**files, "positions.cm2": three}, USD, "V3")
    # A verifier with the count of the file takes it as one more account, with offsets and all.
    relation = replace(RELIEVED, auxiliaries=(), rows=(Row("covered", (1,), (), 9),))
    relieved = [[12], [10], [11], [3]]
    with monkeypatch.context() as weakened:
        weakened.setattr(SnapshotManifest, "accounts_in", lambda self, shard: 4)
        weakened.setattr(f"{DRAWN}.files.point_file_body", lambda data, name, count: data[14:])
        more = forger(relation, records, relieved, per_shard=4, accounts=3, open_totals=False).prove()
        verify(more, relation)
    with pytest.raises(MalformedError, match="positions"):
        verify(more, relation)


def error_of(equation: PointEquation, attack: Any) -> Point:
    """Return the sum of an equation of a shard, which is the identity where it holds."""
    files, accounts = attack.files, attack.per_shard
    points = {
        "A": position_generators(len(attack.relation.columns)),
        "M": mask_generators(512),
        "H": [blinding_generator()],
        "U": [value_generator()],
        "B": slack_generators(attack.relation.values, attack.packing),
        "X": points_of(files["positions.cm2"], accounts),
        "R": points_of(files["slack.cm2"], accounts),
    }
    total: Point = None
    for block, coefficients in [*equation.generators.items(), *equation.committed.items()]:
        total = add(total, msm([c % ORDER for c in coefficients], points[block.letter][: len(coefficients)]))
    for coefficient, point in equation.points:
        total = add(total, msm([coefficient % ORDER], [point]))
    return total


def points_of(data: bytes, count: int) -> list[Any]:
    return [decode_point(data[14 + at * POINT_BYTES :][:POINT_BYTES]) for at in range(count)]


def absorb_in_last_fold(weakened: Weakened, count: int, error: Point) -> None:
    """Let the E of the last of so many folds, whose coefficient is -1 whatever the challenges, hold an error."""
    message = ProofWriter.message
    seen = 0

    def bent(self: ProofWriter, label: str, *, points: Any = (), scalars: Any = ()) -> None:
        nonlocal seen
        if label == FOLD:
            seen += 1
            if seen == count:
                points = [add(points[0], error), *points[1:]]
        message(self, label, points=points, scalars=scalars)

    weakened.setattr(ProofWriter, "message", bent)


def test_false_record_proof_is_cancelled_by_a_shard_proof_of_the_same_weight(
    forger: Any, monkeypatch: Weakened, verify: Any, rejected: Any
) -> None:
    """The last fold of a later proof takes the error of an earlier equation, if both have one weight."""
    attack = fractional(forger)
    attack.prove()
    equation = verifier_records.verify_records(attack.public_records(0), attack.files[records_file(0)])
    with monkeypatch.context() as cheating:
        absorb_in_last_fold(cheating, folds(attack.public(0).shape.opening_length), error_of(equation, attack))
        attack.files[shard_file(0)] = attack.prove_shard(0)
    verify(attack.files, HUNDREDFOLD, draw=lambda: 1)
    weights = iter([1, 2])
    rejected(attack.files, HUNDREDFOLD, "V4", draw=lambda: next(weights))
    rejected(attack.files, HUNDREDFOLD, "V4")


def test_false_statement_is_cancelled_by_another_where_each_numbers_its_own_equations(
    forger: Any, monkeypatch: Weakened, judge: Any
) -> None:
    """Equations are numbered over the bundle: with the same weights for both statements their errors cancel."""
    first = forger(USD, [[-5], [4]], [[0], [4]], open_totals=False)
    first.prove()
    other = Relation(("usd",), (), (Row("anything", (0,), (), 1),))
    second = forger(other, [[-5], [4]], [[1], [1]], open_totals=False, base=first)
    second.prove()

    def check(draw: Callable[[], int] | None = None) -> None:
        of_snapshot = {n: d for n, d in first.files.items() if n.startswith(("columns", "snapshot", "posit", "rec"))}
        claimed = {
            name: ClaimedStatement(
                StatementFiles({n: d for n, d in attack.files.items() if n not in of_snapshot}),
                attack.relation,
                bytes(32),
            )
            for name, attack in (("first", first), ("second", second))
        }
        verify_statements(SnapshotFiles(of_snapshot), claimed, arithmetic=judge, draw=draw)

    with pytest.raises(RejectedError) as caught:
        check()
    assert caught.value.statement == "first"
    error = error_of(verify_shard(first.public(0), first.files[shard_file(0)]), first)
    with monkeypatch.context() as cheating:
        absorb_in_last_fold(cheating, folds(second.public(0).shape.opening_length), error)
        second.files[shard_file(0)] = second.prove_shard(0)

    def numbered_anew() -> Iterator[int]:
        # records, then one shard of each statement, which begins with the number of the first one again.
        yield from (11, 22, 22)

    check(draw=numbered_anew().__next__)
    with pytest.raises(RejectedError) as caught:
        check()
    assert (caught.value.step, caught.value.statement) == ("V6", "first")


def test_model_digest_without_a_model(forger: Any, rejected: Any) -> None:
    """A statement names a hidden model that no policy has."""
    attack = forger(USD, [[3], [1]], [[3], [1]])
    assert attack.statement.model_digest == NO_MODEL
    attack.statement = replace(attack.statement, model_digest=bytes([1]) * 32)
    attack.files["statement.cm2"] = attack.statement.encoded
    rejected(attack.prove(), USD, "V2")


@pytest.mark.parametrize("total", [2**120, -(2**120)])
def test_total_beyond_its_range(
    forger: Any, field_backend: Any, monkeypatch: Weakened, verify: Any, rejected: Any, total: int
) -> None:
    """A record far above 2^62 is within the bound of record proofs, and no row looks at it; its total is refused."""
    relation = Relation(("usd", "btc"), (), (Row("equity", (1, 0), ()),))

    class Cheat(field_backend):  # type: ignore[misc]
        def bend_masks(self, masks: Any) -> Any:
            half = 1 << 8 * self.projection_bytes - 1
            return replace(masks, projections=(half,) * len(masks.projections))

    files = forger(relation, [[3, total], [1, 0]], [[3], [1]], backend=Cheat).prove()
    with monkeypatch.context() as weakened:
        weakened.setattr(f"{DRAWN}.totals.TOTAL_BOUND", 2**127)
        assert verify(files, relation).totals == (4, total)
    assert "2^120" in rejected(files, relation, "V7").reason


@pytest.mark.parametrize("total", [-1, 2**120])
def test_auxiliary_total_out_of_range(forger: Any, rejected: Any, total: int) -> None:
    """No debt is negative; the range is checked before the equation is."""
    files = forger(RELIEVED, [[-5], [7]], [[4, 0], [16, 0]]).prove()
    data = files["auxtotals.cm2"]
    changed = data[:42] + total.to_bytes(16, "big", signed=True) + data[58:]
    assert "not in 0" in rejected({**files, "auxtotals.cm2": changed}, RELIEVED, "V8").reason


def test_relation_file_of_another_policy(forger: Any, rejected: Any) -> None:
    """The verifier never computes with the file, and refuses it all the same: people may read it."""
    files = forger(USD, [[3], [1]], [[3], [1]]).prove()
    rejected({**files, "relation.cm2": HUNDREDFOLD.encoded}, USD, "V2")
