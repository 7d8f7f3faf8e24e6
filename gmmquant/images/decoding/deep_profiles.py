"""Conversion of 16-bit values to sRGB by ICC profiles.

Pillow passes 16 bits to littlecms only for grey. That is enough for profiles of grey, and for profiles of RGB that
consist of a curve for each channel and a matrix, as most do: littlecms evaluates the curves, and the matrix is applied
here. Profiles of RGB with tables of colours are for 8 bits only. Intent and black point are those of `profiles`.
"""

from __future__ import annotations

import io
from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from gmmquant.colors.spaces import linear_to_srgb, srgb_to_linear
from gmmquant.images.decoding.code_points import SRGB_CHROMATICITIES
from gmmquant.images.decoding.decoder_stderr import damage_ignored
from gmmquant.images.decoding.icc import SRGB_CURVE, grey_profile, read_tags, to_connection_space
from gmmquant.models.array_validation import FloatArray
from gmmquant.system.threads import for_each

_TOP = 65535
_TABLE_SIZE = 1 << 20  # of the curve from light to sRGB: near black, where it is steep, its error is 0.4 of 65535
_BAND_PIXELS = 1 << 16  # converted at a time, in cache

# Tags of tables of colours, which littlecms prefers to a matrix.
_TABLES = {b"A2B0", b"A2B1", b"A2B2", b"D2B0", b"D2B1", b"D2B2", b"D2B3"}
_CURVES, _COLUMNS = (b"rTRC", b"gTRC", b"bTRC"), (b"rXYZ", b"gXYZ", b"bXYZ")

Values = npt.NDArray[np.uint16]


class MatrixConversion(NamedTuple):
    """A conversion by the light of each value, float32 (3, 65536), and a matrix (3, 3) to linear sRGB."""

    light: npt.NDArray[np.float32]
    matrix: FloatArray

    def convert(self, rows: Values) -> None:
        """Convert RGB (h, w, 3), or the colours of RGBA (h, w, 4), in place."""
        height, width = rows.shape[:2]
        step = max(_BAND_PIXELS // width, 1)
        table = _encoding_table()

        def convert_band(start: int) -> None:
            band = rows[start : start + step]
            light = np.empty((*band.shape[:2], 3), np.float32)
            for channel in range(3):
                light[..., channel] = self.light[channel][band[..., channel]]
            light = cv2.transform(light, self.matrix)
            np.clip(light, 0, _TABLE_SIZE - 1, out=light)
            band[..., :3] = table[light.astype(np.int32)]

        for_each(convert_band, range(0, height, step), height * width)


def grey_table(profile: bytes) -> Values:
    """Return the sRGB level of each 16-bit value of a grey profile, shape (65536,)."""
    from PIL import ImageCms

    return _littlecms_greys(profile, ImageCms.Flags.BLACKPOINTCOMPENSATION)


@lru_cache(maxsize=4)
def matrix_conversion(profile: bytes) -> MatrixConversion | None:
    """Return the conversion of a profile of RGB; None if it has tables of colours or is broken."""
    tags = read_tags(profile)
    if _TABLES & tags.keys() or not {*_CURVES, *_COLUMNS} <= tags.keys() or profile[20:24] != b"XYZ ":
        return None
    with damage_ignored():
        columns = [np.frombuffer(tags[column][8:20], ">i4") / 65536 for column in _COLUMNS]
        levels = np.stack([_littlecms_greys(grey_profile(tags[curve])) for curve in _CURVES])
        light = srgb_to_linear(levels / _TOP).astype(np.float32)
        to_srgb = np.linalg.solve(to_connection_space(SRGB_CHROMATICITIES), np.stack(columns, axis=1))
        # An index is the nearest entry: values are truncated.
        matrix = np.column_stack([to_srgb * (_TABLE_SIZE - 1), np.full(3, 0.5)])
        return MatrixConversion(light, matrix)
    return None


@lru_cache(maxsize=1)
def _encoding_table() -> Values:
    """Return the sRGB value of light 0 to 1 in equal steps."""
    return np.rint(linear_to_srgb(np.linspace(0, 1, _TABLE_SIZE)) * _TOP).astype(np.uint16)


def _littlecms_greys(profile: bytes, flags: int = 0) -> Values:
    """Return what littlecms makes of all 16-bit values of a grey profile, as values of sRGB's curve."""
    from PIL import ImageCms

    source, target = (ImageCms.ImageCmsProfile(io.BytesIO(data)) for data in (profile, grey_profile(SRGB_CURVE)))
    intent = ImageCms.Intent.RELATIVE_COLORIMETRIC
    transform = ImageCms.buildTransform(source, target, "I;16", "I;16", intent, flags | ImageCms.Flags.NOOPTIMIZE)
    levels = Image.fromarray(np.arange(_TOP + 1, dtype=np.uint16)[np.newaxis])
    converted: Values = np.array(ImageCms.applyTransform(levels, transform))[0]
    return converted
