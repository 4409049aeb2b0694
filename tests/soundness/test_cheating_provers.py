"""A prover who lies anywhere is rejected, and where a challenge order matters, he would succeed without it.

Attacks of SPEC section 10. Some tests first weaken the protocol (a challenge that the prover can predict, batch weights
that he knows) and show that the attack then works: so it is that challenge, and no accident, that stops it.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from crossmargin_circuits.relation import Auxiliary, Relation, Row
from crossmargin_prover.backend import select_backend
from crossmargin_prover.opening import prove_opening
from crossmargin_prover.point_files import encode_positions
from crossmargin_prover.projection import ProjectionSumcheck
from crossmargin_prover.totals import prove_base_totals
from crossmargin_verifier.protocol.arithmetic import PLAIN
from crossmargin_verifier.protocol.errors import MalformedError, RejectedError
from crossmargin_verifier.protocol.field import ORDER, centred, encode_scalar
from crossmargin_verifier.protocol.generators import position_generators, slack_generators
from crossmargin_verifier.protocol.group import Point, add, encode_point, msm
from crossmargin_verifier.protocol.manifests import BOUNDED, SLACK_FILE, TOTALS_FILE, shard_file
from crossmargin_verifier.protocol.polynomial import eq_table
from crossmargin_verifier.protocol.statement_files import StatementFiles
from crossmargin_verifier.protocol.transcript import CHI, MU, RHO, TAU, Transcript
from crossmargin_verifier.protocol.verify import VerifiedStatement, verify_statement

POLICY = bytes(32)
SHARD = shard_file(0)

EQUITY = Relation(("usd", "btc"), (), (Row("equity", (1, 10), ()),))
DEBT = Relation(("usd",), (Auxiliary("debt", True),), (Row("covered", (1,), (1,)),))
RECORDS = [[3, 4], [1, 0]]
SLACKS = [[43], [1]]


FASTEST = select_backend().arithmetic
ARITHMETIC = FASTEST


@pytest.fixture(
    autouse=True,
    params=[
        pytest.param(FASTEST, id="fastest"),
        *([] if FASTEST is PLAIN else [pytest.param(PLAIN, id="plain", marks=pytest.mark.slow)]),
    ],
)
def judge(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Verify with the fastest arithmetic; the campaigns verify in plain Python too."""
    monkeypatch.setitem(globals(), "ARITHMETIC", request.param)


def verify(files: dict[str, bytes], relation: Relation, **options: Any) -> VerifiedStatement:
    return verify_statement(StatementFiles(files), relation, POLICY, **{"arithmetic": ARITHMETIC, **options})


def rejected(files: dict[str, bytes], relation: Relation, step: str, **options: Any) -> RejectedError:
    with pytest.raises(RejectedError) as caught:
        verify(files, relation, **options)
    assert caught.value.step == step
    return caught.value


def predict(monkeypatch: pytest.MonkeyPatch, **values: int | Callable[[int], int]) -> None:
    """Let the challenges of these labels be what the prover knows beforehand, on both sides."""
    challenge = Transcript.challenge
    drawn: dict[int, int] = {}

    def predicted(self: Transcript, label: str) -> int:
        value = challenge(self, label)
        chosen = values.get(label)
        if chosen is None:
            return value
        if callable(chosen):
            number = drawn.get(id(self), 0)
            drawn[id(self)] = number + 1
            return chosen(number)
        return chosen

    monkeypatch.setattr(Transcript, "challenge", predicted)


def test_the_forger_tells_the_truth_when_he_has_it(forger: Any) -> None:
    """Control: the attacks below differ from this proof in the lie alone."""
    assert verify(forger(EQUITY, RECORDS, SLACKS).prove(), EQUITY).totals == (4, 4)
    debts = forger(DEBT, [[-5], [7]], [[0, 5], [7, 0]], packing=1).prove()
    assert verify(debts, DEBT).auxiliary_totals == (5,)


def test_account_that_does_not_satisfy_the_row(forger: Any) -> None:
    """3 - 40 < 0; the best a prover can do is to show other bits, here those of 0."""
    files = forger(EQUITY, [[3, -4], [1, 0]], [[0], [1]]).prove()
    error = rejected(files, EQUITY, "V6")
    assert error.shard == 0


def test_slack_modulo_two_to_the_64(forger: Any) -> None:
    rejected(forger(EQUITY, [[3, -4], [1, 0]], [[-37 % 2**64], [1]]).prove(), EQUITY, "V6")


def test_digit_minus_one_makes_a_negative_slack(forger: Any, bits: Any) -> None:
    """-37 = -1 + -4 + -32: all rows hold, the digits are no bits."""
    digits = bits(SLACKS)
    digits[0][0] = [-bit for bit in bits([[37]])[0][0]]
    rejected(forger(EQUITY, [[3, -4], [1, 0]], SLACKS, digits).prove(), EQUITY, "V6")


def test_digit_two(forger: Any, bits: Any) -> None:
    """1 + 2 + 40 with a digit 2 in place 0 and none in place 1: the slack is right, the digit is no bit."""
    digits = bits([[40], [1]])
    digits[0][0][0] = 3
    rejected(forger(EQUITY, RECORDS, SLACKS, digits).prove(), EQUITY, "V6")


def test_digit_passes_where_the_point_of_the_sumcheck_is_predicted(
    forger: Any, bits: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """tau must follow the slack rows: at tau = 0 the sum-check looks at entry 0 of the cube alone."""
    digits = bits(SLACKS)
    digits[0][0] = [1, 21, *[0] * 62]
    attack = forger(EQUITY, RECORDS, SLACKS, digits)
    with monkeypatch.context() as weakened:
        predict(weakened, **{TAU: 0})
        verify(attack.prove(), EQUITY)
    rejected(attack.prove(), EQUITY, "V6")


def test_digit_passes_where_mu_is_drawn_before_beta(
    forger: Any, field_backend: Any, plain_sumcheck: Any, bits: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With mu known, a false beta can be chosen so that the two false claims of P6 cancel."""
    mu = 7
    error: list[int] = []

    class Lying(plain_sumcheck):  # type: ignore[misc]
        """Claims b_hat(rho) = beta with (beta - b) + mu (phi - g) = 0, phi - g = b^2 - b - S - beta^2 + beta."""

        @property
        def value(self) -> int:
            b, s = self.table[0], error[0]
            # mu X^2 - (1 + mu) X + c = 0 for X = beta.
            c = (b + mu * (s - b * b + b)) % ORDER
            root = square_root((1 + mu) ** 2 - 4 * mu * c)
            return (1 + mu + root) * pow(2 * mu, -1, ORDER) % ORDER

    class Cheat(field_backend):  # type: ignore[misc]
        def bit_sumcheck(self, values: Any, tau: Sequence[int], mask: int) -> Any:
            state = Lying(self.digits, tau, mask)
            # The sum that is claimed to be zero; every later claim is off by as much.
            error[:] = [sum(e * (b * b - b) for e, b in zip(eq_table(tau), state.table, strict=True)) % ORDER]
            return state

    digits = bits([[40], [1]])
    digits[0][0][0] = 3
    attack = forger(EQUITY, RECORDS, SLACKS, digits, backend=Cheat)
    with monkeypatch.context() as weakened:
        predict(weakened, **{MU: mu})
        until_solvable(attack.prove)
        verify(attack.files, EQUITY)
    until_solvable(attack.prove)
    rejected(attack.files, EQUITY, "V6")


def square_root(value: int) -> int:
    """Return a square root modulo r (Tonelli-Shanks, r - 1 = 2^6 odd); raises ArithmeticError for a non-square."""
    value %= ORDER
    if pow(value, (ORDER - 1) // 2, ORDER) != 1:
        raise ArithmeticError("not a square")
    odd, twos = ORDER - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    non_square = next(z for z in range(2, 100) if pow(z, (ORDER - 1) // 2, ORDER) != 1)
    c, t, root = pow(non_square, odd, ORDER), pow(value, odd, ORDER), pow(value, (odd + 1) // 2, ORDER)
    while t != 1:
        least, power = 0, t
        while power != 1:
            power, least = power * power % ORDER, least + 1
        b = pow(c, 1 << (twos - least - 1), ORDER)
        twos, c = least, b * b % ORDER
        t, root = t * c % ORDER, root * b % ORDER
    return root


def until_solvable(prove: Callable[[], object]) -> None:
    """Half of all transcripts let the quadratic equation have a root."""
    for _ in range(40):
        try:
            prove()
        except ArithmeticError:
            continue
        return
    raise AssertionError("no transcript was solvable")


@pytest.mark.parametrize("chi", [1, 5])
def test_shift_between_positions_and_masks(
    forger: Any, field_backend: Any, monkeypatch: pytest.MonkeyPatch, chi: int
) -> None:
    """Every account is short by 10^15 and C_M holds what is missing: works for chi = 1, or chi known before C_M."""
    shift = 10**15

    class Cheat(field_backend):  # type: ignore[misc]
        """The last column of every X_i lacks `shift`; the sum over the accounts of weight one is put back by C_M."""

        committed = False

        def commit_sparse(self, *given: Any) -> list[Point]:
            lacking = [[record[0] - shift, *record[1:]] for record in self.records]
            return field_backend(lacking, self.digits).commit_sparse(*given)

        def msm(self, scalars: Sequence[int], points: Sequence[Point]) -> Point:
            point = super().msm(scalars, points)
            if not self.committed:
                self.committed = True
                scale = shift * pow(chi * chi, -1, ORDER) % ORDER
                point = add(point, msm([scale], position_generators(1)))
            return point

    attack = forger(EQUITY, RECORDS, SLACKS, backend=Cheat, totals=(4 - 2 * shift, 4))
    with monkeypatch.context() as weakened:
        predict(weakened, **{CHI: chi})
        assert verify(attack.prove(), EQUITY).totals == (4 - 2 * shift, 4)
    attack.backends[0].committed = False
    rejected(attack.prove(), EQUITY, "V6")


def test_shift_between_positions_and_slack_rows(
    forger: Any, field_backend: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same with the R_h in place of C_M: for chi = 1 their weights sum to one as well."""
    shift = 10**15

    class Cheat(field_backend):  # type: ignore[misc]
        def commit_sparse(self, *given: Any) -> list[Point]:
            lacking = [[record[0] - shift, *record[1:]] for record in self.records]
            return field_backend(lacking, self.digits).commit_sparse(*given)

        def commit_bits(self, *given: Any) -> list[Point]:
            extra = msm([shift], position_generators(1))
            return [add(point, extra) for point in super().commit_bits(*given)]

    attack = forger(EQUITY, RECORDS, SLACKS, backend=Cheat, totals=(4 - 2 * shift, 4))
    with monkeypatch.context() as weakened:
        predict(weakened, **{CHI: 1})
        verify(attack.prove(), EQUITY)
    rejected(attack.prove(), EQUITY, "V6")


@pytest.mark.parametrize("packing", [0, 1], ids=["between rows", "inside a row"])
def test_exchanged_slacks(forger: Any, packing: int) -> None:
    """All sums over the book are as they should be; the slacks belong to the other account."""
    rejected(forger(EQUITY, RECORDS, SLACKS[::-1], packing=packing).prove(), EQUITY, "V6")


def test_exchanged_values_of_one_account(forger: Any) -> None:
    relation = Relation(("usd",), (), (Row("one", (1,), ()), Row("two", (2,), ())))
    verify(forger(relation, [[3], [4]], [[3, 6], [4, 8]]).prove(), relation)
    rejected(forger(relation, [[3], [4]], [[6, 3], [8, 4]]).prove(), relation, "V6")


def test_negative_auxiliary(forger: Any, bits: Any) -> None:
    """A debt of -5 for a rich account would understate the total; as -5 mod 2^64 the row fails, as digits the bits."""
    honest = [[-5], [9]], [[0, 5], [9, 0]]
    assert verify(forger(DEBT, *honest).prove(), DEBT).auxiliary_totals == (5,)
    rejected(forger(DEBT, [[-5], [9]], [[0, 5], [4, -5 % 2**64]]).prove(), DEBT, "V6")
    digits = bits([[0, 5], [4, 0]])
    digits[1][1] = [-bit for bit in bits([[5]])[0][0]]
    rejected(forger(DEBT, [[-5], [9]], [[0, 5], [4, 0]], digits).prove(), DEBT, "V6")


def test_wrong_total_with_a_compensating_one(forger: Any) -> None:
    rejected(forger(EQUITY, RECORDS, SLACKS, totals=(4 + 1, 4 - 1)).prove(), EQUITY, "V7")
    rejected(forger(EQUITY, RECORDS, SLACKS, totals=(5, 4)).prove(), EQUITY, "V7")


def test_wrong_auxiliary_total(forger: Any) -> None:
    attack = forger(DEBT, [[-5], [7]], [[0, 5], [7, 0]])
    attack.prove()
    attack.array[0, 1] = 4
    rejected(attack.prove(), DEBT, "V8")


def test_column_that_is_not_opened(forger: Any) -> None:
    attack = forger(EQUITY, RECORDS, SLACKS)
    files = attack.prove()
    opened = prove_base_totals(attack.manifest.digest, (4,), sum(attack.r), 9, attack.backends[0])
    with pytest.raises(MalformedError, match="totals"):
        verify({**files, TOTALS_FILE: opened}, EQUITY)
    with pytest.raises(MalformedError, match=f"{TOTALS_FILE}: missing"):
        verify({name: data for name, data in files.items() if name != TOTALS_FILE}, EQUITY)


def test_duplicated_shard(forger: Any) -> None:
    attack = forger(EQUITY, RECORDS * 2, SLACKS * 2)
    files = attack.prove()
    verify(files, EQUITY)
    rejected({**files, shard_file(1): files[SHARD]}, EQUITY, "V4")
    renumbered = bytearray(files[SHARD])
    renumbered[38:46] = (1).to_bytes(8, "big")
    assert rejected({**files, shard_file(1): bytes(renumbered)}, EQUITY, "V6").shard == 1


def test_files_of_two_statements(forger: Any) -> None:
    """Same snapshot id, relation and records; only the blindings differ."""
    first, second = (forger(DEBT, [[-5], [7]], [[0, 5], [7, 0]]).prove() for _ in range(2))
    steps = {"auxtotals.cm1": "V8", "positions.cm1": "V3", "shard-000000.cm1": "V4", "slack.cm1": "V3"}
    steps |= {"snapshot.cm1": "V3", "statement.cm1": "V2", "totals.cm1": "V7"}
    differing = {name for name in first if first[name] != second[name]}
    assert differing == set(steps)
    for name, step in steps.items():
        rejected({**first, name: second[name]}, DEBT, step)


def test_relation_of_the_prover(forger: Any) -> None:
    """The prover's relation ignores a column, or has a larger coefficient; the verifier has his own."""
    for base in ((1, 0), (1, 11)):
        relation = replace(EQUITY, rows=(Row("equity", base, ()),))
        files = forger(relation, RECORDS, [relation.slacks(record, ()) for record in RECORDS]).prove()
        verify(files, relation)
        rejected(files, EQUITY, "V2")


def test_size_condition(forger: Any) -> None:
    """S10: with such coefficients a row could wrap around modulo r."""
    columns = tuple(f"column {number}" for number in range(300))
    relation = Relation(columns, (), (Row("equity", (2**127 - 1,) * 300, ()),))
    files = forger(relation, [[0] * 300] * 2, [[0], [0]]).prove()
    assert "S10" in rejected(files, relation, "V2").reason


def test_record_that_wraps_around(forger: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """2 x = 1 modulo r. Two such accounts with an honest total pass in book mode, which 8.3 allows for."""
    relation = Relation(("usd",), (), (Row("equity", (2,), ()),))
    half = pow(2, -1, ORDER)
    records = [[half], [half]]
    assert centred(2 * half) == 1
    assert verify(forger(relation, records, [[1], [1]]).prove(), relation).totals == (1,)
    # In bounded mode the projections of the true record are too large, and small ones are not its projections.
    attack = forger(relation, records, [[1], [1]], mode=BOUNDED)
    with monkeypatch.context() as cheating:
        cheating.setattr("crossmargin_prover.shard.project", projected(records))
        cheating.setattr("crossmargin_prover.shard.ProjectionSumcheck", field_projection(records))
        error = rejected(attack.prove(), relation, "V4")
        assert "projection" in error.reason
        cheating.setattr("crossmargin_prover.shard.project", lambda stream, given, masks: masks.projections)
        rejected(attack.prove(), relation, "V6")


def projected(records: Sequence[Sequence[int]]) -> Any:
    """Return what stands for `project` and sees records of field elements."""

    def project(stream: bytes, given: Any, masks: Any) -> tuple[int, ...]:
        sums = list(masks.projections)
        entries = [entry for record in records for entry in record]
        for cell, entry in zip(range(0, len(stream), 16), entries, strict=True):
            bits = int.from_bytes(stream[cell : cell + 16], "little")
            sums = [total + (bits >> number & 1) * entry for number, total in enumerate(sums)]
        return tuple(total % ORDER for total in sums)

    return project


def field_projection(records: Sequence[Sequence[int]]) -> Any:
    class FieldProjection(ProjectionSumcheck):
        def __init__(self, stream: bytes, given: Any, masks: Any, powers: Sequence[int]) -> None:
            super().__init__(stream, given, masks, powers)
            self._records = [dict(enumerate(record)) for record in records]

    return FieldProjection


def test_bounded_record_beyond_the_range_of_projections(forger: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A record just above 2^{Y+2} is no wrap-around yet, and is found all the same."""
    relation = Relation(("usd", "minus"), (), (Row("equity", (1, 1), ()),))
    shape_bits = 62 + (2 * 2).bit_length() + 88
    huge = 1 << shape_bits + 3
    records = [[huge, -huge], [1, 0]]
    attack = forger(relation, records, [[0], [1]], mode=BOUNDED, open_totals=False)

    monkeypatch.setattr("crossmargin_prover.shard.project", projected(records))
    monkeypatch.setattr("crossmargin_prover.shard.ProjectionSumcheck", field_projection(records))
    rejected(attack.prove(), relation, "V4")


def test_errors_of_two_equations_cancel_without_random_weights(forger: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shard opened with a wrong blinding is off by a multiple of H, and so can be the totals."""
    attack = forger(EQUITY, RECORDS, SLACKS)
    wrong = 12345
    opened: list[Any] = []

    def opening(transcript: Any, points: Any, factors: Any, secret: Any, *rest: Any) -> Any:
        opened[:] = [transcript]
        challenges.clear()
        return prove_opening(transcript, points, factors, [*secret[:-1], secret[-1] + wrong], *rest)

    challenges: list[tuple[str, int]] = []
    challenge = Transcript.challenge

    def recorded(self: Transcript, label: str) -> int:
        value = challenge(self, label)
        challenges.append((label, value))
        return value

    with monkeypatch.context() as cheating:
        cheating.setattr("crossmargin_prover.shard.prove_opening", opening)
        cheating.setattr(Transcript, "challenge", recorded)
        attack.files[SHARD] = b""
        files = attack.prove()
    # The shard's equation is off by eta x_1 .. x_m wrong H, and s of the totals moves theirs by as much.
    eta = next(value for label, value in challenges if label == "c")
    error = wrong * eta
    for label, value in challenges:
        if label == "x":
            error = error * value % ORDER
    response = int.from_bytes(files[TOTALS_FILE][-32:], "big")
    files[TOTALS_FILE] = files[TOTALS_FILE][:-32] + encode_scalar(response - error)
    verify(files, EQUITY, draw=lambda: 1)
    with pytest.raises(RejectedError):
        verify(files, EQUITY)


def test_first_challenge_of_the_sumcheck_is_redrawn(forger: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """rho_1 in {0, 1} would leave beta unmasked: both sides draw again, and a prover who does not is rejected."""
    script = [0, 1, 0]

    class Kept(int):
        """A challenge that the prover does not recognise as 0 or 1."""

        __hash__ = int.__hash__

        def __eq__(self, other: object) -> bool:
            return False

    def rho(number: int) -> int:
        return script[number] if number < len(script) else 1000 + number

    attack = forger(EQUITY, RECORDS, SLACKS)
    with monkeypatch.context() as weakened:
        predict(weakened, **{RHO: rho})
        verify(attack.prove(), EQUITY)
    with monkeypatch.context() as weakened:
        predict(weakened, **{RHO: lambda number: Kept(rho(number))})
        files = attack.prove()
    with monkeypatch.context() as weakened:
        predict(weakened, **{RHO: rho})
        rejected(files, EQUITY, "V6")


def test_bit_generators_inside_a_position(forger: Any, field_backend: Any) -> None:
    """B_{0,0,0} in X_i, where the separator chi keeps it apart from the bits of the slack rows."""

    class Cheat(field_backend):  # type: ignore[misc]
        def commit_sparse(self, *given: Any) -> list[Point]:
            extra = slack_generators(1, 0)[0]
            return [add(point, extra) for point in super().commit_sparse(*given)]

    rejected(forger(EQUITY, RECORDS, SLACKS, backend=Cheat, open_totals=False, mode=BOUNDED).prove(), EQUITY, "V6")
    rejected(forger(EQUITY, RECORDS, SLACKS, backend=Cheat).prove(), EQUITY, "V6")


def test_leaves_outside_the_shards(forger: Any) -> None:
    attack = forger(EQUITY, RECORDS, SLACKS)
    files = attack.prove()
    encodings = b"".join(encode_point(point) for point in position_generators(3))
    with pytest.raises(MalformedError, match="positions"):
        verify({**files, "positions.cm1": encode_positions(encodings)}, EQUITY)


def test_noncanonical_scalars_and_points(forger: Any) -> None:
    files = forger(EQUITY, RECORDS, SLACKS).prove()
    data = files[SHARD]
    for scalar in (ORDER, 2**256 - 1):
        with pytest.raises(MalformedError):
            verify({**files, SHARD: data[:-32] + scalar.to_bytes(32, "big")}, EQUITY)
    with pytest.raises(MalformedError):
        verify({**files, SHARD: data[:46] + b"\x02" + b"\xff" * 32 + data[79:]}, EQUITY)
    with pytest.raises(MalformedError):
        verify({**files, SLACK_FILE: files[SLACK_FILE][:14] + b"\x04" + files[SLACK_FILE][15:]}, EQUITY)
