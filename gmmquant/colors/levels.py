"""The levels of a fit: the colours of an image in cells of decreasing size, by octrees."""

from __future__ import annotations

from gmmquant.colors.histogram import ColorHistogram
from gmmquant.models.cells import Cells

# Cells of at most 1/150 of the pixels, then of an eighth of that, and so on, while they are fewer than the distinct
# colours.
_COARSEST = 150
_REFINEMENT = 8
_FINEST = 0.8


def levels_of(histogram: ColorHistogram, cells: Cells) -> list[Cells]:
    """Return the cells of a fit, the coarsest first, the last being `cells`, those of the colours in any space."""
    shares = [_COARSEST]
    while shares[-1] * _REFINEMENT * 4 < _FINEST * histogram.n_colors:
        shares.append(shares[-1] * _REFINEMENT)
    # All octrees come first, since both they and the cells need memory for a moment.
    octrees = list(histogram.octrees([histogram.n_pixels / share for share in reversed(shares)]))
    levels = [cells]
    for starts in octrees:
        levels.append(levels[-1].merged(starts))
    return levels[::-1]
