"""TIFFs of several pages, of which the first is read, and of channels that are dropped: both are noted."""

import io

import cv2
import numpy as np
import pytest
import tifffile
from image_files import read
from PIL import Image

from gmmquant.errors import ImageError

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 65536, (40, 60), dtype=np.uint16)
COLORS = RNG.integers(0, 65536, (40, 60, 3), dtype=np.uint16)
PAGES = "the file contains several images or pages; only the first is used"
CHANNELS = "the file has channels other than colours and alpha; they are not used"


def tiff(*pages, **options):
    """Return a TIFF of pages of any types."""
    buffer = io.BytesIO()
    of_file = {name: options.pop(name) for name in ("bigtiff", "byteorder") if name in options}
    with tifffile.TiffWriter(buffer, **of_file) as file:
        for page in pages:
            kind = {"photometric": "rgb" if page.ndim == 3 else "minisblack"}
            file.write(page, contiguous=False, **(kind | options))
    return buffer.getvalue()


def shown(values):
    return np.dstack([values] * 3) if values.ndim == 2 else values


@pytest.mark.parametrize("page", [GREY, COLORS], ids=["grey", "colours"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"bigtiff": True},
        {"byteorder": ">"},
        {"compression": "lzw"},
        {"compression": "zlib", "predictor": True},
        {"compression": "packbits"},
        {"compression": "zstd"},
        {"tile": (16, 16)},
    ],
    ids=str,
)
def test_the_first_of_16_bit_pages_is_read_with_a_note(tmp_path, page, options):
    image = read(tmp_path, tiff(page, page[::-1], page[:20], **options))
    assert np.array_equal(image.pixels, shown(page))
    assert image.notes == (PAGES,)


@pytest.mark.parametrize("first", ["u1", "u2", "u4", "f4"])
@pytest.mark.parametrize("second", ["u1", "u2", "f4"])
def test_pages_may_have_different_types(tmp_path, first, second):
    values = RNG.integers(0, 2, (8, 9))
    alone, several = (
        read(tmp_path, tiff(*pages))
        for pages in ([values.astype(first)], [values.astype(kind) for kind in (first, second)])
    )
    assert np.array_equal(several.pixels, alone.pixels)
    assert (alone.notes, several.notes) == ((), (PAGES,))


def test_stacks_of_other_programs_are_read(tmp_path):
    stack = [GREY, GREY[::-1], GREY[:, ::-1]]
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, np.stack(stack), imagej=True)
    images = [Image.fromarray(page) for page in stack]
    by_pillow, by_opencv = io.BytesIO(), cv2.imencodemulti(".tif", stack)[1]
    images[0].save(by_pillow, "TIFF", save_all=True, append_images=images[1:])
    for data in (by_opencv.tobytes(), by_pillow.getvalue()):
        image = read(tmp_path, data)
        assert np.array_equal(image.pixels, shown(GREY))
        assert image.notes == (PAGES,)
    assert np.array_equal(read(tmp_path, buffer.getvalue()).pixels, shown(GREY))


@pytest.mark.parametrize("position", [7, 1 << 31])
def test_a_second_page_that_is_missing_costs_nothing(tmp_path, position):
    data = bytearray(tiff(GREY))
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        start = file.pages[0].offset
    end = start + 2 + 12 * int.from_bytes(data[start : start + 2], "little")
    data[end : end + 4] = position.to_bytes(4, "little")
    assert np.array_equal(read(tmp_path, bytes(data)).pixels, shown(GREY))


def test_a_page_that_points_to_itself_is_the_only_one(tmp_path):
    data = bytearray(tiff(GREY))
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        start = file.pages[0].offset
    end = start + 2 + 12 * int.from_bytes(data[start : start + 2], "little")
    data[end : end + 4] = start.to_bytes(4, "little")
    image = read(tmp_path, bytes(data))
    assert np.array_equal(image.pixels, shown(GREY))
    assert image.notes == ()


@pytest.mark.parametrize("kind", ["u1", "u2", "f4"])
@pytest.mark.parametrize(
    ("colors", "extra", "has_note"),
    [
        (1, ["unspecified"], True),
        (1, ["unassalpha"], False),
        (3, ["unspecified"], True),
        (3, ["unassalpha"], False),
        (3, ["assocalpha"], False),
    ],
)
def test_channels_that_are_dropped_are_noted(tmp_path, kind, colors, extra, has_note):
    samples = RNG.integers(0, 2, (8, 9, colors + 1)).astype(kind)
    photometric = "rgb" if colors == 3 else "minisblack"
    image = read(tmp_path, tiff(samples, photometric=photometric, planarconfig="contig", extrasamples=extra))
    assert image.notes == ((CHANNELS,) if has_note else ())
    assert image.pixels.shape[2] == (3 if has_note else 4)


def test_a_channel_after_alpha_is_dropped_with_a_note(tmp_path):
    samples = RNG.integers(0, 256, (8, 9, 5), dtype=np.uint8)
    data = tiff(samples, photometric="rgb", planarconfig="contig", extrasamples=["unassalpha", "unspecified"])
    image = read(tmp_path, data)
    assert np.array_equal(image.pixels, samples[..., :4])
    assert image.notes == (CHANNELS,)


@pytest.mark.parametrize(
    ("kinds", "is_noted"), [([1], False), ([4], False), ([1, 4, 1], False), ([0], True), ([1, 2], True)]
)
def test_smaller_versions_and_masks_are_no_further_images(tmp_path, kinds, is_noted):
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as file:
        for kind in [0, *kinds]:
            page = {0: COLORS, 4: GREY > 9}.get(kind, COLORS[::4, ::4])
            file.write(page, photometric="rgb" if page.ndim == 3 else "minisblack", subfiletype=kind, contiguous=False)
    image = read(tmp_path, buffer.getvalue())
    assert np.array_equal(image.pixels, COLORS)
    assert image.notes == (PAGES,) * is_noted


def test_a_damaged_or_endless_chain_of_pages_is_no_further_image(tmp_path):
    data = tiff(COLORS, COLORS)
    directory = int.from_bytes(data[4:8], "little")
    n_tags = int.from_bytes(data[directory : directory + 2], "little")
    at = directory + 2 + 12 * n_tags
    for following in (directory, len(data) + 8, 0xFFFFFFFF):
        image = read(tmp_path, data[:at] + following.to_bytes(4, "little") + data[at + 4 :])
        assert np.array_equal(image.pixels, COLORS)
        assert image.notes == ()


def test_a_big_endian_bigtiff_is_refused_with_a_remedy(tmp_path):
    assert read(tmp_path, tiff(COLORS, bigtiff=True)).notes == ()
    with pytest.raises(ImageError, match="a big-endian BigTIFF is not supported; save it as a TIFF, or in"):
        read(tmp_path, tiff(COLORS, bigtiff=True, byteorder=">"))
