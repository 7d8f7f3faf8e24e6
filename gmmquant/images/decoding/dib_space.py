"""The colour space that a device-independent bitmap states by the light of its primaries and by gammas.

Source: Microsoft's "BITMAPV4HEADER" (Win32).
"""

from __future__ import annotations

import struct

import numpy as np

from gmmquant.images.decoding.code_points import (
    SRGB_CHROMATICITIES,
    StatedSpace,
    space_of_gamma,
)

_MIN_HEADER_BYTES = 108
_CALIBRATED = bytes(4)  # the type of the space
_TYPE, _PRIMARIES, _GAMMAS = 56, 60, 96


def stated_space(header: bytes) -> StatedSpace:
    """Return the space of a header of 108 bytes or more; other types than calibrated RGB state sRGB or a profile.

    The light of white is the sum of that of the primaries. Headers filled with zeros state nothing.
    """
    (size,) = struct.unpack_from("<I", header)
    if size < _MIN_HEADER_BYTES or len(header) < size or header[_TYPE : _TYPE + 4] != _CALIBRATED:
        return StatedSpace()
    light = np.array(struct.unpack_from("<9i", header, _PRIMARIES), dtype=float).reshape(3, 3) / (1 << 30)
    gammas = np.array(struct.unpack_from("<3I", header, _GAMMAS), dtype=float) / (1 << 16)
    colors = np.vstack([light.sum(axis=0), light])
    sums = colors.sum(axis=1, keepdims=True)
    chromaticities = (colors[:, :2] / sums).ravel().tolist() if (sums > 0).all() else SRGB_CHROMATICITIES
    if np.ptp(gammas) > 0.01:
        return StatedSpace(other_color_space="a gamma for each channel (BMP)")
    return space_of_gamma(1 / gammas[0] if gammas[0] else 0.0, chromaticities, "BMP", "BMP")
