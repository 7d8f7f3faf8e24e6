"""Conversion to sRGB by ICC profiles, with littlecms through Pillow.

The intent is relative colorimetric with black-point compensation: colours that sRGB can show keep their appearance,
white and black stay, and the result does not depend on choices of the profile's maker, as the perceptual intent does.
Colours outside sRGB are clipped. Pillow passes 8 bits per value to littlecms, not more. Whether a profile is sRGB is
found by converting a grid of colours, since names cannot be trusted. Format: ICC.1:2022.
"""

from __future__ import annotations

import io
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from gmmquant.images.decoding.decoder_stderr import damage_ignored
from gmmquant.images.decoding.pillow import decode_cmyk
from gmmquant.images.decoding.reader import Header, StoredImage

MAX_PROFILE_BYTES = 1 << 24  # those of printers have 1 to 3 million
_MAX_NAME_LENGTH = 40
_MODES = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK"}
_GREY_MODES = ("1", "L", "LA", "I", "I;16", "I;16B", "I;16L")  # of Pillow
_BAND_PIXELS = 1 << 20  # converted at a time


class Profile(NamedTuple):
    """A usable profile: its name, Pillow's mode of its input, whether it is sRGB, and the transform."""

    name: str
    mode: str
    is_srgb: bool
    transform: Any

    def convert(self, values: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Convert RGB (h, w, 3), grey (h, w) or CMYK (h, w, 4) to sRGB (h, w, 3)."""
        from PIL import ImageCms

        height, width = values.shape[:2]
        converted = np.empty((height, width, 3), np.uint8)
        step = max(_BAND_PIXELS // width, 1)
        for rows in (slice(start, start + step) for start in range(0, height, step)):
            band = Image.frombytes(self.mode, (width, values[rows].shape[0]), values[rows].tobytes())
            converted[rows] = np.asarray(ImageCms.applyTransform(band, self.transform))
        return converted


def convert_to_srgb(stored: StoredImage, data: bytes, header: Header) -> tuple[npt.NDArray[Any], str | None, bool]:
    """Convert the frames of a file to sRGB; return them, a note, and whether the stated colour space is applied.

    RGB and grey are converted in place, CMYK is decoded again from `data`.
    """
    frames, other = stored.frames, stored.other_color_space
    if stored.is_srgb:
        return frames, None, True
    if stored.profile is None:
        return frames, None if other is None else f"{other} is not applied; values are taken as sRGB", False
    profile = read_profile(stored.profile)
    if profile is None:
        return frames, "the colour profile cannot be read; values are taken as sRGB", False
    if profile.is_srgb:
        return frames, None, True
    if frames.dtype != np.uint8:
        note = f"colour profile {profile.name} is not applied to 16-bit images; values are taken as sRGB"
        return frames, note, False
    if profile.mode == "CMYK" and header.mode == "CMYK":
        frames = profile.convert(decode_cmyk(data, header.format))[np.newaxis]
    elif profile.mode == "L" and header.mode in _GREY_MODES:
        table = profile.convert(np.arange(256, dtype=np.uint8)[np.newaxis])[0]
        frames[..., :3] = table[frames[..., 0]]
    elif profile.mode == "RGB":
        rows = frames.reshape(-1, *frames.shape[2:])
        rows[..., :3] = profile.convert(rows[..., :3])
    else:
        return frames, f"colour profile {profile.name} does not fit the image; values are taken as sRGB", False
    return frames, f"converted from {profile.name} to sRGB", True


@lru_cache(maxsize=8)
def read_profile(data: bytes) -> Profile | None:
    """Read a profile; None if it is broken, too long, or not for RGB, grey or CMYK."""
    if len(data) > MAX_PROFILE_BYTES:
        return None
    from PIL import ImageCms  # for images with a profile only

    with damage_ignored():
        source = ImageCms.ImageCmsProfile(io.BytesIO(data))
        mode = _MODES[source.profile.xcolor_space]
        flags = ImageCms.Flags.BLACKPOINTCOMPENSATION
        if mode == "L":  # littlecms would use a coarse table, wrong for dark levels; 256 conversions need no speed
            flags |= ImageCms.Flags.NOOPTIMIZE
        transform = ImageCms.buildTransform(
            source, ImageCms.createProfile("sRGB"), mode, "RGB", ImageCms.Intent.RELATIVE_COLORIMETRIC, flags
        )
        name = " ".join((source.profile.profile_description or "").split()) or "an unnamed profile"
        profile = Profile(name[:_MAX_NAME_LENGTH], mode, False, transform)
        return profile._replace(is_srgb=mode != "CMYK" and _changes_nothing(profile))
    return None


def _changes_nothing(profile: Profile) -> bool:
    """Tell whether a profile changes no channel of a grid of colours or of all greys by more than one level of 255."""
    if profile.mode == "RGB":
        values = expected = 15 * np.indices((18, 18, 18), dtype=np.uint8).reshape(1, 3, -1).swapaxes(1, 2)
    else:
        values = np.arange(256, dtype=np.uint8)[np.newaxis]
        expected = values[..., np.newaxis]
    return int(np.abs(profile.convert(values).astype(int) - expected).max()) <= 1
