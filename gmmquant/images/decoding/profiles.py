"""Conversion to sRGB by ICC profiles, with littlecms through Pillow.

The intent is relative colorimetric with black-point compensation: colours that sRGB can show keep their appearance,
white and black stay, and the result does not depend on choices of the profile's maker, as the perceptual intent does.
Colours outside sRGB are clipped. Pillow passes 8 bits per value to littlecms; `deep_profiles` converts 16. Whether a
profile is sRGB is found by converting a grid of colours, since names cannot be trusted. Format: ICC.1:2022.
"""

from __future__ import annotations

import io
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from gmmquant.images.decoding.code_points import adobe_rgb_profile
from gmmquant.images.decoding.decoder_stderr import damage_ignored
from gmmquant.images.decoding.deep_profiles import MatrixConversion, grey_table, matrix_conversion
from gmmquant.images.decoding.metadata import states_adobe_rgb
from gmmquant.images.decoding.pillow import decode_cmyk
from gmmquant.images.decoding.reader import Header, StoredImage
from gmmquant.images.pixels import alpha_to_8_bits, in_8_bits

MAX_PROFILE_BYTES = 1 << 24  # those of printers have 1 to 3 million
_MAX_NAME_LENGTH = 40
_MODES = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK"}
_DEVICE_CLASSES = ("scnr", "mntr", "prtr", "spac")  # without links, named colours and abstract profiles
_STATING_FORMATS = ("AVIF", "HEIF", "JPEG XL", "JPEG 2000")  # always state a colour space, so that EXIF does not count
_GREY_MODES = ("1", "L", "LA", "I", "I;16", "I;16B", "I;16L")  # of Pillow
_SPACE = slice(16, 20)  # the bytes of a profile that name its colour space
_MAX_DIFFERENCE = 2  # of 255, between conversions of 16 and of 8 bits
_BAND_PIXELS = 1 << 20  # converted at a time


class Profile(NamedTuple):
    """A readable profile: its bytes and name, Pillow's mode of its input, whether it is sRGB, and the transform.

    The mode is empty if the profile is not of a device with RGB, grey or CMYK.
    """

    data: bytes
    name: str
    mode: str = ""
    is_srgb: bool = False
    transform: Any = None

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


def convert_to_srgb(
    stored: StoredImage, data: bytes | npt.NDArray[np.uint8], header: Header
) -> tuple[npt.NDArray[Any], str | None, bool]:
    """Convert the frames of a file to sRGB; return them, a note, and whether the stated colour space is applied.

    If nothing else is stated, EXIF may state Adobe RGB. RGB and grey are converted in place, CMYK is decoded again from
    `data`, unless they are the inks (h, w, 4). Of 16-bit RGB, a profile with tables of colours leaves 8 bits.
    """
    frames = stored.frames
    if stored.is_srgb:
        return frames, None, True
    if header.mode == "LAB":  # converted by the decoder
        fits = stored.profile is None or stored.profile[_SPACE] == b"Lab "
        unused = "" if fits else "; the colour profile does not fit the image"
        return frames, f"converted from CIELAB (D50) to sRGB{unused}", True
    stated = stored.profile
    if stated is None and stored.other_color_space is not None:
        return frames, f"{stored.other_color_space} is not applied; values are taken as sRGB", False
    may_be_adobe_rgb = header.format not in _STATING_FORMATS and header.mode not in _GREY_MODES
    if stated is None and may_be_adobe_rgb and states_adobe_rgb(stored.exif):
        stated = adobe_rgb_profile()
    if stated is None:
        return frames, None, False
    profile = read_profile(stated)
    if profile is None:
        return frames, "the colour profile cannot be read; values are taken as sRGB", False
    if profile.is_srgb:
        return frames, None, True
    note = f"converted from {profile.name} to sRGB"
    is_grey = header.mode in _GREY_MODES or (profile.mode == "L" and _has_equal_channels(frames))
    if profile.mode == "CMYK" and header.mode == "CMYK":
        inks = decode_cmyk(data, header.format) if isinstance(data, bytes) else data
        return profile.convert(inks)[np.newaxis], note, True
    if header.mode == "CMYK" or not (profile.mode == "RGB" or (profile.mode == "L" and is_grey)):
        return frames, f"colour profile {profile.name} does not fit the image; values are taken as sRGB", False
    if frames.dtype != np.uint8 and profile.mode == "RGB" and _deep_conversion(profile) is None:
        frames = np.concatenate([in_8_bits(frames[..., :3]), alpha_to_8_bits(frames[..., 3:])], axis=-1)
        note += ", with 8 bits per channel"
    elif not frames.flags.writeable:
        frames = frames.copy()
    (_convert_greys if is_grey else _convert_colors)(frames, profile)
    return frames, note, True


@lru_cache(maxsize=4)
def _deep_conversion(profile: Profile) -> MatrixConversion | None:
    """Return the conversion of 16-bit values; None if there is none that agrees with littlecms on a grid of colours.

    They differ for odd curves, such as those that are not black at 0, which the black-point compensation moves.
    """
    conversion = matrix_conversion(profile.data)
    if conversion is not None:
        deep = 257 * _grid().astype(np.uint16)
        conversion.convert(deep)
        if np.abs(deep / 257 - profile.convert(_grid())).max() > _MAX_DIFFERENCE:
            return None
    return conversion


def _grid() -> npt.NDArray[np.uint8]:
    """Return colours in all of RGB, shape (1, 5832, 3)."""
    return 15 * np.indices((18, 18, 18), dtype=np.uint8).reshape(1, 3, -1).swapaxes(1, 2)


def _has_equal_channels(frames: npt.NDArray[Any]) -> bool:
    """Return whether all colours are greys, as of a grey image that a reader, or its writer, has made RGB."""
    return all(np.array_equal(frames[..., 0], frames[..., channel]) for channel in (1, 2))


def _convert_colors(frames: npt.NDArray[Any], profile: Profile) -> None:
    """Convert RGB in place."""
    conversion = None if frames.dtype == np.uint8 else _deep_conversion(profile)
    for frame in frames:
        if conversion is not None:
            conversion.convert(frame)
        else:
            frame[..., :3] = profile.convert(frame[..., :3])


def _convert_greys(frames: npt.NDArray[Any], profile: Profile) -> None:
    """Convert equal channels in place, by a table of all levels."""
    top = int(np.iinfo(frames.dtype).max)
    table: npt.NDArray[Any]
    if profile.mode == "L" and top > 255:
        table = grey_table(profile.data)[:, np.newaxis]
    else:
        table = np.arange(top + 1, dtype=frames.dtype)[np.newaxis, :, np.newaxis].repeat(3, axis=2)
        if profile.mode == "L":
            table = profile.convert(table[..., 0])
        else:
            _convert_colors(table[np.newaxis], profile)
        table = table[0]
        if (np.ptp(table, axis=1) <= top // 255).all():  # greys stay grey: the differences come from rounding
            table = table[:, 1:2]
    frames[..., :3] = table[frames[..., 0]]


@lru_cache(maxsize=8)
def read_profile(data: bytes) -> Profile | None:
    """Read a profile; None if it is broken or too long."""
    if len(data) > MAX_PROFILE_BYTES:
        return None
    from PIL import ImageCms  # for images with a profile only

    with damage_ignored():
        source = ImageCms.ImageCmsProfile(io.BytesIO(data))
        name = " ".join((source.profile.profile_description or "").split()) or "an unnamed profile"
        profile = Profile(data, name[:_MAX_NAME_LENGTH])
        mode = _MODES.get(source.profile.xcolor_space, "")
        if not mode or source.profile.device_class not in _DEVICE_CLASSES:
            return profile
        flags = ImageCms.Flags.BLACKPOINTCOMPENSATION
        if mode == "L":  # littlecms would use a coarse table, wrong for dark levels; 256 conversions need no speed
            flags |= ImageCms.Flags.NOOPTIMIZE
        transform = ImageCms.buildTransform(
            source, ImageCms.createProfile("sRGB"), mode, "RGB", ImageCms.Intent.RELATIVE_COLORIMETRIC, flags
        )
        profile = profile._replace(mode=mode, transform=transform)
        return profile._replace(is_srgb=mode != "CMYK" and _changes_nothing(profile))
    return None


def _changes_nothing(profile: Profile) -> bool:
    """Return whether a profile changes no channel of a grid of colours, or of all greys, by more than 1 of 255."""
    if profile.mode == "RGB":
        values = expected = _grid()
    else:
        values = np.arange(256, dtype=np.uint8)[np.newaxis]
        expected = values[..., np.newaxis]
    return int(np.abs(profile.convert(values).astype(int) - expected).max()) <= 1
