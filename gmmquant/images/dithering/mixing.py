"""Where a dither mixes colours, and how it measures differences: as the eye does, whatever the space of the fit.

Differences are distances in OKLab, with a weight on chroma (a and b). Neighbouring pixels are mixed by the eye as light
is: the mean of an area is that of its linear light.

The colours of a palette that was fitted to an image are near each other, so their mixtures are about the same in every
space, and what counts is how visible the dots are. They are mixed in OKLab itself, where equal errors are seen alike,
with less weight on chroma, since dots that differ in lightness are the most visible. A part of the error is dropped: it
costs little of the colour of areas, and there are fewer dots.

A palette that was given may have any colours, such as black, white and red. Their mixtures must be those of light, and
of the whole error. A grey must not be nearer to the red than to black and white, or grey areas turn red: see
`chroma_weight`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from gmmquant.colors.spaces import LINEAR, OKLAB, linear_to_oklab
from gmmquant.models.array_validation import FloatArray

Conversion = Callable[[FloatArray], FloatArray]

# The weight on chroma, and the strength. Means over 13 photographs in 16 / 64 colours fitted in OKLab of SSIMULACRA2,
# FLIP, and the distance in OKLab, times 100, after linear light was blurred by a Gaussian of 1.5 pixels:
#     weight 1, strength 1        23.5, 0.146, 1.62 / 58.0, 0.074, 0.60
#     weight 1, strength 0.85     27.9, 0.145, 1.54 / 63.9, 0.074, 0.59
#     weight 0.8, strength 0.9    28.9, 0.143, 1.58 / 64.6, 0.072, 0.58
#     weight 0.65, strength 0.87  29.6, 0.145, 1.61 / 65.5, 0.073, 0.60
#     weight 0.5, strength 0.85   29.4, 0.148, 1.68 / 66.0, 0.074, 0.63
_CHROMA_WEIGHT, _STRENGTH = 0.65, 0.87

# Fitted colours reach nearly all of an image. Without moves, a yellow lighter than all colours but a turquoise one was
# drawn with a third of that. Means of the figures above in 6 / 16 / 64 colours:
#     no moves            -16.1, 0.252, 3.60 / 35.9, 0.142, 1.56 / 68.4, 0.071, 0.58
#     to within 0.02      -15.7, 0.250, 3.52 / 36.2, 0.142, 1.54 / 68.4, 0.071, 0.58
#     to within 0.01      -15.9, 0.251, 3.54 / 36.3, 0.142, 1.54 / 68.4, 0.071, 0.58
#     to a mixture        -16.6, 0.254, 3.60 / 36.0, 0.150, 1.62
_SLACK = 0.01

# The least weight on chroma for given palettes.
_MIN_GIVEN_WEIGHT = 0.8

# The chroma in OKLab from which a colour is not used in place of a grey. That of sRGB's primaries is 0.26 to 0.31.
_VIVID = 0.1


# The linear light of the grey. With Floyd-Steinberg, the blurred difference (as above, of four photographs) for `pico8`
# and `nord` is 2.6 and 8.1 with 0.2, 1.8 and 6.7 with 0.01, 2.0 and 6.2 with 0.005.
_DARK_GREY, _DELTA = 0.01, 1e-4


class Mixing(NamedTuple):
    """How a dither mixes colours.

    `from_srgb` converts colours (..., 3) to the space in which means are taken, and `to_srgb` back. `seen` converts
    from there to the space in which distances are, and `strength` is the share of errors that is passed on. Colours
    that no mixture reaches (see `reach`) are moved to within `slack` of the one that is nearest in that of `looks`.
    """

    from_srgb: Conversion
    to_srgb: Conversion
    seen: Conversion
    looks: Conversion
    slack: float
    strength: float


def same(colors: FloatArray) -> FloatArray:
    """Return the colours: the conversion of a space to itself."""
    return colors


def mixing_of(palette: npt.NDArray[np.uint8], *, given: bool) -> Mixing:
    """Return how the colours of a `palette` (K, 3), fitted or `given`, are mixed."""
    weight = chroma_weight(OKLAB.from_srgb(palette / 255)) if given else _CHROMA_WEIGHT
    scale = np.array([1.0, weight, weight])
    if given:

        def seen(linear: FloatArray) -> FloatArray:
            return np.asarray(_continued_oklab(linear) * scale)

        return Mixing(LINEAR.from_srgb, LINEAR.to_srgb, seen, looks=seen, slack=0.0, strength=1.0)
    return Mixing(
        lambda srgb: OKLAB.from_srgb(srgb) * scale,
        lambda mixed: OKLAB.to_srgb(mixed / scale),
        same,
        looks=lambda mixed: np.asarray(mixed / scale),
        slack=_SLACK,
        strength=_STRENGTH,
    )


def _continued_oklab(linear: FloatArray) -> FloatArray:
    """Return OKLab of linear colours, which goes on with its slopes at a dark grey where they are beyond 0 to 1.

    Errors lead there. With cube roots of what is below 0, a little too much red hid that blue was missing: a vivid blue
    became green.
    """
    inside = np.clip(linear, 0, 1)
    return linear_to_oklab(inside) + (linear - inside) @ _slopes()


@cache
def _slopes() -> FloatArray:
    """Return the derivatives of OKLab by linear red, green and blue (3, 3), at a dark grey."""
    grey = np.full(3, _DARK_GREY)
    return (linear_to_oklab(grey + _DELTA * np.eye(3)) - linear_to_oklab(grey - _DELTA * np.eye(3))) / (2 * _DELTA)


def chroma_weight(oklab: FloatArray) -> float:
    """Return the weight on chroma for a given palette, OKLab of shape (K, 3).

    A vivid colour of lightness L and chroma C is farther from all greys between two neighbours of lightness a < L < b
    than the nearer of these, if it is outside the sphere whose diameter they are (Thales):

        w^2 C^2 >= (L - a) (b - L)

    The weight is the least for which this holds, and at least the one for fitted colours. It is 1.88 for black, white
    and red, also with the other primaries, and 0.8 where there are greys enough, or none.
    """
    lightness, chroma = oklab[:, 0], np.hypot(oklab[:, 1], oklab[:, 2])
    vivid = chroma >= _VIVID
    greys = np.sort(lightness[~vivid])
    above = np.searchsorted(greys, lightness[vivid])
    between = (above > 0) & (above < len(greys))
    a, b, middle = greys[above[between] - 1], greys[above[between]], lightness[vivid][between]
    needed = np.sqrt((middle - a) * (b - middle)) / chroma[vivid][between]
    return float(needed.max(initial=_MIN_GIVEN_WEIGHT))
