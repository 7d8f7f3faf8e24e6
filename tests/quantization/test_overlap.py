"""Images of more colours than the noise keeps apart: more colours never ruin them."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from helpers import SAMPLE_IMAGES
from PIL import Image

from gmmquant import Quantizer, Settings, quantize
from gmmquant.models.cells import Cells
from gmmquant.models.gaussian import Gaussians
from gmmquant.quantization.fit import Fit
from gmmquant.quantization.overlap import without_overlap
from gmmquant.report.notes import fit_notes


def photograph(name, kind):
    with Image.open(SAMPLE_IMAGES / name) as image:
        rgb = np.asarray(image.convert("RGB"), dtype=np.float64)
    grey = rgb @ [0.299, 0.587, 0.114]
    toned = {
        "grey": np.dstack([grey] * 3),
        "sepia": np.dstack([1.07 * grey, 0.95 * grey, 0.75 * grey]),
        "faint": grey[..., np.newaxis] + 0.05 * (rgb - grey[..., np.newaxis]),
    }[kind]
    return np.clip(np.rint(toned), 0, 255).astype(np.uint8)


@pytest.mark.filterwarnings("ignore:components overlap")
@pytest.mark.parametrize("kind", ["grey", "sepia", "faint"])
@pytest.mark.parametrize("name", ["cat.jpg", pytest.param("rocket.jpg", marks=pytest.mark.slow)])
def test_more_colours_never_ruin_a_photograph_of_few_hues(name, kind):
    quantizer = Quantizer(photograph(name, kind))
    results = [quantizer.fit(k) for k in (8, 16, 32, 64, 128)]
    psnrs = [result.psnr for result in results]
    assert all(more >= fewer - 0.5 for fewer, more in pairwise(psnrs)), psnrs
    clusters = Quantizer(photograph(name, kind), Settings(method="kmeans")).fit(64)
    assert results[3].psnr >= clusters.psnr - 8
    for result in results:
        assert np.count_nonzero(result.shares) >= 0.4 * result.k


def test_a_recoloring_that_is_asked_for_is_kept():
    image = photograph("rocket.jpg", "faint")
    with pytest.warns(UserWarning, match="components overlap at k = 64, so pixels get the nearest colours") as warned:
        assert quantize(image, 64).recoloring == "nearest"
    assert [warning.filename for warning in warned] == [__file__]
    assert quantize(image, 64, recolor="posterior").recoloring == "posterior"
    assert quantize(image, 64, style="likelihood").recoloring == "posterior"


@pytest.mark.filterwarnings("ignore:components overlap")
def test_a_note_says_that_components_overlap():
    quantizer = Quantizer(photograph("rocket.jpg", "faint"))
    results = [quantizer.fit(k) for k in (4, 64)]
    notes = fit_notes(results, quantizer.histogram, quantizer.settings, choices={}, recoloring_chosen=False)
    assert any(note.startswith("components overlap at k = 64, so pixels get the nearest colours") for note in notes)


def fit_of(width, noise, k=8):
    """Return a fit of `k` components at 0, 1, 2, ..., of which the first is by far the heaviest."""
    means = np.repeat(np.arange(k)[:, np.newaxis] / 100.0, 3, axis=1)
    weights = np.full(k, 1e-9)
    weights[0] = 1 - weights[1:].sum()
    mixture = Gaussians(weights, means, np.repeat(width**2 * np.eye(3)[np.newaxis], k, axis=0))
    return Fit(k, "gmm", "srgb", mixture, (0.0,), (1,), 1, None, True, {}, noise=noise)


def cells_at(k=8):
    offsets = np.repeat(np.arange(k)[np.newaxis] / 100.0, 3, axis=0)
    return Cells(np.ones(k), offsets, None, np.zeros(3))


def test_noise_is_lowered_until_components_do_not_overlap():
    asked = []

    def refit(noise):
        asked.append(noise)
        return fit_of(0.001 if noise <= 0.125 else 0.1, noise)

    found = without_overlap(fit_of(0.1, 2.0), [cells_at()], refit)
    assert (found.noise, found.recoloring) == (0.125, None)
    assert asked == [1.0, 0.5, 0.125]


def test_what_overlaps_at_any_noise_is_drawn_by_the_nearest_colours():
    found = without_overlap(fit_of(0.1, 2.0), [cells_at()], lambda noise: fit_of(0.1, noise))
    assert found.recoloring == "nearest"


def test_what_does_not_overlap_and_what_has_few_components_is_not_fitted_again():
    def refuse(noise):
        raise AssertionError(noise)

    for fit in (fit_of(0.001, 2.0), fit_of(0.1, 2.0, k=5)):
        assert without_overlap(fit, [cells_at(fit.k)], refuse) is fit
    without_noise = replace(fit_of(0.1, 0.0), recoloring=None)
    assert without_overlap(without_noise, [cells_at()], refuse).recoloring == "nearest"
