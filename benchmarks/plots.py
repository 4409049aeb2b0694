"""The plots of docs/benchmarks.md: SVG, the same bytes for the same figures."""

import re
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.figures import STAGES, Figures, stage_seconds
from crossmargin.cli.plotting import STYLE, WIDTH

__all__ = ["draw"]

COLOURS = {
    "generators": "#CCCCCC",
    "load": "#999999",
    "evaluate": "#F0E442",
    "commit positions": "#0072B2",
    "prove records": "#882255",
    "commit slacks": "#56B4E9",
    "prove shards": "#D55E00",
    "rest of commit": "#004060",
    "rest of prove": "#803800",
    "publish": "#009E73",
    "verify": "#CC79A7",
    "total": "#000000",
}
"""Colours that people with any vision tell apart (Okabe and Ito)."""

LABEL: Any = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}

GIGABYTE = 2**30

SWEEPS = {
    "rows": "rows K",
    "positions": "positions of an account",
    "columns": "columns V",
    "gamma": "gamma (2^gamma accounts in a slack row)",
}
SWEPT = ("generators", "commit positions", "prove records", "commit slacks", "prove shards", "verify")


def draw(figures: Figures, folder: Path, kind: str = "svg") -> list[str]:
    """Draw what there are figures for; returns the names of the plots."""
    folder.mkdir(parents=True, exist_ok=True)
    makers = {"growth": _growth, "memory": _memory, "floor": _floor, "sweeps": _sweeps, "incremental": _incremental}
    drawn = []
    with rc_context(STYLE):
        for name, make in makers.items():
            figure = make(figures)
            if figure is not None:
                metadata = {"Date": None, "Creator": None} if kind == "svg" else {}
                figure.savefig(folder / f"{name}.{kind}", format=kind, metadata=metadata, dpi=110)
                drawn.append(name)
    return drawn


def _growth(figures: Figures) -> Figure | None:
    """Seconds of every stage by accounts, on logarithmic axes: lines of slope one grow linearly."""
    group = figures.group("accounts")
    if len(group) < 2:
        return None
    figure, axes = _panel(4.2)
    accounts = [point.accounts for _, point in group]
    lines = {
        "total": [point.total for _, point in group],
        "verify": [point.verify for _, point in group],
        **{stage: [point.seconds(stage) for _, point in group] for stage in STAGES},
    }
    for name, seconds in lines.items():
        width = 2.4 if name in ("total", "verify") else 1.3
        axes.plot(accounts, seconds, color=COLOURS[name], marker="o", markersize=3, linewidth=width, label=name)
    axes.set(xscale="log", yscale="log", xlabel="accounts", ylabel="seconds", title="From a book to a verified bundle")
    axes.grid(which="major", color="#dddddd", linewidth=0.6)
    figure.legend(loc="outside right upper")
    return figure


def _memory(figures: Figures) -> Figure | None:
    """Peak memory by accounts."""
    group = [(point.accounts, point.memory) for _, point in figures.group("accounts")]
    measured = [(accounts, peaks) for accounts, peaks in group if peaks is not None]
    if len(measured) < 2:
        return None
    figure, axes = _panel(3.2)
    accounts = [each for each, _ in measured]
    for name, label, colour in (
        ("together", "all processes together", "#000000"),
        ("parent", "parent", "#0072B2"),
        ("worker", "largest worker", "#D55E00"),
    ):
        sizes = [peaks[name] / GIGABYTE for _, peaks in measured]
        axes.plot(accounts, sizes, color=colour, marker="o", markersize=3, label=label)
    axes.axhline(3, color="#999999", linestyle="--", linewidth=1)
    axes.text(accounts[0], 3, " target for 1,000,000 accounts", va="bottom", color="#666666", fontsize=8)
    axes.set(xscale="log", xlabel="accounts", ylabel="GiB", title="Peak memory of a run", ylim=(0, None))
    axes.grid(axis="y", color="#dddddd", linewidth=0.6)
    axes.legend(loc="center left")
    return figure


def _floor(figures: Figures) -> Figure | None:
    """Time of a stage, or of an operation of the kernel, as a multiple of its floor."""
    bars: list[tuple[str, float, str]] = []
    point = figures.point("gamma/2")
    if figures.units is None:
        return None
    for operation in figures.data["kernel"]["operations"]:
        bars.append((_operation_name(operation), operation["ratio"], "#56B4E9"))
    if point is not None:
        for stage in SWEPT:
            least = figures.floor_seconds(point, stage)
            spent = point.verification if stage == "verify" else point.seconds(stage)
            if least:
                bars.append((f"{stage}, {point.accounts:,} accounts", spent / least, "#D55E00"))
    figure, axes = _panel(0.8 + 0.22 * len(bars))
    places = list(range(len(bars), 0, -1))
    axes.barh(places, [ratio for _, ratio, _ in bars], color=[colour for _, _, colour in bars], height=0.7)
    for place, (_, ratio, _) in zip(places, bars, strict=True):
        axes.text(ratio, place, f" {ratio:.2f}", va="center", fontsize=8, bbox=LABEL)
    axes.axvline(1, color="#000000", linewidth=1)
    axes.axvline(2, color="#666666", linewidth=1, linestyle="--")
    axes.set_yticks(places, [name for name, _, _ in bars])
    axes.set(xlabel="dashed: the target for operations of the kernel", xlim=(0, None))
    figure.suptitle("Operations of the kernel (blue) and stages of one shard, times their floors", x=0, ha="left")
    return figure


def _operation_name(operation: dict[str, str]) -> str:
    """Return the axis label of an operation of the kernel."""
    name = re.sub(r"\d{4,}", lambda number: f"{int(number[0]):,}", operation["name"])
    count = operation["of"].split(" accounts")[0].removeprefix("shard of ")
    return f"{name}, {int(count):,} accounts" if count.isdigit() else name


def _sweeps(figures: Figures) -> Figure | None:
    """Microseconds for an account in one shard on one core, by what a book and a statement consist of."""
    groups = {name: group for name in SWEEPS if (group := figures.group(name))}
    if not groups:
        return None
    figure = Figure(figsize=(WIDTH, 5.2))
    grid = figure.subplots(2, 2)
    for axes, (name, group) in zip(grid.flat, groups.items(), strict=False):
        _stacks(axes, [label for label, _ in group])
        bottoms = [0.0] * len(group)
        for stage in SWEPT:
            heights = [
                (point.verification if stage == "verify" else point.seconds(stage)) / point.accounts * 1e6
                for _, point in group
            ]
            axes.bar(range(len(group)), heights, bottom=bottoms, color=COLOURS[stage], width=0.6, label=stage)
            bottoms = [a + b for a, b in zip(bottoms, heights, strict=True)]
        for place, height in enumerate(bottoms):
            axes.text(place, height, f"{height:,.0f}", ha="center", va="bottom", fontsize=8)
        axes.set(xlabel=SWEEPS[name], ylabel="µs / account")
    for axes in list(grid.flat)[len(groups) :]:
        axes.set_visible(False)
    handles, labels = grid.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=len(SWEPT))
    return figure


def _incremental(figures: Figures) -> Figure | None:
    """Seconds of a run in full and of the runs an hour later."""
    found = figures.data.get("incremental")
    if found is None:
        return None
    figure, axes = _panel(3.2)
    runs = {"in full": found["runs"]["in full"], **found["runs"]}
    _stacks(axes, [_variant(name) for name in runs])
    bottoms = [0.0] * len(runs)
    for stage in STAGES:
        heights = [max(0.0, stage_seconds(run, stage)) for run in runs.values()]
        axes.bar(range(len(runs)), heights, bottom=bottoms, color=COLOURS[stage], width=0.6, label=stage)
        bottoms = [a + b for a, b in zip(bottoms, heights, strict=True)]
    axes.set(ylabel="seconds", title=f"{found['plan']['accounts']:,} accounts an hour later")
    figure.legend(loc="outside right upper")
    return figure


def _variant(name: str) -> str:
    """Return the axis label of a run."""
    word, _, part = name.partition(" ")
    if word == "changed":
        return f"{float(part) * 100:g} %\nchanged"
    return f"prices\n{float(part) * 100:+g} %" if word == "moved" else name


def _panel(height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(WIDTH, height))
    return figure, figure.subplots()


def _stacks(axes: Axes, labels: list[str]) -> None:
    axes.set_xticks(range(len(labels)), labels)
    axes.grid(axis="y", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
