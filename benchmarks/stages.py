"""One task of a measurement in a fresh process: `python -m benchmarks.stages TASK`; both task and result are JSON.

The steps are those of `crossmargin run` and `crossmargin-verify bundle`, by the same functions. A stage has seconds of
wall-clock time (`seconds`), and processor time of this process (`own`), the rest being that of workers.
"""

import json
import platform
import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.book import BookPlan, write_book
from benchmarks.floor import Sizes, position_uses
from crossmargin.engine.evaluate import evaluate
from crossmargin.loading import Parameters, load_folder, load_parameters
from crossmargin.models import build_policy
from crossmargin_circuits.compile import compile_policy
from crossmargin_circuits.version import VERSION
from crossmargin_prover.backend import Backend, available, select_backend
from crossmargin_prover.workflow.commit import commit
from crossmargin_prover.workflow.deliver import deliver
from crossmargin_prover.workflow.prove import prove
from crossmargin_prover.workflow.publish import publish
from crossmargin_prover.workflow.run import Run
from crossmargin_verifier.bundle.check import check_bundle
from crossmargin_verifier.bundle.check_receipt import check_receipt
from crossmargin_verifier.bundle.claim import Topic
from crossmargin_verifier.bundle.verdict import Verdict
from crossmargin_verifier.kernel import KernelArithmetic
from crossmargin_verifier.protocol.arithmetic import PLAIN, Arithmetic
from crossmargin_verifier.protocol.generators import mask_generators, position_generators, slack_generators
from crossmargin_verifier.protocol.records import RecordShape
from crossmargin_verifier.workers import no_progress, worker_pool

__all__ = ["TASKS", "main"]

STATEMENTS = ("maintenance", "initial", "coverage")
"""The first alone, or all of them."""

POINTS = ("snapshot/positions.cm2", "statements/*/slack.cm2", "statements/*/shard-*.cm2")
RECORDS = ("snapshot/records-*.cm2",)


@dataclass
class Clock:
    """Stages and their times, in order."""

    stages: dict[str, dict[str, float]] = field(default_factory=dict)
    _begun: dict[str, tuple[float, float]] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure what is done inside."""
        self._begin(name)
        yield
        self._end(name)

    def progress(self, name: str, done: int, total: int) -> None:
        """Measure what reports progress."""
        if name not in self._begun:
            self._begin(name)
        if done == total:
            self._end(name)

    def _begin(self, name: str) -> None:
        self._begun[name] = (time.perf_counter(), time.process_time())

    def _end(self, name: str) -> None:
        wall, own = self._begun.pop(name)
        stage = self.stages.setdefault(name, {"seconds": 0.0, "own": 0.0})
        stage["seconds"] += time.perf_counter() - wall
        stage["own"] += time.process_time() - own


def describe(task: dict[str, Any]) -> dict[str, Any]:
    """Return the backends that are there and the versions of what does the work."""
    names = ("numpy", "scipy", "polars", "py-ecc", "crossmargin-kernel")
    versions = {}
    for name in names:
        with suppress(PackageNotFoundError):
            versions[name] = version(name)
    # The sources of a checkout may be newer than what is installed from them.
    versions = {"Python": platform.python_version(), "crossmargin": VERSION, **versions}
    return {"backends": list(available()), "versions": versions, "integer": integer_nanoseconds()}


def integer_nanoseconds() -> float:
    """Return the cost of a multiplication and an addition of 64-bit integers, in arrays that stay in the cache."""
    left, right = np.arange(4096), np.arange(4096)
    best = float("inf")
    for _ in range(200):
        start = time.perf_counter()
        left *= right
        left += right
        best = min(best, time.perf_counter() - start)
    return best / len(left) * 1e9


def make_book(task: dict[str, Any]) -> dict[str, Any]:
    """Write the book folder of a plan."""
    clock = Clock()
    with clock.stage("write book"):
        write_book(Path(task["book"]), BookPlan(**task["plan"]))
    return {"stages": clock.stages}


def run(task: dict[str, Any]) -> dict[str, Any]:
    """Load, commit, prove and publish a book, as `crossmargin run` does."""
    clock = Clock()
    vault, bundle = Path(task["vault"]), Path(task["bundle"])
    with worker_pool(task["processes"]) as executor:
        how = Run(
            backend=choose(task["backend"], task["processes"]),
            executor=executor,
            shard=task.get("shard"),
            packing=task["packing"],
            progress=clock.progress,
        )
        derive(task, clock)
        with clock.stage("load"):
            inputs = load_folder(Path(task["book"]))
        with clock.stage("commit"):
            committed = commit(inputs, vault, how, since=task.get("since"))
        # The command line, too, keeps no book beyond its commitment.
        del inputs
        parameters = load_parameters(Path(task["book"]))
        with clock.stage("prove"):
            prove(parameters, vault, STATEMENTS[:1], how)
        bundle_up(parameters, vault, bundle, STATEMENTS[:1], how, clock)
    manifest = committed.snapshot.manifest
    shards = {"shards": manifest.shards, "accounts_per_shard": manifest.accounts_per_shard}
    taken = {"reused": committed.reused, "unchanged": committed.unchanged, "changed": committed.changed}
    sizes = {"vault": folder_bytes(vault), "bundle": folder_bytes(bundle), **public_bytes(bundle)}
    return {"stages": clock.stages, "processor": processor_seconds(), "bytes": sizes, **shards, **taken}


def derive(task: dict[str, Any], clock: Clock) -> None:
    """Derive the generators before anything else where one process works, so that no other stage has that in it.

    Worker processes derive their own.
    """
    if task.get("shape"):
        columns, values = task["shape"]
        with clock.stage("generators"):
            position_generators(columns)
            slack_generators(values, task["packing"])
            mask_generators(RecordShape(task["shard"], columns).masks)


def further(task: dict[str, Any]) -> dict[str, Any]:
    """Prove the other statements about a committed book, one by one, and publish all of them in one bundle."""
    clock = Clock()
    vault, bundle = Path(task["vault"]), Path(task["bundle"])
    parameters = load_parameters(Path(task["book"]))
    with worker_pool(task["processes"]) as executor:
        how = Run(
            backend=choose(task["backend"], task["processes"]),
            executor=executor,
            packing=task["packing"],
            progress=clock.progress,
        )
        for name in STATEMENTS[1:]:
            with clock.stage(f"prove {name}"):
                prove(parameters, vault, [name], how)
        bundle_up(parameters, vault, bundle, STATEMENTS, how, clock)
    return {"stages": clock.stages, "bytes": {"bundle": folder_bytes(bundle), **public_bytes(bundle)}}


def bundle_up(
    parameters: Parameters, vault: Path, bundle: Path, statements: Sequence[str], how: Run, clock: Clock
) -> None:
    """Publish; no claim of the bundle may fail."""
    quiet = replace(how, progress=no_progress)
    with clock.stage("publish"):
        # A statement about debts is what judges liabilities: without it a bundle is published despite that claim.
        published = publish(
            parameters, vault, bundle, statements, quiet, despite_claims=len(statements) == 1, other_prices=True
        )
    expect(published.verdict, len(statements))


def expect(verdict: Verdict, statements: int) -> None:
    """Check that no claim fails, and that all are judged, but for the liabilities where there is one statement."""
    open_topics = {claim.topic for claim in verdict.open} - ({Topic.LIABILITIES} if statements == 1 else set())
    if verdict.failed or open_topics:
        raise ValueError(f"a bundle that does not verify:\n{verdict.text}")


def verify(task: dict[str, Any]) -> dict[str, Any]:
    """Verify a bundle, as `crossmargin-verify bundle` does."""
    clock = Clock()
    derive(task, clock)
    with workplace(task["backend"], task["processes"]) as (arithmetic, executor), clock.stage("verify"):
        verdict = check_bundle(Path(task["bundle"]), executor=executor, arithmetic=arithmetic, progress=clock.progress)
    expect(verdict, len(verdict.statements))
    return {"stages": clock.stages, "processor": processor_seconds()}


def look(task: dict[str, Any]) -> dict[str, Any]:
    """Evaluate the margin of a book, count what its operations follow from, and check one receipt of its bundle."""
    clock = Clock()
    with clock.stage("read tables"):
        for table in ("accounts", "balances", "positions"):
            pl.read_parquet(Path(task["book"]) / f"{table}.parquet")
    inputs = load_folder(Path(task["book"]))
    policy = build_policy(inputs.venue.venue, inputs.environment, inputs.model, STATEMENTS[0])
    compiled = compile_policy(policy)
    with clock.stage("evaluate margin"):
        evaluate(compiled, inputs.book.records)
    sizes = Sizes(
        accounts=len(inputs.book),
        accounts_per_shard=task["accounts_per_shard"],
        shards=task["shards"],
        columns=len(compiled.relation.columns),
        rows=len(compiled.relation.rows),
        auxiliaries=len(compiled.relation.auxiliaries),
        packing=task["packing"],
        entries=int(inputs.book.records.nnz),
        uses=position_uses(inputs.book.records),
    )
    account, receipts = inputs.book.accounts[0], Path(task["receipts"])
    del inputs
    deliver(task["vault"], receipts, [account])
    (name,) = json.loads((receipts / "index.json").read_text(encoding="utf-8"))["receipts"].values()
    with clock.stage("check receipt"):
        check_receipt(receipts / f"{name}.json", account, bundle=Path(task["bundle"]))
    return {"stages": clock.stages, "sizes": asdict(sizes)}


TASKS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "describe": describe,
    "book": make_book,
    "run": run,
    "further": further,
    "verify": verify,
    "look": look,
}


def choose(name: str, processes: int) -> Backend:
    """Return a backend that uses one thread where one process is asked for."""
    if name == "kernel" and processes == 1:
        from crossmargin_prover.backend.kernel import KernelBackend

        return KernelBackend(1)
    return select_backend(name)


@contextmanager
def workplace(backend: str, processes: int) -> Iterator[tuple[Arithmetic, Executor | None]]:
    """Yield who multiplies and where, as the command line of the verifier chooses it."""
    if backend != "kernel":
        with worker_pool(processes) as executor:
            yield PLAIN, executor
    elif processes == 1:
        yield KernelArithmetic(1), None
    else:
        with ThreadPoolExecutor(processes) as threads:
            yield KernelArithmetic(1), threads


def processor_seconds() -> dict[str, float]:
    """Return processor time of this process and of its workers, which have ended."""
    own, workers = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return {"own": own.ru_utime + own.ru_stime, "workers": workers.ru_utime + workers.ru_stime}


def folder_bytes(folder: Path) -> int:
    """Return the bytes of all files in a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def public_bytes(bundle: Path) -> dict[str, int]:
    """Return the bytes of positions, slack rows and shard proofs, and those of record proofs."""
    kinds = {"points": POINTS, "records": RECORDS}
    return {
        kind: sum(path.stat().st_size for name in names for path in bundle.glob(name)) for kind, names in kinds.items()
    }


def main() -> None:
    """Do the task of the command line."""
    task = json.loads(sys.argv[1])
    print(json.dumps(TASKS[task["do"]](task)))


if __name__ == "__main__":
    main()
