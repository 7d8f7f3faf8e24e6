"""Strategies: where the mixture comes from by which an image is recoloured.

`FitEach` fits one to each image, `ApplyModel` reads it from a file, `FixedPalette` fits it about given colours,
`TransferColors` moves colours to those of another image, and `ApplyFits` uses fits to many images together.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
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


class Strategy(ABC):
    """Where the mixture comes from, and how an image is recoloured by it."""

    @property
    def ks(self) -> list[int | str] | None:
        """The numbers of colours, unless the user chooses them."""
        return None

    @property
    def keeps_order(self) -> bool:
        """Whether files must keep the order of the palette."""
        return False

    @property
    def digest(self) -> str | None:
        """SHA-256 of the content of `inputs`, None without any."""
        return None

    def inputs(self) -> dict[str, Path | Sequence[str]]:
        """Return the inputs other than the image, by their names in the record: files, or hex codes."""
        return {}

    def settings(self, asked: Settings) -> Settings:
        """Return the settings asked for, completed by those that the strategy brings."""
        return asked

    def choose_k(self, quantizer: Quantizer) -> Choice:
        """Return the choice of k for "auto"."""
        return quantizer.choose_k()

    @abstractmethod
    def recolor(self, quantizer: Quantizer, k: int, watch: Watch, receive: Receiver) -> QuantizedImage:
        """Recolour an image in `k` colours; `watch` and `receive` as for `Quantizer.fit`."""


class FitEach(Strategy):
    """Fit a mixture to each image."""

    def recolor(self, quantizer: Quantizer, k: int, watch: Watch, receive: Receiver) -> QuantizedImage:
        """Fit and recolour."""
        return quantizer.fit(k, watch, receive)


@dataclass(frozen=True)
class ApplyModel(Strategy):
    """Recolour by a saved model; `path` is its file, and `digest` that of the file."""

    path: Path
    model: Model
    digest: str = ""

    @property
    def ks(self) -> list[int | str]:
        """The number of components."""
        return [len(self.model.gaussians.weights)]

    def inputs(self) -> dict[str, Path | Sequence[str]]:
        """Return the file."""
        return {"model": self.path}

    def settings(self, asked: Settings) -> Settings:
        """Take the colour space and the method of the model, and its recoloring unless the user gave one."""
        recolor = self.model.facts.get("recolor")
        method = self.model.facts["method"] if self.model.facts.get("method") in METHODS else asked.method
        settings = replace(asked, space=self.model.facts["color_space"], method=method)
        return _with_default_recolor(settings, recolor if recolor in RECOLORINGS else None)

    def recolor(self, quantizer: Quantizer, k: int, watch: Watch, receive: Receiver) -> QuantizedImage:
        """Apply the model; nothing is fitted."""
        return quantizer.apply(self.model.gaussians, exact=self.model.facts.get("exact") is True, receive=receive)


@dataclass(frozen=True)
class FixedPalette(Strategy):
    """Fit weights and covariances about given colours (K, 3), uint8; `path` is their file, if any."""

    colors: npt.NDArray[np.uint8]
    path: Path | None = None

    @property
    def ks(self) -> list[int | str]:
        """The number of colours."""
        return [len(self.colors)]

    @property
    def keeps_order(self) -> bool:
        """Whether files must keep the order of the palette: they must."""
        return True

    @property
    def digest(self) -> str:
        """SHA-256 of the colours."""
        return hashlib.sha256(self.colors.tobytes()).hexdigest()

    def inputs(self) -> dict[str, Path | Sequence[str]]:
        """Return the file, or the colours."""
        return {"palette": self.path or [hex_code(color) for color in self.colors]}

    def settings(self, asked: Settings) -> Settings:
        """Give pixels the nearest colour, unless the user gave another recoloring."""
        return _with_default_recolor(asked, "nearest")

    def recolor(self, quantizer: Quantizer, k: int, watch: Watch, receive: Receiver) -> QuantizedImage:
        """Fit weights and covariances to the palette."""
        return quantizer.fit_palette(self.colors, watch, receive)


@dataclass(frozen=True)
class TransferColors(Strategy):
    """Fit each image, and move its colours to those of another image, whose mixtures are fitted once for each k."""

    path: Path
    fitter: Fitter
    digest: str = ""
    _mixtures: dict[int, Gaussians] = field(default_factory=dict, repr=False, compare=False)

    def inputs(self) -> dict[str, Path | Sequence[str]]:
        """Return the file of the other image."""
        return {"transfer_from": self.path}

    def recolor(self, quantizer: Quantizer, k: int, watch: Watch, receive: Receiver) -> QuantizedImage:
        """Fit both images, and transport the mixture of one to that of the other."""
        if k not in self._mixtures:
            self._mixtures[k] = self.fitter.fit(k, watch).mixture
        return quantizer.transfer(quantizer.fit(k, watch), self._mixtures[k], receive)


@dataclass(frozen=True)
class ApplyFits(Strategy):
    """Recolour by fits to many images together: fits by k, and how k was chosen, if it was."""

    fits: Mapping[int, Fit]
    choice: Choice | None = None

    @property
    def keeps_order(self) -> bool:
        """Whether files must keep the order of the palette: it is the same in all files."""
        return True

    def choose_k(self, quantizer: Quantizer) -> Choice:
        """Return the choice of k for all images together."""
        return self.choice if self.choice is not None else quantizer.choose_k()

    def recolor(self, quantizer: Quantizer, k: int, watch: Watch, receive: Receiver) -> QuantizedImage:
        """Recolour by the fit for `k`; the seconds of the result are those spent on this image."""
        return quantizer.recolor(replace(self.fits[k], seconds=dict.fromkeys(self.fits[k].seconds, 0.0)), receive)


def watch_nothing(k: int | str, n_iter: int, objective: float) -> None:
    """Do nothing."""


def fit_shared(
    fitter: Fitter, ks: Sequence[int | str], watch: Callable[[int | str, int, float], None] = watch_nothing
) -> ApplyFits:
    """Fit one mixture for each of `ks`, "auto" chosen by ICL; `watch(k, n_iter, objective)` as for `Fitter.fit`."""
    choice = fitter.choose_k() if AUTO in ks else None
    numbers = [choice.k if choice is not None and k == AUTO else int(k) for k in ks]

    def fit(k: int) -> Fit:
        return fitter.fit(k, lambda n_iter, objective: watch(k, n_iter, objective))

    return ApplyFits({k: fit(k) for k in dict.fromkeys(numbers)}, choice)


def _with_default_recolor(settings: Settings, recolor: Recoloring | None) -> Settings:
    """Return `settings` with a recoloring, unless they have one or a dither."""
    undecided = settings.recolor is None and settings.dither == "none"
    return replace(settings, recolor=recolor) if undecided else settings


def load_model(path: Path) -> ApplyModel:
    """Read a model file; every fault is a `ModelFileError` that names the file."""
    try:
        model = read_model(path)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
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
    return ApplyModel(path.absolute(), model, digest)


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
    """Read the image to take colours from; every fault is an `ImageError` that names the file."""
    try:
        if path.is_dir():
            raise ImageError("is a folder; give one image")
        pixels = read_image(path, max_pixels=max_pixels).pixels
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        return TransferColors(path.absolute(), Fitter(FlatImage.from_array(pixels).histogram(), settings), digest)
    except OSError as error:
        raise ImageError(f"{path}: {system_reason(error)}") from None
    except GmmquantError as error:
        raise ImageError(f"{path}: {error}") from None
