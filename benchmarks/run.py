"""`make bench`: measure every stage from a book to a verified bundle, and write docs/benchmarks.md from the figures.

Every task runs in its own process (`benchmarks.stages`), so that memory is that of one task and nothing is warm.
Figures are written after every point; an interrupted campaign resumes there, and a finished one starts again. The page
of a partial campaign is written beside its figures.
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks import hostile_bundles
from benchmarks.campaign import CAMPAIGNS, Campaign, Incremental, Point
from benchmarks.hostile_bundles import HOSTILE
from benchmarks.memory import Watch
from benchmarks.models import MODELS
from benchmarks.units import measure_units

__all__ = ["main"]

ROOT = Path(__file__).resolve().parents[1]
FORMAT = "crossmargin-benchmarks/2"


class FailedTaskError(Exception):
    """A task that ended with an error."""


def run_task(task: dict[str, Any]) -> dict[str, Any]:
    """Run one task in a process of its own; adds the seconds of the whole process and its peak memory.

    Raises:
        FailedTaskError: the process failed.
    """
    start = time.perf_counter()
    command = [sys.executable, "-m", "benchmarks.stages", json.dumps(task)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        watch = Watch(process.pid).start()
        printed, errors = process.communicate()
        memory = watch.stop()
    if process.returncode:
        raise FailedTaskError(f"{task['do']}: {errors[-1500:].strip()}")
    result: dict[str, Any] = json.loads(printed)
    return result | {"seconds": time.perf_counter() - start, "memory": memory}


def measure_point(point: Point, work: Path) -> dict[str, Any]:
    """Make a book, run it into a bundle, verify that, and look at the rest; then the same with all statements."""
    processes = 1 if point.one_shard else os.cpu_count() or 1
    plan = {
        "accounts": point.accounts,
        "columns": point.columns,
        "positions": point.positions,
        "rows": point.rows,
    }
    folders = {name: str(work / name) for name in ("book", "vault", "bundle", "receipts")}
    common: dict[str, Any] = {**folders, "backend": point.backend, "processes": processes, "packing": point.packing}
    run_task({"do": "book", **folders, "plan": plan})
    if point.one_shard:
        common["shape"] = [point.columns, MODELS[point.rows].values]
        common["shard"] = 1 << (point.accounts - 1).bit_length()
    run = run_task({"do": "run", **common})
    verify = run_task({"do": "verify", **common})
    shape = {name: run[name] for name in ("shards", "accounts_per_shard")}
    look = run_task({"do": "look", **common, **shape})
    found = {"point": asdict(point), "processes": processes, "run": run, "verify": verify, "look": look}
    if point.statements > 1:
        common["bundle"] = str(work / "further")
        found["further"] = {
            "run": run_task({"do": "further", **common}),
            "verify": run_task({"do": "verify", **common}),
        }
    return found


def measure_hostile(backends: Sequence[str]) -> dict[str, Any]:
    """Check every hostile bundle, in plain Python and with the kernel where it is installed."""
    chosen = [name for name in ("reference", "kernel") if name in backends]
    return {
        backend: {name: hostile_bundles.measure(name, kernel=backend == "kernel") for name in HOSTILE}
        for backend in chosen
    }


def measure_incremental(plan: Incremental, work: Path) -> dict[str, Any]:
    """Run a book into a bundle, then what it is an hour later, from the earlier vault."""
    processes = os.cpu_count() or 1
    base = {"accounts": plan.accounts, "columns": plan.columns}
    common = {"backend": plan.backend, "processes": processes, "packing": plan.packing}
    earlier = work / "vault"
    variants: dict[str, dict[str, float]] = {"in full": {}}
    variants |= {f"changed {part}": {"changed": part} for part in plan.changed}
    variants[f"moved {plan.moved}"] = {"moved": plan.moved}
    runs: dict[str, Any] = {}
    for name, difference in variants.items():
        book = work / "book"
        run_task({"do": "book", "book": str(book), "plan": {**base, **difference, "hour": min(1, len(runs))}})
        since = {"since": str(earlier)} if runs else {}
        folders = {"book": str(book), "vault": str(work / "later"), "bundle": str(work / "bundle")}
        found = []
        for _ in range(plan.repeats):
            shutil.rmtree(work / "later", ignore_errors=True)
            found.append(run_task({"do": "run", **folders, **common, **since}))
            shutil.rmtree(work / "bundle")
        runs[name] = min(found, key=lambda run: float(run["seconds"]))
        if not earlier.exists():
            (work / "later").rename(earlier)
        shutil.rmtree(book)
    return {"plan": asdict(plan), "processes": processes, "runs": runs}


def machine() -> dict[str, Any]:
    """Return the environment of the figures: processors, memory, system, versions."""
    model, memory = platform.machine(), None
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), model)
        first = Path("/proc/meminfo").read_text(encoding="utf-8").split()
        memory = int(first[1]) * 1024
    except OSError:
        pass
    described = run_task({"do": "describe"})
    return {
        "commit": _commit(),
        "cores": os.cpu_count(),
        "processor": model,
        "memory": memory,
        "system": platform.system(),
        "backends": described["backends"],
        "versions": described["versions"],
        "integer": described["integer"],
    }


def _commit() -> str:
    """Return the commit that is measured, where there is a repository."""
    git = shutil.which("git")
    if git is None:
        return ""
    command = [git, "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()


class Results:
    """Figures in a file, written again after every point."""

    def __init__(self, path: Path, size: str, fresh: bool) -> None:
        """Go on with an unfinished campaign of that size, or begin one."""
        self._path = path
        self.data: dict[str, Any] = {"format": FORMAT, "size": size, "finished": False, "points": {}, "failed": {}}
        if path.exists() and not fresh:
            found = json.loads(path.read_text(encoding="utf-8"))
            if (found.get("format"), found.get("size"), found.get("finished")) == (FORMAT, size, False):
                self.data = {**found, "failed": {}}

    def save(self) -> None:
        """Write the file."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        new = self._path.with_suffix(".new")
        new.write_text(json.dumps(self.data, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        new.replace(self._path)


def measure(campaign: Campaign, results: Results, work: Path) -> None:
    """Measure what is missing."""
    data = results.data
    if "machine" not in data:
        data["machine"] = machine()
    if "kernel" not in data:
        print("operations of the kernel", flush=True)
        data["kernel"] = measure_units(campaign.measured_shard) if campaign.measured_shard else None
        results.save()
    installed = data["machine"]["backends"]
    plans: list[tuple[str, dict[str, Any], Any, Point | Incremental]] = [
        *((point.key, data["points"], measure_point, point) for point in campaign.growth),
        *(("incremental", data, measure_incremental, plan) for plan in (campaign.incremental,) if plan is not None),
        *((point.key, data["points"], measure_point, point) for point in campaign.sweeps),
    ]
    for key, found, function, plan in plans:
        if plan.backend not in installed:
            data["failed"][key] = "the compiled kernel is not installed"
        elif key not in found:
            _attempt(key, found, data["failed"], work, function, plan)
            results.save()
    if "hostile" not in data:
        print("hostile bundles", flush=True)
        data["hostile"] = measure_hostile(installed)
    data["finished"] = not data["failed"]
    results.save()


def _attempt(key: str, found: dict[str, Any], failed: dict[str, Any], work: Path, function: Any, plan: Any) -> None:
    print(key, end=" ", flush=True)
    start = time.perf_counter()
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    try:
        found[key] = function(plan, work)
        print(f"{time.perf_counter() - start:.0f} s", flush=True)
    except FailedTaskError as error:
        failed[key] = str(error)
        print(f"failed: {error}", flush=True)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def main(arguments: list[str] | None = None) -> int:
    """Measure, then write the page; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=CAMPAIGNS, default="full", help="how much is measured (default %(default)s)")
    parser.add_argument("--fresh", action="store_true", help="forget an unfinished campaign")
    parser.add_argument("--results", type=Path, default=ROOT / "build" / "bench" / "results.json", help="the figures")
    parser.add_argument(
        "--work", type=Path, default=ROOT / "build" / "bench" / "work", help="folder for books and vaults"
    )
    parser.add_argument("--docs", type=Path, help="folder of benchmarks.md and plots")
    options = parser.parse_args(arguments)
    results = Results(options.results, options.size, options.fresh)
    measure(CAMPAIGNS[options.size], results, options.work)
    docs = options.docs or (options.results.parent if options.size == "small" else ROOT / "docs")
    # What measures stays small: the plots are made by a process of their own.
    command = [sys.executable, "-m", "benchmarks.render", str(options.results), str(docs)]
    rendered = subprocess.run(command, cwd=ROOT, check=False).returncode
    return 1 if results.data["failed"] or rendered else 0


if __name__ == "__main__":
    sys.exit(main())
