"""The slack rows of a statement: commitments to the bits of slacks and auxiliaries, freshly blinded (SPEC S8)."""

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

from crossmargin_prover.backend import Backend, UInt64Array
from crossmargin_prover.jobs import Progress, run_jobs
from crossmargin_prover.randomness import Draw, Randomness
from crossmargin_verifier.group import encode_point
from crossmargin_verifier.merkle import ShardedTree

__all__ = ["SlackRows", "commit_slack_rows"]


@dataclass(frozen=True, repr=False)
class SlackRows:
    """All slack rows R_h in global order: their values and blindings, secret, and their encodings, public.

    values: uint64 (S N, J), the slacks of an account, then its auxiliaries; blindings: s_h (S N / G).
    """

    values: UInt64Array
    blindings: list[int]
    encodings: list[bytes]
    rows_per_shard: int
    packing: int

    def __repr__(self) -> str:
        """Return a text without values and blindings."""
        return f"SlackRows({len(self.encodings)} rows, redacted)"

    @cached_property
    def tree(self) -> ShardedTree:
        """The tree over all R_h."""
        return ShardedTree(self.encodings, self.rows_per_shard)

    def shard_values(self, shard: int) -> UInt64Array:
        """Return the values of a shard, (N, J)."""
        accounts = self.rows_per_shard << self.packing
        return self.values[shard * accounts : (shard + 1) * accounts]

    def shard_blindings(self, shard: int) -> list[int]:
        """Return the blindings of a shard, N / G."""
        return self.blindings[shard * self.rows_per_shard : (shard + 1) * self.rows_per_shard]


def commit_slack_rows(
    values: UInt64Array,
    accounts_per_shard: int,
    packing: int,
    randomness: Randomness,
    context: bytes,
    backend: Backend,
    executor: Executor | None,
    progress: Progress,
) -> SlackRows:
    """Commit values (S N, J), 2^packing accounts to a row, with blindings drawn for this statement alone."""
    rows_per_shard = accounts_per_shard >> packing
    blindings = randomness.scalars(Draw.SLACK, 0, 0, len(values) >> packing, context)
    rows = SlackRows(values, blindings, [], rows_per_shard, packing)
    shards = range(len(values) // accounts_per_shard)
    jobs = [(backend, rows.shard_values(shard), packing, rows.shard_blindings(shard)) for shard in shards]
    committed = run_jobs(_commit_shard, jobs, executor, progress, "commit slacks")
    return SlackRows(values, blindings, list(chain.from_iterable(committed)), rows_per_shard, packing)


def _commit_shard(backend: Backend, values: UInt64Array, packing: int, blindings: Sequence[int]) -> list[bytes]:
    return [encode_point(point) for point in backend.commit_bits(values, packing, blindings)]
