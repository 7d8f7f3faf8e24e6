"""TIFF, the first page: up to 8 bits by Pillow, whose alpha OpenCV multiplies in or drops; 16 bits by OpenCV.

Planes, floating-point samples and others are decoded by `tiff_samples`, to which the orientation is not applied.

Both libraries apply the tag of the orientation. Layout: TIFF 6.0 (Adobe, 1992).
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import IO, Any, BinaryIO, cast

import numpy as np
import numpy.typing as npt
from PIL import Image

from gmmquant.errors import ImageError
from gmmquant.images.decoding.code_points import SRGB_CHROMATICITIES, StatedSpace, is_srgb, space_of_primaries
from gmmquant.images.decoding.decoder_stderr import damage_ignored
from gmmquant.images.decoding.icc import SRGB_CURVE, sampled_curve
from gmmquant.images.decoding.opencv import decode_with_opencv, stretched, to_rgb
from gmmquant.images.decoding.pillow import decode_with_pillow, opened_by_pillow, read_pillow_header
from gmmquant.images.decoding.reader import SEVERAL_IMAGES, Admit, Header, StoredImage, byte_limit, damaged
from gmmquant.images.decoding.tiff_directory import (
    COMPRESSION,
    HEIGHT,
    WIDTH,
    first_page,
    has_further_image,
    read_directory,
)
from gmmquant.images.decoding.tiff_samples import SampleLayout, decode_samples, sample_layout
from gmmquant.images.decoding.tiff_strips import is_damaged
from gmmquant.images.exif import DESCRIPTIVE, EXIF, GPS, ORIENTATION

_BITS, _PHOTOMETRIC, _CHANNELS, _X_RESOLUTION = 258, 262, 277, 282
_PLANAR, _EXTRA_SAMPLES, _SAMPLE_FORMAT = 284, 338, 339
_TRANSFER, _WHITE, _PRIMARIES = 301, 318, 319
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _YCBCR = 0, 1, 2, 3, 6
_UNSPECIFIED, _ASSOCIATED_ALPHA = 0, 1
_PROFILE = 34675

# Channels of grey, RGB, a palette, inks, YCbCr and Lab.
_COLOR_CHANNELS = {_WHITE_IS_ZERO: 1, _BLACK_IS_ZERO: 1, _RGB: 3, _PALETTE: 1, 5: 4, _YCBCR: 3, 8: 3}
_UNUSED_CHANNELS = "the file has channels other than colours and alpha; they are not used"

# LZMA and Zstandard, which the libtiff in OpenCV lacks.
_ONLY_PILLOW = (34925, 50000)

_UNSUPPORTED_COMPRESSIONS = {
    34661: "JBIG",
    34676: "SGI LogLuv",
    34677: "SGI LogLuv",
    34712: "JPEG 2000",
    34887: "LERC",
    34892: "lossy JPEG of a DNG",
    34933: "PNG",
    34934: "JPEG XR",
    22610: "JPEG XR",
    33003: "JPEG 2000",
    33005: "JPEG 2000",
    50001: "WebP",
    34927: "WebP",
    50002: "JPEG XL",
    52546: "JPEG XL",
}

# A tile larger than this and than four times the image is not read.
_MAX_TILE_PIXELS = 1 << 24


def read_header(file: BinaryIO) -> Header:
    directory = read_directory(file)
    n_pixels = directory.integer(file, WIDTH) * directory.integer(file, HEIGHT)
    # Pillow reads all tags and libtiff a whole tile.
    if directory.tag_bytes > byte_limit(n_pixels) or directory.tile_pixels(file) > max(_MAX_TILE_PIXELS, 4 * n_pixels):
        raise damaged("TIFF")
    n_bytes, has_others = directory.needed_bytes(file), has_further_image(file, directory)
    compression = directory.integer(file, COMPRESSION, 1)
    if compression in _UNSUPPORTED_COMPRESSIONS:
        name = _UNSUPPORTED_COMPRESSIONS[compression]
        raise ImageError(f"a TIFF compressed by {name} is not supported; save it with deflate, or as PNG")
    if directory.order == ">" and directory.is_big:  # Pillow knows BigTIFF with the other order only
        raise ImageError("a big-endian BigTIFF is not supported; save it as a TIFF, or in little-endian order")
    file.seek(0)
    try:
        return read_pillow_header(file, "TIFF", "Tiff", byte_limit(n_pixels))._replace(
            n_bytes=n_bytes, details=has_others
        )
    except MemoryError:
        raise
    except Exception:
        tags = _load_tags(file)
        bits = _bits_of(tags) if _PHOTOMETRIC in tags else 0
        if sample_layout(tags, directory.order) is not None:
            size = int(tags[WIDTH]), int(tags[HEIGHT])
            info = {"icc_profile": tags[_PROFILE]} if _PROFILE in tags else {}
            return Header(
                "TIFF",
                size,
                "RGB" if tags[_PHOTOMETRIC] == _RGB else "L",
                info=info,
                n_bytes=n_bytes,
                details=has_others,
            )
        if bits > 8:
            raise _unsupported(bits) from None
        raise


def decode(data: bytes, header: Header, admit: Admit) -> StoredImage:
    width, height = header.size
    admit(width, height, 1)
    if is_damaged(data, byte_limit(width * height)):
        raise damaged("TIFF")
    data = first_page(data)
    tags = _load_tags(io.BytesIO(data))
    notes = (SEVERAL_IMAGES,) * bool(header.details) + (_UNUSED_CHANNELS,) * _drops_channels(tags)
    layout = sample_layout(tags, "<" if data[:2] == b"II" else ">")
    if layout is not None and _needs_samples(tags):
        return _decode_by_samples(data, header, tags, layout, notes)
    with opened_by_pillow(data, "TIFF") as image:
        tags = dict(getattr(image, "tag_v2", {}))
        exif = _descriptive_exif(image)
    frame = _decode_frame(data, tags)
    dpi = header.info.get("dpi") if _X_RESOLUTION in tags else None  # otherwise Pillow has made one up
    if dpi is not None and tags.get(ORIENTATION) in (5, 6, 7, 8):
        dpi = dpi[::-1]
    # The decoders have applied the tag, but not the orientation in XMP, which counts without the tag.
    orientation = 1 if ORIENTATION in tags else None
    others = {"orientation": orientation, "notes": notes, "dpi": dpi, "exif": exif}
    stored = StoredImage.with_info(frame[np.newaxis], header, **others)
    return stored._replace(has_full_range=_bits_of(tags) < 16).with_space(_stated_space(tags))


def _stated_space(tags: Mapping[int, Any]) -> StatedSpace:
    """Return the space of the tags for white, primaries and curves of RGB, which count without a profile."""
    if tags.get(_PHOTOMETRIC) not in (_RGB, _PALETTE, _YCBCR):
        return StatedSpace()
    words, chromaticities, curve = [], SRGB_CHROMATICITIES, SRGB_CURVE
    with damage_ignored():
        stated = tuple(float(value) for value in (*tags.get(_WHITE, ()), *tags.get(_PRIMARIES, ())))
        if len(stated) == 8 and not is_srgb(stated):
            words, chromaticities = ["other primaries"], stated
    with damage_ignored():
        levels = [int(level) for level in tags.get(_TRANSFER, ())]
        n = len(levels) if len(levels) in (256, 65536) else len(levels) // 3
        if n in (16, 256, 65536) and levels[:n] * (len(levels) // n) == levels:
            words, curve = [*words, "a curve"], sampled_curve(levels[:n])
    return space_of_primaries(f"{' and '.join(words)} (TIFF)", chromaticities, curve) if words else StatedSpace()


def _decode_frame(data: bytes, tags: Mapping[int, Any]) -> npt.NDArray[Any]:
    bits = _bits_of(tags)
    if bits <= 8:
        return decode_with_pillow(data, "TIFF")
    if tags.get(_PLANAR) == 2 and tags.get(_CHANNELS, 1) > 1:  # of a layout that `tiff_samples` does not accept
        raise _unsupported(bits)
    try:
        pixels, _, _ = decode_with_opencv(data, "TIFF")
    except ImageError:
        if _is_supported(tags, bits):
            raise
        raise _unsupported(bits) from None
    pixels = to_rgb(pixels)
    if bits < 16:  # OpenCV has shifted them up
        pixels = stretched(pixels >> (16 - bits), (1 << bits) - 1)
    return _finished(pixels, tags)


def _bits_of(tags: Mapping[int, Any]) -> int:
    """Return the bits of the widest channel."""
    return int(np.max(tags.get(_BITS, 1)))


def _needs_samples(tags: Mapping[int, Any]) -> bool:
    """Return whether OpenCV does not decode samples of more than 8 bits that `tiff_samples` decodes."""
    bits, channels = _bits_of(tags), tags.get(_CHANNELS, 1)
    is_plain = bits == 16 and int(np.max(tags.get(_SAMPLE_FORMAT, 1))) == 1 and channels in (1, 3, 4)
    is_planar = tags.get(_PLANAR) == 2 and channels > 1
    return not is_plain or is_planar or tags.get(COMPRESSION, 1) in _ONLY_PILLOW


def _drops_channels(tags: Mapping[int, Any]) -> bool:
    """Return whether there are channels other than colours and alpha. One without a stated meaning is alpha."""
    n_colors = _COLOR_CHANNELS.get(tags.get(_PHOTOMETRIC, -1))
    if n_colors is None or (n_further := int(tags.get(_CHANNELS, 1)) - n_colors) < 1:
        return False
    has_alpha = _UNSPECIFIED not in np.atleast_1d(tags.get(_EXTRA_SAMPLES, ()))[:1]
    return n_further > has_alpha


def _decode_by_samples(
    data: bytes, header: Header, tags: Mapping[int, Any], layout: SampleLayout, notes: tuple[str, ...]
) -> StoredImage:
    samples = decode_samples(data, layout)
    if samples.shape[2] < 3:
        samples = samples[..., [0, 0, 0, *range(1, samples.shape[2])]]
    orientation = int(tags[ORIENTATION]) if ORIENTATION in tags else None
    frames = _finished(samples, tags)[np.newaxis]
    stored = StoredImage.with_info(frames, header, orientation=orientation, dpi=None, notes=notes)
    stored = stored._replace(has_full_range=layout.dtype.kind != "u" or layout.dtype.itemsize != 2)
    return stored.with_space(_stated_space(tags))


def _finished(pixels: npt.NDArray[Any], tags: Mapping[int, Any]) -> npt.NDArray[Any]:
    """Return RGB or RGBA without other channels, without an inversion, and with alpha that is not multiplied in."""
    extra_samples = np.atleast_1d(tags.get(_EXTRA_SAMPLES, ()))
    if (extra_samples[:1] == _UNSPECIFIED).any():
        pixels = pixels[:, :, :3]
    if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:  # which OpenCV ignores
        pixels[:, :, :3] = np.iinfo(pixels.dtype).max - pixels[:, :, :3]
    return _divide_by_alpha(pixels) if _ASSOCIATED_ALPHA in extra_samples and pixels.shape[2] == 4 else pixels


def _is_supported(tags: Mapping[int, Any], bits: int) -> bool:
    """Return whether OpenCV decodes a TIFF of more than 8 bits: grey, or RGB or RGBA of 16 bits, of integers."""
    photometric, channels = tags.get(_PHOTOMETRIC), tags.get(_CHANNELS, 1)
    is_grey = photometric in (_WHITE_IS_ZERO, _BLACK_IS_ZERO) and channels == 1
    is_rgb = photometric == _RGB and channels in (3, 4) and bits == 16
    return (is_grey or is_rgb) and bool(np.max(tags.get(_SAMPLE_FORMAT, 1)) == 1)


def _unsupported(bits: int) -> ImageError:
    remedy = "convert it to grey or RGB with 8 or 16 bits per channel"
    return ImageError(f"this type of TIFF with {bits} bits per channel is not supported; {remedy}")


def _load_tags(file: BinaryIO) -> Mapping[int, Any]:
    """Return the tags of a TIFF, also of one that Pillow cannot open; none if it is damaged."""
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

    with damage_ignored():
        file.seek(0)
        beginning = file.read(16)
        directory = ImageFileDirectory_v2(beginning if b"+" in beginning[:4] else beginning[:8])
        file.seek(directory.next)
        directory.load(cast(IO[bytes], file))
        return dict(directory)
    return {}


def _descriptive_exif(image: Image.Image) -> Image.Exif | None:
    """Return the tags that describe the image and not the file; None if they cannot be read."""
    exif = Image.Exif()
    with damage_ignored():
        tags = image.getexif()
        exif.update({tag: tags[tag] for tag in DESCRIPTIVE if tag in tags})
        for pointer in (EXIF, GPS):
            if directory := tags.get_ifd(pointer):
                exif.get_ifd(pointer).update(directory)
                exif[pointer] = 0  # Pillow sets the offset when it writes
        return exif
    return None


def _divide_by_alpha(pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Undo the multiplication of 16-bit colours by alpha; the colour of fully transparent pixels becomes 0."""
    alpha = pixels[:, :, 3:].astype(np.float64)
    colors = np.divide(pixels[:, :, :3] * 65535.0, alpha, out=np.zeros(pixels[:, :, :3].shape), where=alpha > 0)
    return np.dstack([np.rint(np.minimum(colors, 65535)).astype(pixels.dtype), pixels[:, :, 3]])
