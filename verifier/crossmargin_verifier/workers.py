"""Independent pieces of work, here or through any `concurrent.futures.Executor`, with progress reported in order.

Arguments are made when a piece is about to start, and results are handed on in order as they come, so that memory does
not grow with the number of pieces. What a piece computes does not depend on where it runs.
"""

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from itertools import chain, islice
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait
from typing import Any, TypeVar

__all__ = ["MAX_THREADS", "Progress", "cores_here", "no_progress", "run_jobs", "threads_here", "worker_pool"]

Result = TypeVar("Result")

Progress = Callable[[str, int, int], None]
"""Called with the name of a stage, the accounts done and all accounts: first with none done, last with all."""

IN_FLIGHT = 2
"""Pieces for each worker that are prepared, worked on or waiting to be handed on, so that no worker waits."""

MAX_THREADS = 1024
"""Threads of one operation: as many as the compiled kernel takes."""


def no_progress(stage: str, done: int, total: int) -> None:
    """Report nothing."""


def run_jobs(
    function: Callable[..., Result], jobs: Iterable[tuple[Any, ...]], executor: Executor | None
) -> Iterator[Result]:
    """Yield function(*job) for every job, in order; the first error cancels what has not started.

    A single job runs here: no worker is started for it.
    """
    pending = iter(jobs)
    first = list(islice(pending, 2))
    if executor is None or len(first) < 2:
        for job in chain(first, pending):
            yield function(*job)
        return
    pending = chain(first, pending)
    futures: deque[Future[Result]] = deque()
    try:
        futures.extend(executor.submit(function, *job) for job in islice(pending, _window(executor)))
        while futures:
            result = futures.popleft().result()
            futures.extend(executor.submit(function, *job) for job in islice(pending, 1))
            yield result
    finally:
        for future in futures:
            future.cancel()


def threads_here() -> int:
    """Return the threads of one operation: one in a worker process, whose pool has others, else one for each core."""
    return min(MAX_THREADS, cores_here()) if parent_process() is None else 1


def cores_here() -> int:
    """Return the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _window(executor: Executor) -> int:
    """Return how many pieces are in flight: memory follows the workers of the executor, where it says how many."""
    workers = getattr(executor, "_max_workers", None)
    return IN_FLIGHT * (workers if isinstance(workers, int) else cores_here())


@contextmanager
def worker_pool(processes: int) -> Iterator[Executor | None]:
    """Yield a pool of processes that end with this one, however it ends; or None, to work in this one."""
    if processes == 1:
        yield None
        return
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=_end_with_parent) as pool:
        yield pool


def _end_with_parent() -> None:
    """Watch the parent: a worker of a parent that was killed would wait for work forever."""
    parent = parent_process()
    if parent is None:
        return
    sentinel = parent.sentinel

    def watch() -> None:
        wait([sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
