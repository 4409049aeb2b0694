"""Any other witness could have made the very same proof, byte for byte: no proof tells two of them apart (SPEC 8.1).

Given a proof of one witness, masks and nonces are solved for under which another witness gives the same file. The map
from the masks of one to those of the other is a bijection, so that all messages together have one distribution. A mask
that a prover forgets has no counterpart, and the two files differ: also where each scalar alone still looks uniform, as
with g_(1,4) = 0 (D_1 = 3), when t_(1,4) is the square of the mask of beta.

Commitments hide perfectly and are left out: every multi-scalar multiplication gives one fixed point.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_array

from crossmargin_circuits.relation import Relation, Row
from crossmargin_prover.opening import prove_opening
from crossmargin_prover.proof_writer import ProofWriter
from crossmargin_prover.randomness import Draw, SystemRandomness
from crossmargin_prover.shard import prove_shard
from crossmargin_prover.witness import Records, ShardWitness
from crossmargin_verifier.protocol.field import ORDER
from crossmargin_verifier.protocol.shape import Shape
from crossmargin_verifier.protocol.shard import PublicShard
from crossmargin_verifier.protocol.transcript import BETA, ETA, RHO, ROUND, Transcript
from tests.zero_knowledge.no_points import NoPoints

RELATION = Relation(("usd", "btc"), (), (Row("equity", (1, 10), ()),))
POOR, RICH = ([0, 0], [0, 0]), ([2**60, -3], [2**61 + 12345, 2**40])
Accounts = Sequence[Sequence[int]]


SHAPE = Shape(accounts_per_shard=2, shards=1, columns=2, auxiliaries=0, disclosed=0, rows=1, packing=0)


class Chosen(SystemRandomness):
    """Draws what it is given, where it is given something, and forgets the masks at some places of o_M."""

    def __init__(self, forgotten: Sequence[int] = (), masks: list[int] | None = None, nonces: Any = None) -> None:
        super().__init__()
        self.forgotten, self.masks, self.chosen_nonces = frozenset(forgotten), masks, nonces

    def scalars(self, draw: Draw, shard: int, first: int, count: int, context: bytes) -> list[int]:
        drawn = super().scalars(draw, shard, first, count, context)
        if draw is Draw.MASK:
            return self.remembered(drawn, first)
        if draw is Draw.MASK_BLINDING:
            # It hides nothing that is looked at here, and q is solved for under one value of it.
            return [7] * count
        return self.chosen_nonces if draw is Draw.OPEN and self.chosen_nonces is not None else drawn

    def remembered(self, drawn: list[int], first: int) -> list[int]:
        given = drawn if self.masks is None else self.masks[first : first + len(drawn)]
        return [0 if first + place in self.forgotten else mask for place, mask in enumerate(given)]


@dataclass
class Proof:
    """A shard file, and what was said, drawn and opened on the way."""

    file: bytes = b""
    messages: dict[str, list[list[int]]] = field(default_factory=dict)
    drawn: list[tuple[str, Any]] = field(default_factory=list)
    secret: list[int] = field(default_factory=list)
    nonces: list[int] = field(default_factory=list)

    def challenges(self, label: str) -> list[int]:
        return [value for drawn, value in self.drawn if drawn == label]


def prove(records: Accounts, randomness: Chosen, script: Proof | None = None) -> Proof:
    """Prove; with a script, under its challenges and whatever the messages are."""
    proof = Proof()
    left = None if script is None else iter(script.drawn)
    message = ProofWriter.message

    def drawing(original: Callable[[Transcript, str], Any]) -> Callable[[Transcript, str], Any]:
        def draw(self: Transcript, label: str) -> Any:
            value = original(self, label)
            if left is not None:
                expected, value = next(left)
                assert expected == label
            proof.drawn.append((label, value))
            return value

        return draw

    def recorded(self: ProofWriter, label: str, *, points: Any = (), scalars: Sequence[int] = ()) -> None:
        proof.messages.setdefault(label, []).append([scalar % ORDER for scalar in scalars])
        message(self, label, points=points, scalars=scalars)

    def opening(writer: Any, points: Any, factors: Any, secret: Any, weights: Any, nonces: Any, backend: Any) -> bytes:
        proof.secret, proof.nonces = list(secret), list(nonces)
        return prove_opening(writer, points, factors, secret, weights, nonces, backend)

    public = PublicShard(bytes(32), RELATION, SHAPE, len(records), 0, bytes(32), bytes(32))
    values = np.zeros((2, 1), dtype=np.uint64)
    values[: len(records)] = [RELATION.slacks(record, ()) for record in records]
    blindings = [1, 2][: len(records)]
    witness = ShardWitness(Records.of(csr_array(np.array(records)), str), values, blindings, [3, 4])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Transcript, "challenge", drawing(Transcript.challenge))
        patch.setattr(Transcript, "seed", drawing(Transcript.seed))
        patch.setattr(ProofWriter, "message", recorded)
        patch.setattr("crossmargin_prover.shard.prove_opening", opening)
        proof.file = prove_shard(public, witness, randomness, NoPoints())
    return proof


def retold(told: Proof, records: Accounts, forgotten: Sequence[int]) -> Proof:
    """Solve for masks and nonces under which another witness gives the proof that was told, and prove with them."""
    masks = [0] * SHAPE.masks
    bare = prove(records, Chosen(masks=masks), told)
    # beta = b(rho) + a rho_1 (1 - rho_1)
    rho = told.challenges(RHO)[0]
    (beta,), (bare_beta,) = told.messages[BETA][0], bare.messages[BETA][0]
    masks[0] = (beta - bare_beta) * pow(rho * (1 - rho), -1, ORDER) % ORDER
    # t_(d,e) is moved by g_(d,e) alone.
    moved = prove(records, Chosen(masks=masks), told)
    masks[1:] = [
        (t - s) % ORDER
        for said, bare_round in zip(told.messages[ROUND], moved.messages[ROUND], strict=True)
        for t, s in zip(said, bare_round, strict=True)
    ]
    assert len(masks) == SHAPE.masks
    # s = q + eta o
    masked = prove(records, Chosen(forgotten, masks), told)
    (eta,) = told.challenges(ETA)
    nonces = [
        (q + eta * (one - other)) % ORDER for q, one, other in zip(told.nonces, told.secret, masked.secret, strict=True)
    ]
    return prove(records, Chosen(forgotten, masks, nonces))


def told_twice(accounts: int = 2, forgotten: Sequence[int] = ()) -> tuple[bytes, bytes]:
    told = prove(RICH[:accounts], Chosen(forgotten))
    return told.file, retold(told, POOR[:accounts], forgotten).file


@pytest.mark.parametrize("accounts", [1, 2], ids=["an empty leaf", "a full shard"])
def test_another_witness_makes_the_same_proof(accounts: int) -> None:
    one, other = told_twice(accounts)
    assert one == other


G_1_4 = 4
"""Place of g_(1,4) in o_M."""


@pytest.mark.parametrize("place", range(SHAPE.masks))
def test_a_forgotten_mask_is_found(place: int) -> None:
    """Every entry of o_M is needed, g_(1,4) among them."""
    one, other = told_twice(forgotten=[place])
    assert one != other


def test_the_leak_that_each_scalar_alone_hides() -> None:
    """With g_(1,4) = 0 the fourth coefficient is a square, whose root unmasks beta."""
    told = prove(RICH, Chosen([G_1_4]))
    coefficient = told.messages[ROUND][0][3]
    assert pow(coefficient, (ORDER - 1) // 2, ORDER) == 1
    cube = told.secret[SHAPE.columns + SHAPE.slack_length]
    assert cube * cube % ORDER == coefficient
