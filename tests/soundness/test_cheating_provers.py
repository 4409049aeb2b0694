"""A prover who lies anywhere is rejected, and where a challenge order matters, he would succeed without it.

Attacks of SPEC section 10. Some tests first weaken the protocol (a challenge that the prover can
predict, batch weights that he knows) and show that the attack then works: so it is that challenge, and no accident,
that stops it.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest

from crossmargin_circuits.relation import Auxiliary, Relation, Row
from crossmargin_prover.opening import prove_opening
from crossmargin_prover.point_files import encode_positions
from crossmargin_prover.totals import prove_base_totals
from crossmargin_verifier.protocol.errors import MalformedError, RejectedError
from crossmargin_verifier.protocol.field import ORDER, encode_scalar
from crossmargin_verifier.protocol.generators import position_generators, slack_generators
from crossmargin_verifier.protocol.group import Point, add, encode_point, msm
from crossmargin_verifier.protocol.manifests import (
    AUXILIARY_TOTALS_FILE,
    SLACK_FILE,
    TOTALS_FILE,
    records_file,
    shard_file,
)
from crossmargin_verifier.protocol.polynomial import eq_table
from crossmargin_verifier.protocol.records import RecordShape, record_bits
from crossmargin_verifier.protocol.transcript import CHI, LAMBDA, MU, PROJECTION_SEED, RHO, TAU, Transcript

SHARD = shard_file(0)

EQUITY = Relation(("usd", "btc"), (), (Row("equity", (1, 10), ()),))
DEBT = Relation(("usd",), (Auxiliary("debt", True),), (Row("covered", (1,), (1,)),))
RECORDS = [[3, 4], [1, 0]]
SLACKS = [[43], [1]]


def test_the_forger_tells_the_truth_when_he_has_it(forger: Any, verify: Any) -> None:
    """Control: the attacks below differ from this proof in the lie alone."""
    assert verify(forger(EQUITY, RECORDS, SLACKS).prove(), EQUITY).totals == (4, 4)
    debts = forger(DEBT, [[-5], [7]], [[0, 5], [7, 0]], packing=1).prove()
    assert verify(debts, DEBT).auxiliary_totals == (5,)


def test_account_that_does_not_satisfy_the_row(forger: Any, rejected: Any) -> None:
    """3 - 40 < 0; the best a prover can do is to show other bits, here those of 0."""
    files = forger(EQUITY, [[3, -4], [1, 0]], [[0], [1]]).prove()
    error = rejected(files, EQUITY, "V6")
    assert error.shard == 0


def test_slack_modulo_two_to_the_64(forger: Any, rejected: Any) -> None:
    rejected(forger(EQUITY, [[3, -4], [1, 0]], [[-37 % 2**64], [1]]).prove(), EQUITY, "V6")


def test_digit_minus_one_makes_a_negative_slack(forger: Any, bits: Any, rejected: Any) -> None:
    """-37 = -1 + -4 + -32: all rows hold, the digits are no bits."""
    digits = bits(SLACKS)
    digits[0][0] = [-bit for bit in bits([[37]])[0][0]]
    rejected(forger(EQUITY, [[3, -4], [1, 0]], SLACKS, digits).prove(), EQUITY, "V6")


def test_digit_two(forger: Any, bits: Any, rejected: Any) -> None:
    """1 + 2 + 40 with a digit 2 in place 0 and none in place 1: the slack is right, the digit is no bit."""
    digits = bits([[40], [1]])
    digits[0][0][0] = 3
    rejected(forger(EQUITY, RECORDS, SLACKS, digits).prove(), EQUITY, "V6")


def test_digit_passes_where_the_point_of_the_sumcheck_is_predicted(
    forger: Any, bits: Any, monkeypatch: pytest.MonkeyPatch, verify: Any, rejected: Any, predict: Any
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
    forger: Any,
    field_backend: Any,
    plain_sumcheck: Any,
    bits: Any,
    monkeypatch: pytest.MonkeyPatch,
    verify: Any,
    rejected: Any,
    predict: Any,
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
    forger: Any, field_backend: Any, monkeypatch: pytest.MonkeyPatch, chi: int, verify: Any, rejected: Any, predict: Any
) -> None:
    """Every account is short by 10^15 and C_M holds what is missing: works for chi = 1, or chi known before C_M."""
    shift = 10**15

    class Cheat(field_backend):  # type: ignore[misc]
        """Column 0 of every X_i lacks `shift`, as its record proof says; C_M puts the sum over weights of one back."""

        def begin(self, stage: str) -> None:
            super().begin(stage)
            lacking = shift if stage == "records" else 0
            self.records = [[usd - lacking, btc] for usd, btc in RECORDS]

        def commit_sparse(self, *given: Any) -> list[Point]:
            lacking = [[record[0] - shift, *record[1:]] for record in self.records]
            return field_backend(lacking, self.digits).commit_sparse(*given)

        def bend_mask_commitment(self, point: Point) -> Point:
            if self.stage == "records":
                return point
            return add(point, msm([shift * pow(chi * chi, -1, ORDER) % ORDER], position_generators(1)))

    attack = forger(EQUITY, RECORDS, SLACKS, backend=Cheat, totals=(4 - 2 * shift, 4))
    with monkeypatch.context() as weakened:
        predict(weakened, **{CHI: chi})
        assert verify(attack.prove(), EQUITY).totals == (4 - 2 * shift, 4)
    rejected(attack.prove(), EQUITY, "V6")


def test_shift_between_positions_and_slack_rows(
    forger: Any, field_backend: Any, monkeypatch: pytest.MonkeyPatch, verify: Any, rejected: Any, predict: Any
) -> None:
    """The same with the R_h in place of C_M: for chi = 1 their weights sum to one as well."""
    shift = 10**15

    class Cheat(field_backend):  # type: ignore[misc]
        def begin(self, stage: str) -> None:
            super().begin(stage)
            lacking = shift if stage == "records" else 0
            self.records = [[usd - lacking, btc] for usd, btc in RECORDS]

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
def test_exchanged_slacks(forger: Any, packing: int, rejected: Any) -> None:
    """All sums over the book are as they should be; the slacks belong to the other account."""
    rejected(forger(EQUITY, RECORDS, SLACKS[::-1], packing=packing).prove(), EQUITY, "V6")


def test_exchanged_values_of_one_account(forger: Any, verify: Any, rejected: Any) -> None:
    relation = Relation(("usd",), (), (Row("one", (1,), ()), Row("two", (2,), ())))
    verify(forger(relation, [[3], [4]], [[3, 6], [4, 8]]).prove(), relation)
    rejected(forger(relation, [[3], [4]], [[6, 3], [8, 4]]).prove(), relation, "V6")


def test_negative_auxiliary(forger: Any, bits: Any, verify: Any, rejected: Any) -> None:
    """A debt of -5 for a rich account would understate the total; as -5 mod 2^64 the row fails, as digits the bits."""
    honest = [[-5], [9]], [[0, 5], [9, 0]]
    assert verify(forger(DEBT, *honest).prove(), DEBT).auxiliary_totals == (5,)
    rejected(forger(DEBT, [[-5], [9]], [[0, 5], [4, -5 % 2**64]]).prove(), DEBT, "V6")
    digits = bits([[0, 5], [4, 0]])
    digits[1][1] = [-bit for bit in bits([[5]])[0][0]]
    rejected(forger(DEBT, [[-5], [9]], [[0, 5], [4, 0]], digits).prove(), DEBT, "V6")


def test_wrong_total_with_a_compensating_one(forger: Any, rejected: Any) -> None:
    rejected(forger(EQUITY, RECORDS, SLACKS, totals=(4 + 1, 4 - 1)).prove(), EQUITY, "V7")
    rejected(forger(EQUITY, RECORDS, SLACKS, totals=(5, 4)).prove(), EQUITY, "V7")


def test_wrong_auxiliary_total(forger: Any, rejected: Any) -> None:
    attack = forger(DEBT, [[-5], [7]], [[0, 5], [7, 0]])
    attack.prove()
    attack.array[0, 1] = 4
    rejected(attack.prove(), DEBT, "V8")


def test_column_that_is_not_opened(forger: Any, verify: Any) -> None:
    attack = forger(DEBT, [[-5], [7]], [[0, 5], [7, 0]])
    files = attack.prove()
    opened = prove_base_totals(attack.manifest.digest, (), sum(attack.r), 9, attack.backends[0])
    with pytest.raises(MalformedError, match="totals"):
        verify({**files, TOTALS_FILE: opened}, DEBT)
    # Both kinds of totals are there, or neither is.
    for name in (TOTALS_FILE, AUXILIARY_TOTALS_FILE):
        with pytest.raises(MalformedError, match=AUXILIARY_TOTALS_FILE):
            verify({each: data for each, data in files.items() if each != name}, DEBT)


def test_duplicated_shard(forger: Any, verify: Any, rejected: Any) -> None:
    attack = forger(EQUITY, RECORDS * 2, SLACKS * 2)
    files = attack.prove()
    verify(files, EQUITY)
    rejected({**files, shard_file(1): files[SHARD]}, EQUITY, "V5")
    rejected({**files, records_file(1): files[records_file(0)]}, EQUITY, "V4")
    renumbered = bytearray(files[SHARD])
    renumbered[38:46] = (1).to_bytes(8, "big")
    assert rejected({**files, shard_file(1): bytes(renumbered)}, EQUITY, "V6").shard == 1
    renumbered = bytearray(files[records_file(0)])
    renumbered[38:46] = (1).to_bytes(8, "big")
    assert rejected({**files, records_file(1): bytes(renumbered)}, EQUITY, "V4").shard == 1


def test_files_of_two_statements(forger: Any, rejected: Any) -> None:
    """Same snapshot id, relation and records; only the blindings differ."""
    first, second = (forger(DEBT, [[-5], [7]], [[0, 5], [7, 0]]).prove() for _ in range(2))
    steps = {
        "auxtotals.cm2": "V8",
        "positions.cm2": "V3",
        "records-000000.cm2": "V4",
        "shard-000000.cm2": "V5",
        "slack.cm2": "V3",
    }
    steps |= {"snapshot.cm2": "V2", "statement.cm2": "V2", "totals.cm2": "V7"}
    differing = {name for name in first if first[name] != second[name]}
    assert differing == set(steps)
    for name, step in steps.items():
        rejected({**first, name: second[name]}, DEBT, step)


def test_relation_of_the_prover(forger: Any, verify: Any, rejected: Any) -> None:
    """The prover's relation ignores a column, or has a larger coefficient; the verifier has his own."""
    for base in ((1, 0), (1, 11)):
        relation = replace(EQUITY, rows=(Row("equity", base, ()),))
        files = forger(relation, RECORDS, [relation.slacks(record, ()) for record in RECORDS]).prove()
        verify(files, relation)
        rejected(files, EQUITY, "V2")


def test_coefficients_beyond_the_bound(forger: Any, rejected: Any) -> None:
    """V2: with such coefficients a row could wrap around modulo r."""
    relation = Relation(("usd",), (), (Row("equity", (2**96,), ()),))
    files = forger(relation, [[0]] * 2, [[0], [0]]).prove()
    assert "row 'equity'" in rejected(files, relation, "V2").reason


@pytest.mark.parametrize("records", [[["7/100"], ["-7/100"]], [["1/2"], ["1/2"]]], ids=["7/100", "1/2"])
def test_fractional_records_that_net_to_integers(forger: Any, rejected: Any, records: list[list[str]]) -> None:
    """Rows and totals hold modulo r; the projections of such a record are large, and small ones are not its own."""
    relation = Relation(("usd",), (), (Row("equity", (100,), (), 7),))
    field = [[fraction(entry) for entry in record] for record in records]
    slacks = [[(100 * record[0] + 7) % ORDER] for record in field]
    attack = forger(relation, field, slacks)
    assert rejected(attack.prove(), relation, "V4").shard == 0


def fraction(text: str) -> int:
    numerator, denominator = map(int, text.split("/"))
    return numerator * pow(denominator, -1, ORDER) % ORDER


@pytest.mark.parametrize("size", [1, 2])
def test_record_beyond_the_bound(forger: Any, rejected: Any, size: int) -> None:
    """A record just above X is no wrap-around yet, and is found all the same."""
    relation = Relation(("usd", "minus"), (), (Row("equity", (1, 1), ()),))
    huge = 2 * RecordShape(size, 2).bound
    attack = forger(relation, [[huge, -huge], [1, 0]], [[0], [1]], per_shard=size, open_totals=False)
    rejected(attack.prove(), relation, "V4")


def test_projections_chosen_where_lambda_is_predicted(
    forger: Any, field_backend: Any, monkeypatch: pytest.MonkeyPatch, verify: Any, rejected: Any, predict: Any
) -> None:
    """With lambda known, small z with the sum that the record needs are found: 7/100 passes, so z must come first."""
    relation = Relation(("usd",), (), (Row("equity", (100,), ()),))
    part, challenge = fraction("7/100"), 2**128 + 12345

    class Cheat(field_backend):  # type: ignore[misc]
        """Keeps what fits, and puts the error of the others into the first two, by a reduced basis."""

        def bend_projections(self, z: list[int]) -> list[int]:
            limit = 1 << 8 * self.projection_bytes
            sent = [limit // 2 if not 0 < value < limit else value for value in z]
            lacking = sum(pow(challenge, at, ORDER) * (a - b) for at, (a, b) in enumerate(zip(z, sent, strict=True)))
            first, second = small_pair(challenge, lacking % ORDER)
            return [sent[0] + first, sent[1] + second, *sent[2:]]

    attack = forger(relation, [[part], [0]], [[7], [0]], backend=Cheat, open_totals=False)
    with monkeypatch.context() as weakened:
        predict(weakened, **{LAMBDA: challenge})
        verify(attack.prove(), relation)
    rejected(attack.prove(), relation, "V4")


def small_pair(challenge: int, target: int) -> tuple[int, int]:
    """Return a, b of about half the bits of r with a + challenge b = target modulo r (nearest vector by rounding)."""
    (p, q), (u, v) = reduced_basis(challenge)
    # A first solution (target, 0), less the lattice vector next to it: coordinates by Cramer's rule.
    determinant = p * v - q * u
    first, second = round(Fraction(target * v, determinant)), round(Fraction(-target * q, determinant))
    return target - first * p - second * u, -first * q - second * v


def reduced_basis(challenge: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return a reduced basis of {(a, b): a + challenge b = 0 modulo r} (Lagrange)."""
    short, long = (ORDER, 0), (-challenge % ORDER, 1)
    while True:
        if short[0] ** 2 + short[1] ** 2 > long[0] ** 2 + long[1] ** 2:
            short, long = long, short
        times = round(Fraction(short[0] * long[0] + short[1] * long[1], short[0] ** 2 + short[1] ** 2))
        if not times:
            return short, long
        long = (long[0] - times * short[0], long[1] - times * short[1])


def test_masks_that_cancel_projections_where_sigma_is_predicted(
    forger: Any, field_backend: Any, monkeypatch: pytest.MonkeyPatch, verify: Any, rejected: Any, predict: Any
) -> None:
    """With sigma known before C_M, y_l cancels every projection, so C_M must come first."""
    relation = Relation(("usd",), (), (Row("equity", (100,), ()),))
    part, sigma = fraction("7/100"), bytes(32)
    shape = RecordShape(2, 1)
    alpha, beta = record_bits(sigma, shape)
    size = len(beta)

    class Cheat(field_backend):  # type: ignore[misc]
        def bend_masks(self, masks: Any) -> Any:
            chosen = int.from_bytes(alpha[:size], "little") & int.from_bytes(beta, "little")
            small = [5 - part * (chosen >> number & 1) for number in range(shape.projections)]
            return replace(masks, projections=tuple(entry % ORDER for entry in small))

    attack = forger(relation, [[part], [0]], [[7], [0]], backend=Cheat, open_totals=False)
    with monkeypatch.context() as weakened:
        predict(weakened, **{PROJECTION_SEED: sigma})
        verify(attack.prove(), relation)
    rejected(attack.prove(), relation, "V4")


def test_offset_claimed_in_an_empty_leaf(forger: Any, verify: Any, rejected: Any) -> None:
    """Three accounts in shards of four: a relief of 9 counts for accounts alone, a made-up auxiliary only adds."""
    relation = Relation(("usd",), (Auxiliary("debt", True),), (Row("covered", (1,), (1,), 9),))
    honest = [[9, 0], [8, 0], [0, 1]]
    records = [[0], [-1], [-10]]
    files = forger(relation, records, honest, per_shard=4).prove()
    assert verify(files, relation).auxiliary_totals == (1,)
    rejected(forger(relation, records, [*honest, [9, 0]], per_shard=4).prove(), relation, "V6")
    inflated = forger(relation, records, [*honest, [5, 5]], per_shard=4).prove()
    assert verify(inflated, relation).auxiliary_totals == (6,)


def test_commitment_behind_the_count(forger: Any, verify: Any) -> None:
    """A fourth account that owes, where the manifest counts three: no file has a place for its point."""
    records, slacks = [*RECORDS, [2, 2], [-50, 0]], [*SLACKS, [22], [0]]
    attack = forger(EQUITY, records, slacks, per_shard=4, accounts=3, totals=(6, 6))
    with pytest.raises(MalformedError, match="positions"):
        verify(attack.prove(), EQUITY)


def test_records_of_another_snapshot(forger: Any, rejected: Any) -> None:
    """The same records under other blindings; also with the digest of the snapshot written over."""
    first, second = (forger(EQUITY, RECORDS, SLACKS).prove() for _ in range(2))
    name = records_file(0)
    rejected({**first, name: second[name]}, EQUITY, "V4")
    replayed = second[name][:6] + first[name][6:38] + second[name][38:]
    rejected({**first, name: replayed}, EQUITY, "V4")


def test_statement_about_the_snapshot_of_another(forger: Any, verify: Any, rejected: Any) -> None:
    """Two statements share a snapshot; each needs the one record x_i of all of them."""
    first = forger(EQUITY, RECORDS, SLACKS)
    first.prove()
    second = Relation(EQUITY.columns, (), (Row("usd", (1, 0), ()),))
    assert verify(forger(second, RECORDS, [[3], [1]], base=first).prove(), second).totals == (4, 4)
    rejected(forger(second, [[4, 4], [0, 0]], [[4], [0]], base=first).prove(), second, "V6")


def test_errors_of_two_equations_cancel_without_random_weights(
    forger: Any, monkeypatch: pytest.MonkeyPatch, verify: Any
) -> None:
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


def test_first_challenge_of_the_sumcheck_is_redrawn(
    forger: Any, monkeypatch: pytest.MonkeyPatch, verify: Any, rejected: Any, predict: Any
) -> None:
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


def test_bit_generators_inside_a_position(forger: Any, field_backend: Any, rejected: Any) -> None:
    """B_{0,0,0} in X_i, where the separator chi keeps it apart from the bits of the slack rows."""

    class Cheat(field_backend):  # type: ignore[misc]
        def commit_sparse(self, *given: Any) -> list[Point]:
            extra = slack_generators(1, 0)[0]
            return [add(point, extra) for point in super().commit_sparse(*given)]

    rejected(forger(EQUITY, RECORDS, SLACKS, backend=Cheat).prove(), EQUITY, "V4")


def test_leaves_outside_the_shards(forger: Any, verify: Any) -> None:
    attack = forger(EQUITY, RECORDS, SLACKS)
    files = attack.prove()
    encodings = b"".join(encode_point(point) for point in position_generators(3))
    with pytest.raises(MalformedError, match="positions"):
        verify({**files, "positions.cm2": encode_positions(encodings)}, EQUITY)


def test_noncanonical_scalars_and_points(forger: Any, verify: Any) -> None:
    files = forger(EQUITY, RECORDS, SLACKS).prove()
    data = files[SHARD]
    for scalar in (ORDER, 2**256 - 1):
        with pytest.raises(MalformedError):
            verify({**files, SHARD: data[:-32] + scalar.to_bytes(32, "big")}, EQUITY)
    with pytest.raises(MalformedError):
        verify({**files, SHARD: data[:46] + b"\x02" + b"\xff" * 32 + data[79:]}, EQUITY)
    with pytest.raises(MalformedError):
        verify({**files, SLACK_FILE: files[SLACK_FILE][:14] + b"\x04" + files[SLACK_FILE][15:]}, EQUITY)
