"""Text that is safe to show: characters that would move, hide or reorder others are escaped."""

from __future__ import annotations


def printable(text: str) -> str:
    """Return `text` with control characters, unusual spaces and bytes that are not valid UTF-8 escaped.

    File names may contain any of these. Unescaped, they would move the cursor, break a line or reverse its order.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else escaped(c) for c in text)


def plural(count: int, noun: str) -> str:
    """Return a count with its noun: 1 pixel, 2 pixels."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def escaped(character: str) -> str:
    r"""Return a character as the escape code that Python has for it, such as `\u202e`."""
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # Python's code for a byte that is not valid UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
