"""TIFFs of planes, of 32 bits and of floating-point samples, written by tifffile; compressions that are refused."""

import io
from dataclasses import replace

import numpy as np
import pytest
import tifffile
from image_files import read, saved

from gmmquant.errors import ImageError
from gmmquant.images.decoding.tiff_samples import decode_samples, sample_layout

RNG = np.random.default_rng(0)
LEVELS = RNG.integers(0, 65536, (40, 60, 3), dtype=np.uint16)
FRACTIONS = RNG.random((40, 60, 3))
SAMPLES = {
    "u2": LEVELS,
    "u4": LEVELS.astype(np.uint32) * 65537,
    "f2": FRACTIONS.astype(np.float16),
    "f4": FRACTIONS.astype(np.float32),
    "f8": FRACTIONS,
}
WAYS = {
    "plain": {},
    "big-endian": {"byteorder": ">"},
    "big file": {"bigtiff": True},
    "tiles": {"tile": (16, 32)},
    "strips": {"rowsperstrip": 7},
    "packbits": {"compression": "packbits"},
    "lzw": {"compression": "lzw", "rowsperstrip": 9},
    "deflate": {"compression": "zlib", "tile": (32, 16)},
    "lzma": {"compression": "lzma"},
    "zstandard": {"compression": "zstd"},
    "differences": {"compression": "zlib", "predictor": True},
    "differences in tiles": {"compression": "zlib", "predictor": True, "tile": (16, 32), "byteorder": ">"},
}


def tiff(samples, *, planar=False, photometric="rgb", **options):
    buffer = io.BytesIO()
    if planar:
        samples, options = np.moveaxis(samples, -1, 0).copy(), options | {"planarconfig": "separate"}
    tifffile.imwrite(buffer, samples, photometric=photometric, **options)
    return buffer.getvalue()


def in_16_bits(samples):
    if samples.dtype.kind == "f":
        return np.floor(samples.astype(float) * 65535 + 0.5)
    return samples if samples.dtype == np.uint16 else np.floor(samples / 65537.0 + 0.5)


def assert_close(found, wanted):
    """Halves may be rounded either way."""
    assert found.dtype == np.uint16
    assert found.shape == wanted.shape
    assert np.abs(found.astype(float) - wanted).max() <= 1
    assert (found != wanted).mean() < 0.02


@pytest.mark.parametrize("kind", SAMPLES)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("planar", [False, True])
def test_samples_of_any_kind_are_read_however_they_are_stored(tmp_path, kind, way, planar):
    image = read(tmp_path, tiff(SAMPLES[kind], planar=planar, **WAYS[way]))
    assert_close(image.pixels, in_16_bits(SAMPLES[kind]))
    assert image.notes == ()


@pytest.mark.parametrize("kind", ["u4", "f2", "f4", "f8"])
@pytest.mark.parametrize(("photometric", "inverts"), [("minisblack", False), ("miniswhite", True)])
def test_grey_samples_of_any_kind_are_read(tmp_path, kind, photometric, inverts):
    grey = SAMPLES[kind][..., 0].copy()
    wanted = in_16_bits(grey)
    pixels = read(tmp_path, tiff(grey, photometric=photometric)).pixels
    assert_close(pixels, np.dstack([65535 - wanted if inverts else wanted] * 3))


@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize("kind", ["u2", "f4"])
def test_alpha_of_planes_and_of_floating_point_is_kept_or_divided_by(tmp_path, planar, kind):
    samples = np.dstack([SAMPLES[kind], SAMPLES[kind][::-1, :, 0]])
    straight = read(tmp_path, tiff(samples, planar=planar, extrasamples=["unassalpha"])).pixels
    assert_close(straight, in_16_bits(samples))
    other = read(tmp_path, tiff(samples, planar=planar, extrasamples=["unspecified"])).pixels
    assert_close(other, in_16_bits(samples)[..., :3])
    alpha = in_16_bits(samples)[..., 3:] / 65535
    multiplied = (in_16_bits(samples)[..., :3] * alpha).astype(np.uint16)
    stored = np.dstack([multiplied, in_16_bits(samples)[..., 3].astype(np.uint16)])
    found = read(tmp_path, tiff(stored, planar=True, extrasamples=["assocalpha"])).pixels.astype(float)
    visible = alpha[..., 0] > 0.1
    assert np.abs(found[..., :3] - in_16_bits(samples)[..., :3])[visible].max() < 11


def test_the_orientation_of_planes_is_applied(tmp_path):
    data = tiff(LEVELS, planar=True, extratags=[(274, 3, 1, 6, True)])
    assert np.array_equal(read(tmp_path, data).pixels, np.rot90(LEVELS, -1))


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([0, np.nan], "non-finite pixels"),
        ([-1, 1], "floating-point pixels from -1 to 1, outside of 0 to 1"),
        ([0, 1500], "floating-point pixels from 0 to 1500, outside of 0 to 1; scale them, or save 16 bits"),
    ],
)
def test_floating_point_samples_without_a_known_range_are_refused_with_it(tmp_path, values, reason):
    samples = np.resize(np.array(values, np.float32), (8, 8))
    with pytest.raises(ImageError, match=reason):
        read(tmp_path, tiff(samples, photometric="minisblack"))


@pytest.mark.parametrize(
    ("compression", "name"),
    [("webp", "WebP"), ("jpegxl", "JPEG XL"), ("jpeg2000", "JPEG 2000"), ("lerc", "LERC"), ("png", "PNG")],
)
def test_a_compression_that_is_not_read_is_named(tmp_path, photo, compression, name):
    data = tiff(np.asarray(photo), compression=compression)
    with pytest.raises(
        ImageError, match=f"a TIFF compressed by {name} is not supported; save it with deflate, or as PNG"
    ):
        read(tmp_path, data)


@pytest.mark.parametrize("way", ["plain", "tiles", "lzw", "deflate", "lzma", "zstandard"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_planes_that_are_cut_short_are_refused(tmp_path, way, share):
    data = tiff(SAMPLES["f4"], planar=True, **WAYS[way])
    with pytest.raises(ImageError, match=r"damaged or incomplete|not a supported image"):
        read(tmp_path, data[: int(len(data) * share)])


def test_a_plane_whose_strips_are_missing_is_refused(tmp_path):
    data = bytearray(tiff(LEVELS, planar=True))
    with tifffile.TiffFile(io.BytesIO(bytes(data))) as file:
        tag = file.pages[0].tags[273]
    data[tag.offset + 4 : tag.offset + 12] = (2).to_bytes(4, "little") + data[tag.offset + 8 : tag.offset + 12]
    with pytest.raises(ImageError, match="this type of TIFF with 16 bits per channel is not supported"):
        read(tmp_path, bytes(data))


def test_what_other_decoders_read_is_left_to_them(tmp_path, photo):
    assert np.array_equal(read(tmp_path, tiff(LEVELS)).pixels, LEVELS)
    assert np.array_equal(read(tmp_path, saved(photo, "TIFF")).pixels, np.asarray(photo))


# Tags of four planes of 16 bits in two tiles each: size, bits, compression, colours, planes, tiles.
TAGS = {256: 20, 257: 16, 258: (16,) * 4, 259: 1, 262: 2, 277: 4, 284: 2, 322: 16, 323: 16}
TAGS |= {324: tuple(range(8, 8 + 8 * 512, 512)), 325: (512,) * 8}


@pytest.mark.parametrize(
    "changes",
    [
        {256: 0},
        {258: (16, 16, 16, 8)},
        {259: 7},
        {262: 6},
        {277: 5},
        {317: 3},  # differences of floating-point values
        {322: 0},
        {322: 1 << 15, 323: 1 << 15},  # 8 GB for 640 bytes
        {324: (8, 520)},
        {325: None},
        {257: "sixteen"},
    ],
)
def test_tags_that_contradict_each_other_describe_no_samples(changes):
    assert sample_layout(TAGS, "<").padded_size == (32, 16)
    assert sample_layout(TAGS | changes, "<") is None


def test_tiles_outside_of_the_file_are_damage():
    layout = sample_layout(TAGS, "<")
    data = b"II*\0" + bytes(4 + 8 * 512)
    assert decode_samples(data, layout).shape == (16, 20, 4)
    for start in (-1, 1 << 32, 1 << 31):
        with pytest.raises(ImageError, match="damaged or incomplete TIFF image"):
            decode_samples(data, replace(layout, starts=[start, *layout.starts[1:]]))
