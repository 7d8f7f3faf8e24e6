"""The connected regions of an image: pixels of one label that are connected by their edges."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

# Pixels at a time, so that the numbers of their runs take 4 MB.
_CHUNK_PIXELS = 1 << 20

Numbers = npt.NDArray[np.int32]


def count_regions(
    labels: npt.NDArray[Any], visible: npt.NDArray[np.bool_] | None = None, frame_height: int | None = None
) -> int:
    """Return the number of connected regions of `labels` (height, width), of the `visible` pixels only.

    Frames of `frame_height` pixels, one below the other, have separate regions.
    """
    height, width = labels.shape
    frame_height = frame_height or height
    n_runs = n_regions = 0
    upper: Numbers = np.empty(0, dtype=np.int32)  # the run of each pixel of the row above
    pairs: list[Numbers] = []
    n_rows = max(_CHUNK_PIXELS // width, 1)
    for top in range(0, height, n_rows):
        some = slice(top, min(top + n_rows, height))
        seen = None if visible is None else visible[some]
        starts = _run_starts(labels[some], seen)
        runs = np.cumsum(starts, dtype=np.int32).reshape(starts.shape)
        runs += n_runs - 1
        n_runs = int(runs[-1, -1]) + 1
        n_regions += int(np.count_nonzero(starts if seen is None else starts & seen))
        rows = slice(top - 1, some.stop) if top else some
        joined = _joined(labels[rows], None if visible is None else visible[rows])
        joined[np.arange(rows.start + 1, rows.stop) % frame_height == 0] = False
        stacked = np.vstack([upper, runs]) if top else runs
        # Of the pixels that join two runs, one is enough: the first, where either run starts.
        begins = np.ones_like(joined)
        begins[:, 1:] = (np.diff(stacked[:-1], axis=1) != 0) | (np.diff(stacked[1:], axis=1) != 0)
        joined &= begins
        pairs.append(np.stack([stacked[:-1][joined], stacked[1:][joined]]))
        upper = runs[-1:]
    return n_regions - _n_merged(n_runs, np.concatenate(pairs, axis=1))


def _run_starts(labels: npt.NDArray[Any], visible: npt.NDArray[np.bool_] | None) -> npt.NDArray[np.bool_]:
    """Return where a run begins: pixels of a row that have one label, and are all visible or all invisible."""
    starts = np.ones(labels.shape, dtype=np.bool_)
    np.not_equal(labels[:, 1:], labels[:, :-1], out=starts[:, 1:])
    if visible is not None:
        starts[:, 1:] |= visible[:, 1:] != visible[:, :-1]
    return starts


def _joined(labels: npt.NDArray[Any], visible: npt.NDArray[np.bool_] | None) -> npt.NDArray[np.bool_]:
    """Return where a pixel and the one below it have one label and are visible, shape (height - 1, width)."""
    joined: npt.NDArray[np.bool_] = labels[1:] == labels[:-1]
    if visible is not None:
        joined &= visible[1:] & visible[:-1]
    return joined


def _n_merged(n: int, pairs: Numbers) -> int:
    """Return by how much `pairs` (2, n_pairs) reduce the number of sets of `n` elements when they are merged.

    Each root is attached to the smallest root that it has a pair with, and then all elements to their roots, until no
    pair has two roots.
    """
    roots = np.arange(n, dtype=np.int32)
    while pairs.size:
        np.minimum.at(roots, pairs.max(axis=0), pairs.min(axis=0))
        while not np.array_equal(roots, above := roots[roots]):
            roots = above
        pairs = roots[pairs]
        pairs = pairs[:, pairs[0] != pairs[1]]
    return n - int(np.count_nonzero(roots == np.arange(n, dtype=np.int32)))
