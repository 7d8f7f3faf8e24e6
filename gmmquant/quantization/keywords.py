"""Arguments by name that functions do not have, or that have no effect: errors with the way to what was meant."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from dataclasses import fields
from difflib import get_close_matches
from functools import wraps
from typing import Any, TypeVar, cast

from gmmquant.errors import ParameterError
from gmmquant.settings import RANDOM_DITHERS, Settings

Function = TypeVar("Function", bound=Callable[..., Any])

# What options of the command, and names of other libraries, are in Python.
_ELSEWHERE = {
    "colors": "quantize(image, k), or quantize(image, palette=...) for given colours",
    "format": "result.save(path, format=...)",
    "k": "Quantizer(image).fit(k)",
    "init_params": "init",
    "layers": "Quantizer.layers",
    "maps": "Quantizer.maps",
    "mask": "an alpha channel that is 0 where a pixel is not to count",
    "max_pixels": "read_image(path, max_pixels=...)",
    "model": "apply_model(image, path)",
    "n_clusters": "quantize(image, k)",
    "n_colors": "quantize(image, k)",
    "n_components": "quantize(image, k)",
    "n_init": "restarts",
    "optimize": "result.save(path, optimize=True)",
    "output": "result.save(path)",
    "palette": "quantize(image, palette=...), or Quantizer(image).fit_palette(palette)",
    "random_state": "seed",
    "reg_covar": "noise",
    "sample_weight": "an alpha channel: a pixel weighs (alpha / 255)^2",
    "save_model": "result.save_model(path)",
    "transfer_from": "transfer_colors(image, target)",
}

# What a saved model decides, in addition to the settings of its fit.
_OF_MODELS = {"k", "palette", "colors", "n_clusters", "n_colors", "n_components", "init_params", "n_init", "reg_covar"}

# The settings that do not matter for a palette: its colours are not fitted.
_OF_FREE_COLORS = ("method", "average", "init", "search", "restarts", "n_seeds")


def hinted(function: Function) -> Function:
    """Return a function whose TypeError for an unknown keyword names the argument or function to use."""
    known = list(inspect.signature(function).parameters)

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        refuse_unknown(function.__name__, kwargs, known)
        return function(*args, **kwargs)

    return cast("Function", call)


def refuse_unknown(function: str, names: Collection[str], known: Collection[str]) -> None:
    """Raise a TypeError for the first of `names` that is not in `known`, with a hint."""
    for name in names:
        if name in known:
            continue
        near = get_close_matches(name, known, 1, 0.75)
        hint = f"; use {_ELSEWHERE[name]}" if name in _ELSEWHERE else f"; did you mean {near[0]}?" if near else ""
        if function == "apply_model" and (name in _OF_MODELS or name in Settings.__dataclass_fields__):
            hint = "; the mixture is that of the model, so omit it"
        raise TypeError(f"{function}() got an unexpected keyword argument {name!r}{hint}")


def refuse_ineffective(
    options: Mapping[str, Any], settings: Settings, *, has_palette: bool = False, has_model: bool = False
) -> None:
    """Raise a ParameterError for the first of `options` that is set and has no effect on these `settings`.

    An option is set if its value is not the default; `has_palette` and `has_model` are whether the colours are those of
    a palette or of a saved model.
    """
    defaults = {field.name: field.default for field in fields(Settings)}
    chosen = {name for name, value in options.items() if not _is_default(value, defaults[name])}

    def refuse(names: Collection[str], reason: str) -> None:
        for name in names:
            if name in chosen:
                raise ParameterError(f"{name} = {options[name]!r} has no effect {reason}")

    if settings.dither == "none":
        refuse(["strength"], "without dithering; use dither = 'blue-noise', or omit it")
    if has_model and settings.dither not in RANDOM_DITHERS:
        refuse(["seed"], f"on a saved model with dither = {settings.dither!r}; use dither = 'blue-noise', or omit it")
    if settings.covariance != "full" and settings.shrink:
        refuse(["shrink"], f"on covariance = {settings.covariance!r}; omit one of them")
    if has_palette:
        refuse(_OF_FREE_COLORS, "with a palette, which sets the colours; omit it")
    elif settings.method == "kmeans":
        refuse(["init"], "on KMeans, which chooses its starts itself; omit it")
        if settings.noise or settings.shrink:
            refuse(["noise", "shrink"], "on KMeans, which fits no mixture; omit it, or use method = 'gmm'")


def _is_default(value: Any, default: Any) -> bool:
    return value is None or (type(value) is type(default) and value == default)
