"""Colour spaces that files state by code points, as cICP of PNG and nclx of AVIF do, or by gamma and primaries.

The tables are those of ITU-T H.273, 8.1 and 8.2. The curves of SDR video (BT.709, BT.601, BT.2020) are taken as sRGB's,
as browsers do: displays and viewers of video differ from the formulas of cameras. PQ and HLG are for displays brighter
than sRGB's white; they need tone mapping, and are not applied.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

from gmmquant.images.decoding.icc import SRGB_CURVE, parametric_curve, rgb_profile

_D65, _C, _DCI = (0.3127, 0.3290), (0.310, 0.316), (0.314, 0.351)
_TOLERANCE = 0.001  # of x and y
_GAMMA = 0.45455  # with which files state sRGB's curve
_MAX_EXPONENT = 10.0
_BT601 = (*_D65, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070)
_UNSPECIFIED, _BT709, _SRGB = 2, 1, 13

# x and y of white, red, green and blue.
SRGB_CHROMATICITIES = (*_D65, 0.640, 0.330, 0.300, 0.600, 0.150, 0.060)
_PRIMARIES: dict[int, tuple[str, tuple[float, ...]]] = {
    1: ("BT.709", SRGB_CHROMATICITIES),
    4: ("BT.470 System M", (*_C, 0.67, 0.33, 0.21, 0.71, 0.14, 0.08)),
    5: ("BT.601 625", (*_D65, 0.64, 0.33, 0.29, 0.60, 0.15, 0.06)),
    6: ("BT.601 525", _BT601),
    7: ("SMPTE ST 240", _BT601),
    8: ("film", (*_C, 0.681, 0.319, 0.243, 0.692, 0.145, 0.049)),
    9: ("BT.2020", (*_D65, 0.708, 0.292, 0.170, 0.797, 0.131, 0.046)),
    10: ("XYZ", (1 / 3, 1 / 3, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0)),
    11: ("DCI-P3", (*_DCI, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060)),
    12: ("P3-D65", (*_D65, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060)),
    22: ("primaries 22", (*_D65, 0.630, 0.340, 0.295, 0.605, 0.155, 0.077)),
}

_ADOBE_RGB = (*_D65, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06)

# Curves from values to light; None if a curve is not applied.
_CURVES: dict[int, tuple[str, bytes | None]] = {
    1: ("BT.709", SRGB_CURVE),
    4: ("gamma 2.2", parametric_curve(2.2)),
    5: ("gamma 2.8", parametric_curve(2.8)),
    6: ("BT.601", SRGB_CURVE),
    7: ("SMPTE ST 240", parametric_curve(1 / 0.45, 1 / 1.1115, 0.1115 / 1.1115, 1 / 4, 4 * 0.0228)),
    8: ("linear", parametric_curve(1.0)),
    9: ("log 100:1", None),
    10: ("log 316:1", None),
    11: ("xvYCC", None),
    12: ("BT.1361", None),
    13: ("sRGB", SRGB_CURVE),
    14: ("BT.2020", SRGB_CURVE),
    15: ("BT.2020", SRGB_CURVE),
    16: ("PQ", None),
    17: ("SMPTE ST 428", None),
    18: ("HLG", None),
}

# Pairs of primaries and curve that have a name.
_NAMES = {(12, 13): "Display P3", (9, 14): "BT.2020", (9, 15): "BT.2020", (9, 16): "BT.2100 PQ", (9, 18): "BT.2100 HLG"}


class StatedSpace(NamedTuple):
    """The colour space that a file states: a profile (see `StoredImage`), sRGB, or another that is not applied."""

    profile: bytes | None = None
    is_srgb: bool = False
    other_color_space: str | None = None

    def unless_srgb(self) -> StatedSpace:
        """Return nothing stated if this is sRGB, in a format that cannot leave its space open."""
        return StatedSpace() if self.is_srgb else self


def space_of_code_points(source: str, primaries: int, curve: int, *, full_range: bool = True) -> StatedSpace:
    """Return the space of two code points. `source` is where a file states them, for messages.

    Unspecified primaries are those of sRGB, and an unspecified curve is that of sRGB. Values of RGB in the narrow range
    of video are not applied.
    """
    if primaries == curve == _UNSPECIFIED:
        return StatedSpace()
    pair = _BT709 if primaries == _UNSPECIFIED else primaries, _SRGB if curve == _UNSPECIFIED else curve
    primaries_name, chromaticities = _PRIMARIES.get(pair[0], (f"primaries {primaries}", None))
    curve_name, light = _CURVES.get(pair[1], (f"curve {curve}", None))
    if chromaticities == SRGB_CHROMATICITIES and light == SRGB_CURVE and full_range:
        return StatedSpace(is_srgb=True)
    name = _NAMES.get(pair) or f"{primaries_name}, {curve_name}"
    if chromaticities is not None and light is not None and full_range:
        return space_of_primaries(name, chromaticities, light)
    name = name if full_range else f"{name}, narrow range"
    return StatedSpace(other_color_space=f"colour space {name} ({source} {primaries}/{curve})")


def space_of_gamma(
    gamma: float, chromaticities: Sequence[float], gamma_source: str, primaries_source: str
) -> StatedSpace:
    """Return the space of the exponent that encodes light, or 0 for none, and of x and y; nothing if it is sRGB.

    A gamma within 5 % of sRGB's stands for sRGB's curve, as in libpng; so does none. Any other is a power of the light.
    The sources are where a file states them, for messages.
    """
    curve: bytes | None = SRGB_CURVE
    words, sources = [], []
    if gamma and abs(gamma - _GAMMA) > _GAMMA / 20:
        curve = parametric_curve(1 / gamma) if 1 / _MAX_EXPONENT <= gamma <= _MAX_EXPONENT else None
        words, sources = [f"gamma {gamma:g}"], [gamma_source]
    if not is_srgb(chromaticities):
        words.append("primaries" if words else "other primaries")
        sources.append(primaries_source)
    name = f"{' and '.join(words)} ({', '.join(dict.fromkeys(sources))})"
    if curve is None:
        return StatedSpace(other_color_space=name)
    return space_of_primaries(name, chromaticities, curve) if words else StatedSpace()


def is_srgb(chromaticities: Sequence[float]) -> bool:
    """Return whether x and y of white, red, green and blue are those of sRGB, up to their third digit."""
    return all(abs(a - b) <= _TOLERANCE for a, b in zip(chromaticities, SRGB_CHROMATICITIES, strict=True))


def space_of_primaries(name: str, chromaticities: Sequence[float], curve: bytes) -> StatedSpace:
    """Return the space of x and y of white, red, green and blue, and a curve; it is not applied if they are absurd."""
    try:
        return StatedSpace(profile=rgb_profile(name, chromaticities, curve))
    except ValueError:
        return StatedSpace(other_color_space=name)


@cache
def adobe_rgb_profile() -> bytes:
    """Return the profile of Adobe RGB (1998), which cameras state in EXIF."""
    return rgb_profile("Adobe RGB (EXIF)", _ADOBE_RGB, parametric_curve(563 / 256))
