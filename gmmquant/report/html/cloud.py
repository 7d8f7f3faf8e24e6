"""The colours of an image as points in the RGB cube, and components as outlines among them, packed for the page.

A point needs three bytes and no colour: its position is its colour. A component is a shell of two standard deviations:
the three principal sections of its covariance, in the space of the fit. Each of their points is converted to sRGB, so
that the outline of a fit in a curved space is curved, and none is approximated.
"""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import numpy as np
import numpy.typing as npt

from gmmquant.colors.spaces import COLOR_SPACES
from gmmquant.models.array_validation import FloatArray
from gmmquant.report.record import Record, covariances_of

MAX_POINTS = 50_000
MAX_COMPONENTS = 64

# Standard deviations at which a shell lies: those of a fit to many components are narrow.
_DEVIATIONS = 2

# Points of a section.
_SECTION = 24

# Coordinates are 16-bit integers: sRGB from -4 to 4.
_UNIT = 8192


def points(pixels: npt.NDArray[np.uint8], *, seed: int = 0) -> npt.NDArray[np.uint8]:
    """Return the distinct colours (n, 3) of a random sample of 50,000 visible pixels (height, width, 3 or 4)."""
    flat = pixels.reshape(-1, pixels.shape[2])
    if len(flat) > MAX_POINTS:
        # More are drawn if some are hidden.
        n_drawn = min(len(flat), MAX_POINTS if pixels.shape[2] == 3 else 8 * MAX_POINTS)
        flat = flat[np.random.default_rng(seed).integers(len(flat), size=n_drawn)]
    if pixels.shape[2] == 4:
        flat = flat[flat[:, 3] > 0]
    red, green, blue = flat[:MAX_POINTS, :3].astype(np.uint32).T
    codes = np.unique(red << 16 | green << 8 | blue)
    return np.stack([codes >> 16, codes >> 8 & 255, codes & 255], axis=1).astype(np.uint8)


def outlines(fit: Record) -> FloatArray:
    """Return the mean and the three sections of each component, sRGB in [0, 1] or out of gamut: (K, 1 + 3 * 24, 3)."""
    space, components = COLOR_SPACES[fit["space"]], fit["components"]
    means = np.array(components["mean"], dtype=np.float64)[:MAX_COMPONENTS].reshape(-1, 3)
    if not len(means):
        return np.empty((0, 1 + 3 * _SECTION, 3))
    variances, axes = np.linalg.eigh(covariances_of(components)[:MAX_COMPONENTS])
    axes = _DEVIATIONS * axes * np.sqrt(np.maximum(variances, 0))[:, np.newaxis, :]
    angles = np.linspace(0, 2 * np.pi, _SECTION, endpoint=False)
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    sections = [circle @ axes[:, :, pair].transpose(0, 2, 1) for pair in ([0, 1], [1, 2], [0, 2])]
    origin = np.zeros((len(means), 1, 3))
    return space.to_srgb(means[:, np.newaxis] + np.concatenate([origin, *sections], axis=1))


def packed_points(colors: npt.NDArray[np.uint8]) -> str:
    """Return colours (n, 3) in base64."""
    return _base64(colors)


def packed_outlines(values: FloatArray) -> str:
    """Return outlines as little-endian 16-bit integers in base64."""
    return _base64(np.rint(np.clip(values, -3.9, 3.9) * _UNIT).astype("<i2"))


def _base64(values: npt.NDArray[Any]) -> str:
    return b64encode(values.tobytes()).decode("ascii")
