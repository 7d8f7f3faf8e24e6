"""The places of images and captions in a window."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from gmmquant.images.contact_sheet.scaling import panel_size

GAP_COLUMNS = 2
_KEPT_ROWS = 1  # of the window, for the prompt after the images


class Grid(NamedTuple):
    """Images in rows of `n_across`, each in a room of `columns` x `rows` cells without its lines of text."""

    n_across: int
    columns: int
    rows: int


def grid_of(
    sizes: Sequence[tuple[int, int]],
    window: tuple[int, int],
    cell_pixels: tuple[int, int],
    least: tuple[int, int],
    n_lines: int,
) -> Grid:
    """Return the grid that shows images of `sizes` (width, height) largest in a window of columns and rows.

    `n_lines` of text stand below each image. If all images together would have less room than the `least` columns and
    rows each, as many as have that room stand side by side, and the window scrolls.
    """
    width, height = max(size[0] for size in sizes), max(size[1] for size in sizes)
    grids = [_grid(n_across, len(sizes), window, n_lines) for n_across in range(1, len(sizes) + 1)]
    fitting = [grid for grid in grids if grid.columns >= least[0] and grid.rows >= least[1]]
    if not fitting:
        n_across = min(max((window[0] + GAP_COLUMNS) // (least[0] + GAP_COLUMNS), 1), len(sizes))
        grid = _grid(n_across, n_across, window, n_lines)
        return grid._replace(columns=max(grid.columns, 1), rows=max(grid.rows, least[1]))

    def area(grid: Grid) -> tuple[float, int]:
        room = grid.columns * cell_pixels[0], grid.rows * cell_pixels[1]
        shown = panel_size(width, height, *room)
        return shown[0] * shown[1], grid.n_across

    return max(fitting, key=area)


def _grid(n_across: int, n_images: int, window: tuple[int, int], n_lines: int) -> Grid:
    n_down = -(-n_images // n_across)
    columns = (window[0] + GAP_COLUMNS) // n_across - GAP_COLUMNS
    return Grid(n_across, columns, (window[1] - _KEPT_ROWS) // n_down - n_lines)
