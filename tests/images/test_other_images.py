"""Files with a second view, a gain map, a depth map or a video: the image is read, and a note names the rest."""

import struct

import numpy as np
import pytest
from box_files import box, with_item
from image_files import read, saved
from PIL import Image

XMP_HEAD = b"http://ns.adobe.com/xap/1.0/\0"


def note(*names):
    return (f"the file also has {' and '.join(names)}; only the image itself is used",)


def segment(marker, body):
    return bytes((0xFF, marker)) + struct.pack(">H", 2 + len(body)) + body


def with_segments(data, *segments):
    """Put segments after the start of a JPEG."""
    return data[:2] + b"".join(segments) + data[2:]


def multi_picture(photo, *others, order="<"):
    """Return an MPO: a JPEG whose list has further images, pairs of type and file."""
    first = saved(photo, "JPEG")
    n = 1 + len(others)
    mark = b"II*\0" if order == "<" else b"MM\0*"
    entries_at = 8 + 2 + 2 * 12 + 4
    length = 4 + entries_at + 16 * n
    size = 4 + length + len(first)  # of the first image with its list
    start = 2 + 4 + 4  # of the TIFF structure in the file
    entries, position = struct.pack(order + "IIIHH", 0x030000, size, 0, 0, 0), size
    for kind, data in others:
        entries += struct.pack(order + "IIIHH", kind, len(data), position - start, 0, 0)
        position += len(data)
    body = mark + struct.pack(order + "IH", 8, 2)
    body += struct.pack(order + "HHII", 0xB001, 4, 1, n) + struct.pack(order + "HHII", 0xB002, 7, 16 * n, entries_at)
    body += bytes(4) + entries
    return with_segments(first, segment(0xE2, b"MPF\0" + body)) + b"".join(data for _, data in others)


@pytest.mark.parametrize("order", ["<", ">"])
def test_the_second_view_of_a_stereo_image_is_named(tmp_path, photo, order):
    right = saved(photo.rotate(2), "JPEG")
    image = read(tmp_path, multi_picture(photo, (0x020002, right), order=order))
    assert image.notes == note("a second view (stereo)")
    assert np.array_equal(image.pixels, read(tmp_path, saved(photo, "JPEG")).pixels)


def test_pillow_finds_the_images_that_are_named(tmp_path, photo):
    path = tmp_path / "stereo.mpo"
    path.write_bytes(multi_picture(photo, (0x020002, saved(photo.rotate(2), "JPEG"))))
    with Image.open(path) as image:
        assert (image.format, image.n_frames) == ("MPO", 2)


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        (0x020001, ["parts of a panorama"]),
        (0x020003, ["views from other angles"]),
        (0x010001, []),
        (0x010002, []),
        (0, ["another image"]),
    ],
)
def test_further_images_of_an_mpo_are_named_unless_they_are_previews(tmp_path, photo, kind, names):
    other = saved(photo.resize((30, 20)), "JPEG")
    assert read(tmp_path, multi_picture(photo, (kind, other))).notes == (note(*names) if names else ())


def test_an_mpo_that_pillow_writes_has_another_image(tmp_path, photo):
    data = saved(photo, "MPO", save_all=True, append_images=[photo.rotate(5)])
    assert read(tmp_path, data).notes == note("another image")


@pytest.mark.parametrize(
    "head",
    [
        segment(0xE1, XMP_HEAD + b'<rdf:Description hdrgm:Version="1.0"/>'),
        segment(0xE1, XMP_HEAD + b"<x>urn:com:apple:photo:2020:aux:hdrgainmap</x>"),
        segment(0xE2, b"urn:iso:std:iso:ts:21496:-1\0" + bytes(4)),
    ],
    ids=["hdrgm", "apple", "iso"],
)
def test_a_gain_map_is_named_where_its_image_tells(tmp_path, photo, head):
    gain = with_segments(saved(photo.convert("L"), "JPEG"), head)
    assert read(tmp_path, multi_picture(photo, (0, gain))).notes == note("an HDR gain map")


@pytest.mark.parametrize(
    ("xmp", "name"),
    [
        (b'<rdf:Description hdrgm:Version="1.0"/>', "an HDR gain map"),
        (b'<Container:Item Item:Semantic="GainMap" Item:Mime="image/jpeg"/>', "an HDR gain map"),
        (b'<rdf:Description GDepth:Format="RangeInverse" GDepth:Near="1"/>', "a depth map"),
        (b'<Container:Item Item:Semantic="Depth" Item:Mime="image/png"/>', "a depth map"),
        (b'<rdf:Description GImage:Mime="image/jpeg"/>', "a second view (stereo)"),
        (b"<Container:Item Item:Semantic='GainMap'/>", "an HDR gain map"),
        (b'<rdf:Description GCamera:MotionPhoto="1"/>', "a video"),
        (b"<GCamera:MotionPhoto>1</GCamera:MotionPhoto>", "a video"),
        (b'<Container:Item Item:Semantic="MotionPhoto" Item:Mime="video/mp4"/>', "a video"),
        (b'<rdf:Description GCamera:MicroVideo="1"/>', "a video"),
        (b'<rdf:Description GCamera:MotionPhoto="0" dc:title="Depth"/>', None),
    ],
)
def test_other_images_are_named_by_the_xmp_of_the_image(tmp_path, photo, xmp, name):
    data = with_segments(saved(photo, "JPEG"), segment(0xE1, XMP_HEAD + xmp))
    assert read(tmp_path, data).notes == (() if name is None else note(name))


def test_several_other_images_make_one_note(tmp_path, photo):
    xmp = segment(0xE1, XMP_HEAD + b'<a hdrgm:Version="1.0"/><b GDepth:Near="1"/><c GCamera:MotionPhoto="1"/>')
    image = read(tmp_path, with_segments(saved(photo, "JPEG"), xmp))
    assert image.notes == note("an HDR gain map", "a depth map", "a video")


def test_words_among_the_pixels_or_in_other_segments_name_nothing(tmp_path, photo):
    for marker in (0xFE, 0xE1, 0xE2):
        words = segment(marker, b"hdrgm: GDepth: GImage:")
        data = with_segments(saved(photo, "JPEG"), words) + b"hdrgm:Version GDepth:"
        assert read(tmp_path, data).notes == ()


def test_damaged_lists_of_images_do_not_cost_the_image(tmp_path, photo):
    data = bytearray(multi_picture(photo, (0x020002, saved(photo, "JPEG"))))
    expected = read(tmp_path, bytes(data)).pixels
    start = data.index(b"MPF\0") + 4
    rng = np.random.default_rng(0)
    for _ in range(300):
        broken = bytearray(data)
        for at in rng.integers(start, start + 70, 3):
            broken[at] = rng.choice([0, 1, 255, rng.integers(256)])
        assert np.array_equal(read(tmp_path, bytes(broken)).pixels, expected)


# --- AVIF -------------------------------------------------------------------------------------------------------------


def auxiliary(kind):
    return box(b"auxC", bytes(4) + kind + b"\0")


@pytest.mark.parametrize(
    ("kind", "properties", "names"),
    [
        (b"tmap", b"", ["an HDR gain map"]),
        (b"av01", auxiliary(b"urn:com:apple:photo:2020:aux:hdrgainmap"), ["an HDR gain map"]),
        (b"av01", auxiliary(b"urn:mpeg:mpegB:cicp:systems:auxiliary:depth"), ["a depth map"]),
        (b"tmap", auxiliary(b"urn:mpeg:hevc:2015:auxid:2"), ["an HDR gain map", "a depth map"]),
        (b"av01", auxiliary(b"urn:com:apple:photo:2018:aux:portraiteffectsmatte"), ["mattes"]),
        (b"Exif", b"", []),
    ],
)
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_maps_of_an_avif_are_named(tmp_path, photo, veil, kind, properties, names, mode):
    image = photo.convert(mode)
    if mode == "RGBA":
        image.putalpha(veil)
    plain = saved(image, "AVIF")
    read_image = read(tmp_path, with_item(plain, kind, properties=properties))
    assert read_image.notes == (note(*names) if names else ())
    assert np.array_equal(read_image.pixels, read(tmp_path, plain).pixels)


def test_damaged_boxes_of_an_avif_never_raise_another_error(photo):
    from gmmquant.images.decoding.isobmff import other_images, stated_space

    data = with_item(saved(photo, "AVIF"), b"tmap")
    rng = np.random.default_rng(0)
    for _ in range(3000):
        broken = bytearray(data[: rng.integers(20, len(data))] if rng.random() < 0.2 else data)
        for at in rng.integers(16, min(len(broken), 480), 4):
            broken[at] = rng.choice([0, 1, 255, rng.integers(256)])
        stated_space(bytes(broken))
        list(other_images(bytes(broken)))
