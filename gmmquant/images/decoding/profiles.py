"""Colour profiles (ICC): what is meant in another colour space is brought to sRGB by littlecms, through Pillow.

Whether a profile is sRGB is seen from what it does to a grid of colours, since names cannot be trusted; then pixels
stay exactly as they are. Others are converted by relative colorimetric intent with black-point compensation: colours
that sRGB has keep their look, white stays white and black black, and nothing depends on a maker's taste, as the
perceptual intent does. Colours out of sRGB's range are cut off. Pillow gives littlecms 8 bits a value, no more.
Format: ICC.1:2022.

Pillow's `ImageCms` is imported when an image has a profile, not before.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from gmmquant.images.decoding.png_chunks import PROFILE_LIMIT

_LONGEST_NAME = 40

# Grey takes 256 conversions in all, so they need not be fast: littlecms would use a coarse table, wrong in the dark.
_MODES = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK"}

# Pixels converted at a time.
_BAND = 1 << 20


@dataclass(frozen=True)
class Profile:
    """A profile that can be used: its name, Pillow's mode of what it converts, whether it is sRGB, the conversion."""

    name: str
    mode: str
    is_srgb: bool
    transform: Any

    def convert(self, values: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Convert RGB (h, w, 3), grey (h, w) or inks (h, w, 4) to sRGB (h, w, 3)."""
        from PIL import ImageCms

        height, width = values.shape[:2]
        converted = np.empty((height, width, 3), np.uint8)
        step = max(_BAND // width, 1)
        for rows in (slice(start, start + step) for start in range(0, height, step)):
            band = Image.frombytes(self.mode, (width, values[rows].shape[0]), values[rows].tobytes())
            converted[rows] = np.asarray(ImageCms.applyTransform(band, self.transform))
        return converted


@lru_cache(maxsize=8)
def read_profile(data: bytes) -> Profile | None:
    """Read a profile; None if it is broken, or of another space than RGB, grey and CMYK."""
    if len(data) > PROFILE_LIMIT:
        return None
    from PIL import ImageCms

    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(data))
        mode = _MODES.get(source.profile.xcolor_space)
        if mode is None:
            return None
        transform = ImageCms.buildTransform(
            source,
            ImageCms.createProfile("sRGB"),
            mode,
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            ImageCms.Flags.BLACKPOINTCOMPENSATION | (ImageCms.Flags.NOOPTIMIZE if mode == "L" else 0),
        )
        name = " ".join((source.profile.profile_description or "").split()) or "an unnamed profile"
        profile = Profile(name[:_LONGEST_NAME], mode, False, transform)
        return Profile(profile.name, mode, _changes_nothing(profile), transform)
    except MemoryError:
        raise
    except Exception:  # littlecms and Pillow fail on broken profiles in several ways, none of them worth an image
        return None


def apply_to(pixels: npt.NDArray[np.uint8], profile: Profile, *, grey: bool) -> bool:
    """Convert 8-bit RGB or RGBA (h, w, 3 or 4) to sRGB in place; alpha stays. Tell whether the profile fits it."""
    if profile.mode == "L" and grey:
        table = profile.convert(np.arange(256, dtype=np.uint8)[np.newaxis])[0]
        pixels[..., :3] = table[pixels[..., 0]]
    elif profile.mode == "RGB":
        pixels[..., :3] = profile.convert(pixels[..., :3])
    else:
        return False
    return True


def _changes_nothing(profile: Profile) -> bool:
    """Tell whether a profile moves no colour of a grid by more than one level of 255."""
    levels = np.arange(0, 256, 15, dtype=np.uint8)
    if profile.mode == "RGB":
        values = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(1, -1, 3)
        meant = values
    elif profile.mode == "L":
        values = np.arange(256, dtype=np.uint8)[np.newaxis]
        meant = np.repeat(values[..., np.newaxis], 3, axis=2)
    else:
        return False
    return int(np.abs(profile.convert(values).astype(int) - meant).max()) <= 1
