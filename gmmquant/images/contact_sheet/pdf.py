"""Drawings as the pages of a PDF: by matplotlib with texts as text, or without matplotlib as lossless images."""

from __future__ import annotations

import io
import zlib
from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any

from PIL import PdfParser

from gmmquant.images.contact_sheet.drawing import Drawing, Picture, Rectangle
from gmmquant.images.contact_sheet.fonts import Font, RasterFont
from gmmquant.images.contact_sheet.raster import rasterize
from gmmquant.images.encoding.output_metadata import MARK

# 2,000 pixels become 17 cm.
_POINTS_PER_PIXEL = 72 / 300

_POINTS_PER_INCH = 72

_FAMILY = "DejaVu Sans"  # the font that matplotlib contains


class PdfFont:
    """The font of PDF pages, which matplotlib contains: Latin, Greek, Cyrillic, Arabic and Hebrew letters."""

    def __init__(self) -> None:
        from matplotlib.font_manager import FontProperties, findfont, get_font

        self._fonts: list[Any] = [
            get_font(findfont(FontProperties(family=_FAMILY, weight=w))) for w in ("normal", "bold")
        ]
        self._characters = self._fonts[0].get_charmap().keys() & self._fonts[1].get_charmap().keys()
        self._advance = lru_cache(1 << 12)(self._measured)

    def covers(self, character: str) -> bool:
        """Return whether the font has a character."""
        return ord(character) in self._characters

    def width(self, text: str, size: int, *, bold: bool = False) -> float:
        """Return the width of a line of text in pixels, for a font size in pixels."""
        return size * sum(self._advance(c, bold) for c in text)

    def _measured(self, character: str, bold: bool) -> float:
        """Return the width of a character at the size 1."""
        from matplotlib.ft2font import LoadFlags

        glyph = self._fonts[bold].load_char(ord(character), flags=LoadFlags.NO_SCALE)
        return float(glyph.horiAdvance / self._fonts[bold].units_per_EM)


@cache
def pdf_font() -> Font | None:
    """Return the font of PDF pages, or None without matplotlib."""
    try:
        return PdfFont()
    except ModuleNotFoundError:
        return None


def encode_pdf(pages: Sequence[Drawing], title: str) -> bytes:
    """Return drawings as the pages of a PDF by matplotlib: texts, rectangles, and images with their own pixels."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_pdf import PdfPages

    file = io.BytesIO()
    # The mark tells a later run that it may replace the file. Without the date, the same sheet is the same file.
    metadata = {"Title": title, "CreationDate": None, "Creator": MARK, "Producer": None}
    with rc_context({"pdf.fonttype": 42, "pdf.compression": 6}), PdfPages(file, metadata=metadata) as pdf:
        for page in pages:
            pdf.savefig(_figure(page))
    return file.getvalue()


def _figure(page: Drawing) -> Any:
    from matplotlib.backends.backend_pdf import FigureCanvasPdf
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle as Patch

    scale = _POINTS_PER_PIXEL / _POINTS_PER_INCH
    figure = Figure(figsize=(scale * page.width, scale * page.height), facecolor="white")
    FigureCanvasPdf(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    for order, item in enumerate(page.items):
        if isinstance(item, Rectangle):
            box = Patch((item.x, item.y), item.width, item.height, facecolor=item.fill, linewidth=0, zorder=order)
            axes.add_patch(box)
        elif isinstance(item, Picture):
            height, width = item.pixels.shape[:2]
            extent = (item.x, item.x + width, item.y + height, item.y)
            axes.imshow(item.pixels, extent=extent, interpolation="none", aspect="auto", zorder=order)
        else:
            style: dict[str, Any] = {"family": _FAMILY, "weight": "bold" if item.bold else "normal"}
            style |= {"size": item.size * _POINTS_PER_PIXEL, "color": item.color, "zorder": order}
            axes.text(item.x, item.y, item.text, ha="left", va="baseline", parse_math=False, **style)
    axes.set(xlim=(0, page.width), ylim=(page.height, 0))
    return figure


def encode_pdf_images(pages: Sequence[Drawing], title: str, font: RasterFont) -> bytes:
    """Return drawings as the pages of a PDF, each an opaque lossless image.

    Pillow would store RGB as JPEG, and RGBA as JPEG 2000 with alpha, which some viewers draw as stripes. Its writer of
    objects takes RGB compressed by zlib (ISO 32000-1, 7.4.4 and 8.9.5).
    """
    file = io.BytesIO()
    pdf = PdfParser.PdfParser(f=file, mode="w+b")
    pdf.info |= {"Title": title, "Creator": MARK}
    pdf.start_writing()
    pdf.write_header()
    references = [[pdf.next_object_id(0) for _ in range(3)] for _ in pages]
    pdf.pages.extend(page for page, _, _ in references)
    pdf.write_catalog()
    name = PdfParser.PdfName
    for drawing, (page, image, content) in zip(pages, references, strict=True):
        pixels = rasterize(drawing, font)
        size = [_POINTS_PER_PIXEL * drawing.width, _POINTS_PER_PIXEL * drawing.height]
        kind = {"Type": name("XObject"), "Subtype": name("Image"), "Filter": name("FlateDecode")}
        shape = {"Width": drawing.width, "Height": drawing.height, "BitsPerComponent": 8}
        data = zlib.compress(pixels.tobytes(), 6)
        pdf.write_obj(image, stream=data, ColorSpace=name("DeviceRGB"), **kind, **shape)
        resources = PdfParser.PdfDict(XObject=PdfParser.PdfDict(image=image))
        pdf.write_page(page, Resources=resources, MediaBox=[0, 0, *size], Contents=content)
        pdf.write_obj(content, stream=f"q {size[0]:f} 0 0 {size[1]:f} 0 0 cm /image Do Q".encode("ascii"))
    pdf.write_xref_and_trailer()
    return file.getvalue()
