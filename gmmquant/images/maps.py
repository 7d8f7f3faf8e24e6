"""Maps of an image in grey: how uncertain the component of each pixel is, and how well the mixture fits it.

The entropy of a pixel's responsibilities is 0 bits for a single component, 1 bit for two of equal shares, and log2 K at
most. Its log-density is low where no component fits: rare colours, specks, edges.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class GreyMap:
    """A value for each pixel, and the values that are drawn black and white.

    Attributes
    ----------
    values : ndarray of float64, shape (height, width)
        `black` for fully transparent pixels.
    unit : str
    black, white : float
        In `unit`; linear between them.
    """

    values: npt.NDArray[np.float64]
    unit: str
    black: float
    white: float

    @classmethod
    def of_entropy(cls, entropy: npt.NDArray[np.float64], n_components: int) -> GreyMap:
        """Return a map of the entropy (height, width) of responsibilities, in bits; white is the maximum log2 K."""
        return cls(entropy, "bits", 0.0, max(math.log2(n_components), 1.0))

    @classmethod
    def of_log_density(cls, log_density: npt.NDArray[np.float64], visible: npt.NDArray[np.bool_] | None) -> GreyMap:
        """Return a map of log-densities (height, width), in nats, from the lowest, black, to the highest, white."""
        seen = log_density if visible is None else log_density[visible]
        low, high = float(seen.min()), float(seen.max())
        values = log_density if visible is None else np.where(visible, log_density, low)
        return cls(values, "nats", low, high if high > low else low + 1.0)
