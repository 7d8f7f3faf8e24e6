"""GaussianMixture: a mixture of Gaussians for weighted samples of any dimension, with scikit-learn's interface."""

from __future__ import annotations

import os
from copy import deepcopy
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from gmmquant.errors import ParameterError
from gmmquant.models.array_validation import (
    FloatArray,
    IndexArray,
    check_array,
    check_enough_samples,
    check_fitted,
    check_sample_covariance,
    check_sample_weight,
    check_samples,
    check_weights,
    weights_near_one,
)
from gmmquant.models.cells import Cells
from gmmquant.models.centered_em import centered_em
from gmmquant.models.covariance import COVARIANCE_TYPES, CovarianceType, check_covariance_type, precisions
from gmmquant.models.em import EMFit, best, watch_nothing
from gmmquant.models.estimator import Estimator, RandomState, random_generator
from gmmquant.models.gaussian import Gaussians, log_joint
from gmmquant.models.inference import evaluate
from gmmquant.models.scalar_validation import INIT_NAMES, SPACE_NAMES, check_choice, check_integer, check_non_negative
from gmmquant.models.selection import Criteria, n_parameters
from gmmquant.models.serialization import Model, errors_of_model, model_path, model_to_json, read_model
from gmmquant.models.starts import make_start
from gmmquant.models.sweep import softmax
from gmmquant.system.printable import printable
from gmmquant.system.single_file import write_file
from gmmquant.version import __version__

if TYPE_CHECKING:
    from gmmquant.models.scalar_validation import Integer


@dataclass(eq=False, repr=False)
class GaussianMixture(Estimator):
    """A mixture of Gaussians, with scikit-learn's names and meanings, and sample weights.

    Parameters
    ----------
    n_components : int, default 1
    covariance_type : "full", "tied", "diag" or "spherical", default "full"
        A matrix for each component, one matrix for all, variances for each component, one variance for each.
    tol : float, default 1e-3
        Stop when an iteration gains less than this in `lower_bound_`.
    reg_covar : float, default 1e-6
        Variance of each sample in each feature, in the square of the features' unit. It is added to every
        covariance, and counted in the E-step too, so that the objective never falls. 0 is the textbook algorithm.
    max_iter : int, default 100
    n_init : int, default 1
        Number of starts. The fit with the highest final `lower_bound_` is kept.
    init_params : "kmeans", "k-means++", "random_from_data" or "random", default "kmeans"
        Start from the clusters of KMeans, from those around greedy k-means++ centers or around random samples, or from
        random responsibilities.
    weights_init : array-like of shape (n_components,), optional
    means_init : array-like of shape (n_components, n_features), optional
    precisions_init : array-like, optional
        The start. Precisions are inverse covariances in the shape of the type. `init_params` supplies what is missing.
    random_state : int, numpy Generator, RandomState or None, default None
        Source of the starts' randomness; an int makes the fit repeatable.
    warm_start : bool, default False
        Start from the result of the previous fit.
    verbose : int, default 0
        1 prints the start and the end of each initialization and every `verbose_interval`-th iteration to standard
        output; 2 adds the gain of `lower_bound_`, its value and the time.
    verbose_interval : int, default 10

    Attributes
    ----------
    weights_ : ndarray of shape (n_components,)
    means_ : ndarray of shape (n_components, n_features)
    covariances_, precisions_, precisions_cholesky_ : ndarray
        (n_components, n_features, n_features) if full, (n_features, n_features) if tied, (n_components, n_features) if
        diag, (n_components,) if spherical; the last is C with C C^T = precision.
    converged_ : bool
        This and the next three are facts of a fit. Files do not have them, so a loaded mixture has none of them.
    n_iter_ : int
    lower_bound_ : float
        J at the final parameters: with `reg_covar=0`, the mean log-likelihood of the training samples.
    lower_bounds_ : list of float
        J at the start and after each iteration; it never falls.
    n_features_in_ : int
    feature_names_in_ : ndarray of str, shape (n_features,)
        Names of the columns, only if `X` was a data frame whose columns have strings as names.
    color_space_ : str or None
        Colour space of the features, only of a loaded mixture or one of `QuantizedImage.to_estimator`: that of the fit
        to an image, or None if the file names none. You may set it to "srgb", "linear", "lab" or "oklab"; `save` writes
        it.

    Notes
    -----
    Variances of components that are far apart have the digits that the samples have: at a distance of 1e8 standard
    deviations, rounding changes them by a few parts in 1e8. Where a component is more than 1e4 of its standard
    deviations from the center of the data, an iteration takes a few times as long.
    """

    _estimator_type = "density_estimator"

    n_components: Integer = 1
    _: KW_ONLY
    covariance_type: str = "full"
    tol: float = 1e-3
    reg_covar: float = 1e-6
    max_iter: Integer = 100
    n_init: Integer = 1
    init_params: str = "kmeans"
    weights_init: npt.ArrayLike | None = None
    means_init: npt.ArrayLike | None = None
    precisions_init: npt.ArrayLike | None = None
    random_state: RandomState = None
    warm_start: bool = False
    verbose: int = 0
    verbose_interval: int = 10

    def fit(
        self,
        X: npt.ArrayLike,
        y: object = None,
        sample_weight: npt.ArrayLike | None = None,
        sample_covariance: npt.ArrayLike | None = None,
    ) -> Self:
        """Fit the mixture to `X`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : ignored
        sample_weight : array-like of shape (n_samples,), optional
            How many times each sample counts.
        sample_covariance : array-like of shape (n_samples, n_features, n_features), optional
            Covariance inside each sample, where a sample is the mean of a group (a cell).

        Raises
        ------
        ParameterError
            If a parameter or an array is outside what is accepted.
        SingularCovarianceError
            If a component collapses, which only `reg_covar=0` or a very small one allows.

        Warns
        -----
        ConvergenceWarning
            If `max_iter` iterations were not enough.
        """
        samples = check_samples(X)
        n, d = samples.shape
        weight = weights_near_one(check_sample_weight(sample_weight, n))
        scatter = check_sample_covariance(sample_covariance, n, d)
        n_components = check_integer("n_components", self.n_components, 1)
        check_covariance_type(self.covariance_type)
        check_choice("init_params", self.init_params, INIT_NAMES)
        max_iter = check_integer("max_iter", self.max_iter, 0)
        tol = check_non_negative("tol", self.tol)
        variance = check_non_negative("reg_covar", self.reg_covar)
        n_init = check_integer("n_init", self.n_init, 1)
        check_integer("verbose", int(self.verbose) if isinstance(self.verbose, bool) else self.verbose, 0)
        interval = check_integer("verbose_interval", self.verbose_interval, 1)
        check_enough_samples(weight, "n_components", n_components)
        cells = Cells.from_samples(samples, weight, scatter)
        if self.warm_start and hasattr(self, "means_"):
            starts = [self._continued(n_components, d)]
        else:
            rng = random_generator(self.random_state)
            starts = [self._start(cells, n_components, variance, rng) for _ in range(n_init)]
        fit = best(self._em(n, interval, cells, each, variance, tol, max_iter) for n, each in enumerate(starts, 1))
        if not fit.converged and max_iter > 0:
            self._warn(
                f"the mixture did not converge: it stopped after max_iter = {max_iter} iterations before meeting "
                f"tol = {tol:g}; raise either, try other starts (n_init, init_params), or look for degenerate data"
            )
        self._adopt(fit.gaussians)
        self.__dict__.pop("color_space_", None)  # of the loaded mixture that this fit replaces
        self._keep_feature_names(X)
        self.converged_, self.n_iter_ = fit.converged, fit.n_iter
        self.lower_bounds_, self.lower_bound_ = list(fit.trace), fit.trace[-1]
        return self

    def fit_predict(self, X: npt.ArrayLike, y: object = None, sample_weight: npt.ArrayLike | None = None) -> IndexArray:
        """Fit to `X` and return the index of each sample's most probable component, shape (n_samples,)."""
        return self.fit(X, sample_weight=sample_weight).predict(X)

    def predict(self, X: npt.ArrayLike) -> IndexArray:
        """Return the index of the most probable component of each row of `X`, shape (n_samples,)."""
        return np.concatenate([scores.argmax(axis=0) for scores in self._log_joint(X)])

    def predict_proba(self, X: npt.ArrayLike) -> FloatArray:
        """Return the responsibility of each component for each row of `X`, C-ordered, (n_samples, n_components)."""
        blocks = self._log_joint(X)
        for scores in blocks:
            softmax(scores)
        return np.ascontiguousarray(np.concatenate(blocks, axis=1).T)

    def score_samples(self, X: npt.ArrayLike) -> FloatArray:
        """Return the log density, in nats, at each row of `X`, shape (n_samples,)."""
        return np.concatenate([softmax(scores) for scores in self._log_joint(X)])

    def score(self, X: npt.ArrayLike, y: object = None, sample_weight: npt.ArrayLike | None = None) -> float:
        """Return the (weighted) mean log density of `X`, in nats per sample."""
        log_density = self.score_samples(X)
        weight = weights_near_one(check_sample_weight(sample_weight, len(log_density)))
        return float(np.average(log_density, weights=weight))

    def sample(self, n_samples: int = 1) -> tuple[FloatArray, IndexArray]:
        """Return samples (n_samples, n_features) drawn component by component, and their components (n_samples,)."""
        gaussians = self.gaussians()
        n_samples = check_integer("n_samples", n_samples, 1)
        rng = random_generator(self.random_state)
        counts = rng.multinomial(n_samples, gaussians.weights / gaussians.weights.sum())
        samples = rng.standard_normal((n_samples, self.n_features_in_))
        stops = np.cumsum(counts)
        factors = np.linalg.cholesky(gaussians.full_covariances())
        for factor, mean, start, stop in zip(factors, gaussians.means, stops - counts, stops, strict=True):
            samples[start:stop] = samples[start:stop] @ factor.T + mean
        return samples, np.repeat(np.arange(counts.size), counts)

    def aic(self, X: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None) -> float:
        """Return Akaike's criterion of the mixture for `X`; smaller is better."""
        return self._criteria(X, sample_weight).aic

    def bic(self, X: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None) -> float:
        """Return the Bayesian information criterion of the mixture for `X`; smaller is better."""
        return self._criteria(X, sample_weight).bic

    def icl(self, X: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None) -> float:
        """Return BIC plus twice the entropy of the responsibilities for `X`; smaller is better."""
        return self._criteria(X, sample_weight).icl

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted mixture to a JSON file in full precision; an existing file is replaced in one step.

        Raises
        ------
        ParameterError
            If the name has the ending of another format than `.json`, or `color_space_` is unknown.
        OutputError
            If the system cannot write the file. It is an OSError.
        """
        gaussians, target = self.gaussians(), json_path(path)
        names, space = getattr(self, "feature_names_in_", None), getattr(self, "color_space_", None)
        facts: dict[str, Any] = {}
        if space is not None:
            facts["color_space"] = check_choice("color_space_", space, SPACE_NAMES)
        facts |= {} if names is None else {"feature_names": list(map(str, names))}
        write_file(target, model_to_json(Model(gaussians, facts), __version__).encode("ascii"))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a mixture written by `save` or by the command's --save-model.

        Names of features become `feature_names_in_`, the colour space of a fit to an image `color_space_`, which is
        None for other fits. How images were drawn is not read, and a file that is saved again has none of it: see
        `gmmquant.apply_model`.

        Raises
        ------
        ModelFileError
            If the file is not a model, or its colour space is unknown. The message names it.
        ParameterError
            If `path` is a URL.
        OSError
            If the system cannot read it: a FileNotFoundError if there is none.
        """
        file = model_path(path)
        with errors_of_model(file):
            model = read_model(file)
            if "color_space" in model.facts:
                check_choice("color_space", model.facts["color_space"], SPACE_NAMES)
        mixture = cls.from_gaussians(model.gaussians, model.facts.get("color_space"))
        if "feature_names" in model.facts:
            mixture.feature_names_in_ = np.array(model.facts["feature_names"], dtype=object)
        return mixture

    @classmethod
    def from_gaussians(cls, gaussians: Gaussians, color_space: str | None = None) -> Self:
        """Return a fitted mixture with copies of the parameters of `gaussians`, the reverse of `gaussians()`.

        `color_space` is "srgb", "linear", "lab" or "oklab" for a mixture of colours, which is not checked.
        """
        mixture = cls(len(gaussians.weights), covariance_type=gaussians.covariance_type.name)
        mixture._adopt(deepcopy(gaussians))
        mixture._adopt_space(color_space)
        return mixture

    def gaussians(self) -> Gaussians:
        """Return the parameters of the fitted mixture, for functions of gmmquant."""
        check_fitted(self, "means_")
        fitted_type = getattr(self, "_fitted_type", self.covariance_type)
        return Gaussians(self.weights_, self.means_, self.covariances_, COVARIANCE_TYPES[fitted_type])

    def _criteria(self, X: npt.ArrayLike, sample_weight: npt.ArrayLike | None) -> Criteria:
        gaussians, samples = self.gaussians(), self._samples(X)
        cells = Cells.from_samples(samples, check_sample_weight(sample_weight, len(samples)))
        sums, K = evaluate(cells, gaussians), len(gaussians.weights)
        return Criteria.of(K, sums.log_likelihood, sums.entropy, self._n_parameters(), cells.total_weight)

    def _n_parameters(self) -> int:
        return n_parameters(len(self.means_), self.n_features_in_, self.gaussians().covariance_type)

    def _log_joint(self, X: npt.ArrayLike) -> list[FloatArray]:
        """Return log weights + log densities at the rows of `X`, in blocks (n_components, block)."""
        gaussians = self.gaussians()
        cells = Cells.points(self._samples(X), origin=gaussians.weights @ gaussians.means)
        return [scores for _, _, scores in log_joint(gaussians, cells)]

    def _samples(self, X: npt.ArrayLike) -> FloatArray:
        self._check_feature_names(X)
        return check_samples(X, self.n_features_in_, self)

    def _continued(self, n_components: int, d: int) -> Gaussians:
        """Return the mixture of the previous fit, if it has the shape and type that this fit needs."""
        previous = self.gaussians()
        (K, previous_d), name = previous.means.shape, previous.covariance_type.name
        if (K, previous_d, name) != (n_components, d, self.covariance_type):
            raise ParameterError(
                f"warm_start continues {K} components of {previous_d} features, {name}, "
                f"not {n_components} of {d}, {self.covariance_type}; set warm_start=False"
            )
        return previous

    def _em(
        self, n: int, interval: int, cells: Cells, start: Gaussians, variance: float, tol: float, max_iter: int
    ) -> EMFit:
        """Run EM from the `n`-th start; with `verbose`, print every `interval`-th iteration and the end."""
        times, bounds = [perf_counter()], []

        def show(n_iter: int, objective: float) -> None:
            bounds.append(objective)
            if n_iter > 0 and n_iter % interval == 0:
                times.append(perf_counter())
                details = f": gain {objective - bounds[-2]:.5f}, {times[-1] - times[-2]:.5f} s"
                self._print(f"  Iteration {n_iter}", details)

        self._print(f"Initialization {n}")
        watch = show if self.verbose else watch_nothing
        fit = centered_em(cells, start, variance=variance, tol=tol, max_iter=max_iter, watch=watch)
        seconds = perf_counter() - times[0]
        details = f": {fit.n_iter} iterations, lower bound {fit.trace[-1]:.5f}, {seconds:.5f} s"
        self._print(f"Initialization {n} {'converged' if fit.converged else 'did not converge'}", details)
        return fit

    def _adopt(self, gaussians: Gaussians) -> None:
        self._fitted_type = gaussians.covariance_type.name
        self.weights_ = gaussians.weights
        self.means_ = gaussians.means
        self.covariances_ = gaussians.covariances
        self.precisions_cholesky_ = gaussians.factors
        self.precisions_ = precisions(gaussians.factors, gaussians.covariance_type)
        self.n_features_in_ = gaussians.means.shape[1]

    def _adopt_space(self, color_space: str | None) -> None:
        self.color_space_ = color_space

    def _start(self, cells: Cells, n_components: int, variance: float, rng: np.random.Generator) -> Gaussians:
        covariance_type, d = check_covariance_type(self.covariance_type), len(cells.origin)
        weights, means, covariances = None, None, None
        if self.weights_init is not None:
            weights = check_weights("weights_init", self.weights_init, n_components, max_error=1e-8)
        if self.means_init is not None:
            means = check_array("means_init", self.means_init, (n_components, d))
        if self.precisions_init is not None:
            covariances = _inverses(self.precisions_init, n_components, d, covariance_type)
        if weights is None or means is None or covariances is None:
            made = make_start(cells, n_components, self.init_params, rng, variance, covariance_type, centered=True)
            weights = made.weights if weights is None else weights
            means = made.means if means is None else means
            covariances = made.covariances if covariances is None else covariances
        return Gaussians(weights, means, covariances, covariance_type)


def json_path(path: str | os.PathLike[str]) -> Path:
    """Return the path of a mixture that is saved; refuse the ending of another format, such as .npz or .pkl."""
    if not isinstance(path, (str, os.PathLike)):
        raise ParameterError(f"path is a {type(path).__name__}; pass the name of a file that ends in .json")
    target = Path(path)
    if target.suffix.lower() not in ("", ".json"):
        name = printable(os.fspath(path))
        raise ParameterError(
            f"{name}: a mixture is saved as JSON, not as {target.suffix.lower()}; use a name that ends in .json"
        )
    return target


def _inverses(precisions_init: npt.ArrayLike, K: int, d: int, covariance_type: CovarianceType) -> FloatArray:
    """Return the covariances of a start with these precisions."""
    inverse = check_array("precisions_init", precisions_init, covariance_type.shape(K, d))
    smallest = float(np.linalg.eigvalsh(inverse).min() if covariance_type.dense else inverse.min())
    if smallest <= 0 or (covariance_type.dense and not np.allclose(inverse, np.swapaxes(inverse, -1, -2))):
        wanted = "symmetric positive-definite matrices" if covariance_type.dense else "values above 0"
        raise ParameterError(f"precisions_init must hold {wanted}; its smallest eigenvalue is {smallest:g}")
    return np.asarray(np.linalg.inv(inverse)) if covariance_type.dense else 1 / inverse
