"""One mixture for many images, and its record, compared with one image of all pixels and with scipy."""

import json
import pickle
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from helpers import log_density_by_scipy, log_joint_by_scipy, mixture_of, read_sample

from gmmquant import ColorHistogram, Quantizer, Settings
from gmmquant.colors.color_sum import add_up
from gmmquant.colors.spaces import COLOR_SPACES
from gmmquant.pipeline.shared_palette import ApplyFits, fit_shared
from gmmquant.quantization.fitter import Fitter
from gmmquant.report.record import build_record, fit_record, to_json
from gmmquant.report.shared_record import build_shared_record, shared_fit_record, shared_image_record, total_result

CAT = read_sample("cat.jpg")
TEN = [CAT[60 * row : 60 * row + 30, 60 * column : 60 * column + 40] for row in range(2) for column in range(5)]
DEEP = [(image.astype(np.uint16) * 257 - 100 * (image > 90)).astype(np.uint16) for image in TEN]
BOTH = [image if number % 2 else DEEP[number] for number, image in enumerate(TEN)]
FEW = [np.full((3, 4, 3), 7, np.uint8), np.array([[[7, 7, 7], [250, 0, 0]]], np.uint8)]
REPORT = Path("out/shared_report.json")

COLLECTIONS = {"8 bits": TEN, "16 bits": DEEP, "both": BOTH, "few colours": FEW}
SETTINGS = {
    "plain": Settings(),
    "kmeans": Settings(method="kmeans"),
    "soft in OKLab": Settings(recolor="soft", space="oklab", covariance="diag"),
}


def together(images):
    """Return the pixels of images as one image; 16 bits if one of them has 16."""
    if len({image.dtype for image in images}) > 1:
        images = [image if image.dtype == np.uint16 else image.astype(np.uint16) * 257 for image in images]
    return np.concatenate([image.reshape(1, -1, 3) for image in images], axis=1)


def fitter_of(images, settings, limit=1 << 24):
    return Fitter(add_up([ColorHistogram.from_pixels(image.reshape(-1, 3)) for image in images], limit), settings)


def outcome_of(image, number, shared, ks, settings):
    """Recolour an image as a worker does; return its record and its statistics for each k."""
    quantizer = Quantizer(image, settings)
    fits, statistics = [], []
    for k in ks:
        n = shared.choices[k].k if isinstance(k, str) else k
        seconds = 2.0 if k == "auto" else 10.0 ** (5 * number) + 0.1
        result = shared.recolor(quantizer, n, lambda *step: None, lambda image: None).with_seconds(write=seconds)
        fits.append(shared_fit_record(result, {"image": f"{number}_k{k}.png"}, asked=k))
        statistics.append(result.statistics)
    record = shared_image_record(f"../in/{number}.png", quantizer, fits, notes=[f"note {number}"])
    return record, statistics


def outcomes_of(images, shared, ks, settings):
    return [outcome_of(image, number, shared, ks, settings) for number, image in enumerate(images)]


def record_of(outcomes, shared, fitter, ks):
    fits = []
    for index, k in enumerate(ks):
        fit = shared.fits[shared.choices[k].k if isinstance(k, str) else k]
        result = total_result(fit, fitter.settings, [statistics[index] for _, statistics in outcomes])
        fits.append(fit_record(result, {"model": "m"}, asked=k))
    images = [record for record, _ in outcomes]
    return build_shared_record(REPORT, fitter, fits, images, n_fitted=len(outcomes), choices=shared.choices)


def shared_record(images, ks, settings=None, limit=1 << 24):
    fitter = fitter_of(images, settings or Settings(), limit)
    shared = fit_shared(fitter, ks)
    return record_of(outcomes_of(images, shared, ks, fitter.settings), shared, fitter, ks)


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
@pytest.mark.parametrize("images", COLLECTIONS.values(), ids=COLLECTIONS)
def test_the_shared_figures_are_those_of_one_image_of_all_pixels(images, settings):
    (shared,) = shared_record(images, [4], settings)["fits"]
    expected = fit_record(Quantizer(together(images), settings).fit(4).with_seconds(write=0.0), {})
    assert list(shared) == list(expected)
    sums = ("log_likelihood", "mean_log_likelihood", "aic", "bic", "icl", "mse", "psnr")
    for name in sums:
        assert shared[name] == (None if expected[name] is None else pytest.approx(expected[name], rel=1e-9))
    assert shared["errors"] == {name: pytest.approx(error, rel=1e-9) for name, error in expected["errors"].items()}
    for name in set(expected) - {*sums, "errors", "seconds", "files"}:
        assert shared[name] == expected[name]
    assert shared["seconds"].keys() == expected["seconds"].keys()


@pytest.mark.parametrize("space", ["srgb", "lab"])
def test_the_shared_likelihood_and_icl_are_those_of_all_pixels_by_scipy(space):
    settings = Settings(space=space)
    (shared,) = shared_record(BOTH, [5], settings)["fits"]
    values = COLOR_SPACES[space].from_srgb(together(BOTH)[0] / 65535)
    weights, means, covariances = mixture_of(shared)
    densities = log_density_by_scipy(values, weights, means, covariances)
    assert shared["log_likelihood"] == pytest.approx(densities.sum(), rel=1e-9)
    joint = log_joint_by_scipy(values, weights, means, covariances)
    log_responsibilities = joint - densities[:, np.newaxis]
    entropy = -(np.exp(log_responsibilities) * log_responsibilities).sum()
    assert shared["icl"] - shared["bic"] == pytest.approx(2 * entropy, rel=1e-6)


def test_the_record_does_not_depend_on_the_order_in_which_images_arrive():
    ks, settings = [3, "auto"], Settings()
    fitter = fitter_of(BOTH[:4], settings)
    shared = fit_shared(fitter, ks)
    outcomes = outcomes_of(BOTH[:4], shared, ks, settings)
    records = {to_json(record_of(list(order), shared, fitter, ks)) for order in permutations(outcomes)}
    assert len(records) == 1


def test_the_outcome_of_an_image_is_small_and_survives_json_and_pickle():
    ks, settings = [2, 7], Settings()
    image = np.random.default_rng(0).integers(0, 256, (300, 300, 3)).astype(np.uint8)
    fitter = fitter_of([image], settings)
    shared = fit_shared(fitter, ks)
    outcome = outcome_of(image, 0, pickle.loads(pickle.dumps(shared)), ks, settings)
    assert len(pickle.dumps(outcome)) < 4000
    again = pickle.loads(pickle.dumps(outcome))
    assert json.loads(to_json(outcome[0])) == outcome[0]
    assert to_json(record_of([again], shared, fitter, ks)) == to_json(record_of([outcome], shared, fitter, ks))


def test_each_image_has_the_same_entry_as_in_a_separate_record():
    record = shared_record(BOTH, [3])
    assert record["schema"] == "gmmquant-shared/1"
    assert [image["path"] for image in record["images"]] == [f"../in/{number}.png" for number in range(10)]
    for number, (image, original) in enumerate(zip(record["images"], BOTH, strict=True)):
        separate = build_record(f"../in/{number}.png", REPORT, Quantizer(original), [])["image"]
        assert {name: image[name] for name in separate} == separate
        assert image["notes"] == [f"note {number}"]
        assert image["fits"][0]["files"] == {"image": f"{number}_k3.png"}
        assert sum(image["fits"][0]["pixels"]) == image["visible_pixels"]
    assert record["settings"] == {
        **build_record("../in/0.png", REPORT, Quantizer(DEEP[0]), [])["settings"],
        "k": [3],
    }


def test_the_total_counts_all_images():
    record = shared_record(BOTH, [2])
    pixels = together(BOTH)[0]
    n = len(pixels)
    assert record["total"] == {"images": 10, "pixels": n, "visible_pixels": n, "visible_weight": n}
    assert record["fitted"] == {
        "images": 10,
        "visible_pixels": n,
        "visible_weight": n,
        "distinct_colors": len(np.unique(pixels, axis=0)),
        "cells": None,
        "bit_depth": 16,
        "sample_size": None,
    }


def test_beyond_the_limit_of_a_sum_the_record_has_the_number_of_cells_instead_of_colors():
    record = shared_record(DEEP, [2], limit=4000)
    assert record["fitted"]["distinct_colors"] is None
    assert 4000 / 64 <= record["fitted"]["cells"] <= 4000 / 8
    (shared,) = record["fits"]
    assert shared["trace"][-1]["level"] <= record["fitted"]["cells"]
    assert sum(shared["components"]["pixels"]) == record["total"]["visible_pixels"]


def test_a_chosen_k_is_recorded_beside_the_same_k_of_the_user():
    k = fitter_of(TEN, Settings()).choose_k().k
    record = shared_record(TEN, [k, "auto"])
    assert record["settings"]["k"] == [k, "auto"]
    assert record["choice"]["k"] == k
    assert [fit["auto"] for fit in record["fits"]] == [False, True]
    assert [fit["auto"] for fit in record["images"][3]["fits"]] == [False, True]
    assert record["fits"][1]["seconds"]["write"] == 10 * 2.0


def test_transparent_pixels_are_ignored():
    veiled = [np.dstack([image, np.full(image.shape[:2], 255, np.uint8)]) for image in TEN]
    for image in veiled:
        image[:10, :, 3] = 0
    settings = Settings()
    fitter = fitter_of([image[10:, :, :3] for image in veiled], settings)
    shared = fit_shared(fitter, [3])
    record = record_of(outcomes_of(veiled, shared, [3], settings), shared, fitter, [3])
    expected = shared_record([image[10:] for image in TEN], [3])
    assert record["total"]["pixels"] == 12_000
    assert record["total"]["visible_pixels"] == expected["total"]["visible_pixels"] == 8_000
    assert record["fits"][0]["log_likelihood"] == expected["fits"][0]["log_likelihood"]
    assert record["fits"][0]["mse"] == expected["fits"][0]["mse"]


def test_all_images_have_one_palette_in_one_order_and_separate_seconds():
    fitter = fitter_of(TEN, Settings())
    shared = fit_shared(fitter, [6])
    assert isinstance(shared, ApplyFits)
    assert shared.keeps_order
    for original in (TEN[0], TEN[9]):
        drawn = shared.recolor(Quantizer(original), 6, lambda *step: None, lambda image: None)
        np.testing.assert_array_equal(drawn.palette, shared.fits[6].palette)
        assert drawn.statistics.seconds["seed"] == 0
    assert shared.fits[6].seconds["seed"] > 0


def test_idle_is_called_whenever_a_fit_is_watched():
    fitter, calls, watched = fitter_of(TEN, Settings()), [], []
    shared = fit_shared(fitter, [2, 5], lambda: calls.append(1))
    for k in shared.fits:
        fitter.fit(k, lambda *step: watched.append(step))
    assert shared.fits.keys() == {2, 5}
    assert len(calls) == len(watched) > 10
