"""One mixture for many pictures: fitted to the sum of their colours, once for each k, and each picture drawn by it.

The sum of the pictures' histograms is that of all their pixels, so these are the fits to all pictures side by side.
They are small and can be sent to where pictures are drawn. All files have one palette, in one order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from gmmquant.fitting import Fit, Fitter
from gmmquant.models.selection import Choice
from gmmquant.quantized import QuantizedImage
from gmmquant.quantizer import Quantizer, Receiver
from gmmquant.settings import AUTO
from gmmquant.ways import PlainFit


@dataclass(frozen=True)
class SharedFits(PlainFit):
    """Fits that all pictures are drawn by, and how k was chosen, if it was.

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
        """Return how k was chosen for all pictures together, not for this one."""
        return self.choice if self.choice is not None else quantizer.choose_k()

    def draw(
        self, quantizer: Quantizer, k: int, watch: Callable[[int, float], None], receive: Receiver
    ) -> QuantizedImage:
        """Draw a picture by the fit for `k`; the seconds that are told are those spent on this picture."""
        return quantizer.draw(replace(self.fits[k], seconds=dict.fromkeys(self.fits[k].seconds, 0.0)), receive)


def watch_nothing(k: int | str, n_iter: int, objective: float) -> None:
    """Take note of an iteration of the fit at `k` by doing nothing."""


def fit_shared(
    fitter: Fitter, ks: Sequence[int | str], watch: Callable[[int | str, int, float], None] = watch_nothing
) -> SharedFits:
    """Fit one mixture for each of `ks`, of which "auto" is chosen by ICL, to the colours of all pictures.

    `watch(k, n_iter, objective)` is called as for `Fitter.fit`.
    """
    choice = fitter.choose_k() if AUTO in ks else None
    numbers = [choice.k if choice is not None and k == AUTO else int(k) for k in ks]

    def fit(k: int) -> Fit:
        return fitter.fit(k, lambda n_iter, objective: watch(k, n_iter, objective))

    return SharedFits({k: fit(k) for k in dict.fromkeys(numbers)}, choice)
