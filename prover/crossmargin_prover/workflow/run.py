"""The settings of a run: backend, executor, sizes, and callbacks for progress and messages.

The subject of a run (book, vault, statements, folders) stands in the arguments of its steps; one `Run` serves all.
"""

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field

from crossmargin_prover.backend import Backend, select_backend
from crossmargin_prover.statement import DEFAULT_PACKING
from crossmargin_verifier.protocol.limits import MAX_ACCOUNTS_PER_SHARD, MAX_PACKING
from crossmargin_verifier.workers import Progress, no_progress

__all__ = ["Log", "Run", "no_log"]

Log = Callable[[str], None]
"""Called with one line about the start of a step, or with a warning to the venue; the line holds no secret."""


def no_log(line: str) -> None:
    """Log nothing."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """The settings of a run; every field has a default that fits this machine.

    >>> Run(shard=1024).packing
    2
    >>> Run(shard=1000)
    Traceback (most recent call last):
        ...
    ValueError: 1000 accounts per shard: must be a power of two from 1 to 1048576

    Raises:
        ValueError: the protocol does not allow a size.
    """

    backend: Backend = field(default_factory=select_backend)
    """The backend that does the arithmetic."""
    executor: Executor | None = None
    """The executor that proves shards, on threads, processes or machines; None proves them in this thread.

    The caller starts it and shuts it down.
    """
    shard: int | None = None
    """N, accounts per shard, a power of two; None takes that of the earlier snapshot, or the cheapest size."""
    packing: int = DEFAULT_PACKING
    """gamma: 2^gamma accounts share one slack row."""
    progress: Progress = no_progress
    """Called with the progress of a stage."""
    log: Log = no_log
    """Called with the start of a step, and with warnings before publication."""

    def __post_init__(self) -> None:
        """Check the sizes."""
        shard = self.shard
        if shard is not None and not (0 < shard <= MAX_ACCOUNTS_PER_SHARD and shard & (shard - 1) == 0):
            raise ValueError(f"{shard} accounts per shard: must be a power of two from 1 to {MAX_ACCOUNTS_PER_SHARD}")
        if not 0 <= self.packing <= MAX_PACKING:
            raise ValueError(f"packing {self.packing}: must be from 0 to {MAX_PACKING}")
