"""Pieces of work: in order, few at a time, in workers that end with their parent."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import pytest

from crossmargin_verifier import workers
from crossmargin_verifier.workers import run_jobs, threads_here, worker_pool


@pytest.mark.parametrize("pool", [False, True])
@pytest.mark.parametrize("jobs", [0, 1, 2, 20])
def test_results_come_in_order(pool: bool, jobs: int) -> None:
    def late(number: int) -> int:
        time.sleep(0.01 * (number % 3 == 0))
        return number

    with ThreadPoolExecutor(4) as threads:
        found = list(run_jobs(late, ((number,) for number in range(jobs)), threads if pool else None))
    assert found == list(range(jobs))


def test_one_job_needs_no_worker() -> None:
    class Refusing(Executor):
        def submit(self, *_: object, **__: object) -> object:  # type: ignore[override]
            raise AssertionError("submitted")

    assert list(run_jobs(abs, [(-1,)], Refusing())) == [1]
    with pytest.raises(AssertionError, match="submitted"):
        list(run_jobs(abs, [(-1,), (-2,)], Refusing()))


@pytest.mark.parametrize("threads", [1, 3])
def test_arguments_are_made_when_they_are_needed(threads: int) -> None:
    made = []

    def arguments() -> object:
        for number in range(100):
            made.append(number)
            yield (-number,)

    with ThreadPoolExecutor(threads) as pool:
        results = run_jobs(abs, arguments(), pool)  # type: ignore[arg-type]
        for number in range(50):
            assert next(results) == number
            assert len(made) == number + 1 + 2 * threads
        results.close()  # type: ignore[attr-defined]
    assert len(made) == 50 + 2 * threads


def test_threads_are_the_cores_that_this_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    for cores, threads in ((1, 1), (3, 3), (4096, 1024)):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, cores=cores: set(range(cores)), raising=False)
        assert threads_here() == threads
    monkeypatch.delattr(os, "sched_getaffinity")
    for found, threads in ((None, 1), (2, 2), (2048, 1024)):
        monkeypatch.setattr(os, "cpu_count", lambda found=found: found)
        assert threads_here() == threads


def test_the_first_error_ends_the_work() -> None:
    ran = []

    def work(number: int) -> int:
        ran.append(number)
        if number == 1:
            raise ValueError("no such piece")
        return number

    with ThreadPoolExecutor(1) as threads, pytest.raises(ValueError, match="no such piece"):
        list(run_jobs(work, ((number,) for number in range(1000)), threads))
    assert len(ran) < 1 + 1 + workers.IN_FLIGHT + 1


def test_processes() -> None:
    with worker_pool(1) as pool:
        assert pool is None
    with worker_pool(2) as pool:
        assert list(run_jobs(abs, [(-1,), (-2,), (-3,)], pool)) == [1, 2, 3]


def test_a_worker_that_dies_is_an_error() -> None:
    with worker_pool(2) as pool, pytest.raises(BrokenProcessPool):
        list(run_jobs(os._exit, [(1,), (1,)], pool))


def test_pieces_are_dropped_before_the_workers_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """In Python 3.11 a pool that loses its workers fails over pieces that were cancelled: it must have dropped them."""
    still_there = []
    terminate = workers._Worker.terminate

    def terminated(worker: Any) -> None:
        still_there.append(pool._cancel_pending_futures)
        terminate(worker)

    monkeypatch.setattr(workers._Worker, "terminate", terminated)
    with pytest.raises(KeyboardInterrupt), worker_pool(2) as pool:
        assert isinstance(pool, ProcessPoolExecutor)
        for _ in run_jobs(time.sleep, [(0.1,)] * 9, pool):
            manager = pool._executor_manager_thread
            raise KeyboardInterrupt
    # The pool ends its workers too, in a thread of its own.
    manager.join()
    assert still_there
    assert not any(still_there)


PARENT = """
import os
from crossmargin_verifier.workers import run_jobs, worker_pool

if __name__ == "__main__":
    with worker_pool(2) as pool:
        print(*set(run_jobs(os.getpid, [()] * 2, pool)), flush=True)
        input()
"""


def ended(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    state = Path(f"/proc/{process}/stat")
    # A process that nobody waits for is listed until somebody does.
    return state.exists() and state.read_text(encoding="ascii").rpartition(")")[2].split()[0] == "Z"


def test_workers_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(PARENT, encoding="utf-8")
    with subprocess.Popen([sys.executable, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        children = [int(word) for word in parent.stdout.readline().split()]
        assert children
        parent.kill()
    end = time.monotonic() + 30
    while children and time.monotonic() < end:
        children = [child for child in children if not ended(child)]
        time.sleep(0.05)
    for child in children:
        os.kill(child, signal.SIGKILL)
    assert not children
