"""Where the mixture that an image is recoloured by comes from.

It is fitted to each image (`FitEach`), read from a model file (`ApplyModel`), fitted about the colours of a palette
(`FixedPalette`), mapped to the colours of another image (`TransferColors`), or fitted to many images together
(`ApplyFits`). A sum of histograms is the histogram of all pixels, so a shared fit is the fit to all images side by
side.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gmmquant.colors.palette import hex_code
from gmmquant.colors.palette_files import parse_colors
from gmmquant.colors.spaces import COLOR_SPACES
from gmmquant.errors import GmmquantError, ImageError, ModelFileError, PaletteFileError, ParameterError
from gmmquant.images.files import read_image
from gmmquant.images.palette_image import load_palette
from gmmquant.images.pixels import FlatImage
from gmmquant.models.gaussian import Gaussians
from gmmquant.models.selection import Choice
from gmmquant.models.serialization import Model, read_model
from gmmquant.quantization.fitter import Fit, Fitter
from gmmquant.quantization.quantizer import Quantizer, Receiver
from gmmquant.quantization.result import QuantizedImage
from gmmquant.settings import (
    AUTO,
    MAX_PIXELS,
    METHODS,
    RECOLORINGS,
    SPACE_TITLES,
    SPACES,
    Recoloring,
    Settings,
    check_k,
)
from gmmquant.system.process import system_reason

Watch = Callable[[int, float], None]


class FitEach:
    """A mixture is fitted to each image, and the image drawn by it."""

    @property
    def ks(self) -> list[int | str] | None:
        """The numbers of colours, where they are not for the user to say."""
        return None

    @property
    def keeps_order(self) -> bool:
        """Whether the order of the palette is part of what was asked for."""
        return False

    def inputs(self) -> dict[str, Path | Sequence[str]]:
        """Return what was given beside the images, as the record tells it: files, or hex codes."""
        return {}

    def settings(self, asked: Settings) -> Settings:
        """Return the settings for images, with what those that were asked for leave open."""
        return asked

    def choose_k(self, quantizer: Quantizer) -> Choice:
        """Return how a number of colours is chosen where that was asked for."""
        return quantizer.choose_k()

    def draw(
        self, quantizer: Quantizer, k: int, watch: Callable[[int, float], None], receive: Receiver
    ) -> QuantizedImage:
        """Recolour an image in `k` colours; `watch` and `receive` as for `Quantizer.fit`."""
        return quantizer.fit(k, watch, receive)


@dataclass(frozen=True)
class ApplyModel(FitEach):
    """A model that images are recoloured by, and the file it came from."""

    path: Path
    model: Model

    @property
    def ks(self) -> list[int | str]:
        """The number of components."""
        return [len(self.model.gaussians.weights)]

    def inputs(self) -> dict[str, Path | Sequence[str]]:
        """Return the file."""
        return {"model": self.path}

    def settings(self, asked: Settings) -> Settings:
        """Take the model's colour space; unless it was asked otherwise, pixels get their colours as in its fit."""
        recolor = self.model.facts.get("recolor")
        method = self.model.facts["method"] if self.model.facts.get("method") in METHODS else asked.method
        settings = replace(asked, space=self.model.facts["color_space"], method=method)
        return _unless_said(settings, recolor if recolor in RECOLORINGS else None)

    def draw(self, quantizer: Quantizer, k: int, watch: Watch, receive: Receiver) -> QuantizedImage:
        """Apply the model; nothing is fitted."""
        return quantizer.apply(self.model.gaussians, exact=self.model.facts.get("exact") is True, receive=receive)


@dataclass(frozen=True)
class FixedPalette(FitEach):
    """A palette that images keep to: colours (K, 3), uint8, and the file that they came from, if any."""

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

    def inputs(self) -> dict[str, Path | Sequence[str]]:
        """Return the file, or the colours."""
        return {"palette": self.path or [hex_code(color) for color in self.colors]}

    def settings(self, asked: Settings) -> Settings:
        """Unless it was asked otherwise, pixels get the nearest colour."""
        return _unless_said(asked, "nearest")

    def draw(self, quantizer: Quantizer, k: int, watch: Watch, receive: Receiver) -> QuantizedImage:
        """Fit weights and covariances to the palette."""
        return quantizer.fit_palette(self.colors, watch, receive)


@dataclass(frozen=True)
class TransferColors(FitEach):
    """An image whose colours other images take: those colours, and the mixtures fitted to them."""

    path: Path
    fitter: Fitter
    _mixtures: dict[int, Gaussians] = field(default_factory=dict, repr=False, compare=False)

    def inputs(self) -> dict[str, Path | Sequence[str]]:
        """Return the file."""
        return {"transfer_from": self.path}

    def draw(self, quantizer: Quantizer, k: int, watch: Watch, receive: Receiver) -> QuantizedImage:
        """Fit both images, this one once for all, and move the colours of the one to those of the other."""
        if k not in self._mixtures:
            self._mixtures[k] = self.fitter.fit(k, watch).mixture
        return quantizer.transfer(quantizer.fit(k, watch), self._mixtures[k], receive)


@dataclass(frozen=True)
class ApplyFits(FitEach):
    """Fits that all images are drawn by, and how k was chosen, if it was.

    Attributes
    ----------
    fits : mapping of int to Fit
        By their k.
    choice : Choice or None
    """

    fits: Mapping[int, Fit]
    choice: Choice | None = None

    @property
    def keeps_order(self) -> bool:
        """Whether the order of the palette is part of what was asked for: it is to be one in all files."""
        return True

    def choose_k(self, quantizer: Quantizer) -> Choice:
        """Return how k was chosen for all images together, not for this one."""
        return self.choice if self.choice is not None else quantizer.choose_k()

    def draw(
        self, quantizer: Quantizer, k: int, watch: Callable[[int, float], None], receive: Receiver
    ) -> QuantizedImage:
        """Draw an image by the fit for `k`; the seconds that are told are those spent on this image."""
        return quantizer.recolor(replace(self.fits[k], seconds=dict.fromkeys(self.fits[k].seconds, 0.0)), receive)


def watch_nothing(k: int | str, n_iter: int, objective: float) -> None:
    """Take note of an iteration of the fit at `k` by doing nothing."""


def fit_shared(
    fitter: Fitter, ks: Sequence[int | str], watch: Callable[[int | str, int, float], None] = watch_nothing
) -> ApplyFits:
    """Fit one mixture for each of `ks`, of which "auto" is chosen by ICL, to the colours of all images.

    `watch(k, n_iter, objective)` is called as for `Fitter.fit`.
    """
    choice = fitter.choose_k() if AUTO in ks else None
    numbers = [choice.k if choice is not None and k == AUTO else int(k) for k in ks]

    def fit(k: int) -> Fit:
        return fitter.fit(k, lambda n_iter, objective: watch(k, n_iter, objective))

    return ApplyFits({k: fit(k) for k in dict.fromkeys(numbers)}, choice)


def _unless_said(settings: Settings, recolor: Recoloring | None) -> Settings:
    """Return `settings` with a way to recolour, if they say none, neither by itself nor by a dither."""
    undecided = settings.recolor is None and settings.dither == "none"
    return replace(settings, recolor=recolor) if undecided else settings


def load_model(path: Path) -> ApplyModel:
    """Read a model of images; every fault is a `ModelFileError` that names the file."""
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
    return ApplyModel(path.absolute(), model)


def load_fixed_palette(text: str) -> FixedPalette:
    """Read a palette from a list of colours, `#rrggbb,#rgb`, or from the file of that name.

    Every fault of a file is a `PaletteFileError` that names it.
    """
    path = Path(text)
    if text.startswith("#") or ("," in text and not path.exists()):
        return FixedPalette(parse_colors(text))
    try:
        return FixedPalette(load_palette(path), path.absolute())
    except OSError as error:
        reason = f"{system_reason(error)}; give a palette file, or colours as in '#1d3557,#e63946'"
        raise PaletteFileError(f"{path}: {reason}") from None
    except PaletteFileError as error:
        raise PaletteFileError(f"{path}: {error}") from None


def load_transfer_image(path: Path, settings: Settings, max_pixels: int = MAX_PIXELS) -> TransferColors:
    """Read the image that others take their colours from; every fault is an ImageError` that names the file."""
    try:
        if path.is_dir():
            raise ImageError("a folder; give one image")
        pixels = read_image(path, max_pixels=max_pixels).pixels
        return TransferColors(path.absolute(), Fitter(FlatImage.from_array(pixels).histogram(), settings))
    except OSError as error:
        raise ImageError(f"{path}: {system_reason(error)}") from None
    except GmmquantError as error:
        raise ImageError(f"{path}: {error}") from None
