"""The colours of a fit, as 8-bit sRGB: those of a palette, of a depth, averages; and their order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from gmmquant.colors.averages import average_colors
from gmmquant.colors.color_depth import distinct_colors, to_depth
from gmmquant.colors.palette import Palette, to_8_bits
from gmmquant.colors.spaces import COLOR_SPACES, SRGB
from gmmquant.errors import ParameterError
from gmmquant.models.array_validation import IndexArray
from gmmquant.models.gaussian import Gaussians
from gmmquant.parsing import parse_color
from gmmquant.quantization.fit import Fit
from gmmquant.settings import COLOR_DEPTHS, Settings
from gmmquant.system.printable import plural

if TYPE_CHECKING:
    from gmmquant.models.cells import Cells

# Cells, or more, whose medians are taken in place of those of all colours, which took up to 0.3 s. They differed by 0.4
# levels on average in photographs in 7 and 16 colours, and not in flat areas: a colour of many pixels is its own cell.
_MEDIAN_CELLS = 1 << 15

NO_COLORS = np.empty((0, 3), dtype=np.uint8)


def candidates_of(palette: Palette, settings: Settings, k: int) -> tuple[Palette, list[int]]:
    """Return the distinct colours of a palette of which `k` can be chosen, and the indices of those to keep."""
    colors = list(dict.fromkeys(map(tuple, to_depth(palette, settings.color_depth).tolist())))
    kept = {code: parse_color(code) for code in settings.kept_codes}
    missing = [code for code, color in kept.items() if color not in colors]
    if missing:
        raise ParameterError(f"keep_colors: {missing[0]} is not in the palette; use colours of it, or omit it")
    if not max(len(kept), 1) <= k <= len(colors):
        limit = f"above the {plural(len(colors), 'colour')} of the palette; use at most {len(colors)}"
        limit = f"below the {plural(len(kept), 'colour')} to keep; use at least {len(kept)}" if k < len(kept) else limit
        raise ParameterError(f"k = {k} is {limit}")
    return np.array(colors, dtype=np.uint8), [colors.index(color) for color in kept.values()]


def averaged_colors(points: Cells, levels: Sequence[Cells], mixture: Gaussians, settings: Settings) -> Palette | None:
    """Return the 8-bit colours of components, (K, 3); None if they are drawn in their means.

    `points` are the colours of the image in the space of the mixture, and `levels` cells of them, the coarsest first.
    """
    if settings.average == "mean":
        return None
    if settings.average == "median" and settings.space == SRGB.name:
        points = next((cells for cells in levels if cells.weights.size >= _MEDIAN_CELLS), points)
    by_mean = settings.method == "kmeans"
    return average_colors(points, mixture, COLOR_SPACES[settings.space], settings.average, by_mean=by_mean)


def with_colors(
    fit: Fit, settings: Settings, fixed: Palette, by_weight: IndexArray, *, given: IndexArray, default: str
) -> Fit:
    """Return `fit` with its palette, and its components in the order of the settings.

    The first components have the colours `fixed` (n_fixed, 3). Orders are indices: `by_weight`, the heaviest first,
    and that `given`; the one named `default` is used unless the settings name another.
    """
    space, mixture, n_fixed, colors = COLOR_SPACES[settings.space], fit.mixture, len(fixed), fit.colors
    if n_fixed == len(mixture.weights):
        colors = fixed
    elif n_fixed or settings.color_depth != COLOR_DEPTHS[0]:
        wanted = 255 * np.clip(space.to_srgb(mixture.means), 0.0, 1.0) if colors is None else colors
        colors, free = np.empty((len(mixture.weights), 3), dtype=np.uint8), by_weight[by_weight >= n_fixed]
        colors[:n_fixed] = fixed
        colors[free] = distinct_colors(wanted[free], settings.color_depth, map(tuple, fixed.tolist()))
    name = settings.palette_order or default
    if name in ("weight", "given"):
        order = by_weight if name == "weight" else given
    else:
        from gmmquant.colors.palette_order import order_by_hue, order_by_luminance

        palette = to_8_bits(mixture.means, space) if colors is None else colors
        order = (order_by_hue if name == "hue" else order_by_luminance)(palette)
    return replace(
        fit,
        mixture=mixture.taken(order),
        colors=None if colors is None else colors[order],
        alphas=None if fit.alphas is None else fit.alphas[order],
        nearest_by_mean=fit.nearest_by_mean and settings.color_depth == COLOR_DEPTHS[0],
        fixed=(np.arange(len(order)) < n_fixed)[order] if n_fixed else None,
        keeps_order=settings.palette_order is not None or default == "given",
    )
