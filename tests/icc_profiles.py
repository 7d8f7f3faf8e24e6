"""Colour profiles written by hand, and the formulas of their spaces."""

import struct

import numpy as np

# Colour spaces as CSS Color 4 gives them: linear RGB to CIE XYZ under D65.
SRGB = np.array(
    [[0.4123908, 0.3575843, 0.1804808], [0.2126390, 0.7151687, 0.0721923], [0.0193308, 0.1191948, 0.9505322]]
)
DISPLAY_P3 = np.array(
    [[0.4865709, 0.2656677, 0.1982173], [0.2289746, 0.6917385, 0.0792869], [0.0, 0.0451134, 1.0439444]]
)
ADOBE = np.array(
    [[0.5766690, 0.1855582, 0.1882286], [0.2973450, 0.6273636, 0.0752915], [0.0270314, 0.0706889, 0.9913375]]
)

# Bradford's adaptation from D65 to D50, as ICC profiles have their colours.
TO_D50 = np.array([[1.0478, 0.0229, -0.0501], [0.0295, 0.9905, -0.0171], [-0.0092, 0.0150, 0.7521]])


def linear(values):
    """Return the light that sRGB's values stand for, all in [0, 1]."""
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def encoded(light):
    light = np.clip(light, 0, 1)
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


def fixed(number):
    """Return a number as ICC's s15Fixed16."""
    return struct.pack(">i", round(number * 65536))


def curve(gamma):
    """Return a curve element: a power, or sRGB's if gamma is "srgb"."""
    if gamma == "srgb":
        return (
            b"para"
            + bytes(4)
            + struct.pack(">HH", 3, 0)
            + b"".join(fixed(v) for v in (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045))
        )
    return b"para" + bytes(4) + struct.pack(">HH", 0, 0) + fixed(gamma)


def icc(space, tags, *, name="by hand", device_class=b"mntr", pcs=b"XYZ "):
    """Write a profile of version 4 of ICC.1: a header, a table of tags, the tags."""
    text = name.encode("utf-16-be")
    described = b"mluc" + bytes(4) + struct.pack(">II2s2sII", 1, 12, b"en", b"US", len(text), 28) + text
    white = b"XYZ " + bytes(4) + fixed(0.9642) + fixed(1.0) + fixed(0.8249)
    tags = {b"desc": described, b"cprt": described, b"wtpt": white, **tags}
    table, body = struct.pack(">I", len(tags)), b""
    for tag, data in tags.items():
        data += bytes(-len(data) % 4)
        table += tag + struct.pack(">II", 128 + 4 + 12 * len(tags) + len(body), len(data))
        body += data
    header = struct.pack(">I4sI4s4s4s", 128 + len(table) + len(body), bytes(4), 0x04200000, device_class, space, pcs)
    header += struct.pack(">6H", 2024, 1, 1, 0, 0, 0) + b"acsp" + bytes(28)
    header += fixed(0.9642) + fixed(1.0) + fixed(0.8249)
    return header.ljust(128, b"\0") + table + body


def rgb_profile(matrix, gamma, name):
    """Write a profile of three primaries and one curve."""
    columns = TO_D50 @ matrix
    tags = {}
    for channel, column in zip(b"rgb", columns.T, strict=True):
        tags[bytes([channel]) + b"XYZ"] = b"XYZ " + bytes(4) + b"".join(fixed(value) for value in column)
        tags[bytes([channel]) + b"TRC"] = curve(gamma)
    return icc(b"RGB ", tags, name=name)


def grey_profile(gamma):
    return icc(b"GRAY", {b"kTRC": curve(gamma)}, name="some grey")


def ink_profile():
    """Write a profile whose inks darken in Lab, L = 100 - 60 (c + m + y) / 3 - 40 k, and change a and b."""
    corners = np.stack(np.meshgrid(*[[0.0, 1.0]] * 4, indexing="ij"), axis=-1).reshape(-1, 4)
    c, m, y, k = corners.T
    lightness = np.maximum(100 - 20 * (c + m + y) - 40 * k, 0)
    lab = np.column_stack([lightness * 2.55, 128 + 60 * (m - c) * (1 - k), 128 + 60 * (y - m) * (1 - k)])
    identity = b"".join(fixed(v) for v in np.eye(3).ravel())
    ramp = bytes(range(256))
    table = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + identity + 4 * ramp + np.rint(lab).astype(np.uint8).tobytes()
    return icc(b"CMYK", {b"A2B0": table + 3 * ramp}, name="four inks", device_class=b"prtr", pcs=b"Lab ")


P3 = rgb_profile(DISPLAY_P3, "srgb", "Display P3")
ADOBE_RGB = rgb_profile(ADOBE, 2.19921875, "Adobe RGB by hand")
SRGB_BY_HAND = rgb_profile(SRGB, "srgb", "not what it is called")


def converted(pixels, matrix, gamma):
    """Bring 8-bit RGB to sRGB by the formulas."""
    values = pixels / 255
    light = linear(values) if gamma == "srgb" else values**gamma
    return 255 * encoded(light @ (np.linalg.inv(SRGB) @ matrix).T)
