"""Sums of many points at once: one inversion per batch of affine additions, and tables of multiples of fixed bases.

`sum_lists` adds up many lists of points together, pair by pair, so that every batch is long. A commitment is then a
list of table entries: signed windows for integers (sum of d_k 2^{wk} B with |d_k| <= 2^{w-1}), subset sums for bits.
"""

from collections.abc import Iterable, Sequence

from crossmargin_verifier.protocol.field import ORDER
from crossmargin_verifier.protocol.group import Point, batch_add, negate, sum_points_batch

__all__ = ["best_window", "combine_rows", "signed_digits", "subset_tables", "sum_lists", "window_tables"]

BLOCK_TERMS = 1 << 14
"""Points that are summed together: enough to share one inversion, few enough to stay in the cache."""

COMBINE_WIDTH = 5
"""Width of signed windows for multiplying each point by one 256-bit weight: 15 additions of table, 52 of windows."""

WindowTable = list[list[Point]]
"""For each window k the points d 2^{wk} B for d = 0 .. 2^{w-1}."""


def sum_lists(lists: Iterable[list[Point]]) -> list[Point]:
    """Return the sum of each list, processing one block of lists at a time."""
    sums: list[Point] = []
    block: list[list[Point]] = []
    terms = 0
    for points in lists:
        block.append(points)
        terms += len(points)
        if terms >= BLOCK_TERMS:
            sums += sum_points_batch(block)
            block, terms = [], 0
    return sums + sum_points_batch(block)


def best_window(count: int, bits: int) -> int:
    """Return the cheapest width of signed windows for `count` multiples of one base by `bits`-bit integers."""

    def cost(width: int) -> int:
        return -(-(bits + 1) // width) * (count + (1 << width - 1))

    return min(range(1, 15), key=cost)


def signed_digits(value: int, width: int) -> list[int]:
    """Return digits d_k, -2^{w-1} < d_k <= 2^{w-1}, low first: value = sum_k d_k 2^{wk} >= 0."""
    digits = []
    full, half, mask = 1 << width, 1 << (width - 1), (1 << width) - 1
    while value:
        digit = value & mask
        value >>= width
        if digit > half:
            digit -= full
            value += 1
        digits.append(digit)
    return digits


def window_tables(bases: Sequence[Point], shapes: Sequence[tuple[int, int]]) -> list[WindowTable]:
    """Return the signed-window table of every base; shapes give (bits of the largest multiplier, width)."""
    windows = [-(-(bits + 1) // width) for bits, width in shapes]
    tables: list[WindowTable] = [[] for _ in bases]
    current = list(bases)
    step = 0
    live = list(range(len(bases)))
    while live:
        for number in live:
            if step % shapes[number][1] == 0:
                tables[number].append([None, current[number]])
        live = [number for number in live if len(tables[number]) < windows[number]]
        doubled = [current[number] for number in live]
        for number, point in zip(live, batch_add(doubled, doubled), strict=True):
            current[number] = point
        step += 1
    _extend([(row, 1 << (width - 1)) for table, (_, width) in zip(tables, shapes, strict=True) for row in table])
    return tables


def combine_rows(rows: Sequence[Sequence[Point]], weights: Sequence[int]) -> list[Point]:
    """Return sum_k weights_k rows_k[i] for every i: all columns i go through the same doublings and windows."""
    width = COMBINE_WIDTH
    multiples: list[list[list[Point]]] = [[[None, point] for point in row] for row in rows]
    _extend([(entry, 1 << (width - 1)) for row in multiples for entry in row])
    digits = [signed_digits(weight % ORDER, width) for weight in weights]
    sums: list[Point] = [None] * len(rows[0])
    for window in reversed(range(max(map(len, digits)))):
        for _ in range(width):
            sums = batch_add(sums, sums)
        columns = [[point] for point in sums]
        for row, row_digits in zip(multiples, digits, strict=True):
            digit = row_digits[window] if window < len(row_digits) else 0
            if digit:
                for column, entry in zip(columns, row, strict=True):
                    column.append(negate(entry[-digit]) if digit < 0 else entry[digit])
        sums = sum_points_batch(columns)
    return sums


def _extend(rows: list[tuple[list[Point], int]]) -> None:
    """Append multiples to every list [None, B] until it ends with its last multiple."""
    length = 2
    while rows := [(row, last) for row, last in rows if length <= last]:
        added = batch_add([row[-1] for row, _ in rows], [row[1] for row, _ in rows])
        for (row, _), point in zip(rows, added, strict=True):
            row.append(point)
        length += 1


def subset_tables(groups: Sequence[Sequence[Point]]) -> list[list[Point]]:
    """Return for every group of w bases the 2^w sums over its subsets, indexed by the bits of the subset."""
    tables: list[list[Point]] = [[None] for _ in groups]
    width = len(groups[0]) if groups else 0
    for bit in range(width):
        size = 1 << bit
        added = batch_add(
            [point for table in tables for point in table],
            [group[bit] for group in groups for _ in range(size)],
        )
        for number, table in enumerate(tables):
            table.extend(added[number * size : (number + 1) * size])
    return tables
