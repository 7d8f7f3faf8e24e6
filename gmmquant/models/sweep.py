r"""The blocked sweep: scores -> responsibilities -> moments, the one computation behind EM; and labels, behind KMeans.

A score is linear in the features phi(x) = (1, x, x x^T) of a sample, so

    scores = theta @ phi                (K x F)(F x n)
    responsibilities = softmax(scores)
    moments = (responsibilities * weights) @ phi^T

is the E-step and the sufficient statistics of the M-step at once. It runs over blocks of columns that stay in cache;
the n x K matrix is never stored. A score costs about 4 ns, so the number of scores matters most: components that are
far from a block are left out (`Blocks.near`). Each adds less than float64's last bit of the sum. This made a sweep over
1.6 million colours 1.4 times faster at K = 20 and 3.5 times at K = 256.

For KMeans a score has the first two of these features only, and the maximum replaces the softmax.

docs/benchmarks.md lists what was tried and rejected. Long sums use numpy's loops, not BLAS, which cuts those over
10,000 numbers into one part per thread: the result would depend on the number of threads.
"""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from gmmquant.models.array_validation import FloatArray, IndexArray
from gmmquant.models.cells import Cells

# exp(-700) = 1e-304 is close to the smallest number of full precision. Processors are slow with smaller ones: with
# narrow components, a sweep at K = 20 took 1.2 (the cat) to 3 times (paper clips) as long.
LOWEST = -700.0

# Components whose scores are farther below the largest one do not count: exp(-37), the most that they could add to the
# sum, is less than the last bit of 1.
MARGIN = 37.0

Floats = TypeVar("Floats", bound=npt.NDArray[np.floating[Any]])


def exp(x: Floats, out: Floats) -> Floats:
    """Write exp(x) to `out`, which may be `x`, both contiguous and of at most two dimensions, and return it.

    OpenCV takes 19 microseconds for 49,152 numbers, numpy 38, or 170 on a processor without AVX-512. OpenCV is exact to
    the last bit where it has Intel's routines, elsewhere to a relative 3e-13, and always exact at 0, the exponent of a
    cell that belongs to one component only. The import is local because loading a model does not need it.
    """
    import cv2

    cv2.exp(x, out)
    return out


def exponentials(scores: FloatArray, lowest: float = LOWEST) -> tuple[FloatArray, FloatArray]:
    """Turn scores (K, n) into exp(scores - largest) in place; return logsumexp over K, and the sums, both (n,).

    Differences below `lowest` are raised to it.
    """
    largest = np.maximum.reduce(scores, axis=0)
    scores -= largest
    np.maximum(scores, lowest, out=scores)
    exp(scores, scores)
    normalizer = np.add.reduce(scores, axis=0)
    return np.asarray(np.log(normalizer) + largest), normalizer


def softmax(scores: FloatArray) -> FloatArray:
    """Turn scores (K, n) into responsibilities in place, however small; return logsumexp over K, (n,)."""
    log_sum, normalizer = exponentials(scores, lowest=-np.inf)
    scores /= normalizer
    return log_sum


def largest_scores(scores: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], IndexArray]:
    """Return the largest score of each column of `scores` (K, n) and its row, the first of equal ones, both (n,).

    numpy's argmax strides down the columns: 1.8 ns per score at K = 20. Two passes along the rows, one for the largest
    score and one for the highest rank among those that equal it, take 0.7.
    """
    K = len(scores)
    largest = scores.max(axis=0)
    ranks = np.arange(K, 0, -1, dtype=np.min_scalar_type(K))[:, np.newaxis]
    highest = np.multiply(scores == largest, ranks).max(axis=0)
    return largest, np.subtract(K, highest, dtype=np.intp)


def sweep(theta: FloatArray, cells: Cells) -> tuple[FloatArray, float]:
    """Return the moments (K, F), sums over cells of weight * responsibility * phi, and J, the mean of the logsumexp.

    `theta` (K, F) are the coefficients of each component's score in the features of the cells; F determines which (see
    `phi_rows`).
    """
    K, F = theta.shape
    blocks = cells.blocks(K, F)
    if len(blocks.columns) == 1:
        # With few cells the calls of numpy cost more than their work: without the loop an iteration takes a tenth less.
        phi = cells.features(blocks.columns[0], F)
        moments, value = _moments(theta @ phi, phi, cells.weights, np.empty_like(phi))
        return moments, float(np.add.reduce(cells.weights * value)) / cells.total_weight
    width = blocks.columns[0].stop
    scores_buffer, phi_buffer = np.empty(K * width), np.empty(F * width)
    moments, total = np.zeros((K, F)), 0.0
    for columns, near in zip(blocks.columns, blocks.near(theta, MARGIN), strict=True):
        coefficients, phi, weights = theta[near], cells.features(columns, F), cells.weights[columns]
        n = weights.size
        scores = np.matmul(coefficients, phi, out=scores_buffer[: len(coefficients) * n].reshape(-1, n))
        gathered, value = _moments(scores, phi, weights, phi_buffer[: F * n].reshape(F, n))
        moments[near] += gathered
        total += float(np.add.reduce(weights * value))
    return moments, total / cells.total_weight


def _moments(
    scores: FloatArray, phi: FloatArray, weights: FloatArray, buffer: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return the moments (K, F) of a block, and the logsumexp of its `scores` (K, n), which are overwritten, (n,)."""
    value, normalizer = exponentials(scores)
    weighted = np.multiply(phi, weights / normalizer, out=buffer)
    return np.asarray(scores @ weighted.T), value


def most_probable(theta: FloatArray, cells: Cells) -> IndexArray:
    """Return the index of the largest score of each cell, the first of equal ones, shape (n_cells,).

    Scores are (n, K) here: along memory, numpy's argmax takes 0.15 ns a score at K = 256.
    """
    labels = np.empty(cells.weights.size, dtype=np.intp)
    blocks = cells.label_blocks(*theta.shape)
    for columns, near in zip(blocks.columns, blocks.near(theta, margin=0.0), strict=True):
        first = (cells.features(columns, theta.shape[1]).T @ theta[near].T).argmax(axis=1)
        labels[columns] = first if isinstance(near, slice) else near[first]
    return labels
