"""Mixtures that were fitted elsewhere, checked to be mixtures of colours."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from gmmquant.colors.spaces import SRGB, ColorSpace
from gmmquant.errors import ParameterError
from gmmquant.models.gaussian import Gaussians
from gmmquant.parsing import shortened
from gmmquant.quantization.fit import Fit
from gmmquant.quantization.result import RecoloredFit
from gmmquant.settings import SPACE_TITLES, SPACES

if TYPE_CHECKING:
    from gmmquant.models.mixture import GaussianMixture

    MixtureLike = GaussianMixture | Gaussians | RecoloredFit

# In units of the range of each channel: means may leave the gamut a little, as those of fits in CIELAB do.
_MARGIN, _MIN_VARIANCE, _MAX_VARIANCE = 0.5, 1e-15, 1.0


def color_mixture(mixture: MixtureLike, space: ColorSpace) -> Gaussians:
    """Return the parameters of a mixture of colours of `space`, or of the mixture of a result.

    A ParameterError is raised for anything else, a NotFittedError for a GaussianMixture that is not fitted.
    """
    gaussians = _parameters_of(mixture)
    check_space(_space_of(mixture, space), space)
    if gaussians.means.shape[1] != 3:
        raise ParameterError(f"the mixture has {gaussians.means.shape[1]} features; colours have 3")
    if problem := range_problem(gaussians, space):
        remedy = "; fit it to pixels / 255" if space.name == "srgb" else ""
        raise ParameterError(f"the mixture has {problem}{remedy}")
    return gaussians


def check_space(name: str, space: ColorSpace) -> None:
    """Raise a ParameterError if a mixture is of colours of another space than an image is read in."""
    if name != space.name:
        remedy = f"use Quantizer(image, space={name!r}), or apply_model for a saved one"
        if name not in SPACES:
            remedy = f"set its color_space_ to one of {', '.join(SPACES)}"
        title = SPACE_TITLES.get(name, shortened(repr(name)))
        raise ParameterError(f"the mixture is of {title} colours, not of {SPACE_TITLES[space.name]}; {remedy}")


def _space_of(mixture: MixtureLike, space: ColorSpace) -> str:
    """Return the colour space of a mixture; of one that was fitted here and names none, it is `space`."""
    if isinstance(mixture, RecoloredFit):
        return mixture.fit.space
    name: object = getattr(mixture, "color_space_", space.name)
    if name is None and space is not SRGB:  # a file that Python wrote
        raise ParameterError(
            f"the loaded mixture states no colour space, and so is one of sRGB, not of {SPACE_TITLES[space.name]}; use "
            f"Quantizer(image, space='srgb'), or set its color_space_ = {space.name!r} if it was fitted in this space"
        )
    return SRGB.name if name is None else str(name)


def range_problem(gaussians: Gaussians, space: ColorSpace) -> str:
    """Return which means or variances of a mixture cannot be those of colours of `space`; empty if all can be."""
    if len(gaussians.weights) == 0:
        return ""
    low, high = np.array(space.low), np.array(space.high)
    means = (gaussians.means - low) / (high - low)
    farthest = np.unravel_index(np.abs(means - 0.5).argmax(), means.shape)
    if abs(means[farthest] - 0.5) > 0.5 + _MARGIN:
        limits = f"{low[farthest[1]]:g} to {high[farthest[1]]:g}"
        return f"a mean of {gaussians.means[farthest]:g}, and values of {SPACE_TITLES[space.name]} go from {limits}"
    variances = np.diagonal(gaussians.full_covariances(), axis1=1, axis2=2) / (high - low) ** 2
    if variances.min() < _MIN_VARIANCE or variances.max() > _MAX_VARIANCE:
        extreme = variances.min() if variances.min() < _MIN_VARIANCE else variances.max()
        return f"a variance of {extreme:.3g} of the range, and those of colours go from {_MIN_VARIANCE:g} to 1"
    return ""


def _parameters_of(mixture: Any) -> Gaussians:
    from gmmquant.models.kmeans import KMeans
    from gmmquant.models.mixture import GaussianMixture

    if isinstance(mixture, Gaussians):
        return mixture
    if isinstance(mixture, RecoloredFit):
        return mixture.mixture
    if isinstance(mixture, GaussianMixture):
        return mixture.gaussians()
    remedy = "pass a fitted gmmquant.GaussianMixture"
    if isinstance(mixture, (str, os.PathLike)):
        remedy = "pass GaussianMixture.load(path)"
    elif isinstance(mixture, Fit):
        remedy = "pass its mixture, fit.mixture"
    elif isinstance(mixture, KMeans):
        remedy += ", or use fit_palette(np.rint(255 * kmeans.cluster_centers_).astype(np.uint8))"
    module = type(mixture).__module__.partition(".")[0]
    name = f"{module}.{type(mixture).__name__}" if module not in ("builtins", "gmmquant") else type(mixture).__name__
    raise ParameterError(f"mixture is a {name}; {remedy}")
