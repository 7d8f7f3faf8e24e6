"""Large images for benchmarks: small photographs enlarged, with noise like a sensor's, saved as JPEG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np


def enlarge(photographs: Sequence[Path], megapixels: float, out: Path, noise: float = 1.0) -> Path:
    """Arrange photographs as tiles of a 4 : 3 image, and write it as PNG and JPEG; return the path of the PNG.

    Noise of one level and JPEG at quality 90 give about as many distinct colours as a camera.
    """
    side = math.isqrt(len(photographs))
    width, height = (round(math.sqrt(megapixels * 1e6 * ratio) / side) for ratio in (4 / 3, 3 / 4))
    rng = np.random.default_rng(0)
    canvas = np.empty((height * side, width * side, 3), np.uint8)
    for index, path in enumerate(photographs[: side * side]):
        row, column = divmod(index, side)
        tile = cv2.resize(cv2.imread(str(path)), (width, height), interpolation=cv2.INTER_CUBIC).astype(np.float32)
        tile += rng.standard_normal(tile.shape, np.float32) * noise
        canvas[row * height :, column * width :][:height, :width] = np.clip(np.rint(tile), 0, 255)
    encoded = cv2.imencode(".jpg", canvas, [cv2.IMWRITE_JPEG_QUALITY, 90])[1]
    out.with_suffix(".jpg").write_bytes(encoded.tobytes())
    cv2.imwrite(str(out), cv2.imdecode(encoded, cv2.IMREAD_COLOR))
    return out


def distinct_colors(path: Path) -> int:
    """Return the number of distinct colours of an image."""
    return len(np.unique(cv2.imread(str(path)).reshape(-1, 3).astype(np.uint32) @ np.array([65536, 256, 1], np.uint32)))
