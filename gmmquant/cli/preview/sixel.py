"""Sixels: six pixels of one colour, one below the other, for each character (DEC VT330/VT340 manual, chapter 14)."""

from __future__ import annotations

from itertools import groupby
from operator import itemgetter
from typing import Any

import numpy as np
import numpy.typing as npt

MAX_COLORS = 256

_ROWS = 6  # of a band
_FIRST_CODE = 63  # the character of no pixel, "?"
_MIN_REPEAT = 4  # shorter runs are written out

# Pixels that are not drawn stay as they are; they are as wide as high.
_START, _END = "\x1bP0;1q", "\x1b\\"


def encode_sixel(
    labels: npt.NDArray[Any], palette: npt.NDArray[np.uint8], visible: npt.NDArray[np.bool_] | None = None
) -> str:
    """Return the control sequence that draws `labels` (height, width) in the colours of `palette` (K, 3), K <= 256.

    Colours are rounded to per cent, which sixels have. Only `visible` pixels (height, width) are drawn, or all.
    """
    height, width = labels.shape
    levels = (palette.astype(np.intp) * 200 + 255) // 510  # per cent, rounded
    registers = "".join(f"#{i};2;{red};{green};{blue}" for i, (red, green, blue) in enumerate(levels.tolist()))
    padded = np.full((-(-height // _ROWS) * _ROWS, width), len(palette), dtype=np.intp)  # a colour that is not drawn
    padded[:height] = labels
    if visible is not None:
        padded[:height][~visible] = len(palette)
    bands = (_band(band, len(palette)) for band in padded.reshape(-1, _ROWS, width))
    return f'{_START}"1;1;{width};{height}{registers}{"-".join(bands)}{_END}'


def _band(labels: npt.NDArray[np.intp], n_colors: int) -> str:
    """Return the sixels of six rows of labels (6, width): a line for each colour that occurs, over one another."""
    width = labels.shape[1]
    present, positions = np.unique(labels, return_inverse=True)
    bits = np.zeros((len(present), width), dtype=np.uint8)
    for row, of_row in enumerate(positions.reshape(labels.shape)):
        bits[of_row, np.arange(width)] |= 1 << row
    bits = bits[present < n_colors]
    # Runs of equal sixels, which also end with a line.
    starts = np.ones(bits.shape, dtype=np.bool_)
    starts[:, 1:] = bits[:, 1:] != bits[:, :-1]
    lines, columns = np.nonzero(starts)
    lengths = np.diff(np.append(lines * width + columns, bits.size))
    runs = zip(lines.tolist(), bits[lines, columns].tolist(), lengths.tolist(), strict=True)
    return "$".join(
        f"#{present[line]}{_characters([run[1:] for run in of_line])}"
        for line, of_line in groupby(runs, key=itemgetter(0))
    )


def _characters(runs: list[tuple[int, int]]) -> str:
    """Return runs of (bits, length) as characters, without the empty run at the end of a line."""
    if runs[-1][0] == 0:
        runs = runs[:-1]
    return "".join(
        chr(_FIRST_CODE + bits) * n if n < _MIN_REPEAT else f"!{n}{chr(_FIRST_CODE + bits)}" for bits, n in runs
    )
