"""QuantizedImages: the results for several numbers of colours."""

from __future__ import annotations

from typing import TYPE_CHECKING, SupportsIndex, overload

if TYPE_CHECKING:
    from gmmquant.quantization.result import QuantizedImage


class QuantizedImages(list["QuantizedImage"]):
    """A list of results that notebooks show side by side, as its slices; in everything else it is a plain list."""

    @overload
    def __getitem__(self, index: SupportsIndex) -> QuantizedImage: ...

    @overload
    def __getitem__(self, index: slice) -> QuantizedImages: ...

    def __getitem__(self, index: SupportsIndex | slice) -> QuantizedImage | QuantizedImages:
        """Return a result, or a list of several that is shown as this one."""
        return QuantizedImages(super().__getitem__(index)) if isinstance(index, slice) else super().__getitem__(index)

    def _repr_html_(self) -> str:
        """Return the page of each result, in one row or several."""
        from gmmquant.quantization.notebook import results_html

        return results_html(self)
