"""The places of images and captions in a window."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from gmmquant.images.contact_sheet.scaling import panel_size

GAP_COLUMNS = 2
_KEPT_ROWS = 1  # of the window, for the prompt after the images

# Times the area from which on images of a grid are preferred to those of a single row: twice as wide and high.
_MUCH_LARGER = 4


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
    """Return the grid that shows images of `sizes` (width, height) in a window of columns and rows.

    All stand side by side if each has the `least` columns and rows, and is not shown much larger in another grid, as
    panoramas are; else they stand in the grid that shows them largest. If no grid of all images has that much room, the
    images stand in rows of equal numbers with the `least` columns each, and the window scrolls. `n_lines` of text stand
    below each image.
    """
    width, height = max(size[0] for size in sizes), max(size[1] for size in sizes)
    n_images = len(sizes)
    grids = [_grid(n_across, n_images, window, n_lines) for n_across in range(1, n_images + 1)]
    fitting = [grid for grid in grids if grid.columns >= least[0] and grid.rows >= least[1]]
    if not fitting:
        most_across = min(max((window[0] + GAP_COLUMNS) // (least[0] + GAP_COLUMNS), 1), n_images)
        n_across = -(-n_images // -(-n_images // most_across))
        grid = _grid(n_across, n_across, window, n_lines)
        return grid._replace(columns=max(grid.columns, 1), rows=max(grid.rows, least[1]))

    def area(grid: Grid) -> int:
        room = grid.columns * cell_pixels[0], grid.rows * cell_pixels[1]
        shown = panel_size(width, height, *room)
        return shown[0] * shown[1]

    largest = max(fitting, key=lambda grid: (area(grid), grid.n_across))
    is_row = fitting[-1].n_across == n_images and area(fitting[-1]) * _MUCH_LARGER >= area(largest)
    return fitting[-1] if is_row else largest


def _grid(n_across: int, n_images: int, window: tuple[int, int], n_lines: int) -> Grid:
    n_down = -(-n_images // n_across)
    columns = (window[0] + GAP_COLUMNS) // n_across - GAP_COLUMNS
    return Grid(n_across, columns, (window[1] - _KEPT_ROWS) // n_down - n_lines)
