"""Half blocks: two pixels in each cell, the upper one in the colour of the character, the lower one behind it."""

from __future__ import annotations

from itertools import groupby

import numpy as np
import numpy.typing as npt

_UPPER, _LOWER, _RESET = "▀", "▄", "\x1b[0m"
_OPAQUE = 128  # less alpha shows the background of the terminal

# Colours 16 to 255 of terminals: a cube of six levels of red, green and blue, and 24 greys. The first 16 are a theme's.
_LEVELS = (0, 95, 135, 175, 215, 255)
_FIRST_INDEX = 16
# Weights of differences in red, green and blue, near to those of the eye.
_WEIGHTS = (0.30, 0.59, 0.11)

Pixels = npt.NDArray[np.uint8]  # (height, width, 3 or 4), RGB or RGBA

# The codes of the colours of the upper and of the lower pixel; empty where it is transparent.
Cell = tuple[str, str]


def encode_blocks(pixels: Pixels, *, true_color: bool) -> list[str]:
    """Return a line of half blocks for each two rows of RGB or RGBA pixels (height, width, 3 or 4).

    Transparent pixels show the background. Without `true_color`, colours are the nearest of the 256 of terminals.
    """
    height, width = pixels.shape[:2]
    shown = np.zeros((height + height % 2, width), dtype=np.bool_)
    shown[:height] = True if pixels.shape[2] == 3 else pixels[..., 3] >= _OPAQUE
    colors, positions = np.unique(pixels[..., :3].reshape(-1, 3), axis=0, return_inverse=True)
    if true_color:
        codes = [f"2;{red};{green};{blue}" for red, green, blue in colors.tolist()]
    else:
        codes = [f"5;{index}" for index in nearest_of_256(colors).tolist()]
    which = np.zeros(shown.shape, dtype=np.intp)
    which[:height] = positions.reshape(height, width)
    which[~shown] = len(codes)
    codes.append("")
    named = np.array(codes)[which]
    pairs = zip(named[::2], named[1::2], strict=True)
    return [_line(list(zip(upper.tolist(), lower.tolist(), strict=True))) for upper, lower in pairs]


def nearest_of_256(colors: Pixels) -> npt.NDArray[np.intp]:
    """Return the index, 16 to 255, of the colour of terminals that is nearest to each of `colors` (n, 3)."""
    cube = np.stack(np.meshgrid(_LEVELS, _LEVELS, _LEVELS, indexing="ij"), axis=-1).reshape(-1, 3)
    greys = np.repeat(8 + 10 * np.arange(24), 3).reshape(-1, 3)
    known = np.concatenate([cube, greys])
    differences = (colors[:, np.newaxis].astype(float) - known) ** 2 @ np.array(_WEIGHTS)
    return np.asarray(differences.argmin(axis=1) + _FIRST_INDEX)


def _line(cells: list[Cell]) -> str:
    """Return a line of cells, without styles after its end."""
    return "".join(_run(*cell, len(list(run))) for cell, run in groupby(cells))


def _run(upper: str, lower: str, n: int) -> str:
    """Return `n` equal cells."""
    if upper and lower:
        return f"\x1b[38;{upper};48;{lower}m{_UPPER * n}{_RESET}"
    if not upper and not lower:
        return " " * n
    return f"\x1b[38;{upper or lower}m{(_UPPER if upper else _LOWER) * n}{_RESET}"
