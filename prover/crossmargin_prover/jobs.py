"""Independent pieces of work, here or through any `concurrent.futures.Executor`, with progress reported in order."""

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import Any, TypeVar

__all__ = ["Progress", "no_progress", "run_jobs"]

Result = TypeVar("Result")

Progress = Callable[[str, int, int], None]
"""Called with the name of a stage, the pieces done and all pieces: first with none done, last with all."""


def no_progress(stage: str, done: int, total: int) -> None:
    """Report nothing."""


def run_jobs(
    function: Callable[..., Result],
    jobs: Sequence[tuple[Any, ...]],
    executor: Executor | None,
    progress: Progress,
    stage: str,
) -> list[Result]:
    """Return function(*job) for every job, in order; the first error cancels what has not started."""
    progress(stage, 0, len(jobs))
    results = []
    if executor is None:
        for job in jobs:
            results.append(function(*job))
            progress(stage, len(results), len(jobs))
        return results
    futures = [executor.submit(function, *job) for job in jobs]
    try:
        for future in futures:
            results.append(future.result())
            progress(stage, len(results), len(jobs))
    finally:
        for future in futures:
            future.cancel()
    return results
