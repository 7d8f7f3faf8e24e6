"""Drawings as the pages of a PDF: by matplotlib with texts as text, or without matplotlib as images."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from typing import Any

from PIL import Image, PdfParser

from gmmquant.images.contact_sheet.drawing import Drawing, Picture, Rectangle, Text
from gmmquant.images.contact_sheet.fonts import Font, RasterFont
from gmmquant.images.contact_sheet.pictures import picture_file
from gmmquant.images.contact_sheet.raster import rasterize
from gmmquant.images.containers import iterate_chunks
from gmmquant.images.encoding.output_metadata import MARK, save_by_pillow

# 2,000 pixels become 17 cm.
_POINTS_PER_PIXEL = 72 / 300

_POINTS_PER_INCH = 72

_INDEXED = 3  # the colour type of a PNG with a palette

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
    """Return drawings as the pages of a PDF: texts and rectangles by matplotlib, and pictures over them."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_pdf import PdfPages

    file = io.BytesIO()
    # The mark tells a later run that it may replace the file. Without the date, the same sheet is the same file.
    metadata = {"Title": title, "CreationDate": None, "Creator": MARK, "Producer": None}
    with rc_context({"pdf.fonttype": 42, "pdf.compression": 6}), PdfPages(file, metadata=metadata) as pdf:
        for page in pages:
            pdf.savefig(_figure(page))
    return _with_pictures(file.getvalue(), pages)


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
        elif isinstance(item, Text):
            style: dict[str, Any] = {"family": _FAMILY, "weight": "bold" if item.bold else "normal"}
            style |= {"size": item.size * _POINTS_PER_PIXEL, "color": item.color, "zorder": order}
            axes.text(item.x, item.y, item.text, ha="left", va="baseline", parse_math=False, **style)
    axes.set(xlim=(0, page.width), ylim=(page.height, 0))
    return figure


def _with_pictures(document: bytes, pages: Sequence[Drawing]) -> bytes:
    """Return a PDF with the pictures of `pages` over its pages, appended as an update of the file (ISO 32000-1, 7.5.6).

    matplotlib would store each as pixels without loss, and takes no file of an image.
    """
    file = io.BytesIO(document)
    pdf = PdfParser.PdfParser(f=file, mode="r+b")
    facts = [_entries(pdf, page) for page in pdf.pages]
    resources = [_entries(pdf, page["Resources"]) for page in facts]
    objects = [_entries(pdf, each.get("XObject", {})) for each in resources]
    pdf.start_writing()
    for number, drawing in enumerate(pages):
        pictures = [item for item in drawing.items if isinstance(item, Picture)]
        names = {f"picture{n}": _write_image(pdf, *picture_file(each.pixels)) for n, each in enumerate(pictures)}
        placed = "\n".join(_placed(drawing, picture, name) for picture, name in zip(pictures, names, strict=True))
        contents = [facts[number]["Contents"], pdf.write_obj(None, stream=placed.encode("ascii"))]
        used = {**resources[number], "XObject": {**objects[number], **names}}
        pdf.write_page(pdf.pages[number], **{**facts[number], "Resources": used, "Contents": contents})
    # Line ends within texts of other letters are changed by readers, unless the texts are in hexadecimal digits.
    for name, text in pdf.info.items():
        pdf.info[name] = PdfParser.PdfBinary(bytes(text)) if isinstance(text, (bytes, bytearray)) else text
    pdf.write_xref_and_trailer()
    return file.getvalue()


def _entries(pdf: Any, value: Any) -> dict[str, Any]:
    """Return the entries of a dictionary of a PDF, or of a reference to one."""
    found = value if isinstance(value, Mapping) else pdf.read_indirect(value)
    return {PdfParser.PdfName(name).name_as_str(): entry for name, entry in found.items()}


def _write_image(pdf: Any, kind: str, data: bytes) -> Any:
    """Write a file of an image, a "png" without alpha or a "jpeg", as an object, and return the reference to it.

    PDF takes a JPEG as it is, and the pixels of a PNG, whose filters are predictors of its compression (7.4.4.4).
    """
    with Image.open(io.BytesIO(data)) as image:
        width, height = image.size
    name = PdfParser.PdfName
    shape = {"Type": name("XObject"), "Subtype": name("Image"), "Width": width, "Height": height}
    if kind == "jpeg":
        entries = {"Filter": name("DCTDecode"), "BitsPerComponent": 8, "ColorSpace": name("DeviceRGB")}
        return pdf.write_obj(None, stream=data, **shape, **entries)
    chunks = list(iterate_chunks(data))
    bit_depth, color_type = next(body for chunk, body in chunks if chunk == b"IHDR")[8:10]
    space: Any = name("DeviceRGB")
    if color_type == _INDEXED:
        colors = next(bytes(body) for chunk, body in chunks if chunk == b"PLTE")
        space = [name("Indexed"), name("DeviceRGB"), len(colors) // 3 - 1, PdfParser.PdfBinary(colors)]
    n_channels = 1 if color_type == _INDEXED else 3
    predictor = {"Predictor": 15, "Colors": n_channels, "BitsPerComponent": bit_depth, "Columns": width}
    entries = {"Filter": name("FlateDecode"), "DecodeParms": predictor, "BitsPerComponent": bit_depth}
    stream = b"".join(body for chunk, body in chunks if chunk == b"IDAT")
    return pdf.write_obj(None, stream=stream, ColorSpace=space, **shape, **entries)


def _placed(drawing: Drawing, picture: Picture, name: str) -> str:
    """Return the operators that draw a picture on a page, whose origin is its lower left corner."""
    height, width = picture.pixels.shape[:2]
    box = (width, height, picture.x, drawing.height - picture.y - height)
    w, h, x, y = (_POINTS_PER_PIXEL * length for length in box)
    return f"q {w:f} 0 0 {h:f} {x:f} {y:f} cm /{name} Do Q"


def encode_pdf_images(pages: Sequence[Drawing], title: str, font: RasterFont) -> bytes:
    """Return drawings as the pages of a PDF: texts and rectangles as a lossless image, and pictures over it.

    Pillow would store RGB as JPEG, and RGBA as JPEG 2000 with alpha, which some viewers draw as stripes. Its writer of
    objects takes the pixels of a PNG.
    """
    file = io.BytesIO()
    pdf = PdfParser.PdfParser(f=file, mode="w+b")
    pdf.info |= {"Title": PdfParser.PdfBinary(PdfParser.encode_text(title)), "Creator": MARK}
    pdf.start_writing()
    pdf.write_header()
    references = [[pdf.next_object_id(0) for _ in range(2)] for _ in pages]
    pdf.pages.extend(page for page, _ in references)
    pdf.write_catalog()
    for drawing, (page, content) in zip(pages, references, strict=True):
        size = [_POINTS_PER_PIXEL * drawing.width, _POINTS_PER_PIXEL * drawing.height]
        under = drawing._replace(items=tuple(item for item in drawing.items if not isinstance(item, Picture)))
        whole = Picture(0, 0, rasterize(under, font))
        lossless = save_by_pillow(Image.fromarray(whole.pixels), "PNG")  # the colours of palettes are exact
        resources = PdfParser.PdfDict(XObject={"page": _write_image(pdf, "png", lossless)})
        pdf.write_page(page, Resources=resources, MediaBox=[0, 0, *size], Contents=content)
        pdf.write_obj(content, stream=_placed(drawing, whole, "page").encode("ascii"))
    pdf.write_xref_and_trailer()
    return _with_pictures(file.getvalue(), pages)
