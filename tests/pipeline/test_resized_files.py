"""--resize: in files, records and animations."""

import json

import numpy as np
from PIL import Image

from gmmquant.images.scaling import resized


def test_the_output_and_the_record_have_the_new_size(command, tmp_path, samples):
    result = command(samples / "cat.jpg", "-k", "4", "--resize", "100x100", "-o", "out", "--report", "json,html")
    assert result.returncode == 0
    record = json.loads((tmp_path / "out" / "cat_report.json").read_text())
    assert (record["image"]["width"], record["image"]["height"], record["settings"]["resize"]) == (100, 67, "100x100")
    assert record["image"]["pixels"] == 6700
    with Image.open(tmp_path / "out" / "cat_k4.png") as image:
        assert image.size == (100, 67)
    again = command(samples / "cat.jpg", "-k", "5", "--resize", "50x", "-o", "out")
    assert again.returncode == 1
    assert "resize" in again.stderr
    more = command(samples / "cat.jpg", "-k", "5", "--resize", "100x100", "-o", "out")
    assert more.returncode == 0


def test_every_frame_of_an_animation_is_resized(command, tmp_path):
    frames = np.random.default_rng(0).integers(0, 256, (3, 20, 30, 3), dtype=np.uint8)
    first, *others = (Image.fromarray(frame) for frame in frames)
    first.save(tmp_path / "film.png", save_all=True, append_images=others, duration=[100, 200, 300])
    result = command("film.png", "-k", "200", "--resize", "50%", "-o", "out", "--sheet", "png")
    assert result.returncode == 0
    with Image.open(tmp_path / "out" / "film_k200.png") as film:
        assert (film.size, film.n_frames) == ((15, 10), 3)
        for number in range(3):
            film.seek(number)
            near = np.asarray(film.convert("RGB")).astype(int) - resized(frames[number], 15, 10)
            assert np.abs(near).mean() < 12


def test_one_mixture_for_all_is_fitted_to_resized_images(command, tmp_path, samples):
    result = command(samples / "cat.jpg", samples / "rocket.jpg", "-k", "3", "--shared", "--resize", "10%", "-o", "out")
    assert result.returncode == 0
    with Image.open(tmp_path / "out" / "cat_k3.png") as image:
        assert image.size == (45, 30)


def test_a_wrong_size_is_refused_in_one_line(command, samples):
    result = command(samples / "cat.jpg", "--resize", "big")
    assert (result.returncode, result.stderr.count("\n")) == (2, 1)
    assert "--resize big is not a size; use 320x240, 320x, x240 or 50%" in result.stderr
