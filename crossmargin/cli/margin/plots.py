"""Plots of the commands of `crossmargin margin`; amounts in the value currency."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crossmargin.analysis.compare import Comparison
from crossmargin.analysis.replay import Replay
from crossmargin.analysis.stress import Stressed
from crossmargin.book.exact_sum import total_of
from crossmargin.cli.plotting import COLOURS, draw
from crossmargin.engine.evaluate import Margin
from crossmargin.engine.explain import Explanation
from crossmargin.liquidation.cascade import Cascade
from crossmargin_circuits.policy import Policy, ValueUnit

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_cascade", "draw_comparison", "draw_distribution", "draw_parts", "draw_replay", "draw_stress"]

THOUSANDS = "{x:,.0f}"

SHOWN_PARTS = 24
"""Number of columns in the plot of one account: those with the largest parts."""


def draw_distribution(file: Path, result: Margin, policy: Policy) -> None:
    """Draw equity against requirement, one dot per account, on logarithmic axes; on the line the two are equal."""
    unit = policy.value_unit
    equity, needed = (_amounts(values.tolist(), unit) for values in (result.equity, result.requirement))
    pairs = [(have, need) for have, need in zip(equity, needed, strict=True) if have > 0 and need > 0]
    left_out = len(equity) - len(pairs)

    def paint(axes: "list[Axes]") -> None:
        (panel,) = axes
        for colour, word, chosen in (
            (COLOURS[0], "covers its requirement", [pair for pair in pairs if pair[0] >= pair[1]]),
            (COLOURS[1], "under water", [pair for pair in pairs if pair[0] < pair[1]]),
        ):
            panel.scatter(
                [need for _, need in chosen],
                [have for have, _ in chosen],
                s=6,
                color=colour,
                label=f"{word}: {len(chosen):,}",
                linewidths=0,
            )
        if pairs:
            ends = [min(min(pair) for pair in pairs), max(max(pair) for pair in pairs)]
            panel.plot(ends, ends, color=COLOURS[6], linewidth=0.8)
            panel.set(xscale="log", yscale="log")
        panel.set(xlabel=f"requirement, {unit.currency}", ylabel=f"equity, {unit.currency}")
        panel.set_title(policy.title)
        panel.legend(title=f"{left_out:,} accounts without equity or requirement are not shown" if left_out else None)

    draw(file, 4.6, paint)


def draw_parts(file: Path, shown: Explanation, policy: Policy) -> None:
    """Draw the parts of one account's equity and requirement, by column."""
    unit = policy.value_unit
    parts = sorted(shown.parts, key=lambda part: max(abs(part.equity), abs(part.requirement)))[-SHOWN_PARTS:]
    names = [part.name for part in parts]
    places = range(len(parts))

    def paint(axes: "list[Axes]") -> None:
        (panel,) = axes
        panel.barh([place + 0.2 for place in places], _amounts([part.equity for part in parts], unit), 0.4,
                   color=COLOURS[0], label="part of equity")  # fmt: skip
        panel.barh([place - 0.2 for place in places], _amounts([part.requirement for part in parts], unit), 0.4,
                   color=COLOURS[1], label="part of the requirement")  # fmt: skip
        panel.axvline(0, color=COLOURS[6], linewidth=0.8)
        panel.set_yticks(list(places), names)
        panel.set_xlabel(unit.currency)
        panel.xaxis.set_major_formatter(THOUSANDS)
        panel.set_title(f"{policy.title}: one account by columns")
        panel.legend()

    draw(file, 1.4 + 0.3 * max(len(parts), 3), paint)


def draw_comparison(file: Path, found: Sequence[Comparison]) -> None:
    """Draw pooled and segregated requirement of every model."""
    places = range(len(found))
    unit = found[0].compiled.policy.value_unit

    def paint(axes: "list[Axes]") -> None:
        (panel,) = axes
        for shift, colour, word, totals in (
            (0.2, COLOURS[0], "pooled accounts", [each.requirement for each in found]),
            (-0.2, COLOURS[4], "sub-accounts alone", [each.segregated for each in found]),
        ):
            amounts = [
                _amounts([total], each.compiled.policy.value_unit)[0] for total, each in zip(totals, found, strict=True)
            ]
            panel.barh([place + shift for place in places], amounts, 0.4, color=colour, label=word)
        panel.set_yticks(list(places), [each.name for each in found])
        panel.invert_yaxis()
        panel.set_xlabel(f"requirement of all accounts, {unit.currency}")
        panel.xaxis.set_major_formatter(THOUSANDS)
        panel.set_title("requirement by model")
        panel.legend()

    draw(file, 1.2 + 0.5 * len(found), paint)


def draw_stress(file: Path, found: Sequence[Stressed], unit: ValueUnit) -> None:
    """Draw shortfall and deficit of the book after every shock."""
    names = [each.shock.name if each.shock else "(none)" for each in found]
    places = range(len(found))
    shortfall = _amounts([total_of(each.margin.shortfall) for each in found], unit)
    deficit = _amounts([each.deficit for each in found], unit)

    def paint(axes: "list[Axes]") -> None:
        (panel,) = axes
        panel.barh(
            [place - 0.2 for place in places], shortfall, 0.4, color=COLOURS[4], label="shortfall to requirement"
        )
        panel.barh([place + 0.2 for place in places], deficit, 0.4, color=COLOURS[1], label="deficit (negative equity)")
        panel.set_yticks(list(places), names)
        panel.invert_yaxis()
        panel.set_xlabel(unit.currency)
        panel.xaxis.set_major_formatter(THOUSANDS)
        panel.set_title("the book after shocks")
        panel.legend()

    draw(file, 1.2 + 0.5 * len(found), paint)


def draw_replay(file: Path, found: Mapping[str, Replay], currency: str) -> None:
    """Draw the requirement path of every model, and below it the price ranges of dynamic models."""
    ranged = {
        f"{name}: {underlying}": (each.times, [float(step.ranges[underlying]) for step in each.steps])
        for name, each in found.items()
        for underlying in each.steps[0].ranges
        if len({step.ranges[underlying] for step in each.steps}) > 1
    }

    def paint(axes: "list[Axes]") -> None:
        from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

        for panel in axes:
            ticks = AutoDateLocator()  # type: ignore[no-untyped-call]
            panel.xaxis.set_major_locator(ticks)
            panel.xaxis.set_major_formatter(ConciseDateFormatter(ticks))  # type: ignore[no-untyped-call]
        for number, (name, each) in enumerate(found.items()):
            unit = ValueUnit(currency, str(each.quantum))
            axes[0].plot(_times(each.times), _amounts(each.requirement, unit), color=_colour(number), label=name)
        axes[0].set_ylabel(f"requirement, {currency}")
        axes[0].set_ylim(bottom=0)
        axes[0].yaxis.set_major_formatter(THOUSANDS)
        axes[0].set_title("requirement of today's positions at past prices")
        axes[0].legend()
        for number, (name, (times, ranges)) in enumerate(ranged.items()):
            axes[1].plot(_times(times), ranges, color=_colour(number), label=name)
        if ranged:
            axes[1].set_ylabel("price range")
            axes[1].set_ylim(bottom=0)
            axes[1].legend()

    draw(file, 6.4 if ranged else 3.6, paint, 2 if ranged else 1)


def draw_cascade(file: Path, found: Cascade, unit: ValueUnit) -> None:
    """Draw prices, relative to the first round, and the value traded in each round."""
    rounds = list(range(1, len(found.steps) + 1))

    def paint(axes: "list[Axes]") -> None:
        names = list(found.steps[0].prices) if found.steps else []
        for number, name in enumerate(names):
            first = found.steps[0].prices[name]
            axes[0].plot(
                rounds, [float(step.prices[name] / first) for step in found.steps], color=_colour(number), label=name
            )
        axes[0].set_ylabel("price, first round = 1")
        axes[0].set_title(f"cascade: {len(found.liquidated):,} accounts liquidated")
        if names:
            axes[0].legend()
        axes[1].bar(rounds, [step.volume for step in found.steps], color=COLOURS[1])
        axes[1].set_ylabel(f"traded, {unit.currency}")
        axes[1].yaxis.set_major_formatter(THOUSANDS)
        axes[1].set_xlabel("round")
        for panel in axes:
            panel.set_xlim(0.4, len(rounds) + 0.6)
            panel.set_xticks(rounds[:: max(1, len(rounds) // 12)])

    draw(file, 5.4, paint, 2)


def _times(times: Sequence[datetime]) -> Any:
    """Return times as matplotlib accepts them; its type stubs know only numbers."""
    return list(times)


def _colour(number: int) -> str:
    return COLOURS[number % len(COLOURS)]


def _amounts(quanta: Sequence[int], unit: ValueUnit) -> list[float]:
    """Return amounts of money as floats, for drawing only."""
    size = Decimal(unit.quantum)
    return [float(count * size) for count in quanta]
