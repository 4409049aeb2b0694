"""Plots as SVG or PNG files: one style, the same figures give the same bytes. Loads matplotlib on first use."""

from collections.abc import Callable
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crossmargin.placement import write_file
from crossmargin_circuits.errors import CrossmarginError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["COLOURS", "STYLE", "WIDTH", "PlotError", "check_plot_file", "draw"]

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999")
"""Colours that stay distinct with any form of colour vision (Okabe and Ito)."""

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

CREATOR = "crossmargin"
MARKS = (b"<dc:title>crossmargin</dc:title>", b"Software\x00crossmargin")
"""The mark by which SVG and PNG plots name this program as their origin."""
MARK_WITHIN = 2048
"""Length of the start of a plot that contains the mark, in bytes."""


class PlotError(CrossmarginError):
    """A plot that cannot be drawn: matplotlib is missing, or the file name has another ending."""


def draw(file: Path, height: float, paint: "Callable[[list[Axes]], None]", panels: int = 1) -> None:
    """Paint `panels` axes, one above the other, and save them to `file`; height in inches.

    Raises:
        PlotError: the name does not end in .svg or .png, or the file is something else; or matplotlib is not installed.
    """
    check_plot_file(file)
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    except ImportError:
        raise PlotError("plots need matplotlib; install crossmargin[plots]") from None
    with rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, height))
        axes = figure.subplots(panels, 1, squeeze=False)[:, 0]
        paint(list(axes))
        metadata = {"Date": None, "Creator": CREATOR} if file.suffix == ".svg" else {"Software": CREATOR}
        picture = BytesIO()
        figure.savefig(picture, format=file.suffix[1:], metadata=metadata, dpi=130)
    write_file(file, picture.getvalue(), mode=None, sync=False)


def check_plot_file(file: Path) -> None:
    """Refuse to replace anything but an empty file or an earlier plot of this program.

    Raises:
        PlotError: the name does not end in .svg or .png, or the file is something else.
    """
    if file.suffix not in KINDS:
        raise PlotError(f"{file.name}: a plot is a file that ends in {' or '.join(KINDS)}")
    if file.is_symlink() or (file.exists() and not file.is_file()):
        raise PlotError(f"{file} is not a regular file: choose another name for the plot")
    with suppress(FileNotFoundError), file.open("rb") as stream:
        start = stream.read(MARK_WITHIN)
        if start and not any(mark in start for mark in MARKS):
            raise PlotError(f"{file} is not a plot of crossmargin: choose another name for the plot")
