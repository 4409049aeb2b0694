"""`make bench`: what each stage costs in plain Python on one core, with bytes and operations.

One process, one thread. Times are wall-clock seconds of a single run on this machine; read them as ratios, since
machines differ and are shared. Operations are point additions, counted while the stage runs: they do not depend on
the machine and are what the time is spent on.
"""

import argparse
import gc
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.sparse import csr_array

from benchmarks.synthetic import records_and_relation
from crossmargin.engine import evaluate
from crossmargin_circuits.compile import compile_policy
from crossmargin_circuits.expression import Linear, Max, PositivePart, Reference, Scale, Sum
from crossmargin_circuits.layout import Column, ColumnKind, RecordLayout
from crossmargin_circuits.policy import Definition, Policy, RiskArray, Role, ValueUnit
from crossmargin_prover.backend import select_backend
from crossmargin_prover.commitments import commit_snapshot
from crossmargin_prover.randomness import SystemRandomness
from crossmargin_prover.snapshot import receipt_for
from crossmargin_prover.statement import prove_statement
from crossmargin_verifier import group
from crossmargin_verifier.inclusion import verify_receipt
from crossmargin_verifier.statement import COLUMNS_FILE, SNAPSHOT_FILE
from crossmargin_verifier.verify import verify_statement

COLUMNS, POSITIONS, ROWS, PACKING = 500, 10, 16, 2
SIZES = (256, 1024, 4096, 16384)
TARGET_SIZE = 4096
TARGETS = {"commit": 15.0, "prove": 25.0, "verify": 5.0, "bytes per account": 42.0, "engine": 2.0, "receipt": 1.0}
ENGINE_ACCOUNTS = 1_000_000

Result = TypeVar("Result")


@dataclass
class Measured:
    """One stage: seconds, and point additions made in it."""

    seconds: float
    additions: int


class _Counter:
    """Counts point additions made by the group module."""

    def __init__(self) -> None:
        self.additions = 0

    @contextmanager
    def running(self) -> Iterator[None]:
        batched, single, doubled = group._add_distinct, group._add_affine, group._double

        def count_batch(lefts, rights):  # type: ignore[no-untyped-def]
            self.additions += len(lefts)
            return batched(lefts, rights)

        def count_single(*arguments):  # type: ignore[no-untyped-def]
            self.additions += 1
            return single(*arguments)

        def count_double(*arguments):  # type: ignore[no-untyped-def]
            self.additions += 1
            return doubled(*arguments)

        group._add_distinct, group._add_affine, group._double = count_batch, count_single, count_double
        try:
            yield
        finally:
            group._add_distinct, group._add_affine, group._double = batched, single, doubled


def measure(work: Callable[[], Result]) -> tuple[Result, Measured]:
    """Run `work` once."""
    counter = _Counter()
    gc.collect()
    start = time.perf_counter()
    with counter.running():
        result = work()
    return result, Measured(time.perf_counter() - start, counter.additions)


def measure_proof(accounts: int) -> dict[str, Measured | float]:
    """Commit, prove and verify one shard, and check one receipt."""
    records, relation = records_and_relation(accounts, COLUMNS, POSITIONS, ROWS)
    backend, randomness = select_backend("reference"), SystemRandomness()
    stages: dict[str, float] = {}
    additions: dict[str, int] = {}
    counter = _Counter()
    marks: dict[str, tuple[float, int]] = {}

    def progress(stage: str, done: int, total: int) -> None:
        if done == 0:
            marks[stage] = (time.perf_counter(), counter.additions)
        if done == total:
            start, before = marks[stage]
            stages[stage] = time.perf_counter() - start
            additions[stage] = counter.additions - before

    ids = [f"account-{number}" for number in range(accounts)]
    with counter.running():
        snapshot = commit_snapshot(
            "benchmark", 0, relation.columns, records, ids, accounts, randomness, backend, progress=progress
        )
        committed = snapshot.records
        matrix = csr_array((committed.data, committed.indices, committed.indptr), shape=records.shape)
        coefficients = np.array([row.base for row in relation.rows], dtype=np.int64).T
        slacks = np.asarray(matrix @ coefficients).astype(np.uint64)
        files = prove_statement(
            snapshot,
            relation,
            bytes(32),
            np.zeros((accounts, 0), np.uint64),
            slacks,
            randomness,
            backend,
            packing=PACKING,
            progress=progress,
        )
    _, verify = measure(lambda: verify_statement(files, relation, bytes(32)))
    leaf = next(leaf for leaf, number in enumerate(snapshot.order) if number >= 0)
    receipt = receipt_for(snapshot, leaf)
    _, holder = measure(
        lambda: verify_receipt(receipt, files[SNAPSHOT_FILE], files[COLUMNS_FILE], holder=snapshot.ids[leaf])
    )
    names = {"positions": "commit positions", "slack rows": "commit slacks", "prove": "prove shards"}
    results: dict[str, Measured | float] = {
        name: Measured(stages[stage], additions[stage]) for name, stage in names.items()
    }
    per_account = sum(len(data) for name, data in files.items() if name.startswith(("positions", "slack", "shard-")))
    shard = len(files["shard-000000.cm1"])
    return results | {
        "verify": verify,
        "receipt": holder,
        "bytes per account": per_account / accounts,
        "shard proof bytes": float(shard),
    }


def engine_policy() -> Policy:
    """Return scenario margin over COLUMNS columns and ROWS scenarios."""
    generator = np.random.default_rng(2)
    columns = [Column(ColumnKind.ACCOUNT, "", "1 account", 1)]
    columns += [Column(ColumnKind.POSITION, str(number), "1 lot", 10**9) for number in range(COLUMNS - 1)]

    def array(name: str, scale: int) -> RiskArray:
        return RiskArray(name, name, (0, *(int(c) for c in generator.integers(-scale, scale, COLUMNS - 1))))

    scenarios = [array(f"pnl {number}", 10**5) for number in range(ROWS)]
    requirement = PositivePart(Max(tuple(Scale(-1, Linear(each.name)) for each in scenarios)))
    gap = Sum((Reference("requirement"), Scale(-1, Reference("equity"))))
    return Policy(
        venue="benchmark",
        title="benchmark",
        as_of=0,
        value_unit=ValueUnit("USD", "0.00000001"),
        layout=RecordLayout(tuple(columns)),
        arrays=(array("value", 10**6), *scenarios),
        definitions=(
            Definition("equity", "equity", Role.ABBREVIATION, Linear("value")),
            Definition("requirement", "requirement", Role.REQUIREMENT, requirement),
            Definition("shortfall", "shortfall", Role.SHORTFALL, gap),
        ),
        constraints=(),
    )


def measure_engine() -> float:
    """Return the seconds for margin of ENGINE_ACCOUNTS accounts, POSITIONS positions each, ROWS scenarios."""
    compiled = compile_policy(engine_policy())
    generator = np.random.default_rng(3)
    chosen = np.sort(generator.integers(1, COLUMNS, (ENGINE_ACCOUNTS, POSITIONS), dtype=np.int32), axis=1)
    held = generator.integers(-(10**8), 10**8, (ENGINE_ACCOUNTS, POSITIONS))
    starts = np.arange(ENGINE_ACCOUNTS + 1) * POSITIONS
    records = csr_array((held.ravel(), chosen.ravel(), starts), shape=(ENGINE_ACCOUNTS, COLUMNS))
    start = time.perf_counter()
    evaluate(compiled, records)
    return time.perf_counter() - start


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES), help="accounts per shard to measure")
    sizes = parser.parse_args().sizes
    out = Console(highlight=False, width=140)
    out.print(f"Python {platform.python_version()}, numpy {np.__version__}, {platform.machine()}, backend reference")
    out.print(f"one core; {COLUMNS} columns, {POSITIONS} positions an account, {ROWS} rows, gamma {PACKING}\n")
    engine = measure_engine()
    growth = Table(title="seconds (point additions) by accounts in the shard", title_justify="left", box=None)
    headings = ("accounts", "positions", "slack rows", "prove", "verify", "receipt", "bytes/account", "proof bytes")
    for heading in headings:
        growth.add_column(heading, justify="right")
    found: dict[int, dict[str, Measured | float]] = {}
    for size in sizes:
        found[size] = measured = measure_proof(size)
        cells = [f"{size:,}"]
        for name in ("positions", "slack rows", "prove", "verify", "receipt"):
            stage = measured[name]
            if isinstance(stage, Measured):
                cells.append(f"{stage.seconds:.2f} ({stage.additions:,})")
        growth.add_row(*cells, f"{measured['bytes per account']:.1f}", f"{measured['shard proof bytes']:,.0f}")
    out.print(growth)
    if TARGET_SIZE not in found:
        return
    at = found[TARGET_SIZE]
    seconds = {name: stage.seconds for name, stage in at.items() if isinstance(stage, Measured)}
    figures = {
        "commit": seconds["positions"] + seconds["slack rows"],
        "prove": seconds["prove"],
        "verify": seconds["verify"],
        "bytes per account": float(at["bytes per account"]),  # type: ignore[arg-type]
        "engine": engine,
        "receipt": seconds["receipt"],
    }
    targets = Table(title=f"\nagainst the targets, {TARGET_SIZE:,} accounts", title_justify="left", box=None)
    for heading in ("figure", "measured", "target", ""):
        targets.add_column(heading, justify="left" if heading == "figure" else "right")
    for name, target in TARGETS.items():
        unit = "" if name == "bytes per account" else " s"
        label = f"engine, {ENGINE_ACCOUNTS:,} accounts x {ROWS} scenarios" if name == "engine" else name
        met = "met" if figures[name] <= target else "MISSED"
        targets.add_row(label, f"{figures[name]:.2f}{unit}", f"{target:.0f}{unit}", met)
    out.print(targets)


if __name__ == "__main__":
    main()
