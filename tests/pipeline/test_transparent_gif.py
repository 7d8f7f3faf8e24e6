"""GIFs of images with transparency: as many colours as there are, and 255 with a note beyond."""

import json

import numpy as np
import pytest
from PIL import Image


def write_sprite(path, n_colors, size=20):
    rng = np.random.default_rng(0)
    pixels = np.zeros((size, size, 4), dtype=np.uint8)
    codes = np.arange(n_colors) * 40503 % (1 << 24)
    colors = np.stack([codes >> 16, codes >> 8 & 255, codes & 255], axis=1)
    inner = pixels[2:-2, 2:-2].reshape(-1, 4)
    inner[:, :3] = colors[np.r_[np.arange(n_colors), rng.integers(0, n_colors, len(inner) - n_colors)]]
    inner[:, 3] = 255
    pixels[2:-2, 2:-2] = inner.reshape(size - 4, size - 4, 4)
    Image.fromarray(pixels).save(path)
    return pixels


def decoded_of(path):
    with Image.open(path) as image:
        return np.asarray(image.convert("RGBA"))


@pytest.mark.parametrize("n_colors", [1, 254, 255])
def test_a_transparent_gif_at_256_has_exactly_the_colors_there_are(command, tmp_path, n_colors):
    pixels = write_sprite(tmp_path / "sprite.png", n_colors)
    result = command("sprite.png", "-k", "256", "--format", "gif", "-o", "out")
    assert (result.returncode, "255 colours" in result.stdout + result.stderr) == (0, False)
    decoded = decoded_of(tmp_path / "out" / "sprite_k256.gif")
    assert np.array_equal(decoded[..., 3], pixels[..., 3])
    assert np.array_equal(decoded[pixels[..., 3] > 0], pixels[pixels[..., 3] > 0])


def test_a_transparent_gif_of_more_colors_is_drawn_in_255_with_a_note_and_is_resumed_at_its_k(command, tmp_path):
    pixels = write_sprite(tmp_path / "sprite.png", 256)
    arguments = ("sprite.png", "-k", "4", "256", "--format", "gif", "-o", "out")
    result = command(*arguments)
    assert result.returncode == 0
    assert "gif stores 255 colours plus transparency: a larger k is drawn in 255" in result.stdout + result.stderr
    record = json.loads((tmp_path / "out" / "sprite_report.json").read_text())
    assert [(fit["k"], fit["k_fitted"]) for fit in record["fits"]] == [(4, 4), (256, 255)]
    decoded = decoded_of(tmp_path / "out" / "sprite_k256.gif")
    assert np.array_equal(decoded[..., 3], pixels[..., 3])
    assert len(np.unique(decoded[decoded[..., 3] > 0], axis=0)) == 255
    before = (tmp_path / "out" / "sprite_k256.gif").stat().st_mtime_ns
    assert command(*arguments, "--skip-existing").returncode == 0
    assert (tmp_path / "out" / "sprite_k256.gif").stat().st_mtime_ns == before


def test_an_opaque_gif_has_256_colors_still(command, tmp_path):
    pixels = write_sprite(tmp_path / "sprite.png", 256)[2:-2, 2:-2, :3]
    Image.fromarray(pixels.copy()).save(tmp_path / "opaque.png")
    assert command("opaque.png", "-k", "256", "--format", "gif", "-o", "out").returncode == 0
    assert np.array_equal(decoded_of(tmp_path / "out" / "opaque_k256.gif")[..., :3], pixels)
