"""The style of the plots, and figures as files.

The colours of lines are those of Okabe and Ito, which colour-blind readers can distinguish. More lines than these have
the colours of viridis, from dark to light, and a scale in place of a legend. Settings of matplotlib are changed while a
figure is made or written, and restored.
"""

from __future__ import annotations

import io
from contextlib import AbstractContextManager, ExitStack
from typing import TYPE_CHECKING, Any

import numpy as np

from gmmquant.errors import GmmquantError, ParameterError
from gmmquant.images.encoding.output_metadata import MARK
from gmmquant.settings import PLOT_FORMATS
from gmmquant.system.installation import Need, missing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from gmmquant.report.plots.plot import Plot

MATPLOTLIB = Need("plots need matplotlib", "plot")

COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#555555")
_LIGHTEST = 0.93  # of viridis, which ends in a yellow that is hard to see on white

INK = "#333333"
EDGE = "#b8b8b8"  # of areas that may have the colour of the page

# Values of a curve that differ by less than this share are equal.
_FLAT = 1e-9

_STYLE: dict[str, Any] = {
    "axes.edgecolor": "#888888",
    "axes.formatter.useoffset": False,
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "figure.constrained_layout.h_pad": 0.08,
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.w_pad": 0.08,
    "figure.dpi": 110,
    "font.size": 10,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.7,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "text.color": INK,
    "xtick.color": "#666666",
    "xtick.labelcolor": INK,
    "ytick.color": "#666666",
    "ytick.labelcolor": INK,
    # Texts stay texts, and the ids of SVG depend on the content alone.
    "svg.fonttype": "none",
    "svg.hashsalt": "gmmquant",
    "pdf.fonttype": 42,
    "savefig.dpi": 150,
}

# No date, and no version of matplotlib.
_METADATA: dict[str, dict[str, Any]] = {
    "svg": {"Date": None, "Creator": MARK},
    "pdf": {"CreationDate": None, "Creator": MARK, "Producer": None},
    "png": {"Software": MARK},  # so that plots are not taken for inputs
}


def require_matplotlib() -> None:
    """Raise a GmmquantError that names the remedy if matplotlib is not installed."""
    try:
        import matplotlib.style  # noqa: F401
    except ModuleNotFoundError:
        raise GmmquantError(missing(MATPLOTLIB)) from None


def styled() -> AbstractContextManager[object]:
    """Return a context in which matplotlib has the style of the plots, whatever the user has set."""
    require_matplotlib()
    from matplotlib import style

    context = ExitStack()
    context.enter_context(style.context(["default", _STYLE]))
    return context


def new_figure(width: float, height: float, layout: Any = "constrained") -> Plot:
    """Return an empty figure of this size in inches, for the context `styled`; `layout` is that of matplotlib."""
    from gmmquant.report.plots.plot import Plot

    return Plot(figsize=(width, height), layout=layout)


def widen_flat(axes: Any) -> None:
    """Give the y axis of equal values, which may differ by rounding, limits of 1 % around them.

    Otherwise its ticks would have as many digits as a float.
    """
    values = np.concatenate([np.asarray(line.get_ydata(), dtype=float) for line in axes.lines] or [np.empty(0)])
    values = values[np.isfinite(values)]
    if values.size and np.ptp(values) <= _FLAT * max(abs(values).max(), _FLAT):
        middle = float(values.mean())
        half = abs(middle) / 100 or 1.0
        axes.set_ylim(middle - half, middle + half)


def line_colors(n_lines: int) -> list[Any]:
    """Return a colour for each line, in their order."""
    if n_lines <= len(COLORS):
        return list(COLORS[:n_lines])
    from matplotlib import colormaps

    return [colormaps["viridis"](_LIGHTEST * number / (n_lines - 1)) for number in range(n_lines)]


def encode_figure(figure: Figure, format: str) -> bytes:  # noqa: A002
    """Return a figure as a file of one of `settings.PLOT_FORMATS`, which is the same for the same figure."""
    if format not in PLOT_FORMATS:
        raise ParameterError(f"unknown format of a plot {format!r}; use {', '.join(PLOT_FORMATS)}")
    file = io.BytesIO()
    with styled():
        figure.savefig(file, format=format, metadata=_METADATA[format])
    return file.getvalue()
