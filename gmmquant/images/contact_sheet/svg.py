"""A drawing as SVG: texts as text, images as data URLs, nothing that is loaded or run."""

from __future__ import annotations

from xml.sax.saxutils import escape, quoteattr

from gmmquant.images.contact_sheet.drawing import Drawing, Item, Picture, Rectangle
from gmmquant.images.contact_sheet.fonts import Font, shown
from gmmquant.images.contact_sheet.pictures import picture_file
from gmmquant.images.embedded import data_url

# A line of text is stretched to the width for which the page is laid out, as viewers have different fonts.
_FONTS = "Helvetica, Arial, 'Liberation Sans', 'Noto Sans', sans-serif"

# The page is drawn at half of its size: screens and printers have more pixels than it has at full size.
_SCALE = 0.5


def encode_svg(drawing: Drawing, font: Font, title: str) -> bytes:
    """Return a drawing that was laid out with `font` as an SVG document, with `title` as its title."""
    width, height = drawing.width, drawing.height
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_SCALE * width:g}" height="{_SCALE * height:g}" '
        f'viewBox="0 0 {width} {height}" font-family={quoteattr(_FONTS)}>',
        f"<title>{escape(shown(title, font))}</title>",
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        *(_element(item, font) for item in drawing.items),
        "</svg>\n",
    ]
    return "\n".join(lines).encode("utf-8")


def _element(item: Item, font: Font) -> str:
    if isinstance(item, Rectangle):
        return f'<rect x="{item.x}" y="{item.y}" width="{item.width}" height="{item.height}" fill="{item.fill}"/>'
    if isinstance(item, Picture):
        height, width = item.pixels.shape[:2]
        box = f'x="{item.x}" y="{item.y}" width="{width}" height="{height}"'
        kind, data = picture_file(item.pixels)
        return f'<image {box} href="{data_url(data, kind)}"/>'
    style = f'font-size="{item.size}" fill="{item.color}"'
    style += ' font-weight="600"' if item.bold else ""
    length = font.width(item.text, item.size, bold=item.bold)
    style += f' textLength="{length:.0f}" lengthAdjust="spacingAndGlyphs"' if length else ""
    return f'<text x="{item.x}" y="{item.y}" {style} style="white-space: pre">{escape(item.text)}</text>'
