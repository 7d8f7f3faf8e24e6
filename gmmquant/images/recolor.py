"""Labels to picture: every pixel gets the colour of its component."""

from typing import Any

import numpy as np
import numpy.typing as npt


def recolor(
    labels: npt.NDArray[Any], palette: npt.NDArray[np.uint8], alpha: npt.NDArray[np.uint8] | None
) -> npt.NDArray[np.uint8]:
    """Return the picture (h, w, 3), or (h, w, 4) with `alpha` (h, w), of `labels` (h, w) into `palette` (K, 3)."""
    colors = palette[labels]
    return colors if alpha is None else np.dstack([colors, alpha])
