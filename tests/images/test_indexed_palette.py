"""The palette of an indexed image: every entry at its index, without the filling of tables of fixed size."""

import io

import numpy as np
import pytest
from PIL import Image, ImageCms

from gmmquant import read_palette
from gmmquant.images.palette_image import load_named_palette, load_palette

KINDS = pytest.mark.parametrize("kind", ["PNG", "GIF", "BMP", "TIFF", "PCX", "TGA"])

SIXTEEN = np.arange(1, 49, dtype=np.uint8).reshape(16, 3) * 5


def indexed(path, labels, palette, kind="PNG", **options):
    """Write an indexed image and return its path."""
    image = Image.fromarray(np.array(labels, dtype=np.uint8))
    image.putpalette(np.asarray(palette, dtype=np.uint8).tobytes())
    image.save(path, kind, **({"optimize": False} if kind == "GIF" else {}), **options)
    return path


@KINDS
@pytest.mark.parametrize("labels", [[[9, 3, 3], [5, 9, 0]], [[15, 15]], [[1, 2]]])
def test_colours_that_no_pixel_has_keep_their_indices(tmp_path, kind, labels):
    path = indexed(tmp_path / "palette", labels, SIXTEEN, kind)
    assert load_palette(path).tolist() == SIXTEEN.tolist()
    assert read_palette(path).tolist() == SIXTEEN.tolist()


@KINDS
def test_equal_colours_between_others_keep_the_indices_of_those_after_them(tmp_path, kind):
    palette = SIXTEEN.copy()
    palette[[0, 4, 5]] = 0
    path = indexed(tmp_path / "palette", [[7, 15]], palette, kind)
    assert load_palette(path).tolist() == palette.tolist()


def filled(path, filler, n_fillers, kind):
    """Return the palette that is read from an image whose table ends in a colour, several times."""
    palette = np.concatenate([SIXTEEN, np.tile(np.array([filler], np.uint8), (n_fillers, 1))])
    return load_palette(indexed(path / "palette", [[0, 3, 7]], palette, kind)).tolist()


@KINDS
@pytest.mark.parametrize("n_fillers", [1, 7, 240])
def test_the_black_filling_of_a_table_is_not_of_the_palette(tmp_path, kind, n_fillers):
    is_color = n_fillers == 1 and kind in ("PNG", "BMP", "TGA")  # whose tables have any length
    assert filled(tmp_path, [0, 0, 0], n_fillers, kind) == [*SIXTEEN.tolist(), *[[0, 0, 0]] * is_color]


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TGA"])
@pytest.mark.parametrize(("filler", "n_fillers"), [(SIXTEEN[3], 1), (SIXTEEN[3], 240), ([9, 9, 9], 2)])
def test_no_filling_of_a_table_is_of_the_palette(tmp_path, kind, filler, n_fillers):
    assert filled(tmp_path, filler, n_fillers, kind) == SIXTEEN.tolist()


@KINDS
def test_colours_in_use_are_no_filling(tmp_path, kind):
    palette = [[9, 9, 9], [0, 0, 0], [0, 0, 0], [0, 0, 0]]
    path = indexed(tmp_path / "palette", [[0, 2, 1]], palette, kind)
    assert load_palette(path).tolist() == palette[:3]


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
@pytest.mark.parametrize("labels", [[[0, 1, 2]], [[0, 2]]])
def test_a_transparent_entry_is_not_a_colour_whether_pixels_have_it_or_not(tmp_path, kind, labels):
    path = indexed(tmp_path / "palette", labels, SIXTEEN[:4], kind, transparency=1)
    assert load_palette(path).tolist() == SIXTEEN[[0, 2, 3]].tolist()


def test_entries_of_partial_alpha_are_colours(tmp_path):
    path = indexed(tmp_path / "palette", [[0, 0]], SIXTEEN[:4], transparency=bytes([255, 0, 1, 128]))
    assert load_palette(path).tolist() == SIXTEEN[[0, 2, 3]].tolist()


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_colours_that_no_pixel_has_are_converted_by_the_profile(tmp_path, kind):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    swapped = profile.replace(b"rXYZ", b"----", 1).replace(b"bXYZ", b"rXYZ", 1).replace(b"----", b"bXYZ", 1)
    path = indexed(tmp_path / "palette", [[2, 0]], SIXTEEN, kind, icc_profile=swapped)
    found = load_palette(path).astype(int)
    assert np.abs(found - SIXTEEN[:, ::-1]).max() <= 1  # red is blue there
    every = indexed(tmp_path / "every", [range(16)], SIXTEEN, kind, icc_profile=swapped)
    assert found.tolist() == load_palette(every).tolist()


def test_a_note_counts_the_colours_that_no_pixel_has_if_they_are_most(tmp_path):
    most = indexed(tmp_path / "most", [range(7)], SIXTEEN)
    assert load_named_palette(most).note.startswith("9 of the 16 colours of its palette are in no pixel of it, and are")
    assert load_named_palette(indexed(tmp_path / "half", [range(8)], SIXTEEN)).note == ""


@pytest.mark.parametrize(
    ("kind", "options", "noted"),
    [
        ("JPEG", {"quality": 90}, True),
        ("WEBP", {"quality": 90}, True),
        ("WEBP", {"lossless": True}, False),
        ("WEBP", {"lossless": True, "exif": b"Exif\0\0"}, False),
        ("AVIF", {"quality": 90}, True),
        ("JPEG2000", {}, True),
        ("PNG", {}, False),
        ("BMP", {}, False),
    ],
)
def test_a_note_names_compression_that_changes_colours(tmp_path, kind, options, noted):
    buffer = io.BytesIO()
    Image.fromarray(np.repeat(np.repeat(SIXTEEN[np.newaxis], 16, axis=1), 32, axis=0)).save(buffer, kind, **options)
    path = tmp_path / "chart"
    path.write_bytes(buffer.getvalue())
    found = load_named_palette(path)
    changed = f"{'has' if kind == 'JPEG' else 'may have'} changed the swatches"
    used = f"all {len(found.colors)} colours of it are used; save the chart as PNG"
    assert (f"{changed}, and {used}" in found.note) == noted == bool(found.note)
    assert noted or found.colors.tolist() == SIXTEEN.tolist()


def test_the_command_shows_the_note_on_a_palette_and_draws_all_the_same(tmp_path, command, samples):
    image = Image.fromarray(np.repeat(np.repeat(SIXTEEN[np.newaxis], 16, axis=1), 32, axis=0))
    image.save(tmp_path / "a<b>.jpg", quality=90)
    result = command(samples / "flat.png", "--palette", "a<b>.jpg", "-o", "out")
    assert result.returncode == 0
    assert result.stderr.startswith("gmmquant: a<b>.jpg: JPEG has changed the swatches, and all ")
    assert not command(samples / "flat.png", "--palette", "pico8", "-o", "other").stderr


def test_a_palette_drawn_with_some_of_its_colours_is_a_palette_of_all(tmp_path, command, samples):
    for palette, folder in (("pico8", "first"), ("first/flat_k16.png", "second")):
        result = command(samples / "flat.png", "--palette", palette, "-o", folder, "--palette-out", "hex")
        assert result.returncode == 0, result.stderr
    first, second = (tmp_path / folder / "flat_k16_palette.hex" for folder in ("first", "second"))
    assert first.read_text() == second.read_text()
