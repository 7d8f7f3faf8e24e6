"""Colours converted to sRGB by colour-science, and profiles in PNG."""

import zlib

import numpy as np
from image_files import png_chunk


def by_colour_science(colour, pixels, space, light):
    """Convert pixels of a space to sRGB; `light` brings values in [0, 1] to linear light. Return levels up to 255."""
    space = colour.RGB_COLOURSPACES[space] if isinstance(space, str) else space
    values = light(pixels / np.iinfo(pixels.dtype).max)
    target = colour.RGB_COLOURSPACES["sRGB"]
    converted = colour.RGB_to_RGB(values, space, target, chromatic_adaptation_transform="Bradford")
    return 255 * colour.models.eotf_inverse_sRGB(np.clip(converted, 0, 1))


def levels(pixels):
    return pixels * (255 / np.iinfo(pixels.dtype).max)


def iccp(profile):
    return png_chunk(b"iCCP", b"name\0\0" + zlib.compress(profile))
