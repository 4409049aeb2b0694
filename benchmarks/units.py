"""Cost of one operation of the kernel on this machine: run the kernel's own measurement and read its output.

Needs the Rust tool chain. The floors that it prints are per operation of the kernel; `benchmarks.floor` has those of
whole stages, with the same cost of one addition and of one product.
"""

import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

__all__ = ["least", "measure_units", "parse"]

ROOT = Path(__file__).resolve().parents[1]
KERNEL = ROOT / "prover" / "kernel"
TARGET = ROOT / "build" / "kernel" / "target"
COMMAND = ["cargo", "run", "--release", "--locked", "--quiet", "-p", "crossmargin-kernel-core", "--example", "measure"]

RUNS = 5
"""Measurements, since one may fall into a slow moment of a shared machine."""

KEYS = {"additions": "additions", "products mod p": "base", "products in F": "scalar"}
PLAIN = re.compile(r"(?P<name>\S.*?) +(?P<ns>[\d.]+) ns")
FLOORED = re.compile(
    r"(?P<name>\S.*?) +(?P<ns>[\d.]+) ns +(?P<count>[\d.]+) (?P<unit>\S.*?) +(?P<floor>[\d.]+) ns +(?P<ratio>[\d.]+)"
)
ADDITION = "affine addition, "
UNITS = {"base": "base field: multiplication", "scalar": "scalars: multiplication"}


def measure_units(accounts: int) -> dict[str, Any] | None:
    """Return the least figures of some runs, for shards of so many accounts; None where there is no Rust tool chain."""
    environment = {"CARGO_TARGET_DIR": str(TARGET), **os.environ}
    found = []
    for _ in range(RUNS):
        try:
            finished = subprocess.run(
                [*COMMAND, "--", str(accounts)],
                cwd=KERNEL,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )
        except FileNotFoundError:
            return None
        if finished.returncode:
            raise RuntimeError(f"the kernel's measurement failed: {finished.stderr[-2000:]}")
        found.append(parse(finished.stdout))
    return least(found)


def least(found: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the least costs of several measurements, and floors and ratios by these."""
    units = {name: min(each["units"][name] for each in found) for name in found[0]["units"]}
    operations = []
    for same in zip(*(each["operations"] for each in found), strict=True):
        operation = dict(same[0])
        operation["ns"] = min(each["ns"] for each in same)
        operation["floor"] = round(operation["count"] * units[KEYS[operation["unit"]]], 2)
        operation["ratio"] = round(operation["ns"] / operation["floor"], 2)
        operations.append(operation)
    return {"units": units, "operations": operations}


def parse(printed: str) -> dict[str, Any]:
    """Return the nanoseconds of one addition, one product modulo p and one in F, and all operations with a floor.

    Raises:
        ValueError: the text has other lines than it should.
    """
    plain: dict[str, float] = {}
    operations = []
    heading = last = ""
    for text in printed.splitlines():
        if text.endswith(":"):
            heading = text.removesuffix(":")
        elif found := FLOORED.fullmatch(text.strip()):
            figures = {name: float(found[name]) for name in ("ns", "count", "floor", "ratio")}
            # A line that is set in belongs to the one before: the same points.
            name = f"{found['name']} of {last.rpartition(' ')[2]}" if text.startswith(" ") else found["name"]
            last = name
            operations.append({"of": heading, "name": name, "unit": found["unit"], **figures})
        elif found := PLAIN.fullmatch(text.strip()):
            plain[found["name"]] = float(found["ns"])
    additions = [ns for name, ns in plain.items() if name.startswith(ADDITION)]
    missing = [name for name in UNITS.values() if name not in plain]
    if missing or not additions or not operations:
        raise ValueError(f"the kernel's measurement printed no {', '.join(missing) or 'additions or operations'}")
    units = {key: plain[name] for key, name in UNITS.items()}
    return {"units": {"additions": min(additions), **units}, "operations": operations}
