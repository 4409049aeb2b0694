"""Peak memory of a process and of those that it started, sampled from outside.

`resource` cannot tell: the figure of a process that was started by a large one begins with the size of that one, and
workers are not added up. Pages that processes share count in each of them. Linux alone; elsewhere nothing is measured.
"""

import threading
from dataclasses import asdict, dataclass
from pathlib import Path

__all__ = ["Peaks", "Watch"]

INTERVAL = 0.1
"""Seconds between samples."""

PROCESSES = Path("/proc")
UNIT = 1024


@dataclass
class Peaks:
    """Largest sizes seen, in bytes: of the process, of its largest worker, and of all together at one moment."""

    parent: int = 0
    worker: int = 0
    together: int = 0


class Watch:
    """Samples in the background from `start` to `stop`."""

    def __init__(self, process: int) -> None:
        """Watch the process of that number."""
        self._process = process
        self._peaks = Peaks()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> "Watch":
        """Begin to sample; returns itself."""
        self._thread.start()
        return self

    def stop(self) -> dict[str, int] | None:
        """End, and return the peaks in bytes, or None where there is nothing to sample."""
        self._end.set()
        self._thread.join()
        return asdict(self._peaks) if self._peaks.parent else None

    def _run(self) -> None:
        while not self._end.wait(INTERVAL):
            own, highest = _size(self._process)
            together = own
            self._peaks.parent = max(self._peaks.parent, highest)
            for worker in _descendants(self._process):
                size, highest = _size(worker)
                together += size
                self._peaks.worker = max(self._peaks.worker, highest)
            self._peaks.together = max(self._peaks.together, together)


def _descendants(process: int) -> list[int]:
    found = []
    try:
        threads = list((PROCESSES / str(process) / "task").iterdir())
        children = [int(each) for thread in threads for each in (thread / "children").read_text().split()]
    except OSError:
        return []
    for child in children:
        found += [child, *_descendants(child)]
    return found


def _size(process: int) -> tuple[int, int]:
    """Return the bytes that a process has in memory now, and the most that it had."""
    try:
        lines = (PROCESSES / str(process) / "status").read_text().splitlines()
    except OSError:
        return 0, 0
    fields = {name: value for name, _, value in (line.partition(":") for line in lines)}
    return tuple(int(fields.get(name, "0").split()[0]) * UNIT for name in ("VmRSS", "VmHWM"))  # type: ignore[return-value]
