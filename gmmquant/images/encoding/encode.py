"""Encode a recoloured image: PNG, WebP, TIFF, GIF, BMP or JPEG.

Every file carries gmmquant's mark (see `own`), and says what can be carried over from the input (see `carried`). The
same image gives the same bytes. What a format cannot hold is told by `what_is_lost`, before any work.
"""

from __future__ import annotations

import io
import struct
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from gmmquant.errors import ImageError, ParameterError
from gmmquant.images.containers import METERS_PER_INCH
from gmmquant.images.decoded import Animation, Metadata
from gmmquant.images.encoding.frame_diff import frames_of
from gmmquant.images.encoding.output_metadata import NO_METADATA, comments_of, dpi_of, exif_of, profile_of
from gmmquant.images.encoding.palette_entries import Entries, entries_of
from gmmquant.images.encoding.png import encode_png
from gmmquant.images.encoding.png_rows import packed
from gmmquant.images.encoding.signature import BMP_MARK, MARK, jpeg_mark
from gmmquant.images.exif import DESCRIPTIVE
from gmmquant.images.recolor import ColorImage, IndexedImage
from gmmquant.settings import FORMATS

# The longest sides that the formats' headers or their encoders allow.
_MAX_SIDES = {"webp": 16383, "gif": 65535, "jpg": 65500}

# A BMP states its size, and a TIFF the places in it, in 32 bits.
_MAX_BYTES = (1 << 32) - (1 << 20)

# Metadata that the formats have no place for.
_NOT_HELD = {"bmp": ("EXIF", "XMP", "comments"), "gif": ("EXIF", "XMP"), "webp": ("comments",)}

_WHITE = 255

_JPEG_QUALITY = 95
_MAX_SEGMENT = 65533
_XMP_OF_JPEG = b"http://ns.adobe.com/xap/1.0/\0"

_TIFF_DESCRIPTION, _TIFF_COLOR_MAP, _TIFF_XMP = 270, 320, 700
_TIFF_BYTES = 1
_TIFF_COMPRESSION = "tiff_adobe_deflate"

# Bytes that are compressed in one go; Pillow's 64 KB, where each strip begins anew, make files larger.
_LARGE_STRIP = 1 << 24


def encode_image(
    image: IndexedImage | ColorImage,
    format: str,  # noqa: A002
    *,
    metadata: Metadata = NO_METADATA,
    keep_metadata: bool = False,
    animation: Animation | None = None,
    optimize: bool = False,
    keep_order: bool = False,
) -> bytes:
    """Encode an image as a file.

    Parameters
    ----------
    image : IndexedImage or ColorImage
        sRGB. It is written indexed where the format has that and its entries suffice.
    format : one of FORMATS
    metadata : Metadata
        Its resolution is always written where the format has one, and that the colours are sRGB if `has_profile`.
    keep_metadata : bool
        Whether EXIF, XMP and comments are written too, where the format has a place for them.
    animation : Animation or None
        How the frames that stand one below the other in `image` are shown.
    optimize : bool
        Whether to take time for a smaller file. It shows the same.
    keep_order : bool
        Whether the palette stays in its order, also where `optimize` would put it into another and leave out what does
        not occur.

    Raises
    ------
    ImageError
        If the format cannot hold so many colours or so large an image.
    ParameterError
        If there is no such format, or the image cannot be cut into the frames of `animation`.
    """
    check_format(format)
    frames = frames_of(image.labels if isinstance(image, IndexedImage) else image.colors, animation)
    _check_size(format, *frames.shape[:3])
    if format == "png":
        return encode_png(
            image,
            metadata=metadata,
            keep_metadata=keep_metadata,
            animation=animation,
            optimize=optimize,
            keep_order=keep_order,
        )
    if format == "webp":
        from gmmquant.images.encoding.webp import encode_webp

        return encode_webp(image, metadata, keep_metadata=keep_metadata, animation=animation, optimize=optimize)
    if format == "gif":
        from gmmquant.images.encoding.gif import encode_gif

        if isinstance(image, ColorImage):
            raise ImageError("a gif holds 256 colours, this image is in true colour; choose png, webp or tiff")
        return encode_gif(image, metadata, keep_metadata=keep_metadata, animation=animation, optimize=optimize)
    if format == "tiff":
        return _encode_tiff(image, metadata, keep=keep_metadata, animation=animation, optimize=optimize)
    first = _first_frame(image, animation)
    if format == "bmp":
        return _encode_bmp(first, metadata)
    return _encode_jpeg(first, metadata, keep=keep_metadata, optimize=optimize)


def what_is_lost(
    format: str,  # noqa: A002
    *,
    alpha: npt.NDArray[np.uint8] | None = None,
    animation: Animation | None = None,
    metadata: Metadata = NO_METADATA,
) -> tuple[str, ...]:
    """Say in a line each what a file of this format will not hold of an image, and of `metadata` to be kept."""
    check_format(format)
    animated = animation is not None and animation.n_frames > 1
    notes = []
    if format == "jpg":
        notes.append("jpg holds colours approximately: png and webp hold exactly those of the palette")
        if alpha is not None and (alpha < 255).any():
            notes.append("jpg holds no transparency: the image is put on white")
    if format == "gif":
        from gmmquant.images.encoding.gif import OPAQUE, rounds_times

        if alpha is not None and ((alpha > 0) & (alpha < 255)).any():
            notes.append(
                f"gif holds no partial transparency: alpha from {OPAQUE} on becomes opaque, the rest transparent"
            )
        if animation is not None and animated and rounds_times(animation):
            notes.append("gif counts in hundredths of a second: the times of frames are rounded")
    if format == "webp" and animation is not None and animated:
        from gmmquant.images.encoding import webp

        if webp.rounds_times(animation):
            notes.append("webp counts in whole milliseconds: the times of frames are rounded")
    if animated and format in ("bmp", "jpg"):
        notes.append(f"{format} holds one frame: only the first is written")
    if animated and format == "tiff":
        notes.append("tiff holds no times: the frames are written as pages")
    said = {"EXIF": metadata.exif, "XMP": metadata.xmp, "comments": metadata.comments}
    lost = [what for what in _NOT_HELD.get(format, ()) if said[what]]
    if lost:
        notes.append(f"{format} holds no {' and no '.join(lost)}: png holds all")
    if format == "jpg":
        too_long = [what for what, data, limit in _jpeg_blocks(metadata) if len(data) > limit]
        if too_long:
            notes.append(f"jpg holds no {' and no '.join(too_long)} above {_MAX_SEGMENT} bytes: png holds all")
        if any(len(comment) > _MAX_SEGMENT for comment in comments_of(metadata, keep=True)):
            notes.append(f"jpg holds {_MAX_SEGMENT} bytes of a comment: what is longer is cut; png holds all")
    return tuple(notes)


def check_format(format: str) -> None:  # noqa: A002
    """Refuse what is none of FORMATS."""
    if format not in FORMATS:
        raise ParameterError(f"{format!r} is no format to write; choose one of {', '.join(FORMATS)}")


def _check_size(kind: str, n_frames: int, height: int, width: int) -> None:
    limit = _MAX_SIDES.get(kind)
    if limit is not None and max(width, height) > limit:
        raise ImageError(f"{width} x {height} pixels: a side is above the limit {limit} of {kind}; choose png")
    n_bytes = 4 * width * height * (n_frames if kind == "tiff" else 1)
    if kind in ("bmp", "tiff") and n_bytes > _MAX_BYTES:
        raise ImageError(f"{width} x {height} pixels may take more than the 4 GB of a {kind}; choose png")


def _first_frame(image: IndexedImage | ColorImage, animation: Animation | None) -> IndexedImage | ColorImage:
    if animation is None:
        return image
    alpha = None if image.alpha is None else frames_of(image.alpha, animation)[0]
    if isinstance(image, ColorImage):
        return ColorImage(frames_of(image.colors, animation)[0], alpha)
    return IndexedImage(frames_of(image.labels, animation)[0], image.palette, alpha)


def _save(image: Image.Image, kind: str, **options: Any) -> bytearray:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return bytearray(buffer.getbuffer())


def _encode_tiff(
    image: IndexedImage | ColorImage, metadata: Metadata, *, keep: bool, animation: Animation | None, optimize: bool
) -> bytes:
    """Encode a TIFF, its frames as pages; indexed where 256 colours suffice and nothing is transparent."""
    entries = _opaque_entries(image)
    if entries is not None:
        pages = [Image.fromarray(frame) for frame in frames_of(entries.labels, animation)]
        for page in pages:
            page.putpalette(entries.colors.tobytes())
    else:
        pages = [Image.fromarray(frame) for frame in frames_of(image.pixels, animation)]
    tags = _tiff_tags(metadata, keep=keep)
    options: dict[str, Any] = {"software": MARK, "tiffinfo": tags}
    dpi, profile = dpi_of(metadata), profile_of(metadata)
    if dpi is not None:
        options["dpi"] = dpi
    if profile:
        options["icc_profile"] = profile

    if optimize:
        options["strip_size"] = _LARGE_STRIP
    tiff = _save(pages[0], "TIFF", save_all=True, append_images=pages[1:], compression=_TIFF_COMPRESSION, **options)
    return bytes(_with_full_color_maps(tiff))


def _opaque_entries(image: IndexedImage | ColorImage) -> Entries | None:
    """Return the entries of an image without alpha; None where 256 do not suffice, or there is alpha."""
    return entries_of(image) if isinstance(image, IndexedImage) and image.alpha is None else None


def _tiff_tags(metadata: Metadata, *, keep: bool) -> Any:
    from PIL import TiffImagePlugin

    tags = TiffImagePlugin.ImageFileDirectory_v2()
    if keep:
        exif = exif_of(metadata, keep=keep)
        texts = {tag: exif[tag] for tag in DESCRIPTIVE if isinstance(exif.get(tag), str)}
        # One tag for what the EXIF describes and for comments; Pillow gives the bytes of a text as Latin-1.
        described = texts.pop(_TIFF_DESCRIPTION, "").encode("latin-1", "replace")
        lines = [line.replace(b"\0", b"") for line in (described, *comments_of(metadata, keep=keep))]
        tags.update(texts)
        if any(lines):
            tags[_TIFF_DESCRIPTION] = b"\n".join(dict.fromkeys(filter(None, lines))) + b"\0"
        if metadata.xmp:
            tags[_TIFF_XMP], tags.tagtype[_TIFF_XMP] = metadata.xmp, _TIFF_BYTES
    return tags


def _with_full_color_maps(tiff: bytearray) -> bytearray:
    """Raise the 16-bit colours of each page from 256 times an 8-bit one, as Pillow writes them, to 257 times.

    Else white would be 65280 of 65535, which ImageMagick reads as 254.
    """
    (place,) = struct.unpack_from("<I", tiff, 4)
    while place:
        (n_tags,) = struct.unpack_from("<H", tiff, place)
        for number in range(n_tags):
            tag, _, n, value = struct.unpack_from("<HHII", tiff, place + 2 + 12 * number)
            if tag == _TIFF_COLOR_MAP:
                colors = np.frombuffer(tiff, dtype="<u2", count=n, offset=value)
                colors |= colors >> 8
        (place,) = struct.unpack_from("<I", tiff, place + 2 + 12 * n_tags)
    return tiff


def _encode_bmp(image: IndexedImage | ColorImage, metadata: Metadata) -> bytes:
    """Encode a BMP: indexed where 256 colours suffice and nothing is transparent; by OpenCV, with masks, for alpha."""
    entries = _opaque_entries(image)
    if image.alpha is not None:
        _, encoded = cv2.imencode(".bmp", cv2.cvtColor(image.pixels, cv2.COLOR_RGBA2BGRA))
        bmp = bytearray(encoded.tobytes())
    elif entries is not None:
        bmp = _indexed_bmp(entries)
    else:
        bmp = _save(Image.fromarray(image.pixels), "BMP")
    bmp[6:10] = BMP_MARK
    per_meter = [round(dpi / METERS_PER_INCH) for dpi in dpi_of(metadata) or (0, 0)]
    struct.pack_into("<ii", bmp, 38, *per_meter)
    return bytes(bmp)


def _indexed_bmp(entries: Entries) -> bytearray:
    """Make a BMP of entries in 1, 4 or 8 bits (Pillow knows 8 only): a BITMAPINFOHEADER, rows from the lowest up."""
    height, width = entries.labels.shape
    bits = next(bits for bits in (1, 4, 8) if len(entries) <= 1 << bits)
    rows = packed(entries.labels[::-1], bits)
    rows = np.pad(rows, ((0, 0), (0, -rows.shape[1] % 4)))
    colors = np.pad(entries.colors[:, ::-1], ((0, 0), (0, 1))).tobytes()
    start = 54 + len(colors)
    file = struct.pack("<2sIII", b"BM", start + rows.size, 0, start)
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, 0, rows.size, 0, 0, len(entries), 0)
    return bytearray(file + info + colors + rows.tobytes())


def _encode_jpeg(image: IndexedImage | ColorImage, metadata: Metadata, *, keep: bool, optimize: bool) -> bytes:
    """Encode a JPEG on white, its colours in full resolution."""
    dpi, profile = dpi_of(metadata), profile_of(metadata)
    options: dict[str, Any] = {"quality": _JPEG_QUALITY, "subsampling": 0}
    options |= {"optimize": True, "progressive": True} if optimize else {}
    if dpi is not None:
        options["dpi"] = dpi
    if profile:
        options["icc_profile"] = profile
    for what, data, limit in _jpeg_blocks(metadata) if keep else ():
        if 0 < len(data) <= limit:
            options[what.lower()] = data
    jpeg = _save(Image.fromarray(_on_white(image.pixels)), "JPEG", **options)
    said = jpeg_mark()
    for comment in comments_of(metadata, keep=keep):
        said += b"\xff\xfe" + struct.pack(">H", 2 + len(comment[:_MAX_SEGMENT])) + comment[:_MAX_SEGMENT]
    after_jfif = 4 + struct.unpack_from(">H", jpeg, 4)[0]
    return bytes(jpeg[:after_jfif]) + said + bytes(jpeg[after_jfif:])


def _jpeg_blocks(metadata: Metadata) -> tuple[tuple[str, bytes, int], ...]:
    """Return what goes into one segment of a JPEG each or is left out: its name, its bytes, how many there may be."""
    exif = exif_of(metadata, keep=True).tobytes() if metadata.exif else b""
    return ("EXIF", exif, _MAX_SEGMENT), ("XMP", metadata.xmp, _MAX_SEGMENT - len(_XMP_OF_JPEG))


def _on_white(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Put pixels (height, width, 3 or 4) on white, row by row to spare memory."""
    if pixels.shape[2] == 3:
        return pixels
    colors = np.empty((*pixels.shape[:2], 3), dtype=np.uint8)
    for row, shown in zip(pixels, colors, strict=True):
        alpha = row[:, 3:].astype(np.uint32)
        shown[:] = (row[:, :3] * alpha + _WHITE * (255 - alpha) + 127) // 255
    return colors
