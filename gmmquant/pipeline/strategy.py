"""Strategies: where the mixture for recolouring an image comes from.

`FitEach` fits one to each image. Those that need a file are in `loaded_strategy`, that of many images together in
`shared_palette`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from gmmquant.models.em import Watcher
from gmmquant.models.selection import BoundedChoice, Choice
from gmmquant.quantization.fit import Fit
from gmmquant.quantization.fitter import Fitter
from gmmquant.quantization.quantizer import Quantizer, Receiver
from gmmquant.quantization.result import QuantizedImage
from gmmquant.settings import Settings


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

    def fits_ahead(self, fitter: Fitter, ks: Iterable[int]) -> AbstractContextManager[None]:
        """Return a block in which fits in `ks` colours are asked for, and may be made at the same time."""
        return nullcontext()

    def fit(self, fitter: Fitter, k: int, watch: Watcher) -> Fit:
        """Return the fit in `k` colours to the colours of an image, or of many."""
        return fitter.fit(k, watch)

    def recolor(self, quantizer: Quantizer, k: int, watch: Watcher, receive: Receiver) -> QuantizedImage:
        """Recolour an image in `k` colours; `watch` and `receive` as for `Quantizer.fit`."""
        return quantizer.recolor(self.fit(quantizer.fitter, k, watch), receive)


@dataclass(frozen=True)
class FitEach(Strategy):
    """Fit a mixture to each image."""

    def fits_ahead(self, fitter: Fitter, ks: Iterable[int]) -> AbstractContextManager[None]:
        """Make the fits in forks of this process: see `Fitter.fits_in_forks`."""
        return fitter.fits_in_forks(ks)
