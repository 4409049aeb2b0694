"""Plots as SVG or PNG files: one style, the same bytes for the same figures; matplotlib is loaded when asked for."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crossmargin_circuits.errors import CrossmarginError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["COLOURS", "STYLE", "WIDTH", "PlotError", "draw"]

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999")
"""Colours that people with any vision tell apart (Okabe and Ito)."""

STYLE: Any = {
    "svg.hashsalt": "crossmargin",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "figure.titlesize": 10,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "figure.constrained_layout.use": True,
}

WIDTH = 7.2
"""Inches."""

KINDS = (".svg", ".png")


class PlotError(CrossmarginError):
    """A plot that cannot be drawn: no matplotlib, or a file name of another kind."""


def draw(file: Path, height: float, paint: "Callable[[list[Axes]], None]", panels: int = 1) -> None:
    """Paint `panels` axes, one above the other, and save them to `file`; height in inches.

    Raises:
        PlotError: the name does not end in .svg or .png, or matplotlib is not installed.
    """
    if file.suffix not in KINDS:
        raise PlotError(f"{file.name}: a plot is a file that ends in {' or '.join(KINDS)}")
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    except ImportError:
        raise PlotError("plots need matplotlib; install crossmargin[plots]") from None
    with rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, height))
        axes = figure.subplots(panels, 1, squeeze=False)[:, 0]
        paint(list(axes))
        metadata = {"Date": None, "Creator": None} if file.suffix == ".svg" else {}
        figure.savefig(file, format=file.suffix[1:], metadata=metadata, dpi=130)
