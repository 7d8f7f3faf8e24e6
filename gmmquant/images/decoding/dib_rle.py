"""Run-length coding of device-independent bitmaps: RLE4 and RLE8 of Windows, RLE24 of OS/2.

Source: Microsoft's "Bitmap Compression" (Win32). Pixels that no run covers have the value 0.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_END_OF_LINE, _END_OF_BITMAP, _DELTA = 0, 1, 2


def decode_rle(data: memoryview, width: int, height: int, bits: int) -> npt.NDArray[np.uint8] | None:
    """Return the values of runs as stored, (height, width) or, for 24 bits, (height, width, 3).

    None if the data end before the end of the bitmap, or if a row has no runs and no run was moved, so that nothing
    tells that pixels were left out. Pixels of a run that are outside of the image are dropped.
    """
    n_bytes = max(bits // 8, 1)  # of a value in the result
    rows = np.zeros((height, width * n_bytes), np.uint8)
    position, x, y, end = 0, 0, 0, len(data)
    has_runs, is_moved = np.zeros(height, np.bool_), False
    while position + 2 <= end:
        count, value = data[position], data[position + 1]
        position += 2
        if count:
            if bits == 24:
                stored = bytes(data[position - 1 : position + 2])
                position += 2
                run = stored * count if len(stored) == 3 else b""
            else:
                pair = bytes((value >> 4, value & 15)) if bits == 4 else bytes((value, value))
                run = (pair * (count // 2 + 1))[:count]
        elif value == _END_OF_LINE:
            x, y = 0, y + 1
            continue
        elif value == _END_OF_BITMAP:
            return _shaped(rows, width, n_bytes) if is_moved or has_runs.all() else None
        elif value == _DELTA:
            if position + 2 > end:
                return None
            x, y = x + data[position], y + data[position + 1]
            position += 2
            is_moved = True
            continue
        else:
            count = value
            n_stored = (count * bits + 7) // 8
            stored = bytes(data[position : position + n_stored])
            position += n_stored + n_stored % 2  # up to a whole word
            run = bytes(half for byte in stored for half in (byte >> 4, byte & 15))[:count] if bits == 4 else stored
        if len(run) < count * n_bytes:
            return None
        if y < height and x < width:
            run = run[: (width - x) * n_bytes]
            rows[y, x * n_bytes : x * n_bytes + len(run)] = np.frombuffer(run, np.uint8)
            has_runs[y] = True
        x += count
    # Some encoders leave out the end of the bitmap.
    is_complete = y >= height or (y == height - 1 and x >= width)
    return _shaped(rows, width, n_bytes) if is_complete and (is_moved or has_runs.all()) else None


def _shaped(rows: npt.NDArray[np.uint8], width: int, n_bytes: int) -> npt.NDArray[np.uint8]:
    return rows if n_bytes == 1 else rows.reshape(len(rows), width, n_bytes)
