"""Headers of AV1 data and tables of boxes, written field by field as their specifications lay them out."""

import io
import itertools
import struct

import numpy as np
import pytest
from box_files import box

from gmmquant.images.decoding.av1 import largest_sequence
from gmmquant.images.decoding.media_boxes import frames, images, stated_size


def unit(kind, body, *, extended=False):
    """Return an open bitstream unit: header, an extension, the length in groups of seven bits, and the body."""
    length = len(body)
    groups = []
    while length >= 128:
        groups.append(128 | length & 127)
        length >>= 7
    return bytes([kind << 3 | 4 * extended | 2] + [0] * extended + [*groups, length]) + body


def packed(*fields):
    """Return fields of (value, number of bits), the first in the highest bits."""
    text = "".join(f"{value:0{n_bits}b}" for value, n_bits in fields)
    text += "0" * (-len(text) % 8 + 80)
    return int(text, 2).to_bytes(len(text) // 8, "big")


def sequence(width, height, *, timing=False, equal=False, model=0, delay=False, levels=(5,), reduced=False):
    """Return a sequence header; `model` is the number of bits of delays in the model of a decoder, `levels` those of
    the operating points, of which those above 7 have a tier."""
    fields = [(0, 3), (int(reduced), 1), (int(reduced), 1)]
    if reduced:
        fields += [(levels[0], 5)]
    else:
        fields += [(int(timing), 1)]
        if timing:
            fields += [(1001, 32), (30_000, 32), (int(equal), 1)]
            fields += [(0, 3), (1, 1), (5, 3)] if equal else []  # a number of variable length
            fields += [(int(model > 0), 1)]
            fields += [(model - 1, 5), (77, 32), (9, 5), (9, 5)] if model else []
        fields += [(int(delay), 1), (len(levels) - 1, 5)]
        for level in levels:
            fields += [(0x111, 12), (level, 5)]
            fields += [(1, 1)] if level > 7 else []
            fields += [(1, 1), (3, model), (4, model), (1, 1)] if model else []
            fields += [(1, 1), (9, 4)] if delay else []
    return unit(1, packed(*fields, (15, 4), (13, 4), (width - 1, 16), (height - 1, 14)))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"reduced": True},
        {"timing": True},
        {"timing": True, "equal": True},
        {"timing": True, "equal": True, "model": 10, "levels": (5, 13)},
        {"timing": True, "model": 32, "delay": True, "levels": (8, 5, 31)},
        {"delay": True, "levels": tuple(range(32))},
    ],
)
def test_the_size_of_av1_data_is_read_behind_all_optional_fields(options):
    assert largest_sequence(sequence(1921, 1081, **options)) == (1921, 1081)


def test_the_largest_sequence_counts_wherever_it_stands():
    filled = unit(2, b"") + unit(5, bytes(300), extended=True)  # a delimiter, and metadata of a longer length
    small, large = sequence(100, 50), sequence(60_000, 9_000)
    for data in (filled + small + large, large + filled + small, small + filled + large[:20] + bytes(30)):
        assert largest_sequence(data) == (60_000, 9_000)


def test_damaged_av1_data_have_the_size_of_what_is_before_the_damage():
    assert largest_sequence(b"") == (0, 0)
    assert largest_sequence(sequence(100, 50) + b"\x0a" + b"\xff" * 20) == (100, 50)  # a length that does not end
    assert largest_sequence(unit(1, b"\0\0")) == (0, 0)
    with pytest.raises(ValueError):
        largest_sequence(unit(2, b"") * 10_001)


def track(*tables):
    """Return a file of one track with tables of its frames."""
    return box(b"moov", box(b"trak", box(b"mdia", box(b"minf", box(b"stbl", b"".join(tables))))))


def table(kind, rows, layout, *first):
    return box(kind, struct.pack(f">I{len(first)}II", 0, *first, len(rows)) + np.array(rows, layout).tobytes())


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("sizes", [[100, 100, 100, 100, 100], [7, 300, 20, 1, 50]])
@pytest.mark.parametrize("constant", [False, True])
def test_frames_of_a_chunk_stand_one_after_the_other(wide, sizes, constant):
    if constant and len(set(sizes)) > 1:
        sizes = [sizes[0]] * len(sizes)
    starts = [5000, 900, 2 ** (40 if wide else 30)]
    found = frames(
        track(
            table(b"co64" if wide else b"stco", starts, ">u8" if wide else ">u4"),
            box(b"stsz", struct.pack(">III", 0, sizes[0], 5)) if constant else table(b"stsz", sizes, ">u4", 0),
            table(b"stsc", [[1, 2, 1], [3, 1, 1]], ">u4"),  # two frames in each chunk, from the third on one
        )
    )
    wanted = []
    for start, chunk in zip(starts, [sizes[:2], sizes[2:4], sizes[4:]], strict=True):
        ends = np.cumsum([start, *chunk]).tolist()
        wanted += itertools.pairwise(ends)
    assert list(found) == wanted


def test_a_track_without_a_table_of_sizes_has_no_frames():
    assert list(frames(track(table(b"stco", [9], ">u4"), table(b"stsc", [[1, 1, 1]], ">u4")))) == []


def meta(*entries, version=1):
    """Return a file whose items have parts: entries of (source, parts), a part of (start, length)."""
    body = struct.pack(">BxxxBBH", version, 0x44, 0x40, len(entries))
    for number, (source, parts) in enumerate(entries):
        body += struct.pack(">HHHIH", number, source, 0, 1000, len(parts))
        body += b"".join(struct.pack(">II", start, length) for start, length in parts)
    return box(b"meta", bytes(4) + box(b"iloc", body))


def test_items_whose_data_are_not_in_the_file_itself_are_left_out():
    data = meta((0, [(5, 10), (50, 20)]), (1, [(7, 8)]), (0, [(0, 1)]))
    assert list(images(data)) == [[(1005, 1015), (1050, 1070)], [(1000, 1001)]]


def test_a_table_of_items_that_is_cut_short_raises_an_index_error():
    data = bytearray(meta((0, [(5, 10)])))
    data[-9] = 200  # parts that are not there
    with pytest.raises(IndexError):
        list(images(bytes(data)))


def test_the_size_in_boxes_is_found_behind_boxes_of_any_length():
    size = box(b"ispe", bytes(4) + struct.pack(">II", 301, 77))
    inner = box(b"meta", bytes(4) + box(b"iprp", box(b"ipco", size)))
    wide = struct.pack(">I4sQ", 1, b"free", 16 + 40) + bytes(40)
    for data in (inner, wide + inner, box(b"free", b"") + wide + inner, wide + struct.pack(">I", 0) + inner[4:]):
        assert stated_size(io.BytesIO(data))[:2] == (301, 77)
