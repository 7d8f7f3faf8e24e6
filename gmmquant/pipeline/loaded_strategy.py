"""Strategies whose mixture comes from a file, and how they are loaded.

`ApplyModel` takes the mixture of a saved model, `FixedPalette` fits one about fixed colours, and `TransferColors` moves
colours to those of another image.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from gmmquant.errors import GmmquantError, ImageError, ModelFileError, PaletteFileError
from gmmquant.images.files import read_image
from gmmquant.images.pixels import FlatImage
from gmmquant.models.em import Watcher
from gmmquant.models.gaussian import Gaussians
from gmmquant.parsing import hex_code
from gmmquant.pipeline.strategy import Strategy
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
