"""Text made safe to show."""


def printable(text: str) -> str:
    """Write what cannot be printed as an escape: control characters, odd spaces, bytes that are not valid UTF-8.

    For file names above all, which can hold anything and would otherwise move the cursor or break a line.
    """
    return "".join(c if c.isprintable() else _escape(c) for c in text)


def _escape(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that was not valid UTF-8, as Python keeps it in file names
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
