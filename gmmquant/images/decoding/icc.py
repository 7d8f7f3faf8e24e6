"""ICC profiles as bytes: the table of tags, and new profiles of RGB and grey spaces.

Colour spaces that files state by numbers (code points, gamma, primaries) become profiles, so that all are converted in
the same way. Format: ICC.1:2022.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

import numpy as np

from gmmquant.models.array_validation import FloatArray

_HEADER_BYTES = 128
_MAX_TAGS = 100
_MAX_SAMPLES = 4096  # littlecms refuses curves of more than 32767
_D50 = np.array([0.9642, 1.0, 0.8249])  # white of the connection space
_DATE = (2000, 1, 1, 0, 0, 0)  # fixed, so that the same space is always the same profile

# Bradford's matrix from XYZ to responses of cones, in which white is adapted (ICC.1:2022, annex E).
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])


def read_tags(profile: bytes) -> dict[bytes, bytes]:
    """Return the tags of a profile by their signatures, without those that lie outside of it."""
    tags = {}
    (count,) = struct.unpack_from(">I", profile.ljust(_HEADER_BYTES + 4, b"\0"), _HEADER_BYTES)
    for n in range(min(count, _MAX_TAGS, (len(profile) - _HEADER_BYTES - 4) // 12)):
        signature, start, length = struct.unpack_from(">4sII", profile, _HEADER_BYTES + 4 + 12 * n)
        if start + length <= len(profile):
            tags[signature] = profile[start : start + length]
    return tags


def _fixed(number: float) -> bytes:
    """Return a number as s15Fixed16Number."""
    return struct.pack(">i", round(number * 65536))


def parametric_curve(gamma: float, a: float = 1.0, b: float = 0.0, c: float = 0.0, d: float = 0.0) -> bytes:
    """Return the curve from values x to light: (a x + b)^gamma from `d` on, c x below."""
    return b"para" + bytes(4) + struct.pack(">HH", 3, 0) + b"".join(map(_fixed, (gamma, a, b, c, d)))


def sampled_curve(levels: Sequence[int]) -> bytes:
    """Return the curve of light levels, 0 to 65535, at equal steps of the values."""
    if len(levels) > _MAX_SAMPLES:
        positions = np.linspace(0, len(levels) - 1, _MAX_SAMPLES)
        levels = np.rint(np.interp(positions, np.arange(len(levels)), levels)).astype(int).tolist()
    return b"curv" + bytes(4) + struct.pack(f">I{len(levels)}H", len(levels), *levels)


SRGB_CURVE = parametric_curve(2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)  # IEC 61966-2-1


def to_connection_space(chromaticities: Sequence[float]) -> FloatArray:
    """Return the matrix (3, 3) from linear RGB to XYZ adapted to D50, for x and y of white, red, green and blue.

    Raises
    ------
    ValueError
        If the chromaticities are not those of colours that span a space.
    """
    white, *primaries = np.asarray(chromaticities, dtype=float).reshape(4, 2)
    columns = np.array([[x, y, 1 - x - y] for x, y in primaries]).T
    if not np.isfinite(columns).all() or white[1] <= 0 or abs(np.linalg.det(columns)) < 1e-3:
        raise ValueError("degenerate primaries")
    white_xyz = np.array([white[0], white[1], 1 - white.sum()]) / white[1]
    columns = columns * np.linalg.solve(columns, white_xyz)
    cones = (_BRADFORD @ _D50) / (_BRADFORD @ white_xyz)
    return np.asarray(np.linalg.solve(_BRADFORD, cones[:, np.newaxis] * (_BRADFORD @ columns)))


def rgb_profile(name: str, chromaticities: Sequence[float], curve: bytes) -> bytes:
    """Return the profile of an RGB space; see `to_connection_space` for the chromaticities and the `ValueError`."""
    columns = to_connection_space(chromaticities).T
    tags = {letter + b"XYZ": _xyz(column) for letter, column in zip((b"r", b"g", b"b"), columns, strict=True)}
    return _profile(name, b"RGB ", tags | dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve))


def grey_profile(curve: bytes) -> bytes:
    """Return the profile of greys."""
    return _profile("grey", b"GRAY", {b"kTRC": curve})


def _profile(name: str, space: bytes, tags: Mapping[bytes, bytes]) -> bytes:
    text = name.encode("utf-16-be")
    description = b"mluc" + bytes(4) + struct.pack(">II4sII", 1, 12, b"enUS", len(text), 28) + text
    tags = {b"desc": description, b"cprt": description, b"wtpt": _xyz(_D50), **tags}
    table, body, start = struct.pack(">I", len(tags)), b"", _HEADER_BYTES + 4 + 12 * len(tags)
    for signature, tag in tags.items():
        table += struct.pack(">4sII", signature, start + len(body), len(tag))
        body += tag + bytes(-len(tag) % 4)
    header = struct.pack(">I4xI4s4s4s6H4s", start + len(body), 0x04300000, b"mntr", space, b"XYZ ", *_DATE, b"acsp")
    header = header.ljust(68, b"\0") + b"".join(map(_fixed, _D50))  # the white of the connection space
    return header.ljust(_HEADER_BYTES, b"\0") + table + body


def _xyz(values: FloatArray) -> bytes:
    return b"XYZ " + bytes(4) + b"".join(map(_fixed, values))
