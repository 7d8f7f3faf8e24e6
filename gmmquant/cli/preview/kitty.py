"""The kitty graphics protocol: PNG files in base64, in chunks, shown at the cursor."""

from __future__ import annotations

from base64 import standard_b64encode

_CHUNK_BYTES = 4096  # of base64, the limit of the protocol; a multiple of four


def encode_kitty(png: bytes, columns: int | None = None) -> str:
    """Return the control sequences that show a PNG without moving the cursor, to which the terminal answers nothing.

    The image is scaled to `columns` cells; None: a pixel of the image is one of the screen.
    """
    data = standard_b64encode(png).decode("ascii")
    chunks = [data[start : start + _CHUNK_BYTES] for start in range(0, len(data), _CHUNK_BYTES)]
    controls = [f"m={int(i < len(chunks) - 1)}" for i in range(len(chunks))]
    scaled = "" if columns is None else f"c={columns},"
    controls[0] = f"a=T,f=100,t=d,q=2,C=1,{scaled}{controls[0]}"
    return "".join(f"\x1b_G{control};{chunk}\x1b\\" for control, chunk in zip(controls, chunks, strict=True))
