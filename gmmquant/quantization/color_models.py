"""Models of colours as files: a mixture, the colour space of its fit, and how its images are drawn."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from gmmquant.colors.palette import Palette
from gmmquant.colors.spaces import COLOR_SPACES, SRGB
from gmmquant.errors import ModelFileError
from gmmquant.models.serialization import Model, errors_of_model, read_model
from gmmquant.parsing import check_k, parse_hex, shortened
from gmmquant.quantization.mixtures import range_problem
from gmmquant.quantization.quantizer import Quantizer, Receiver, receive_nothing
from gmmquant.quantization.result import QuantizedImage
from gmmquant.settings import COLOR_DEPTHS, RECOLORINGS, SPACE_TITLES, SPACES, Method, Recoloring, Settings


@dataclass(frozen=True, eq=False)
class ColorModel:
    """A saved mixture of colours, and the colours of its components: (K, 3), or None for the means in 8 bits."""

    model: Model
    colors: Palette | None = None

    @property
    def method(self) -> Method:
        """How the mixture was fitted: by EM unless the file says otherwise."""
        return "kmeans" if self.model.facts.get("method") == "kmeans" else "gmm"

    def settings(self, asked: Settings) -> Settings:
        """Return the settings asked for with the space, the method and the noise of the model.

        It also sets the recoloring, unless one is asked for.
        """
        facts = self.model.facts
        recolor, method = facts.get("recolor"), self.method
        noise = facts.get("noise", 0.0)
        settings = replace(asked, space=facts.get("color_space", SRGB.name), method=method, noise=noise)
        if recolor == "soft" and (asked.smooth or asked.color_depth != COLOR_DEPTHS[0]):
            recolor = None  # the labels of a mixture that was drawn softly are smoothed, or colours of the depth
        return with_default_recolor(settings, recolor if recolor in RECOLORINGS else None)

    def recolor(self, quantizer: Quantizer, receive: Receiver = receive_nothing) -> QuantizedImage:
        """Recolour an image by the model, of which its quantizer has the `settings`; nothing is fitted."""
        facts = self.model.facts
        exact, method = facts.get("exact") is True, self.method
        return quantizer.apply(self.model.gaussians, exact=exact, colors=self.colors, method=method, receive=receive)


def read_color_model(path: Path) -> ColorModel:
    """Read a model of colours.

    A ModelFileError that names the file is raised for another one, an OSError if the system cannot read it.
    """
    with errors_of_model(path):
        return _checked(read_model(path))


def _checked(model: Model) -> ColorModel:
    """Return a model of colours, or raise an error without the name of its file."""
    K, d = model.gaussians.means.shape
    name = model.facts.get("color_space", SRGB.name)  # a mixture that Python fitted has none
    if d != 3 or name not in SPACES:
        found = f"{d} features, and colours have 3" if d != 3 else f"colour space {shortened(str(name))!r}"
        raise ModelFileError(f"not a model of colours: {found}; use one that was fitted to colours")
    check_k(K)
    space = COLOR_SPACES[str(name)]
    if problem := range_problem(model.gaussians, space):
        remedy = "fit it to pixels / 255" if space is SRGB else "use one written by --save-model"
        raise ModelFileError(f"not a model of {SPACE_TITLES[space.name]} colours: {problem}; {remedy}")
    colors = _colors_of(model)
    Settings(noise=model.facts.get("noise", 0.0))  # checks it
    return ColorModel(model, colors)


def _colors_of(model: Model) -> Palette | None:
    """Return the colours that a model names, (K, 3); None if they are the means rounded to 8 bits."""
    codes, K = model.facts.get("palette"), len(model.gaussians.weights)
    if codes is None:
        return None
    colors = [parse_hex(code) for code in codes if isinstance(code, str)] if isinstance(codes, list) else []
    if len(colors) != K or None in colors:
        raise ModelFileError(f"palette is not a list of {K} hex codes; use a model written by --save-model")
    return np.array(colors, dtype=np.uint8)


def with_default_recolor(settings: Settings, recolor: Recoloring | None) -> Settings:
    """Return `settings` with a recoloring, unless they have one or a dither."""
    undecided = settings.recolor is None and settings.dither == "none"
    return replace(settings, recolor=recolor) if undecided else settings
