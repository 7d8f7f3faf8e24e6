"""Optimal transport between two Gaussian mixtures: their distance, and a map from one to the other.

Weight is carried from component to component (Delon and Desolneux, "A Wasserstein-type distance in the space of
Gaussian mixture models", SIAM Journal on Imaging Sciences 13, 2020). A pair costs the squared Wasserstein distance of
two Gaussians, which has a closed form, as has the map between them. What remains is a linear program of size K0 x K1,
whatever the number of samples. A mean of affine maps is affine, so there is one affine map for each component.

The distance of two Gaussians is usually written with a root of S0^{1/2} S1 S0^{1/2}, which loses half the digits where
they are similar. Here it is the distance of the roots of the covariances, one of them rotated to be nearest to the
other (Bhatia, Jain and Lim, "On the Bures-Wasserstein distance between positive definite matrices", 2019): no large
numbers are subtracted. The same rotation gives the map.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gmmquant.errors import ParameterError, SingularCovarianceError
from gmmquant.models.array_validation import FloatArray, check_array, check_weights
from gmmquant.models.cells import Cells
from gmmquant.models.gaussian import Gaussians, log_joint
from gmmquant.models.sweep import MARGIN, exponentials

# At 256 x 256 components the plan took 0.6 to 1.4 s, at 512 x 512 5 to 14 s; the program cannot be interrupted then.
MAX_PAIRS = 256 * 256

# Entries in the matrices of the pairs that are computed at a time: 8 MB.
_MAX_PAIR_NUMBERS = 1 << 20

# The solver's smallest tolerance is 1e-10. Weights are scaled so that those of 1e-14 count.
_SCALE = 1e4
_SOLVER = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}

# The largest deviation of a sum of weights from 1.
_MAX_WEIGHT_ERROR = 1e-6


@dataclass(frozen=True, eq=False)
class Transport:
    """The optimal transport from one mixture of K0 Gaussians to another of K1, in d dimensions.

    `plan` (K0, K1) is the weight carried from each component of `source` to each of `target`, `distance` the root of
    the mean squared distance that it is moved by (MW2), in the samples' unit. The map of component k is
    x -> centers[k] + matrices[k] (x - source.means[k]), with `centers` (K0, d) and `matrices` (K0, d, d).
    """

    source: Gaussians
    target: Gaussians
    plan: FloatArray
    distance: float
    centers: FloatArray
    matrices: FloatArray

    def map(self, cells: Cells) -> FloatArray:
        """Return the mean of the maps of each cell's mean, weighted by the responsibilities (T_mean): (n_cells, d)."""
        d = self.centers.shape[1]
        if len(cells.origin) != d:
            raise ParameterError(f"the cells have {len(cells.origin)} features, the mixtures {d}; use cells of {d}")
        means = self.source.means - cells.origin
        moved = np.empty((cells.weights.size, d))
        for columns, near, scores in log_joint(self.source, cells, MARGIN):
            _, normalizer = exponentials(scores)
            # Relative to a point of the block, the numbers are as small as the block.
            about, matrices = cells.offsets[:, columns.start], self.matrices[near]
            constants = self.centers[near] + (matrices @ (about - means[near])[:, :, np.newaxis])[:, :, 0]
            points = np.concatenate([np.ones((1, normalizer.size)), cells.offsets[:, columns] - about[:, np.newaxis]])
            for feature in range(d):
                affine = np.column_stack([constants[:, feature], matrices[:, feature]]).T @ scores
                affine *= points
                moved[columns, feature] = affine.sum(axis=0) / normalizer
        return moved


def transport_between(mixture0: Gaussians, mixture1: Gaussians) -> Transport:
    """Return the optimal transport from one mixture to another; they may differ in size and in covariance type.

    A component without weight is mapped to the nearest Gaussian that has any. A covariance of `mixture0` without
    inverse raises SingularCovarianceError.
    """
    (K0, d), (K1, other) = mixture0.means.shape, mixture1.means.shape
    if d != other:
        raise ParameterError(f"the mixtures have {d} and {other} features; use two with the same number")
    if K0 * K1 > MAX_PAIRS:
        raise ParameterError(
            f"{K0} x {K1} components are {K0 * K1} pairs, above the limit of {MAX_PAIRS} for a transport; "
            "use mixtures with fewer components"
        )
    covariances0, covariances1 = mixture0.full_covariances(), mixture1.full_covariances()
    costs = squared_wasserstein(mixture0.means, covariances0, mixture1.means, covariances1)
    plan = optimal_plan(mixture0.weights, mixture1.weights, costs)
    sent = plan.copy()
    idle = np.flatnonzero(~sent.any(axis=1))
    sent[idle, np.where(mixture1.weights > 0, costs[idle], np.inf).argmin(axis=1)] = 1.0
    sent /= sent.sum(axis=1, keepdims=True)
    # At most about K0 + K1 of the pairs carry weight.
    start, end = np.nonzero(sent)
    maps = gaussian_maps(covariances0[start], covariances1[end])
    matrices = np.zeros((K0, d, d))
    np.add.at(matrices, start, sent[start, end][:, np.newaxis, np.newaxis] * maps)
    distance = float(np.sqrt((plan * costs).sum()))
    return Transport(mixture0, mixture1, plan, distance, sent @ mixture1.means, matrices)


def squared_wasserstein(
    means0: FloatArray, covariances0: FloatArray, means1: FloatArray, covariances1: FloatArray
) -> FloatArray:
    """Return the squared 2-Wasserstein distance of each of K0 Gaussians to each of K1, shape (K0, K1).

    Means are (K0, d) and (K1, d), covariances, which may be singular, (K0, d, d) and (K1, d, d).
    """
    roots0, roots1 = _roots(covariances0), _roots(covariances1)
    distances = np.empty((len(means0), len(means1)))
    n_rows = max(1, _MAX_PAIR_NUMBERS // roots1.size)
    for first in range(0, len(means0), n_rows):
        rows = slice(first, first + n_rows)
        apart = means0[rows, np.newaxis] - means1
        turned = roots1 @ _rotations(roots0[rows, np.newaxis], roots1)
        turned -= roots0[rows, np.newaxis]
        distances[rows] = (apart**2).sum(axis=-1) + (turned**2).sum(axis=(-2, -1))
    return distances


def gaussian_maps(covariances0: FloatArray, covariances1: FloatArray) -> FloatArray:
    """Return A of the optimal map x -> mean1 + A (x - mean0) between Gaussians, pair by pair, all of shape (..., d, d).

    A = S0^{-1/2} (S0^{1/2} S1 S0^{1/2})^{1/2} S0^{-1/2}, here as S1^{1/2} U S0^{-1/2} with U orthogonal, so that S0
    becomes S1 up to rounding even where a covariance is narrow. A singular S0 raises SingularCovarianceError.
    """
    values, axes = np.linalg.eigh(covariances0)
    if values.size and values.min() <= 0:
        raise SingularCovarianceError(
            f"a component to map from has no inverse covariance (smallest variance {values.min():.3g}, must be above "
            "0): fit fewer components, or with a larger reg_covar"
        )
    lengths = np.sqrt(values)[..., np.newaxis, :]
    turned_back = np.swapaxes(axes, -1, -2)
    roots0, roots1 = (axes * lengths) @ turned_back, _roots(covariances1)
    return np.asarray(roots1 @ _rotations(roots0, roots1) @ ((axes / lengths) @ turned_back))


def _roots(covariances: FloatArray) -> FloatArray:
    """Return the symmetric root of each covariance; variances that rounding made negative count as 0."""
    values, axes = np.linalg.eigh(covariances)
    return np.asarray((axes * np.sqrt(np.maximum(values, 0.0))[..., np.newaxis, :]) @ np.swapaxes(axes, -1, -2))


def _rotations(roots0: FloatArray, roots1: FloatArray) -> FloatArray:
    """Return the orthogonal U that bring roots1 U nearest to roots0: those of the polar form of roots1 roots0."""
    left, _, right = np.linalg.svd(roots1 @ roots0)
    return np.asarray(left @ right)


def optimal_plan(weights0: FloatArray, weights1: FloatArray, costs: FloatArray) -> FloatArray:
    """Return the cheapest plan that turns weights (K0,) into weights (K1,): the amount from each to each, (K0, K1).

    Rows sum to `weights0` and columns to `weights1`, which are scaled to sum to 1. At most K0 + K1 - 1 amounts are
    above 0. `costs` (K0, K1) are those of one unit of weight from each to each.
    """
    K0, K1 = len(weights0), len(weights1)
    costs = check_array("costs", costs, (K0, K1))
    supply = check_weights("weights0", weights0, K0, _MAX_WEIGHT_ERROR)
    demand = check_weights("weights1", weights1, K1, _MAX_WEIGHT_ERROR)
    supply, demand = supply / supply.sum(), demand / demand.sum()
    # Components of weight 0 send and receive exactly nothing.
    present = np.ix_(np.flatnonzero(supply), np.flatnonzero(demand))
    plan = np.zeros((K0, K1))
    plan[present] = _solve(supply[supply > 0], demand[demand > 0], costs[present])
    return plan


def _solve(supply: FloatArray, demand: FloatArray, costs: FloatArray) -> FloatArray:
    """Return the amounts of least total cost with row sums `supply` (K0,) and column sums `demand` (K1,)."""
    from scipy.optimize import linprog
    from scipy.sparse import csr_array

    K0, K1 = costs.shape
    rows, columns = np.indices(costs.shape).reshape(2, -1)
    # One sum follows from all others. That of the largest demand, put last, is omitted and absorbs their rounding.
    order = np.argsort(demand, kind="stable")
    kept = columns < K1 - 1
    entries = np.concatenate([rows, K0 + columns[kept]]), np.concatenate([np.arange(rows.size), np.flatnonzero(kept)])
    sums = csr_array((np.ones(entries[0].size), entries), shape=(K0 + K1 - 1, rows.size))
    largest = np.abs(costs).max()
    solution = linprog(
        costs[:, order].ravel() / (largest if largest > 0 else 1.0),
        A_eq=sums,
        b_eq=np.concatenate([supply, demand[order[:-1]]]) * _SCALE,
        method="highs-ds",
        options=_SOLVER,
    )
    if solution.x is None:
        raise ParameterError(
            f"no plan was found between {K0} and {K1} components: {solution.message}; merge components of tiny weight"
        )
    plan = np.empty((K0, K1))
    plan[:, order] = np.maximum(solution.x, 0.0).reshape(K0, K1) / _SCALE
    return plan
