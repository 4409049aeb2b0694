"""The sum-check reduction against its defining recurrences, for messages that no prover would send."""

import random

import pytest

from crossmargin_circuits.encoding import Reader
from crossmargin_verifier.protocol.field import ORDER, encode_scalars
from crossmargin_verifier.protocol.proof_stream import ProofStream
from crossmargin_verifier.protocol.shape import Shape
from crossmargin_verifier.protocol.sumcheck import verify_sumcheck
from crossmargin_verifier.protocol.transcript import SHARD, Transcript

Rounds = list[list[int]]


def rounds_of(shape: Shape, generator: random.Random) -> Rounds:
    """Return random coefficients of every round."""
    return [[generator.randrange(ORDER) for _ in range(degree)] for degree in shape.degrees]


def stream_of(rounds: Rounds) -> ProofStream:
    """Return a proof of these rounds, after which something is left to read."""
    return ProofStream(SHARD, Reader(b"".join(map(encode_scalars, rounds)) + b"?", "rounds"))


@pytest.mark.parametrize("accounts", [1, 4])
def test_recurrences(accounts: int) -> None:
    generator = random.Random(accounts)
    shape = Shape(accounts, 1, 2, 0, 0, 3, 0)
    rounds = rounds_of(shape, generator)
    stream = stream_of(rounds)
    claim = verify_sumcheck(stream, shape)

    again = Transcript(SHARD)
    assert list(claim.tau) == [again.challenge("tau") for _ in range(shape.variables)]
    value = 0
    for variable, sent in enumerate(rounds):
        again.absorb("round", encode_scalars(sent))
        rho = again.challenge("rho")
        assert claim.rho[variable] == rho
        constant = (value - claim.tau[variable] * sum(sent)) % ORDER
        polynomial = [constant, *sent]
        tau = claim.tau[variable]
        # (1 - tau) t(0) + tau t(1) is the claim before the round.
        assert ((1 - tau) * constant + tau * sum(polynomial) - value) % ORDER == 0
        value = sum(entry * pow(rho, power, ORDER) for power, entry in enumerate(polynomial)) % ORDER
    assert claim.value == value
    assert stream.state == again.state


@pytest.mark.parametrize("refused", [[0], [1], [1, 0, 0]])
def test_first_challenge_is_drawn_again(monkeypatch: pytest.MonkeyPatch, refused: list[int]) -> None:
    """At 0 and 1 the mask of b_hat vanishes; in later rounds both are challenges like others."""
    draws = [*refused, 5, 0, 1] + [9] * 5
    drawn = Transcript.challenge
    given = iter(draws)

    def challenge(transcript: Transcript, label: str) -> int:
        return next(given) if label == "rho" else drawn(transcript, label)

    monkeypatch.setattr(Transcript, "challenge", challenge)
    shape = Shape(1, 1, 1, 0, 0, 2, 0)
    claim = verify_sumcheck(stream_of(rounds_of(shape, random.Random(1))), shape)
    assert claim.rho == (5, 0, 1, 9, 9, 9, 9)
