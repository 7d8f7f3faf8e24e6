"""The mixture of a result for its user: as a file that draws images, and as an estimator."""

from __future__ import annotations

import os
from typing import Any

from gmmquant.errors import ParameterError
from gmmquant.models.mixture import GaussianMixture, json_path
from gmmquant.models.serialization import Model, model_to_json
from gmmquant.parsing import hex_code
from gmmquant.quantization.result import RecoloredFit
from gmmquant.system.single_file import write_file
from gmmquant.version import __version__


def encode_model(result: RecoloredFit) -> bytes:
    """Return the file of a model: the mixture, its space, and how it draws images."""
    fit = result.fit
    facts: dict[str, Any] = {
        "color_space": fit.space,
        "exact": fit.nearest_by_mean,
        "recolor": result.recoloring,
        "method": fit.method,
        "noise": fit.noise,
    }
    if fit.colors is not None:
        facts["palette"] = [hex_code(color) for color in fit.colors]
    return model_to_json(Model(fit.mixture, facts), __version__).encode("ascii")


def save_model(result: RecoloredFit, path: str | os.PathLike[str]) -> None:
    """Write the model of a result: see `QuantizedImage.save_model`."""
    _require_mixture(result)
    write_file(json_path(path), encode_model(result))


def estimator_of(result: RecoloredFit) -> GaussianMixture:
    """Return the mixture of a result as an estimator: see `QuantizedImage.to_estimator`."""
    _require_mixture(result)
    return GaussianMixture.from_gaussians(result.mixture, result.fit.space)


def _require_mixture(result: RecoloredFit) -> None:
    if result.fit.alphas is not None:
        raise ParameterError("alpha = 'quantize' fits colour and alpha together, not colours; use alpha = 'keep'")
    if len(result.weights) == 0:
        raise ParameterError("a result without a visible pixel has no mixture; use an image with at least 1")
