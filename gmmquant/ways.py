"""What becomes of a picture at each k: the plain way, a fit of its own, from which other ways differ (see `given`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from gmmquant.models.selection import Choice
from gmmquant.quantized import QuantizedImage
from gmmquant.quantizer import Quantizer, Receiver
from gmmquant.settings import Settings


class PlainFit:
    """A mixture is fitted to each picture, and the picture drawn by it."""

    @property
    def ks(self) -> list[int | str] | None:
        """The numbers of colours, where they are not for the user to say."""
        return None

    @property
    def keeps_order(self) -> bool:
        """Whether the order of the palette is part of what was asked for."""
        return False

    def told(self) -> dict[str, Path | Sequence[str]]:
        """Return what was given beside the pictures, as the record tells it: files, or hex codes."""
        return {}

    def settings(self, asked: Settings) -> Settings:
        """Return the settings for pictures, with what those that were asked for leave open."""
        return asked

    def choose_k(self, quantizer: Quantizer) -> Choice:
        """Return how a number of colours is chosen where that was asked for."""
        return quantizer.choose_k()

    def draw(
        self, quantizer: Quantizer, k: int, watch: Callable[[int, float], None], receive: Receiver
    ) -> QuantizedImage:
        """Recolour a picture in `k` colours; `watch` and `receive` as for `Quantizer.fit`."""
        return quantizer.fit(k, watch, receive)
