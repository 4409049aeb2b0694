"""Read measured figures: times of stages, their floors, and straight lines through them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks import floor
from benchmarks.floor import Operations, Sizes

__all__ = ["STAGES", "Figures", "Line", "Measured", "line_through", "processor_seconds", "stage_seconds"]

STAGES = (
    "load",
    "evaluate",
    "commit positions",
    "prove records",
    "commit slacks",
    "prove shards",
    "rest of commit",
    "rest of prove",
    "publish",
)
"""The stages of a run, besides the start of the process; `publish` contains a verification."""


@dataclass(frozen=True)
class Line:
    """y = base + slope x."""

    base: float
    slope: float

    def at(self, x: float) -> float:
        """Return y."""
        return self.base + self.slope * x


def line_through(points: Sequence[tuple[float, float]]) -> Line:
    """Return the line of least squares of relative errors, through two points or more."""
    x, y = (np.array(each, dtype=np.float64) for each in zip(*points, strict=True))
    system = np.stack([1 / y, x / y], axis=1)
    base, slope = np.linalg.lstsq(system, np.ones(len(x)), rcond=None)[0]
    return Line(float(base), float(slope))


@dataclass(frozen=True)
class Measured:
    """One measured point."""

    data: Mapping[str, Any]

    @property
    def accounts(self) -> int:
        """Accounts of the book."""
        return int(self.data["point"]["accounts"])

    @property
    def cores(self) -> int:
        """Processes that worked."""
        return int(self.data["processes"])

    @property
    def sizes(self) -> Sizes:
        """The inputs of the operation counts."""
        return Sizes(**self.data["look"]["sizes"])

    @property
    def total(self) -> float:
        """Seconds from the start of the process to the finished bundle."""
        return float(self.data["run"]["seconds"])

    @property
    def verify(self) -> float:
        """Seconds of the verifier's whole process."""
        return float(self.data["verify"]["seconds"])

    @property
    def verification(self) -> float:
        """Seconds of the verification alone, where generators were derived before."""
        return float(self.data["verify"]["stages"]["verify"]["seconds"])

    @property
    def memory(self) -> Mapping[str, int] | None:
        """Peaks of the run in bytes."""
        peaks: Mapping[str, int] | None = self.data["run"]["memory"]
        return peaks

    @property
    def rate(self) -> float:
        """Accounts committed and proven in a second on one core."""
        stages = self.data["run"]["stages"]
        return self.accounts / float(stages["commit"]["seconds"] + stages["prove"]["seconds"]) / self.cores

    @property
    def added_by_records(self) -> float:
        """What record proofs add to commit and prove of one statement, as a part of these without them."""
        stages = self.data["run"]["stages"]
        records = float(stages["prove records"]["seconds"])
        return records / (float(stages["commit"]["seconds"] + stages["prove"]["seconds"]) - records)

    @property
    def further(self) -> Mapping[str, Any] | None:
        """What was measured of the bundle with all statements."""
        found: Mapping[str, Any] | None = self.data.get("further")
        return found

    def seconds(self, stage: str) -> float:
        """Return the seconds of one of STAGES."""
        return stage_seconds(self.data["run"], stage)

    def bytes_per_account(self, what: str) -> float:
        """Return bytes of the vault, the bundle, its points and shard proofs, or its record proofs."""
        return float(self.data["run"]["bytes"][what]) / self.accounts


def processor_seconds(task: Mapping[str, Any]) -> float:
    """Return the processor time of a task, that of its workers included."""
    return float(task["processor"]["own"] + task["processor"]["workers"])


def stage_seconds(run: Mapping[str, Any], stage: str) -> float:
    """Return the seconds of one of STAGES in a run; zero for what was not done."""
    stages = run["stages"]

    def spent(name: str) -> float:
        return float(stages[name]["seconds"]) if name in stages else 0.0

    if stage == "rest of commit":
        return spent("commit") - spent("commit positions") - spent("prove records")
    if stage == "rest of prove":
        return spent("prove") - spent("evaluate") - spent("commit slacks") - spent("prove shards")
    return spent(stage)


@dataclass(frozen=True)
class Figures:
    """All figures of a campaign."""

    data: Mapping[str, Any]

    def point(self, key: str) -> Measured | None:
        """Return a point, if it was measured."""
        found = self.data["points"].get(key)
        return None if found is None else Measured(found)

    def group(self, name: str) -> list[tuple[str, Measured]]:
        """Return the points of a group by their value, in the order of what they cost."""
        prefix = f"{name}/"
        found = [
            (key.removeprefix(prefix), Measured(each))
            for key, each in self.data["points"].items()
            if key.startswith(prefix)
        ]
        return sorted(found, key=lambda item: (not item[0].isdigit(), int(item[0]) if item[0].isdigit() else 0))

    @property
    def units(self) -> Mapping[str, float] | None:
        """Nanoseconds of an addition, a product modulo p and one in F; None without a tool chain."""
        kernel = self.data.get("kernel")
        return None if kernel is None else kernel["units"]

    def floor_seconds(self, point: Measured, stage: str) -> float | None:
        """Return the least seconds of one core for a stage, where its operations are counted."""
        if stage == "evaluate":
            return point.sizes.entries * point.sizes.rows * float(self.data["machine"]["integer"]) / 1e9
        if stage == "load":
            return float(point.data["look"]["stages"]["read tables"]["seconds"])
        counted = {
            "commit positions": floor.commit_positions,
            "prove records": floor.prove_records,
            "commit slacks": floor.commit_slacks,
            "prove shards": floor.prove,
            "verify": floor.verify,
        }
        if self.units is None or stage not in counted:
            return None
        return self._seconds(counted[stage](point.sizes))

    def _seconds(self, operations: Operations) -> float:
        units = self.units or {}
        return (
            operations.additions * units["additions"]
            + operations.base * units["base"]
            + operations.scalar * units["scalar"]
        ) / 1e9
