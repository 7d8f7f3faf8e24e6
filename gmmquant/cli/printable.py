"""Text that is safe to show, and lists of files."""

from __future__ import annotations

from collections.abc import Sequence

from gmmquant.system.paths import AnyPath


def printable(text: str) -> str:
    """Return `text` with control characters, unusual spaces and bytes that are not valid UTF-8 escaped.

    File names may contain any of these. Unescaped, they would move the cursor or break a line.
    """
    return "".join(c if c.isprintable() else _escape(c) for c in text)


def _escape(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # Python's code for a byte that is not valid UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def file_names(paths: Sequence[AnyPath], limit: int = 8) -> str:
    """Return the names of files and their folder. Above `limit`, all but the first ones and the last are counted."""
    names = [printable(path.name) for path in paths]
    if len(names) > limit:
        names = [*names[: limit - 1], f"{len(names) - limit} more", names[-1]]
    return f"{', '.join(names)} in {printable(str(paths[0].parent))}"
