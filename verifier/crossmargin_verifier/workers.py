"""Independent pieces of work, here or through any `concurrent.futures.Executor`, with progress reported in order.

The arguments of a piece are made just before it starts, and results are passed on in order as they arrive, so memory
does not grow with the number of pieces. The result of a piece does not depend on where it runs.
"""

import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent import futures
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from itertools import chain, islice
from multiprocessing import parent_process
from multiprocessing.connection import wait
from multiprocessing.context import SpawnContext, SpawnProcess
from typing import Any, TypeVar

__all__ = ["MAX_THREADS", "Progress", "cores_here", "no_progress", "run_jobs", "threads_here", "worker_pool"]

Result = TypeVar("Result")

Progress = Callable[[str, int, int], None]
"""Called with the name of a stage, the accounts done and all accounts: first with none done, last with all."""

IN_FLIGHT = 2
"""Pieces in flight per worker (prepared, running or finished), enough that no worker waits."""

PATIENCE = 0.2
"""Seconds after which a wait for a worker checks for an interruption."""

DROPPING_LOOKS = 1000
"""Looks, a millisecond apart, at a pool that ends; it takes some milliseconds."""

MAX_THREADS = 1024
"""Threads of one operation: as many as the compiled kernel takes."""


def no_progress(stage: str, done: int, total: int) -> None:
    """Report nothing."""


def run_jobs(
    function: Callable[..., Result], jobs: Iterable[tuple[Any, ...]], executor: Executor | None
) -> Iterator[Result]:
    """Yield function(*job) for every job, in order; the first error cancels what has not started.

    A single job runs in this process, without starting a worker.

    Raises:
        BrokenExecutor: a worker died, or ended itself with SystemExit, which must not end this program.
    """
    pending = iter(jobs)
    first = list(islice(pending, 2))
    if executor is None or len(first) < 2:
        for job in chain(first, pending):
            yield function(*job)
        return
    pending = chain(first, pending)
    begun: deque[Future[Result]] = deque()
    try:
        begun.extend(executor.submit(function, *job) for job in islice(pending, _window(executor)))
        while begun:
            result = _result(begun.popleft())
            begun.extend(executor.submit(function, *job) for job in islice(pending, 1))
            yield result
    finally:
        for future in begun:
            future.cancel()


def _result(future: Future[Result]) -> Result:
    # Windows, or a library with its own signal handler, cannot interrupt a wait without a timeout.
    while not futures.wait([future], timeout=PATIENCE).done:
        pass
    try:
        return future.result()
    except SystemExit as error:
        raise BrokenExecutor(f"a worker ended itself with exit code {error.code}") from error


def threads_here() -> int:
    """Return the threads of one operation: one in a worker process of a pool, else one per core."""
    return min(MAX_THREADS, cores_here()) if parent_process() is None else 1


def cores_here() -> int:
    """Return the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _window(executor: Executor) -> int:
    """Return the number of pieces in flight: proportional to the executor's workers, if it states their number."""
    workers = getattr(executor, "_max_workers", None)
    return IN_FLIGHT * (workers if isinstance(workers, int) else cores_here())


@contextmanager
def worker_pool(processes: int) -> Iterator[Executor | None]:
    """Yield a pool of processes that end with this one, however it ends; or None, to work in this one.

    An exception that leaves the block, such as Ctrl-C, ends the workers at once instead of waiting for their pieces.
    """
    if processes == 1:
        yield None
        return
    context = _Context()
    with ProcessPoolExecutor(processes, mp_context=context, initializer=_end_with_parent) as pool:
        try:
            yield pool
        except BaseException:
            manager = getattr(pool, "_executor_manager_thread", None)
            pool.shutdown(wait=False, cancel_futures=True)
            if context.started:
                _drop_cancelled(pool)
            for worker in context.started:
                worker.terminate()
            # The thread that manages the workers closes its pipe, to which the end of the program writes.
            if manager is not None:
                manager.join()
            raise


def _drop_cancelled(pool: ProcessPoolExecutor) -> None:
    """Wait until a pool has dropped its cancelled pieces: Python 3.11 fails if a pool loses its workers before."""
    pause = threading.Event()
    for _ in range(DROPPING_LOOKS):
        if not getattr(pool, "_cancel_pending_futures", False):
            return
        pause.wait(0.001)


class _Worker(SpawnProcess):
    """A process that leaves Ctrl-C to its parent; a terminal sends it to all processes."""

    def start(self) -> None:
        """Start with interrupts blocked if the system can, so that none arrives before the first line."""
        if not hasattr(signal, "pthread_sigmask"):
            super().start()
            return
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            super().start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _Context(SpawnContext):
    """Starts such processes and keeps a list of them."""

    def __init__(self) -> None:
        super().__init__()
        self.started: list[SpawnProcess] = []

    def Process(self, *arguments: Any, **options: Any) -> SpawnProcess:  # type: ignore[override]
        """Return a process without starting it."""
        self.started.append(_Worker(*arguments, **options))
        return self.started[-1]


def _end_with_parent() -> None:
    """Leave interrupts to the parent, and watch it: after its death the worker would wait for work forever."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    if parent is None:
        return
    sentinel = parent.sentinel

    def watch() -> None:
        wait([sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
