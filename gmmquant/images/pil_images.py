"""PIL images as pixels in sRGB: what Pillow has read of colour space and orientation is applied, as for files."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from gmmquant.errors import ImageError, ParameterError
from gmmquant.images.decoding.code_points import SRGB_CHROMATICITIES, StatedSpace, space_of_gamma
from gmmquant.images.decoding.decoder_stderr import damage_ignored
from gmmquant.images.decoding.metadata import states_adobe_rgb, xmp_orientation
from gmmquant.images.decoding.reader import Header, StoredImage
from gmmquant.images.exif import ORIENTATION
from gmmquant.images.files import orient
from gmmquant.system.printable import printable

# Modes whose values have a known range.
_GREY, _COLOR = {"1", "L"}, {"P", "RGB", "RGBX", "CMYK", "YCbCr", "LAB", "HSV"}
_WITH_ALPHA = {"LA", "La", "PA", "RGBA", "RGBa"}

# Pillow's names of formats with animations. The further images of others, such as TIFF, are pages.
_ANIMATED = {"GIF", "PNG", "WEBP", "AVIF"}

_ONE_OR_ALL = "pass image.copy() for the present frame, or the path of the file for all"

# Names of formats here that differ from Pillow's.
_NAMES = {"JPEG2000": "JPEG 2000", "JXL": "JPEG XL"}


def pixels_of(image: Image.Image) -> npt.NDArray[Any]:
    """Return the pixels of a PIL image: grey (height, width, 1), RGB or RGBA, sRGB.

    They are uint8, or uint16 for mode I;16. An entry or colour that `info["transparency"]` marks becomes alpha. Applied
    are the profile, gamma and primaries in `info`, Adobe RGB of EXIF, and the orientation of EXIF or XMP, unless Pillow
    has applied it, as in a TIFF. A ParameterError is raised for other modes, for an animation, and for an image that is
    closed, an ImageError for one whose file is damaged.
    """
    _load(image)
    n_frames = _number_of_frames(image) if getattr(image, "format", None) in _ANIMATED else 1
    if n_frames > 1:
        raise ParameterError(f"image is an animation of {n_frames} frames; {_ONE_OR_ALL}")
    pixels = _converted(image)
    exif = Image.Exif()
    with damage_ignored():
        exif = image.getexif()
    space = _stated_space(image)
    if not space.is_srgb and (space != StatedSpace() or states_adobe_rgb(exif)):
        pixels = _in_srgb(image, pixels, space, exif)
    orientation = exif.get(ORIENTATION)
    return orient(pixels, orientation if isinstance(orientation, int) else xmp_orientation(image.info.get("xmp")))


def _load(image: Image.Image) -> None:
    """Let Pillow read the pixels, which it does on first use."""
    try:
        image.load()
    except MemoryError:
        raise
    except Exception as error:
        # After `with Image.open(...)` there is no file, and Pillow fails on the None in its place.
        if isinstance(error, (AssertionError, AttributeError)) or "closed" in str(error):
            raise ParameterError(
                "the PIL image or its file is closed; use it inside its with block, or pass the path of the file"
            ) from None
        raise ImageError(f"Pillow cannot decode it: {printable(str(error))}; use a complete file") from None


def _number_of_frames(image: Image.Image) -> int:
    """Return the number of frames, which Pillow looks for in the file of a GIF when it is asked."""
    try:
        return int(getattr(image, "n_frames", 1))
    except MemoryError:
        raise
    except Exception as error:
        if "closed" in str(error):
            raise ParameterError(
                f"the file of the PIL image is closed, so its number of frames is unknown; {_ONE_OR_ALL}"
            ) from None
        raise ImageError(f"Pillow cannot decode it: {printable(str(error))}; use a complete file") from None


def _converted(image: Image.Image) -> npt.NDArray[Any]:
    """Return the pixels as Pillow converts them, without a profile."""
    mode = image.mode
    if mode.startswith("I;16"):
        pixels = np.asarray(image)
        return pixels.astype(pixels.dtype.newbyteorder("="), copy=False)[..., np.newaxis]
    if mode == "F":  # Pillow's conversion to other modes clips values, and scales none
        raise ParameterError(
            "a PIL image of mode F has no known range; pass its values scaled to 0..65535, as in "
            "np.rint(65535 * np.asarray(image)).astype(np.uint16) if they go from 0 to 1, or the path of the file"
        )
    if mode not in _GREY | _COLOR | _WITH_ALPHA:
        raise ParameterError(
            f"a PIL image of mode {mode} has no known range; use image.convert('I;16') for grey values up to 65535 or "
            "image.convert('RGB') for values up to 255"
        )
    if mode == "La":  # Pillow converts it to LA only
        image = image.convert("LA")
    target = "RGBA" if image.has_transparency_data else "L" if mode in _GREY else "RGB"
    pixels = np.asarray(image.convert(target))
    return pixels[..., np.newaxis] if target == "L" else pixels


def _stated_space(image: Image.Image) -> StatedSpace:
    """Return the colour space that `info` states; Pillow has gamma and primaries of a PNG there."""
    profile = image.info.get("icc_profile")
    if isinstance(profile, bytes) and profile:
        return StatedSpace(profile=profile)
    if "srgb" in image.info:
        return StatedSpace(is_srgb=True)
    with damage_ignored():
        gamma, primaries = float(image.info.get("gamma", 0)), image.info.get("chromaticity") or SRGB_CHROMATICITIES
        return space_of_gamma(gamma, [float(value) for value in primaries], "gAMA", "cHRM")
    return StatedSpace()


def _in_srgb(image: Image.Image, pixels: npt.NDArray[Any], space: StatedSpace, exif: Image.Exif) -> npt.NDArray[Any]:
    """Return `pixels` (height, width, 1, 3 or 4) converted from the colour space of the image."""
    from gmmquant.images.decoding.profiles import convert_to_srgb  # loads littlecms's module

    colors = np.repeat(pixels, 3, axis=-1) if pixels.shape[-1] == 1 else pixels
    name = image.format or ""
    stored = StoredImage(colors[np.newaxis], exif=exif, **space._asdict())
    inks = np.asarray(image) if image.mode == "CMYK" else np.empty(0, np.uint8)
    frames, _, _ = convert_to_srgb(stored, inks, Header(_NAMES.get(name, name), image.size, image.mode))
    return np.asarray(frames[0])
