"""Where EM starts: the clusters of KMeans, clusters around random or fixed centers, or random responsibilities."""

from __future__ import annotations

import numpy as np

from gmmquant.models.array_validation import FloatArray, IndexArray
from gmmquant.models.cells import Cells, phi_rows
from gmmquant.models.covariance import FULL, CovarianceType
from gmmquant.models.em import m_step
from gmmquant.models.gaussian import Gaussians
from gmmquant.models.kmeans import center_scores, cluster_moments, kmeans_plus_plus, lloyd, random_centers
from gmmquant.models.sweep import most_probable


def make_start(
    cells: Cells,
    n_components: int,
    init: str,
    rng: np.random.Generator,
    variance: float,
    covariance_type: CovarianceType = FULL,
    kmeans_tol: float = 1e-4,
    kmeans_max_iter: int = 300,
    fixed: FloatArray | None = None,
    centered: bool = False,
) -> Gaussians:
    """Return a start by the method that `init` names: kmeans, k-means++, random_from_data or random.

    KMeans stops when the squared shift of its centers is at most `kmeans_tol` times the mean variance of the features,
    or after `kmeans_max_iter` iterations. The first means are those in `fixed` (n_fixed, d), and the others are chosen
    about them. If `centered`, clusters are exact at any distance from each other, for which no means may be fixed.
    """
    fixed = np.empty((0, len(cells.origin))) if fixed is None else fixed
    if init == "random":
        return start_at_random(cells, n_components, rng, variance, covariance_type, fixed)
    if init == "random_from_data":
        centers = np.concatenate([fixed, random_centers(cells, n_components - len(fixed), rng)])
    else:
        centers = kmeans_plus_plus(cells, n_components, rng, fixed)
    if init == "kmeans":
        shift = kmeans_tol * float(np.diagonal(cells.covariance).mean())
        centers = lloyd(cells, centers, tol=shift, max_iter=kmeans_max_iter, n_fixed=len(fixed)).centers
    if centered:
        return _start_about_centers(cells, centers, variance, covariance_type)
    return start_from_centers(cells, centers, variance, covariance_type, n_fixed=len(fixed))


def start_from_centers(
    cells: Cells,
    centers: FloatArray,
    variance: float,
    covariance_type: CovarianceType = FULL,
    *,
    n_fixed: int = 0,
) -> Gaussians:
    """Return a Gaussian for each cluster, the cells nearest to one of `centers` (K, d).

    The first `n_fixed` centers are the means of theirs. Such a mean without nearest cells gets a part of every cell,
    together the weight of an average cell, and becomes as wide as all of the data about it. Its weight must not start
    at 0, since EM would never raise it.
    """
    moments = _cluster_moments(cells, centers, covariance_type)
    moments[np.flatnonzero(moments[:n_fixed, 0] == 0)] = moments.sum(axis=0) / cells.weights.size
    return _start_from_moments(cells, moments, centers, variance, covariance_type, n_fixed)


def _start_about_centers(
    cells: Cells, centers: FloatArray, variance: float, covariance_type: CovarianceType
) -> Gaussians:
    """Return the start of `start_from_centers` by moments about each cluster's center, which do not cancel."""
    labels = most_probable(center_scores(centers, cells.origin), cells)
    offsets = cells.offsets - (centers - cells.origin)[labels].T
    about_centers = Cells(cells.weights, offsets, cells.scatter, cells.origin)
    moments = cluster_moments(about_centers, labels, len(centers), n_rows_for(cells, covariance_type))
    return _start_from_moments(cells, moments, centers, variance, covariance_type, 0, centers)


def clusters_about(
    cells: Cells, centers: FloatArray, variance: float, covariance_type: CovarianceType, n_fixed: int
) -> Gaussians:
    """Return the same with weight 0 for every cluster without cells: the clusters of KMeans as a mixture."""
    moments = _cluster_moments(cells, centers, covariance_type)
    return _start_from_moments(cells, moments, centers, variance, covariance_type, n_fixed)


def clusters_of(
    cells: Cells, labels: IndexArray, centers: FloatArray, variance: float, covariance_type: CovarianceType
) -> Gaussians:
    """Return the mixture of clusters that `labels` (n_cells,) name; those without cells stay at `centers` (K, d)."""
    moments = cluster_moments(cells, labels, len(centers), n_rows_for(cells, covariance_type))
    return _start_from_moments(cells, moments, centers, variance, covariance_type, 0)


def _cluster_moments(cells: Cells, centers: FloatArray, covariance_type: CovarianceType) -> FloatArray:
    """Return the moments (K, F) of the cells nearest to each center."""
    labels = most_probable(center_scores(centers, cells.origin), cells)
    return cluster_moments(cells, labels, len(centers), n_rows_for(cells, covariance_type))


def start_at_random(
    cells: Cells,
    n_components: int,
    rng: np.random.Generator,
    variance: float,
    covariance_type: CovarianceType,
    fixed: FloatArray,
) -> Gaussians:
    """Return Gaussians of random responsibilities: K components that differ from all of the data by noise only.

    The first means are those in `fixed` (n_fixed, d).
    """
    n_rows = n_rows_for(cells, covariance_type)
    moments = np.zeros((n_components, n_rows))
    for columns in cells.blocks(n_components, n_rows).columns:
        weights = rng.random((n_components, cells.weights[columns].size))
        weights *= cells.weights[columns] / weights.sum(axis=0)
        moments += weights @ cells.features(columns, n_rows).T
    centers = np.broadcast_to(cells.origin, (n_components - len(fixed), len(cells.origin)))
    return _start_from_moments(cells, moments, np.concatenate([fixed, centers]), variance, covariance_type, len(fixed))


def _start_from_moments(
    cells: Cells,
    moments: FloatArray,
    centers: FloatArray,
    variance: float,
    covariance_type: CovarianceType,
    n_fixed: int,
    origin: FloatArray | None = None,
) -> Gaussians:
    """Run the M-step on the moments of a start; an empty component stays at its center with the covariance of all.

    The moments are about the origin of `cells`, or about `origin` (K, d).
    """
    K, d = centers.shape
    overall = cells.covariance + variance * np.eye(d)
    spread = overall if covariance_type.dense else np.diagonal(overall)
    scatter = np.broadcast_to(spread, (K, *spread.shape))
    empty = Gaussians(np.zeros(K), centers, covariance_type.pool(scatter, np.ones(K)), covariance_type)
    return m_step(moments, cells.origin if origin is None else origin, variance, previous=empty, n_fixed=n_fixed)


def n_rows_for(cells: Cells, covariance_type: CovarianceType) -> int:
    """Return the number of features that a covariance of this type takes: see `phi_rows`."""
    return phi_rows(len(cells.origin), "dense" if covariance_type.dense else "diagonal")
