"""The levels of a fit: the colours of an image in ever smaller cells, by octrees."""

from __future__ import annotations

from gmmquant.colors.histogram import ColorHistogram
from gmmquant.models.cells import Cells

# Levels of a fit: cells of at most 1/150 of the pixels, then of an eighth of that, and so on, as long as the next are
# fewer than the distinct colours.
_COARSEST = 150
_REFINEMENT = 8
_FINEST = 0.8


def levels_of(histogram: ColorHistogram, cells: Cells) -> list[Cells]:
    """Return the cells that a fit goes through, the coarsest first, the distinct colours last.

    `cells` are those of the colours of `histogram`, in any space.
    """
    shares = [_COARSEST]
    while shares[-1] * _REFINEMENT * 4 < _FINEST * histogram.n_colors:
        shares.append(shares[-1] * _REFINEMENT)
    # All octrees before any cells, for the memory that they take for a moment.
    octrees = list(histogram.octrees([histogram.n_pixels / share for share in reversed(shares)]))
    levels = [cells]
    for starts in octrees:
        levels.append(levels[-1].merged(starts))
    return levels[::-1]
