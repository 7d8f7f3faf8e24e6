"""Files of boxes, JP2 and AVIF, with other colour spaces and items than Pillow writes."""

import struct


def box(kind, body):
    return struct.pack(">I", 8 + len(body)) + kind + body


def colr(method, body):
    """Return the body of a colour specification of a JP2."""
    return bytes((method, 0, 0)) + body


def jp2_with(data, *specifications):
    """Put colour specifications, the bodies of "colr" boxes, instead of a JP2's."""
    return _replaced(data, b"jp2h", b"colr", b"".join(box(b"colr", body) for body in specifications))


def avif_with_nclx(data, primaries, curve):
    """Put two code points instead of those of an AVIF; its samples stay as they are."""
    return data.replace(
        b"colrnclx" + data[data.index(b"colrnclx") + 8 :][:4], b"colrnclx" + struct.pack(">HH", primaries, curve)
    )


def with_item(data, kind, *, properties=b""):
    """Add an item without data, hidden, and properties that belong to none, to an AVIF."""
    entry = box(b"infe", struct.pack(">IHH4s", 2 << 24 | 1, 77, 0, kind) + b"extra\0")
    data = _extended(data, (b"meta", b"iinf"), entry)
    start = data.index(b"iinf") + 8
    (count,) = struct.unpack_from(">H", data, start)
    data = data[:start] + struct.pack(">H", count + 1) + data[start + 2 :]
    return _extended(data, (b"meta", b"iprp", b"ipco"), properties)


def _extended(data, path, tail):
    """Add bytes to the end of the box at the path of types, whose first is at the top; offsets of items move along."""
    starts, position = [], 0
    for kind in path:
        position = data.index(kind, position)
        starts.append(position - 4)
    (length,) = struct.unpack_from(">I", data, starts[-1])
    end = starts[-1] + length
    extended = bytearray(data[:end] + tail + data[end:])
    for start in starts:
        struct.pack_into(">I", extended, start, struct.unpack_from(">I", extended, start)[0] + len(tail))
    _move_items(extended, len(tail))
    return bytes(extended)


def _move_items(data, distance):
    """Add a distance to the offsets in the location box of an AVIF that Pillow wrote."""
    start = data.index(b"iloc") + 4
    (n_items,) = struct.unpack_from(">H", data, start + 6)
    for n in range(n_items):  # an item: number, source, number of extents, offset, length
        at = start + 8 + 14 * n + 6
        struct.pack_into(">I", data, at, struct.unpack_from(">I", data, at)[0] + distance)


def _replaced(data, parent, kind, boxes):
    start, header = data.index(kind) - 4, data.index(parent) - 4
    (length,) = struct.unpack_from(">I", data, start)
    (size,) = struct.unpack_from(">I", data, header)
    data = data[:start] + boxes + data[start + length :]
    return data[:header] + struct.pack(">I", size - length + len(boxes)) + data[header + 4 :]
