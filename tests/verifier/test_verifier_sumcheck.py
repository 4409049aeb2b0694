"""The sum-check reduction against its defining recurrences, for messages that no prover would send."""

import random

import pytest

from crossmargin_verifier.protocol.field import ORDER, encode_scalars
from crossmargin_verifier.protocol.group import BASE_POINT
from crossmargin_verifier.protocol.messages import Opening, ShardProof
from crossmargin_verifier.protocol.shape import Shape
from crossmargin_verifier.protocol.sumcheck import verify_sumcheck
from crossmargin_verifier.protocol.transcript import SHARD, Transcript


def proof_of(shape: Shape, generator: random.Random) -> ShardProof:
    rounds = tuple(tuple(generator.randrange(ORDER) for _ in range(degree)) for degree in shape.degrees)
    account_rounds = shape.account_bits if shape.bounded else 0
    pairs = tuple((generator.randrange(ORDER), generator.randrange(ORDER)) for _ in range(account_rounds))
    return ShardProof(bytes(32), 0, BASE_POINT, (), rounds, pairs, 0, Opening(BASE_POINT, 0, (), (0, 0, 0, 0)))


@pytest.mark.parametrize("mode", [0, 1])
@pytest.mark.parametrize("accounts", [1, 4])
def test_recurrences(accounts: int, mode: int) -> None:
    generator = random.Random(accounts)
    shape = Shape(accounts, 1, 2, 0, 0, 3, 0, mode)
    proof = proof_of(shape, generator)
    transcript = Transcript(SHARD)
    claim = verify_sumcheck(transcript, shape, proof, 77 if mode else None)

    again = Transcript(SHARD)
    assert list(claim.tau) == [again.challenge("tau") for _ in range(shape.variables)]
    value, projected = 0, 77
    first = shape.first_account_variable
    for variable, coefficients in enumerate(proof.rounds):
        pair = proof.projection_rounds[variable - first] if mode and variable >= first else ()
        again.absorb("round", encode_scalars([*coefficients, *pair]))
        rho = again.challenge("rho")
        assert claim.rho[variable] == rho
        constant = (value - claim.tau[variable] * sum(coefficients)) % ORDER
        polynomial = [constant, *coefficients]
        tau = claim.tau[variable]
        # (1 - tau) t(0) + tau t(1) is the claim before the round.
        assert ((1 - tau) * constant + tau * sum(polynomial) - value) % ORDER == 0
        value = sum(entry * pow(rho, power, ORDER) for power, entry in enumerate(polynomial)) % ORDER
        if pair:
            start = (projected - sum(pair)) * pow(2, -1, ORDER) % ORDER
            # p(0) + p(1) is the claim before the round.
            assert (start + start + sum(pair) - projected) % ORDER == 0
            projected = (start + pair[0] * rho + pair[1] * rho * rho) % ORDER
    assert claim.value == value
    assert claim.projection_value == (projected if mode else None)
    assert transcript.state == again.state


@pytest.mark.parametrize("refused", [[0], [1], [1, 0, 0]])
def test_first_challenge_is_drawn_again(monkeypatch: pytest.MonkeyPatch, refused: list[int]) -> None:
    """At 0 and 1 the mask of b_hat vanishes; in later rounds both are challenges like others."""
    draws = [*refused, 5, 0, 1] + [9] * 5
    drawn = Transcript.challenge
    given = iter(draws)

    def challenge(transcript: Transcript, label: str) -> int:
        return next(given) if label == "rho" else drawn(transcript, label)

    monkeypatch.setattr(Transcript, "challenge", challenge)
    shape = Shape(1, 1, 1, 0, 0, 2, 0, 0)
    claim = verify_sumcheck(Transcript(SHARD), shape, proof_of(shape, random.Random(1)), None)
    assert claim.rho == (5, 0, 1, 9, 9, 9, 9)
