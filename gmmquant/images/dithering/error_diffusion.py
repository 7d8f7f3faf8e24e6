"""Error diffusion: the error of a pixel's label is passed on to its neighbours.

Floyd and Steinberg, "An adaptive algorithm for spatial greyscale" (1976), on lines of alternating direction: 7/16 of
the error go to the next pixel of the line, 3/16, 5/16 and 1/16 to the previous, same and next pixel of the next line.

Each pixel needs the one before it, so an image is cut into bands of lines that are scanned in parallel. A band starts
some lines above its first, whose labels are dropped, with random errors as they occur inside an image
(`_typical_errors`). So bands have no visible seams although they are independent, and light and dark areas have their
dots from the first line on, where the textbook's errors would take tens of lines to grow. Above a frame is its mirror
image. Lines run along the shorter side of a frame, for more bands and fewer steps.

A step is one pixel of each band: 12 million pixels in 0.12 million steps of 8 microseconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import repeat
from typing import Any

import numpy as np
import numpy.typing as npt

from gmmquant.images.dithering.color_grid import ColorGrid, Coordinates
from gmmquant.images.dithering.mixing import Conversion, same
from gmmquant.images.dithering.pixels import Labels, Pixels, check_strength, nearest_labels
from gmmquant.models.array_validation import FloatArray

# Lines of a band, and lines before it whose labels are dropped; both even, so that all bands have one direction.
BAND_LINES = 32
WARM_UP_LINES = 8

# Doublings of the distance over which the second palette colour around a colour is searched.
_DOUBLINGS = 8


def floyd_steinberg(
    pixels: Pixels,
    values: FloatArray,
    palette: FloatArray,
    *,
    seen: Conversion = same,
    strength: float = 1.0,
    seed: int = 0,
) -> Labels:
    """Dither by error diffusion, passing on the share `strength` of the error; with 0, labels are those of the grid.

    Errors passed to an invisible pixel are dropped. A pixel of alpha a passes the share min(a / b, 1) of its error to
    one of alpha b, where more of it could be seen. `seed` is that of the errors that bands start with.
    """
    check_strength(strength)
    nearest = nearest_labels(seen(values), seen(palette))
    if len(palette) == 1 or np.array_equal(palette[nearest], values):
        return pixels.shown(nearest[pixels.index])
    labels = np.empty(pixels.index.shape, dtype=nearest.dtype)
    _diffuse(ColorGrid.of(palette, seen), values, pixels, labels, strength, seed)
    return pixels.shown(labels)


def _lines(pixels: Pixels, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return a view of `array` (height, width) as (n_frames, n_lines, length), lines along the shorter side."""
    frames = pixels.frames(array)
    return frames.swapaxes(1, 2) if frames.shape[2] > frames.shape[1] else frames


def _diffuse(grid: ColorGrid, values: FloatArray, pixels: Pixels, image: Labels, strength: float, seed: int) -> None:
    """Write the labels of all `pixels` to `image` (height, width), line by line of all bands."""
    index, out = _lines(pixels, pixels.index), _lines(pixels, image)
    visible = None if pixels.visible is None else _lines(pixels, pixels.visible)
    alpha = None if pixels.alpha is None else _lines(pixels, pixels.alpha)
    n_frames, n_lines, length = index.shape
    first = np.arange(0, n_lines, BAND_LINES)
    n_bands = n_frames * first.size
    planes = grid.inside(grid.coordinates(values))
    colors = np.empty((length, 3, n_bands), dtype=np.float32)
    labels = np.empty((length, n_bands), dtype=out.dtype)

    def of_bands(array: npt.NDArray[Any], step: int) -> npt.NDArray[Any]:
        """Return the line of each band that is `step` after its first, (length, n_bands), mirrored above the frame."""
        lines = np.minimum(np.abs(first + step), n_lines - 1)
        return np.ascontiguousarray(array[:, lines].reshape(n_bands, length).T)

    def read_colors(step: int) -> None:
        numbers = of_bands(index, step).astype(np.intp)
        for channel, plane in enumerate(planes):
            colors[:, channel] = plane.take(numbers)

    read_colors(-WARM_UP_LINES - 1)
    draws = np.random.default_rng(seed).standard_exponential((length, 1, first.size), dtype=np.float32)
    errors = _typical_errors(grid, colors, np.tile(draws, (1, 1, n_frames)))
    if visible is not None:
        errors *= of_bands(visible, -WARM_UP_LINES - 1)[:, np.newaxis]
    for step in range(-WARM_UP_LINES, min(BAND_LINES, n_lines)):
        read_colors(step)
        direction = slice(None, None, 1 if step % 2 == 0 else -1)
        seen = None if visible is None else of_bands(visible, step)[direction]
        alphas = None if alpha is None else [of_bands(alpha, line)[direction] for line in (step - 1, step)]
        _scan(grid, colors[direction], errors[direction], labels[direction], seen, alphas, strength)
        lines = first + step
        inside = lines < n_lines
        if step >= 0:
            out[:, lines[inside]] = labels.T.reshape(n_frames, first.size, length)[:, inside]


def _scan(
    grid: ColorGrid,
    colors: Coordinates,
    errors: Coordinates,
    labels: Labels,
    visible: npt.NDArray[np.bool_] | None,
    alphas: Sequence[npt.NDArray[np.uint8]] | None,
    strength: float,
) -> None:
    """Scan a line of all bands, `colors` (length, 3, n_bands), and write its `labels` (length, n_bands).

    `errors`, of the shape of `colors`, are those of the previous line before and those of this line afterwards.
    `alphas` are those of the previous line and of this one, (length, n_bands) each, or None if all are opaque.
    """
    sixteenth = np.float32(strength / 16)
    everywhere, first, last = slice(None), slice(None, -1), slice(1, None)
    for source, target, parts in ((everywhere, everywhere, 5), (first, last, 3), (last, first, 1)):
        passed = errors[source] * (parts * sixteenth)
        if alphas is not None:
            passed *= _seen_share(alphas[0][source], alphas[1][target])[:, np.newaxis]
        colors[target] += passed
    n_bands = colors.shape[2]
    # The number of a cube is a word whose bytes are the truncated coordinates.
    numbers = np.zeros(n_bands, dtype="<i8")
    cubes = numbers.view(np.uint8).reshape(n_bands, 8)[:, :3].T
    color, carried = np.empty((3, n_bands), dtype=np.float32), np.zeros((3, n_bands), dtype=np.float32)
    chosen = np.empty((n_bands, 3), dtype=np.float32)
    to_next, zero = np.float32(strength * 7 / 16), np.float32(0)
    seen: Iterable[npt.NDArray[Any] | None] = repeat(None) if visible is None else visible
    onward: Iterable[Any] = repeat(to_next)
    if alphas is not None:
        onward = to_next * _seen_share(alphas[1], np.roll(alphas[1], -1, axis=0))
    # The innermost loop: each attribute look-up saved is a percent.
    label_of, color_of, box, chosen_color = grid.labels.take, grid.palette.take, grid.box, chosen.T
    for original, error, label, shown, share in zip(colors, errors, labels, seen, onward, strict=False):
        np.add(original, carried, out=color)
        np.maximum(color, zero, out=color)
        np.minimum(color, box, out=color)
        np.copyto(cubes, color, casting="unsafe")
        label_of(numbers, out=label, mode="clip")
        color_of(label, axis=0, out=chosen, mode="clip")
        np.subtract(color, chosen_color, out=error)
        if shown is not None:
            np.multiply(error, shown, out=error)
        np.multiply(error, share, out=carried)


def _seen_share(source: npt.NDArray[np.uint8], target: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Return min(a / b, 1) for the alpha a of a `source` of errors and the alpha b of their `target`."""
    return np.minimum(source / np.maximum(target, 1).astype(np.float32), np.float32(1))


def _typical_errors(grid: ColorGrid, colors: Coordinates, draws: Coordinates) -> Coordinates:
    """Return errors as they occur inside an area of `colors` (length, 3, n_bands), in the same shape.

    A colour that is mixed of a share 1 - f of its nearest palette colour and f of a second one has errors from minus
    half to half the difference of the two: half of it less an exponential variate, the rarer the dots the smaller. The
    mean is 0.44 - 0.66 sqrt(f) of the difference, as measured on greys of 0.2 to 50 % far from the start. `draws`
    (length, 1, n_bands) are the variates, of mean 1.
    """
    channels = colors.transpose(1, 0, 2).reshape(3, -1)
    nearest = grid.palette.T[:, grid.label(channels)]
    rest = channels - nearest
    errors = np.zeros_like(channels)
    # Palette colours, and colours with no palette colour beyond them, need no second one.
    left = np.flatnonzero(rest.any(axis=0))
    for doubling in range(_DOUBLINGS):
        beyond = grid.inside(channels[:, left] + np.float32(1 << doubling) * rest[:, left])
        difference = grid.palette.T[:, grid.label(beyond)] - nearest[:, left]
        found = difference.any(axis=0)
        difference, members = difference[:, found], left[found]
        share = np.clip((rest[:, members] * difference).sum(axis=0) / (difference * difference).sum(axis=0), 0, 0.5)
        below = 0.5 - np.maximum(0.44 - 0.66 * np.sqrt(share), 0)
        errors[:, members] = difference * np.maximum(0.5 - below * draws.reshape(-1)[members], -0.5)
        left = left[~found]
    return np.ascontiguousarray(errors.reshape(3, len(colors), -1).transpose(1, 0, 2))
