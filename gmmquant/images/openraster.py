"""OpenRaster files: the layers of an image in one file, for GIMP, Krita, MyPaint and others.

An OpenRaster file is a zip archive (openraster.org, "File Layout Specification" and "Layer Stack Specification"): the
media type, stored first and without compression; the stack of layers as XML, the topmost first; a PNG for each layer;
the composed image, and a thumbnail of it.

Layers are drawn over each other (`svg:src-over`), which every program does alike. The sum of layers (`svg:plus`) is
defined, but programs differ: Krita limits a sum before it weights it by alpha, and makes two halves of alpha three
quarters; GIMP shows it only where the layer below is, and adds light instead of values.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

import numpy as np
from PIL import Image

from gmmquant.images.encoding.encode import encode_image
from gmmquant.images.encoding.output_metadata import save_by_pillow
from gmmquant.images.recolor import ColorImage

_MEDIA_TYPE = "image/openraster"
_VERSION = "0.0.5"  # of the specification
_THUMBNAIL_PIXELS = 256  # the longest side


def encode_openraster(layers: Iterable[tuple[str, ColorImage]], composed: ColorImage) -> bytes:
    """Return an OpenRaster file of named layers, the lowest first, which look like `composed` over each other.

    The names must not need quoting in XML. The same layers give the same bytes.
    """
    height, width = composed.colors.shape[:2]
    buffer, elements = io.BytesIO(), []
    with ZipFile(buffer, "w") as archive:
        _add(archive, "mimetype", _MEDIA_TYPE.encode())
        for number, (name, layer) in enumerate(layers, start=1):
            path = f"data/layer{number:04}.png"
            _add(archive, path, encode_image(layer, "png"))
            elements.append(
                f'<layer name="{name}" src="{path}" x="0" y="0" opacity="1.0" visibility="visible" '
                'composite-op="svg:src-over" />'
            )
        stack = "\n    ".join(reversed(elements))
        xml = (
            "<?xml version='1.0' encoding='UTF-8'?>\n"
            f'<image version="{_VERSION}" w="{width}" h="{height}">\n  <stack>\n    {stack}\n  </stack>\n</image>\n'
        )
        _add(archive, "stack.xml", xml.encode(), ZIP_DEFLATED)
        _add(archive, "mergedimage.png", encode_image(composed, "png"))
        _add(archive, "Thumbnails/thumbnail.png", _thumbnail(composed))
    return buffer.getvalue()


def _add(archive: ZipFile, name: str, data: bytes, compression: int = ZIP_STORED) -> None:
    """Add a file with the date of an unset `ZipInfo`, so that the bytes do not depend on the time."""
    entry = ZipInfo(name)
    entry.compress_type, entry.create_system, entry.external_attr = compression, 3, 0o644 << 16  # 3: Unix
    archive.writestr(entry, data)


def _thumbnail(image: ColorImage) -> bytes:
    thumbnail = Image.fromarray(np.ascontiguousarray(image.pixels))
    thumbnail.thumbnail((_THUMBNAIL_PIXELS, _THUMBNAIL_PIXELS))
    return save_by_pillow(thumbnail, "PNG")
