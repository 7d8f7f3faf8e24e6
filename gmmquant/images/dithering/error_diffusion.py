"""Error diffusion: what the label of a pixel leaves of its colour is passed on to the pixels about it.

Floyd and Steinberg, "An adaptive algorithm for spatial greyscale" (1976), on lines that run to and fro: 7/16 of the
error go to the next pixel of the line; of the next line 3/16 to the pixel behind, 5/16 to the one beside, 1/16 to the
one ahead.

Every pixel waits for the one before it, so an image is cut into bands of lines which run side by side. A band begins
some lines above its first, whose labels are dropped, and the errors that arrive there are drawn at random, as they are
in the midst of an image (`_typical_errors`). So no seam shows, although the dots of two bands know nothing of each
other, and light and dark parts have their dots from the first line on, where the textbook's errors would first have to
grow for tens of lines. What stands above a frame is its mirror image. Lines run along the shorter side of a frame:
there are the more bands, and the fewer steps.

A step is one pixel of each band: 12 million pixels in 0.12 million steps of 8 microseconds.
"""

from __future__ import annotations

from itertools import repeat
from typing import Any

import numpy as np
import numpy.typing as npt

from gmmquant.images.dithering.color_grid import ColorGrid, Coordinates
from gmmquant.images.dithering.pixels import Labels, Pixels, check_strength, nearest_labels
from gmmquant.models.array_validation import FloatArray

# Lines of a band, and lines before it whose labels are dropped; both even, so that all bands run in step.
BAND = 32
WARM_UP = 8

# How far a colour is followed to find its other neighbour: so many times doubled.
_DOUBLINGS = 8


def floyd_steinberg(
    pixels: Pixels, values: FloatArray, palette: FloatArray, *, strength: float = 1.0, seed: int = 0
) -> Labels:
    """Dither by error diffusion.

    Parameters
    ----------
    pixels : Pixels
        Errors that come to a pixel that cannot be seen are lost.
    values : ndarray of shape (n_colors, 3)
        The distinct colours, in any colour space.
    palette : ndarray of shape (K, 3)
        In the same space.
    strength : float
        Part of the error that is passed on. With 0, the labels are those of the nearest colours.
    seed : int
        Seed of the errors that the bands begin with.

    Returns
    -------
    labels : ndarray of uint8, or uint16 if K > 256, shape (height, width)

    Raises
    ------
    ParameterError
        If `strength` is outside 0 to 1.
    """
    nearest = nearest_labels(values, palette)
    if check_strength(strength) == 0 or len(palette) == 1 or np.array_equal(palette[nearest], values):
        return pixels.shown(nearest[pixels.index])
    labels = np.empty(pixels.index.shape, dtype=nearest.dtype)
    visible = None if pixels.visible is None else _lines(pixels, pixels.visible)
    index, out = _lines(pixels, pixels.index), _lines(pixels, labels)
    _diffuse(ColorGrid.of(palette), values, index, visible, out, strength, seed)
    return pixels.shown(labels)


def _lines(pixels: Pixels, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return a view of `array` (height, width) as (n_frames, n_lines, length), lines along the shorter side."""
    frames = pixels.frames(array)
    return frames.swapaxes(1, 2) if frames.shape[2] > frames.shape[1] else frames


def _diffuse(
    grid: ColorGrid,
    values: FloatArray,
    index: npt.NDArray[np.uint32],
    visible: npt.NDArray[np.bool_] | None,
    out: Labels,
    strength: float,
    seed: int,
) -> None:
    """Write the labels of all lines of `index` (n_frames, n_lines, length) to `out`, line by line of all bands."""
    n_frames, n_lines, length = index.shape
    first = np.arange(0, n_lines, BAND)
    n_bands = n_frames * first.size
    planes = grid.inside(grid.coordinates(values))
    colors = np.empty((length, 3, n_bands), dtype=np.float32)
    labels = np.empty((length, n_bands), dtype=out.dtype)

    def of_bands(array: npt.NDArray[Any], step: int) -> npt.NDArray[Any]:
        """Return the line of each band that is `step` after its first, (length, n_bands), mirrored above the frame."""
        lines = np.minimum(np.abs(first + step), n_lines - 1)
        return np.ascontiguousarray(array[:, lines].reshape(n_bands, length).T)

    def read_colors(step: int) -> None:
        places = of_bands(index, step).astype(np.intp)
        for channel, plane in enumerate(planes):
            colors[:, channel] = plane.take(places)

    read_colors(-WARM_UP - 1)
    draws = np.random.default_rng(seed).standard_exponential((length, 1, first.size), dtype=np.float32)
    errors = _typical_errors(grid, colors, np.tile(draws, (1, 1, n_frames)))
    if visible is not None:
        errors *= of_bands(visible, -WARM_UP - 1)[:, np.newaxis]
    for step in range(-WARM_UP, min(BAND, n_lines)):
        read_colors(step)
        seen = None if visible is None else of_bands(visible, step)
        # To and fro: the line before ran the other way.
        way = slice(None, None, 1 if step % 2 == 0 else -1)
        _receive(colors[way], errors[way], np.float32(strength / 16))
        _scan(grid, colors[way], errors[way], labels[way], None if seen is None else seen[way], strength)
        lines = first + step
        there = lines < n_lines
        if step >= 0:
            out[:, lines[there]] = labels.T.reshape(n_frames, first.size, length)[:, there]


def _receive(colors: Coordinates, errors: Coordinates, sixteenth: np.float32) -> None:
    """Add to `colors` (length, 3, n_bands), in the order of this line, what `errors` of the line before leave them."""
    colors += errors * (5 * sixteenth)
    colors[1:] += errors[:-1] * (3 * sixteenth)
    colors[:-1] += errors[1:] * sixteenth


def _scan(
    grid: ColorGrid,
    colors: Coordinates,
    errors: Coordinates,
    labels: Labels,
    visible: npt.NDArray[np.bool_] | None,
    strength: float,
) -> None:
    """Run along a line of all bands, `colors` (length, 3, n_bands); write its errors and labels (length, n_bands)."""
    n_bands = colors.shape[2]
    # Coordinates cut to bytes, side by side in a word, are the number of the cube.
    numbers = np.zeros(n_bands, dtype="<i8")
    cubes = numbers.view(np.uint8).reshape(n_bands, 8)[:, :3].T
    color, carried = np.empty((3, n_bands), dtype=np.float32), np.zeros((3, n_bands), dtype=np.float32)
    chosen = np.empty((n_bands, 3), dtype=np.float32)
    ahead, zero = np.float32(strength * 7 / 16), np.float32(0)
    seen = repeat(None) if visible is None else visible
    # The innermost loop: one name less to look up is a percent.
    label_of, color_of, box, chosen_color = grid.labels.take, grid.palette.take, grid.box, chosen.T
    for own, error, label, shown in zip(colors, errors, labels, seen, strict=False):
        np.add(own, carried, out=color)
        np.maximum(color, zero, out=color)
        np.minimum(color, box, out=color)
        np.copyto(cubes, color, casting="unsafe")
        label_of(numbers, out=label, mode="clip")
        color_of(label, axis=0, out=chosen, mode="clip")
        np.subtract(color, chosen_color, out=error)
        if shown is not None:
            np.multiply(error, shown, out=error)
        np.multiply(error, ahead, out=carried)


def _typical_errors(grid: ColorGrid, colors: Coordinates, draws: Coordinates) -> Coordinates:
    """Return errors as they are in the midst of a part with `colors` (length, 3, n_bands), of the same shape.

    Where a colour is made of a part 1 - f of its nearest colour of the palette and a part f of another, errors lie
    between half the way to the other, which they mostly approach, and half the way back, just after its dot: half the
    way less an exponential variate, the rarer the dots the less. The mean is 0.44 - 0.66 sqrt(f) of the way, as
    measured on greys of 0.2 to 50 % far from the start. `draws` (length, 1, n_bands) are the variates, of mean 1.
    """
    channels = colors.transpose(1, 0, 2).reshape(3, -1)
    own = grid.palette.T[:, grid.label(channels)]
    rest = channels - own
    errors = np.zeros_like(channels)
    # A colour of the palette needs no other, nor does one that has none beyond it.
    left = np.flatnonzero(rest.any(axis=0))
    for doubling in range(_DOUBLINGS):
        beyond = grid.inside(channels[:, left] + np.float32(1 << doubling) * rest[:, left])
        way = grid.palette.T[:, grid.label(beyond)] - own[:, left]
        found = way.any(axis=0)
        way, there = way[:, found], left[found]
        part = np.clip((rest[:, there] * way).sum(axis=0) / (way * way).sum(axis=0), 0, 0.5)
        below = 0.5 - np.maximum(0.44 - 0.66 * np.sqrt(part), 0)
        errors[:, there] = way * np.maximum(0.5 - below * draws.reshape(-1)[there], -0.5)
        left = left[~found]
    return np.ascontiguousarray(errors.reshape(3, len(colors), -1).transpose(1, 0, 2))
