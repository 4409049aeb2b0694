"""The points to measure, in groups, for a campaign of some size."""

from dataclasses import dataclass

__all__ = ["CAMPAIGNS", "Campaign", "Incremental", "Point"]


@dataclass(frozen=True)
class Point:
    """One run from book to verified bundle.

    group: what varies; value: how much of it; positions: None for all instruments; one_shard: whether all accounts are
    in one shard and one process works on it, so that rates are those of one core; statements: after a bundle of one
    statement, the others are proven one by one, and a bundle of so many is made and verified.
    """

    group: str
    value: str
    accounts: int
    rows: int = 16
    columns: int = 500
    positions: int | None = 10
    packing: int = 2
    backend: str = "kernel"
    one_shard: bool = True
    statements: int = 1

    @property
    def key(self) -> str:
        """Name of the point in the results."""
        return f"{self.group}/{self.value}"


@dataclass(frozen=True)
class Incremental:
    """A book, and the same an hour later: parts of the accounts changed, or all prices moved.

    repeats: runs of each, of which the fastest counts, since their differences are small.
    """

    accounts: int
    columns: int = 500
    changed: tuple[float, ...] = (0.001, 0.01, 0.1)
    moved: float = 0.01
    repeats: int = 2
    packing: int = 2
    backend: str = "kernel"


@dataclass(frozen=True)
class Campaign:
    """The points to measure, in this order.

    measured_shard: accounts for the operations of the kernel, or 0; growth: whole runs by accounts; sweeps: all else.
    """

    measured_shard: int
    growth: tuple[Point, ...]
    incremental: Incremental | None
    sweeps: tuple[Point, ...]


def _sweeps(
    accounts: int, rows: tuple[int, ...], positions: tuple[int | None, ...], columns: tuple[int, ...]
) -> list[Point]:
    """Return one sweep after the other over what a book and a statement consist of, all else as it usually is."""
    points = [Point("gamma", str(packing), accounts, packing=packing) for packing in range(4)]
    points += [Point("positions", "all" if held is None else str(held), accounts, positions=held) for held in positions]
    points += [Point("columns", str(count), accounts, columns=count) for count in columns]
    return points + [Point("rows", str(count), accounts, rows=count) for count in rows]


def _growth(sizes: tuple[int, ...]) -> tuple[Point, ...]:
    """Return runs with all cores; that of the largest book has three statements."""
    largest = max(sizes)
    return tuple(
        Point("accounts", str(size), size, one_shard=False, statements=3 if size == largest else 1) for size in sizes
    )


def _plain(sizes: tuple[int, ...]) -> list[Point]:
    """Return the same points with both backends."""
    return [
        Point(f"backend {name}", str(size), size, backend=name) for size in sizes for name in ("reference", "kernel")
    ]


CAMPAIGNS = {
    "full": Campaign(
        measured_shard=2**14,
        growth=_growth((10**3, 10**4, 10**5, 3 * 10**5, 10**6)),
        incremental=Incremental(2**16),
        sweeps=(*_plain((1024, 4096)), *_sweeps(2**14, (16, 64, 256), (2, 10, 50, None), (50, 500, 4000))),
    ),
    "small": Campaign(
        measured_shard=2**12,
        growth=_growth((10**3, 10**4, 3 * 10**4)),
        incremental=Incremental(2**13),
        sweeps=(*_plain((1024,)), *_sweeps(2**12, (16, 64), (2, 10, 50), (50, 500))),
    ),
    "targets": Campaign(0, _growth((10**3, 10**5, 10**6)), None, tuple(_plain((4096,)))),
}
"""Campaigns by size: everything on two cores, the same with small books, and what the targets need."""
