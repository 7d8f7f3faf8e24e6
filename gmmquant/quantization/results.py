"""QuantizedImages: the results for several numbers of colours."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gmmquant.quantization.result import QuantizedImage


class QuantizedImages(list["QuantizedImage"]):
    """A list of results that notebooks show side by side; in everything else it is a plain list."""

    def _repr_html_(self) -> str:
        """Return the page of each result, in one row or several."""
        from gmmquant.quantization.notebook import results_html

        return results_html(self)
