"""Maps of an image: which component each pixel belongs to, how certain that is, and how well the pixel fits at all.

The entropy of a pixel's responsibilities is its uncertainty: 0 bits where one component has it all, 1 bit where two
share it, log2 K at most. Its log-density is low where no component fits: rare colours, specks, edges.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class GreyMap:
    """A value for each pixel, and what black and white stand for where it is drawn in grey.

    Attributes
    ----------
    values : ndarray of float64, shape (height, width)
        Where the image is fully transparent, `black`.
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
        """Make a map of the entropy (height, width) of responsibilities, in bits; white is the most there can be."""
        return cls(entropy, "bits", 0.0, max(math.log2(n_components), 1.0))

    @classmethod
    def of_log_density(cls, log_density: npt.NDArray[np.float64], visible: npt.NDArray[np.bool_] | None) -> GreyMap:
        """Make a map of log-densities (height, width), in nats; black is the lowest there is, white the highest."""
        seen = log_density if visible is None else log_density[visible]
        low, high = float(seen.min()), float(seen.max())
        values = log_density if visible is None else np.where(visible, log_density, low)
        return cls(values, "nats", low, high if high > low else low + 1.0)
