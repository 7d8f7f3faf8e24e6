"""Strategies: where the mixture for recolouring an image comes from.

`FitEach` fits one to each image, `ApplyModel` reads it from a file, `FixedPalette` fits it about fixed colours,
`TransferColors` moves colours to those of another image, and `ApplyFits` applies fits to many images together.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from gmmquant.errors import GmmquantError, ImageError, ModelFileError, PaletteFileError
from gmmquant.images.files import read_image
from gmmquant.images.pixels import FlatImage
from gmmquant.models.em import Watcher
from gmmquant.models.gaussian import Gaussians
from gmmquant.models.selection import BoundedChoice, Choice
from gmmquant.parsing import hex_code
from gmmquant.quantization.color_models import ColorModel, read_color_model, with_default_recolor
from gmmquant.quantization.fit import Fit
from gmmquant.quantization.fit_colors import candidates_of
from gmmquant.quantization.fitter import Fitter
from gmmquant.quantization.quantizer import Quantizer, Receiver
from gmmquant.quantization.result import QuantizedImage
from gmmquant.settings import MAX_PIXELS, Settings
from gmmquant.system.process import system_reason

if TYPE_CHECKING:
    from gmmquant.images.palette_image import FoundPalette


@dataclass(frozen=True, eq=False, kw_only=True)
class Strategy:
    """Where the mixture comes from, and how an image is recoloured by it."""

    ks: Sequence[int | str] | None = None  # the numbers of colours, unless the user chooses them
    keeps_order: bool = False  # whether files must keep the order of the palette
    inputs: Mapping[str, Path | Sequence[str]] = field(default_factory=dict)  # files or hex codes, by name
    digest: str | None = None  # SHA-256 of the content of `inputs`
    names: Mapping[str, str] = field(default_factory=dict)  # of colours, by hex code, for palette files
    note: str = ""  # on `inputs`, for the user

    def settings(self, asked: Settings) -> Settings:
        """Return the settings asked for, completed by those of the strategy."""
        return asked

    def choose_k(self, quantizer: Quantizer, asked: str) -> Choice | BoundedChoice:
        """Return the choice of k for "auto" or "auto:DE"."""
        return quantizer.choose_k(asked)

    def fit(self, fitter: Fitter, k: int, watch: Watcher) -> Fit:
        """Return the fit in `k` colours to the colours of an image, or of many."""
        return fitter.fit(k, watch)

    def recolor(self, quantizer: Quantizer, k: int, watch: Watcher, receive: Receiver) -> QuantizedImage:
        """Recolour an image in `k` colours; `watch` and `receive` as for `Quantizer.fit`."""
        return quantizer.recolor(self.fit(quantizer.fitter, k, watch), receive)


@dataclass(frozen=True)
class FitEach(Strategy):
    """Fit a mixture to each image."""


@dataclass(frozen=True)
class ApplyModel(Strategy):
    """Recolour by a saved model."""

    model: ColorModel

    def settings(self, asked: Settings) -> Settings:
        """Take the space, the method and the noise of the model, and its recoloring unless the user chose one."""
        return self.model.settings(asked)

    def recolor(self, quantizer: Quantizer, k: int, watch: Watcher, receive: Receiver) -> QuantizedImage:
        """Apply the model; nothing is fitted."""
        return self.model.recolor(quantizer, receive)


@dataclass(frozen=True, eq=False)
class FixedPalette(Strategy):
    """Fit weights and covariances about fixed colours, uint8 (K, 3), or about the best k of them."""

    colors: npt.NDArray[np.uint8]

    def settings(self, asked: Settings) -> Settings:
        """Give pixels the nearest colour, unless the user chose another recoloring."""
        return with_default_recolor(asked, "nearest")

    def fit(self, fitter: Fitter, k: int, watch: Watcher) -> Fit:
        """Fit weights and covariances to the palette."""
        return fitter.fit_palette(self.colors, None if self.ks else k, watch)


@dataclass(frozen=True)
class TransferColors(Strategy):
    """Fit each image, and move its colours to those of another image, whose mixtures are fitted once for each k."""

    fitter: Fitter
    _mixtures: dict[int, Gaussians] = field(default_factory=dict, repr=False, compare=False)

    def recolor(self, quantizer: Quantizer, k: int, watch: Watcher, receive: Receiver) -> QuantizedImage:
        """Fit both images, and transport the mixture of one to that of the other."""
        if k not in self._mixtures:
            self._mixtures[k] = self.fitter.fit(k, watch).mixture
        result = quantizer.recolor(self.fit(quantizer.fitter, k, watch))
        return quantizer.transfer(result, self._mixtures[k], receive)


@dataclass(frozen=True)
class ApplyFits(Strategy):
    """Recolour by fits to many images together: the fits by k, and the choices of k for "auto" and "auto:DE"."""

    fits: Mapping[int, Fit]
    choices: Mapping[str, Choice | BoundedChoice] = field(default_factory=dict)

    def choose_k(self, quantizer: Quantizer, asked: str) -> Choice | BoundedChoice:
        """Return the choice of k for all images together."""
        return self.choices[asked]

    def recolor(self, quantizer: Quantizer, k: int, watch: Watcher, receive: Receiver) -> QuantizedImage:
        """Recolour by the fit for `k`; the seconds of the result are those spent on this image."""
        return quantizer.recolor(replace(self.fits[k], seconds=dict.fromkeys(self.fits[k].seconds, 0.0)), receive)


@contextmanager
def _errors_of(path: Path, error_type: type[GmmquantError], remedy: str = "") -> Iterator[None]:
    """Turn all errors about a file into one type, with the path in the message."""
    try:
        yield
    except OSError as error:
        raise error_type(f"{path}: {system_reason(error)}{remedy}") from None
    except GmmquantError as error:
        raise error_type(f"{path}: {error}") from None


def load_model(path: Path) -> ApplyModel:
    """Read a model; every error is a `ModelFileError` with the path."""
    try:
        model = read_color_model(path)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise ModelFileError(f"{path}: {system_reason(error)}") from None
    K = len(model.model.gaussians.weights)
    return ApplyModel(model, ks=[K], inputs={"model": path.absolute()}, digest=digest)


def load_fixed_palette(text: str, settings: Settings, ks: Sequence[int | str] = ()) -> FixedPalette:
    """Read a palette from a file, or from colours and names such as "gameboy" and "#fff,red": see `read_colors`.

    For each of `ks`, the best k colours are used, and a `ParameterError` is raised if there are fewer; without any, all
    are.
    """
    found, source = read_colors(text)
    colors, names = found.colors, found.names
    for k in ks:
        candidates_of(colors, settings, int(k))
    return FixedPalette(
        colors,
        ks=None if ks else [len(colors)],
        keeps_order=True,
        inputs={"palette": source or [hex_code(color) for color in colors]},
        digest=hashlib.sha256(colors.tobytes() + "".join(map(" ".join, names.items())).encode()).hexdigest(),
        names=names,
        note=note_on(text, found),
    )


def note_on(text: str, found: FoundPalette) -> str:
    """Return the note on the colours that were found in the file `text`, for the user; empty if there is none."""
    return f"{text}: {found.note}" if found.note else ""


def read_colors(text: str) -> tuple[FoundPalette, Path | None]:
    """Return the colours of a palette file, or of hex codes and names, and the absolute path, if it is a file.

    A file of that name comes first. Every error of a file is a `PaletteFileError`.
    """
    from gmmquant.colors.palette_files import parse_colors
    from gmmquant.images.palette_image import FoundPalette, load_named_palette
    from gmmquant.images.palette_input import palette_path

    path = palette_path(text)
    if path is None:
        return FoundPalette(parse_colors(text), {}), None
    with _errors_of(path, PaletteFileError, "; use a palette file, or colours such as '#1d3557,#e63946'"):
        return load_named_palette(path), path.absolute()


def load_transfer_image(path: Path, settings: Settings, max_pixels: int = MAX_PIXELS) -> TransferColors:
    """Read the image to take colours from; every error is an `ImageError` with the path."""
    with _errors_of(path, ImageError):
        if path.is_dir():
            raise ImageError("is a folder; use one image")
        pixels = read_image(path, max_pixels=max_pixels).pixels
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        fitter = Fitter(FlatImage.from_array(pixels).require_visible().histogram(), settings)
    return TransferColors(fitter, inputs={"transfer_from": path.absolute()}, digest=digest)
