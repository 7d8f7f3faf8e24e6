"""Palettes as custom properties of a style sheet.

Sources: W3C's "CSS Custom Properties for Cascading Variables", "CSS Syntax" and "CSS Color".
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from gmmquant.colors.palette import NamedPalette, Swatch
from gmmquant.colors.palette_text import no_color, parse_opaque_hex, shown, text_of
from gmmquant.parsing import Color, hex_code, parse_color_name, parse_hsl, parse_rgb

_COMMENT = re.compile(r"/\*.*?(?:\*/|\Z)", re.DOTALL)
_COLOR_FUNCTION = re.compile(
    r"(?:rgba?|hsla?|hwb|(?:ok)?(?:lab|lch)|color|color-mix|contrast-color|device-cmyk|light-dark)\(", re.IGNORECASE
)


def encode_css(palette: NamedPalette) -> bytes:
    """Return a palette as one rule; names and shares are in comments."""
    # CSS allows more characters in an identifier, but these are what people type; after `--` it may begin with a digit.
    letters = "".join(c for c in unicodedata.normalize("NFKD", palette.name) if not unicodedata.combining(c))
    identifier = re.sub(r"[^A-Za-z0-9_]+", "-", letters).strip("-") or "palette"
    lines = [
        f"  --{identifier}-{i}: {hex_code(color)};" + (f" /* {comment.replace('*/', '* /')} */" if comment else "")
        for i, (color, comment) in enumerate(zip(palette.colors, palette.details, strict=True), 1)
    ]
    return "\n".join([":root {", *lines, "}", ""]).encode()


def has_custom_properties(data: bytes) -> bool:
    """Return whether data are a style sheet with custom properties."""
    return any(_custom_properties(data))


def read_css(data: bytes) -> Iterator[Swatch]:
    """Yield the colours of custom properties; other values, such as lengths, are skipped, inexact colours refused.

    An inexact colour and one of hsl() are skipped if their name also has an exact one: files for designers list their
    colours in several notations, of which hsl() is rounded.
    """
    properties = [(name, value, _parse_color(value)) for name, value in _custom_properties(data)]
    exact = {name for name, _, color in properties if color is not None}
    for name, value, color in properties:
        found = parse_hsl(value) if color is None and name not in exact else color
        if found is not None:
            yield Swatch(found)
        elif name not in exact and (
            value.startswith("#") or value.lower() == "transparent" or _COLOR_FUNCTION.match(value)
        ):
            raise no_color(shown(name), value)


def _custom_properties(data: bytes) -> Iterator[tuple[str, str]]:
    """Yield name and value of the custom properties of a style sheet, `--name: value`, in their order."""
    for piece in re.split("[;{}]", _COMMENT.sub(" ", text_of(data))):
        name, colon, value = piece.partition(":")
        if colon and re.fullmatch(r"--\S+", name.strip()):
            yield name.strip(), value.strip()


def _parse_color(value: str) -> Color | None:
    """Return the colour of a hex code, a name or an opaque rgb() of integers; None for others, which may be inexact."""
    if value.startswith("#"):
        return parse_opaque_hex(value)
    return parse_rgb(value) or parse_color_name(value)
