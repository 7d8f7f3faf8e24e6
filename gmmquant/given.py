"""What a user gives beside the pictures: a model, a palette, a picture whose colours are wanted; each a way to draw."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gmmquant.colors.palette import hex_code
from gmmquant.colors.palette_files import parse_colors
from gmmquant.colors.spaces import COLOR_SPACES
from gmmquant.errors import GmmquantError, ModelFileError, PaletteFileError, ParameterError, PictureError
from gmmquant.fitting import Fitter
from gmmquant.images.files import read_picture
from gmmquant.images.pixels import FlatImage
from gmmquant.images.swatches import load_palette
from gmmquant.models.gaussian import Gaussians
from gmmquant.models.persistence import Model, read_model
from gmmquant.process import system_reason
from gmmquant.quantized import QuantizedImage
from gmmquant.quantizer import Quantizer, Receiver
from gmmquant.settings import MAX_PIXELS, METHODS, RECOLORINGS, SPACE_TITLES, SPACES, Settings, check_k
from gmmquant.ways import PlainFit

Watch = Callable[[int, float], None]


@dataclass(frozen=True)
class GivenModel(PlainFit):
    """A model that pictures are recoloured by, and the file it came from."""

    path: Path
    model: Model

    @property
    def ks(self) -> list[int | str]:
        """The number of components."""
        return [len(self.model.gaussians.weights)]

    def told(self) -> dict[str, Path | Sequence[str]]:
        """Return the file."""
        return {"model": self.path}

    def settings(self, asked: Settings) -> Settings:
        """Take the model's colour space; unless it was asked otherwise, pixels get their colours as in its fit."""
        recolor = self.model.facts.get("recolor")
        method = self.model.facts.get("method")
        method = str(method) if method in METHODS else asked.method
        settings = replace(asked, space=str(self.model.facts["color_space"]), method=method)
        return _unless_said(settings, recolor if recolor in RECOLORINGS else None)

    def draw(self, quantizer: Quantizer, k: int, watch: Watch, receive: Receiver) -> QuantizedImage:
        """Apply the model; nothing is fitted."""
        return quantizer.apply(self.model.gaussians, exact=self.model.facts.get("exact") is True, receive=receive)


@dataclass(frozen=True)
class GivenPalette(PlainFit):
    """A palette that pictures keep to: colours (K, 3), uint8, and the file that they came from, if any."""

    colors: npt.NDArray[np.uint8]
    path: Path | None = None

    @property
    def ks(self) -> list[int | str]:
        """The number of colours."""
        return [len(self.colors)]

    @property
    def keeps_order(self) -> bool:
        """Whether the order of the palette is part of what was asked for: it is."""
        return True

    def told(self) -> dict[str, Path | Sequence[str]]:
        """Return the file, or the colours."""
        return {"palette": self.path or [hex_code(color) for color in self.colors]}

    def settings(self, asked: Settings) -> Settings:
        """Unless it was asked otherwise, pixels get the nearest colour."""
        return _unless_said(asked, "nearest")

    def draw(self, quantizer: Quantizer, k: int, watch: Watch, receive: Receiver) -> QuantizedImage:
        """Fit weights and covariances to the palette."""
        return quantizer.fit_palette(self.colors, watch, receive)


@dataclass(frozen=True)
class GivenTarget(PlainFit):
    """A picture whose colours other pictures take: those colours, and the mixtures fitted to them."""

    path: Path
    fitter: Fitter
    _mixtures: dict[int, Gaussians] = field(default_factory=dict, repr=False, compare=False)

    def told(self) -> dict[str, Path | Sequence[str]]:
        """Return the file."""
        return {"transfer_to": self.path}

    def draw(self, quantizer: Quantizer, k: int, watch: Watch, receive: Receiver) -> QuantizedImage:
        """Fit both pictures, this one once for all, and move the colours of the one to those of the other."""
        if k not in self._mixtures:
            self._mixtures[k] = self.fitter.fit(k, watch).mixture
        return quantizer.transfer(quantizer.fit(k, watch), self._mixtures[k], receive)


def _unless_said(settings: Settings, recolor: str | None) -> Settings:
    """Return `settings` with a way to recolour, if they say none, neither by itself nor by a dither."""
    undecided = settings.recolor is None and settings.dither == "none"
    return replace(settings, recolor=recolor) if undecided else settings


def load_model(path: Path) -> GivenModel:
    """Read a model of pictures; every fault is a `ModelFileError` that names the file."""
    try:
        model = read_model(path)
        K, d = model.gaussians.means.shape
        name = model.facts.get("color_space")
        if d != 3 or name not in SPACES:
            raise ModelFileError(f"not a model of colours ({d} features); give one that --save-model wrote")
        check_k(K)
        space = COLOR_SPACES[str(name)]
        low, high = np.array(space.low), np.array(space.high)
        spread = high - low
        variances = np.diagonal(model.gaussians.full_covariances(), axis1=1, axis2=2) / spread**2
        means = (model.gaussians.means - low) / spread
        if np.abs(means - 0.5).max() > 1 or variances.min() < 1e-15 or variances.max() > 1:
            raise ModelFileError(
                f"means or covariances are not of {SPACE_TITLES[space.name]} colours; give one that --save-model wrote"
            )
    except OSError as error:
        raise ModelFileError(f"{path}: {system_reason(error)}") from None
    except (ModelFileError, ParameterError) as error:
        raise ModelFileError(f"{path}: {error}") from None
    return GivenModel(path.absolute(), model)


def give_palette(text: str) -> GivenPalette:
    """Read a palette from a list of colours, `#rrggbb,#rgb`, or from the file of that name.

    Every fault of a file is a `PaletteFileError` that names it.
    """
    path = Path(text)
    if text.startswith("#") or ("," in text and not path.exists()):
        return GivenPalette(parse_colors(text))
    try:
        return GivenPalette(load_palette(path), path.absolute())
    except OSError as error:
        reason = f"{system_reason(error)}; give a palette file, or colours as in '#1d3557,#e63946'"
        raise PaletteFileError(f"{path}: {reason}") from None
    except PaletteFileError as error:
        raise PaletteFileError(f"{path}: {error}") from None


def load_target(path: Path, settings: Settings, max_pixels: int = MAX_PIXELS) -> GivenTarget:
    """Read the picture that others take their colours from; every fault is a `PictureError` that names the file."""
    try:
        if path.is_dir():
            raise PictureError("a folder; give one picture")
        pixels = read_picture(path, max_pixels=max_pixels).pixels
        return GivenTarget(path.absolute(), Fitter(FlatImage.from_array(pixels).histogram(), settings))
    except OSError as error:
        raise PictureError(f"{path}: {system_reason(error)}") from None
    except GmmquantError as error:
        raise PictureError(f"{path}: {error}") from None
