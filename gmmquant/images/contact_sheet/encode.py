"""Contact sheets as files."""

from __future__ import annotations

import math
from collections.abc import Sequence

from gmmquant.errors import ParameterError
from gmmquant.images.contact_sheet.fonts import raster_font
from gmmquant.images.contact_sheet.layout import Row, lay_out
from gmmquant.settings import SHEET_FORMATS

# Height in pixels: that of WebP is 14 bits, and 2,000 by 65,000 pixels take 400 MB.
_MAX_HEIGHTS = {"png": 16_000, "webp": 16_000}

_A4 = math.sqrt(2)  # height / width


def encode_sheet(rows: Sequence[Row], format: str, *, title: str, footer: str) -> bytes:  # noqa: A002
    """Return the sheet of `rows` as a file of one of `settings.SHEET_FORMATS`; the same rows give the same bytes.

    PDF has pages; the others are one image.

    Raises
    ------
    ParameterError
        If the format is another, there are no rows, or the sheet is larger than the format allows.
    """
    if format not in SHEET_FORMATS:
        raise ParameterError(f"unknown format of a sheet {format!r}; use {', '.join(SHEET_FORMATS)}")
    if not rows:
        raise ParameterError("a sheet of 0 images is empty; use at least 1")
    font = raster_font()
    if format == "pdf":
        from gmmquant.images.contact_sheet.pdf import encode_pdf, encode_pdf_images, pdf_font

        embedded = pdf_font()
        if embedded is None:
            return encode_pdf_images(lay_out(rows, footer, font, _A4), title, font)
        return encode_pdf(lay_out(rows, footer, embedded, _A4), title)
    (drawing,) = lay_out(rows, footer, font)
    if format == "svg":
        from gmmquant.images.contact_sheet.svg import encode_svg

        return encode_svg(drawing, font, title)
    from gmmquant.images.contact_sheet.raster import encode_raster

    limit = _MAX_HEIGHTS[format]
    if drawing.height > limit:
        raise ParameterError(
            f"the sheet of {len(rows)} images is {drawing.height} pixels high, above the limit {limit} of {format}; "
            "use fewer images, svg or pdf"
        )
    return encode_raster(drawing, font, format)
