"""Metadata of every format: read, cleaned, bounded, and never the cause of a failure."""

import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from image_files import gif, png, png_chunk, read, saved
from PIL import Image, PngImagePlugin, TiffImagePlugin

from gmmquant.errors import ImageError
from gmmquant.images.containers import iterate_chunks
from gmmquant.images.decoded import Metadata
from gmmquant.images.decoding import png_chunks
from gmmquant.images.decoding.metadata import MAX_METADATA_BYTES
from gmmquant.images.decoding.profiles import MAX_PROFILE_BYTES
from gmmquant.images.encoding.output_metadata import signed_exif

XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6" dc:title="cat"/></x:xmpmeta>'
EXIF, GPS = 0x8769, 0x8825


def camera(orientation=1, *, resolution=None):
    """Make EXIF data as a camera does, with the sub-directories that a TIFF and the others need."""
    exif = Image.Exif()
    exif[271] = "maker"
    if orientation != 1:
        exif[0x0112] = orientation
    if resolution is not None:
        exif[282], exif[283], exif[296] = *map(float, resolution), 2
    exif[EXIF] = {36867: "2020:01:02 03:04:05", 0x927C: b"note" * 9, 0xA001: 65535, 0xA002: 60}
    exif[GPS] = {1: "N"}
    return exif


def loaded(block):
    exif = Image.Exif()
    exif.load(block)
    return exif


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF"])
@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_exif_data_are_kept_without_tags_that_no_longer_apply(tmp_path, photo, file_format, orientation):
    exif = camera(orientation)
    if file_format == "TIFF":  # Pillow writes the directories in a TIFF as tags of it only
        entries = TiffImagePlugin.ImageFileDirectory_v2()
        for tag, value in exif.items():
            entries[tag] = value
        data = saved(photo, file_format, tiffinfo=entries)
    else:
        data = saved(photo, file_format, exif=exif)
    block = read(tmp_path, data).metadata.exif
    assert block[:4] in (b"MM\0*", b"II*\0")
    exif = loaded(block)
    assert exif[271] == "maker"
    assert 0x0112 not in exif
    assert exif.get_ifd(EXIF) == {36867: "2020:01:02 03:04:05"}
    assert exif.get_ifd(GPS) == {1: "N"}


@pytest.mark.parametrize("text", ["Jürgen © 猫".encode(), b"caf\xe9"])
def test_exif_texts_keep_their_bytes_when_read_and_when_written(tmp_path, photo, text):
    exif = camera()
    exif[315], exif[0x9C9D] = text, text.decode("latin-1").encode("utf-16-le")
    exif[EXIF] = {42036: text.decode("latin-1")}
    block = exif.tobytes().replace(text.decode("latin-1").encode("ascii", "replace"), text)
    metadata = read(tmp_path, saved(photo, "JPEG", exif=block)).metadata
    for kept in (metadata.exif, signed_exif(metadata)):
        assert kept.count(text + b"\0") == 2
        assert loaded(kept)[315] == loaded(kept).get_ifd(EXIF)[42036] == text.decode("latin-1")


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP"])
def test_exif_tags_that_describe_the_file_are_left_out(tmp_path, photo, file_format):
    exif = camera()
    exif.update({256: 999, 257: 999, 330: 8, 529: (0.299, 0.587, 0.114), 700: b"<x/>", 34675: b"icc", 306: "2020"})
    exif[EXIF] = {36867: "2020:01:02 03:04:05", 0xA500: 2.2}
    kept = loaded(read(tmp_path, saved(photo, file_format, exif=exif)).metadata.exif)
    assert set(kept) == {271, 306, EXIF, GPS}
    assert kept.get_ifd(EXIF) == {36867: "2020:01:02 03:04:05"}


def test_the_thumbnail_is_left_out(tmp_path, photo):
    entries = struct.pack("<HHII", 271, 2, 4, int.from_bytes(b"abc\0", "little"))
    thumbnail = saved(photo.resize((8, 8)), "JPEG")
    second = struct.pack("<HHII", 513, 4, 1, 56) + struct.pack("<HHII", 514, 4, 1, len(thumbnail))
    block = b"II*\0" + struct.pack("<IH", 8, 1) + entries + struct.pack("<IH", 26, 2) + second + bytes(4)
    data = saved(photo, "JPEG", exif=b"Exif\0\0" + block + thumbnail)
    assert data.count(thumbnail) == 1
    kept = read(tmp_path, data).metadata.exif
    assert loaded(kept)[271] == "abc"
    assert thumbnail not in kept


@pytest.mark.parametrize(
    ("file_format", "dpi"), [("PNG", (300, 150)), ("JPEG", (300, 150)), ("TIFF", (300, 150)), ("BMP", (96, 72))]
)
def test_the_resolution_is_read_from_every_format_that_stores_one(tmp_path, photo, file_format, dpi):
    assert read(tmp_path, saved(photo, file_format, dpi=dpi)).metadata.dpi == pytest.approx(dpi, abs=0.02)


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_exif_data_give_the_resolution_where_nothing_else_does(tmp_path, photo, file_format):
    assert read(tmp_path, saved(photo, file_format, exif=camera(resolution=(300, 150)))).metadata.dpi == (300, 150)
    assert read(tmp_path, saved(photo, file_format, exif=camera())).metadata.dpi is None
    assert read(tmp_path, saved(photo, file_format)).metadata.dpi is None


def test_a_resolution_per_centimetre_is_converted_to_inches(tmp_path, photo):
    exif = camera(resolution=(100, 50))
    exif[296] = 3
    assert read(tmp_path, saved(photo, "WEBP", exif=exif)).metadata.dpi == pytest.approx((254, 127))


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_a_rotation_swaps_the_resolutions_of_width_and_height(tmp_path, photo, file_format):
    options = {"dpi": (300, 150)} if file_format == "TIFF" else {}
    for orientation, dpi in ((3, (300, 150)), (6, (150, 300))):
        exif = camera(orientation, resolution=None if file_format == "TIFF" else (300, 150))
        if file_format == "TIFF":
            del exif[EXIF], exif[GPS]
        metadata = read(tmp_path, saved(photo, file_format, exif=exif, **options)).metadata
        assert metadata.dpi == dpi
        if file_format != "TIFF":
            assert (loaded(metadata.exif)[282], loaded(metadata.exif)[283]) == dpi


@pytest.mark.parametrize("number", [0, 1, 0xFFFFFFFF])
def test_an_absurd_resolution_is_left_out(tmp_path, number):
    pixels = np.zeros((2, 2, 3), np.uint8)
    body = struct.pack(">IIB", 4000, number, 1)
    metadata = read(tmp_path, png(pixels, chunks=png_chunk(b"pHYs", body))).metadata
    assert metadata.dpi == (None if number != 1 else pytest.approx((101.6, 0.0254)))
    assert read(tmp_path, png(pixels, chunks=png_chunk(b"pHYs", body[:8] + b"\0"))).metadata.dpi is None


@pytest.mark.parametrize("file_format", ["JPEG", "WEBP", "AVIF", "PNG"])
def test_xmp_is_kept_without_its_orientation(tmp_path, photo, file_format):
    if file_format == "PNG":
        text = PngImagePlugin.PngInfo()
        text.add_itxt("XML:com.adobe.xmp", XMP.decode(), zip=True)
        data = saved(photo, file_format, pnginfo=text)
    else:
        data = saved(photo, file_format, xmp=XMP)
    metadata = read(tmp_path, data).metadata
    assert metadata.xmp == XMP.replace(b' tiff:Orientation="6"', b"")
    assert metadata.comments == ()


def test_xmp_is_kept_without_its_color_space(tmp_path, photo):
    stale = b" exif:ColorSpace=\"65535\" photoshop:ICCProfile='Adobe RGB (1998)'"
    elements = b"<exif:ColorSpace>1</exif:ColorSpace><photoshop:ICCProfile>Display P3</photoshop:ICCProfile>"
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description%b dc:title="cat">%b<b/></rdf:Description></x:xmpmeta>'
    metadata = read(tmp_path, saved(photo, "WEBP", xmp=xmp % (stale, elements))).metadata
    assert metadata.xmp == xmp % (b"", b"")


def test_xmp_in_elements_is_kept_without_its_orientation(tmp_path, photo):
    xmp = b"<a><tiff:Orientation>6</tiff:Orientation><b/></a>"
    assert read(tmp_path, saved(photo, "WEBP", xmp=xmp)).metadata.xmp == b"<a><b/></a>"


def test_the_texts_anywhere_in_a_png_are_comments(tmp_path):
    before = png_chunk(b"tEXt", b"Title\0caf\xe9") + png_chunk(b"zTXt", b"Author\0\0" + zlib.compress(b"who"))
    before += png_chunk(b"tEXt", b"Software\0something") + png_chunk(b"tEXt", b"Raw profile type exif\0\n00")
    after = png_chunk(b"iTXt", "Comment\0\0\0de\0Kommentar\0schön 猫".encode())
    after += png_chunk(b"iTXt", b"Packed\0\1\0\0\0" + zlib.compress("größer".encode()))
    image = read(tmp_path, png(np.zeros((2, 2, 3), np.uint8), chunks=before, late=after))
    expected = (("Title", "café"), ("Author", "who"), ("Comment", "schön 猫"), ("Packed", "größer"))
    assert image.metadata.comments == expected


def test_the_comment_of_a_jpeg_or_gif_is_a_comment(tmp_path, photo):
    assert read(tmp_path, saved(photo, "JPEG", comment="größer".encode())).metadata.comments == (("Comment", "größer"),)
    assert read(tmp_path, saved(photo, "JPEG", comment=b"caf\xe9")).metadata.comments == (("Comment", "café"),)
    frames = [{"indices": np.eye(4, dtype=int)}]
    data = gif((4, 4), np.eye(4, 3), frames, comment=b"a comment")
    assert read(tmp_path, data).metadata.comments == (("Comment", "a comment"),)


def test_a_file_without_metadata_has_none(tmp_path, photo):
    for file_format in ("PNG", "JPEG", "WEBP", "AVIF", "TIFF", "GIF", "JPEG2000", "PPM"):
        image = photo.quantize(20) if file_format == "GIF" else photo
        assert read(tmp_path, saved(image, file_format)).metadata == Metadata(), file_format


# --- limits -----------------------------------------------------------------------------------------------------------


def test_texts_above_the_limit_are_left_out(tmp_path, photo):
    large = MAX_METADATA_BYTES + 1
    data = png(
        np.zeros((2, 2, 3), np.uint8),
        chunks=png_chunk(b"tEXt", b"a\0" + b"x" * large)
        + png_chunk(b"zTXt", b"b\0\0" + zlib.compress(bytes(b"x" * large)))
        + png_chunk(b"iTXt", b"c\0\1\0\0\0" + zlib.compress(b"x" * large))
        + png_chunk(b"tEXt", b"d\0short"),
    )
    assert read(tmp_path, data).metadata.comments == (("d", "short"),)
    assert read(tmp_path, saved(photo, "WEBP", xmp=b"x" * large)).metadata.xmp == b""


def test_the_number_of_comments_is_bounded(tmp_path):
    many = b"".join(png_chunk(b"tEXt", b"key\0%d" % n) for n in range(1000))
    assert len(read(tmp_path, png(np.zeros((2, 2, 3), np.uint8), chunks=many)).metadata.comments) == 100


@pytest.mark.parametrize("chunk_type", [b"zTXt", b"iTXt"])
def test_all_texts_together_are_bounded(tmp_path, chunk_type):
    packed = zlib.compress(b"x" * MAX_METADATA_BYTES)
    head = b"\0\0" if chunk_type == b"zTXt" else b"\0\1\0\0\0"
    many = b"".join(png_chunk(chunk_type, b"%d" % n + head + packed) for n in range(20))
    image = read(tmp_path, png(np.zeros((2, 2, 3), np.uint8), chunks=many))
    assert [keyword for keyword, _ in image.metadata.comments] == ["0", "1", "2", "3"]
    assert all(text == "x" * MAX_METADATA_BYTES for _, text in image.metadata.comments)


def test_texts_that_cannot_be_decompressed_count_towards_the_limit_of_all(tmp_path):
    bad = png_chunk(b"zTXt", b"bad\0\0" + zlib.compress(b"x" * (MAX_METADATA_BYTES + 1)))
    good = png_chunk(b"zTXt", b"good\0\0" + zlib.compress(b"y"))
    for n, expected in ((3, (("good", "y"),)), (4, ())):
        data = png(np.zeros((2, 2, 3), np.uint8), chunks=n * bad + good)
        assert read(tmp_path, data).metadata.comments == expected


def test_only_the_text_of_xmp_is_decompressed_to_find_xmp(monkeypatch):
    def text(keyword):
        return keyword + b"\0\1\0\0\0" + zlib.compress(b"text of " + keyword)

    decompressed, decompress = [], png_chunks._decompress
    monkeypatch.setattr(
        png_chunks, "_decompress", lambda data, limit: decompressed.append(data) or decompress(data, limit)
    )
    found = {b"iTXt": [text(b"a"), text(b"XML:com.adobe.xmp"), text(b"b")]}
    assert png_chunks.xmp(found) == b"text of XML:com.adobe.xmp"
    assert len(decompressed) == 1


def test_chunks_after_the_end_of_a_png_are_ignored(tmp_path):
    data = png(np.zeros((2, 2, 3), np.uint8)) + png_chunk(b"tEXt", b"late\0text")
    assert read(tmp_path, data).metadata == Metadata()
    assert len(list(iterate_chunks(data + bytes(1200)))) == 3


def directory(tags, size, length):
    """A TIFF structure whose entries all point at the same `size` bytes."""
    entries = b"".join(struct.pack("<HHII", tag, 7, size, 8) for tag in tags)
    block = b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4)
    return block.ljust(length, b"\0")


@pytest.mark.parametrize(
    "file_format", ["JPEG", "PNG", "TIFF", *(pytest.param(name, marks=pytest.mark.slow) for name in ("AVIF", "WEBP"))]
)
def test_exif_data_that_would_take_gigabytes_are_refused_or_left_out(tmp_path, photo, file_format):
    block = directory([*range(1000), *range(33_000, 53_000)], 900_000, 1_000_000)  # 19 GB
    if file_format == "TIFF":
        data = block
    elif file_format == "JPEG":
        parts = [block[i : i + 65_000] for i in range(0, len(block), 65_000)]
        segments = b"".join(b"\xff\xe1" + struct.pack(">H", len(p) + 8) + b"Exif\0\0" + p for p in parts)
        plain = saved(photo, "JPEG")
        data = plain[:2] + segments + plain[2:]
    else:
        small = camera().tobytes().removeprefix(b"Exif\0\0").ljust(1_000_000, b"\0")
        data = saved(photo, file_format, exif=b"Exif\0\0" + small)
        assert data.count(small) == 1
        data = data.replace(small, block)
        if file_format == "PNG":
            start = data.index(b"eXIf")
            body = data[start : start + 4 + len(block)]
            data = data[:start] + body + struct.pack(">I", zlib.crc32(body)) + data[start + 8 + len(block) :]
    tracemalloc.start()
    try:
        assert len(read(tmp_path, data).metadata.exif) <= 1_000_000
    except ImageError as error:
        assert "\n" not in str(error)
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 100_000_000


def test_profiles_are_decompressed_up_to_the_limit():
    def packed(size):
        return {b"iCCP": [b"name\0\0" + zlib.compress(bytes(size))]}

    assert png_chunks.profile(packed(1000)) == bytes(1000)
    assert png_chunks.profile(packed(MAX_PROFILE_BYTES + 1)) == b""
    assert png_chunks.profile({}) is None
