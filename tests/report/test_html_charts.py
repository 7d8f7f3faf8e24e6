"""Charts and the cloud of colours: positions follow from values, outlines from covariances."""

import base64
import re
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_pages import run_of, small_cat
from scipy.spatial.distance import mahalanobis

from gmmquant.colors.spaces import COLOR_SPACES
from gmmquant.report.html import cloud
from gmmquant.report.html.charts import BOTTOM, LEFT, RIGHT, TOP, k_charts, trace_chart
from gmmquant.report.html.scales import count_scale, iteration_scale, nice_scale
from gmmquant.report.record import covariances_of

NUMBERS = st.floats(-1e9, 1e9, allow_nan=False)


@pytest.fixture(scope="module")
def fits():
    return run_of(small_cat(), (2, 3, 7))[0]["fits"]


def number(text):
    return float(text.replace("\u2212", "-").replace(",", ""))


@given(st.lists(NUMBERS, min_size=1, max_size=8))
def test_values_lie_within_the_axis_and_ticks_where_their_text_says(values):
    scale, ticks = nice_scale(values, BOTTOM, TOP)
    assert all(TOP - 0.01 <= scale(value) <= BOTTOM + 0.01 for value in values)
    assert 2 <= len(ticks) <= 8
    for tick in ticks:
        assert tick.position == pytest.approx(scale(number(tick.text)), abs=0.5)
    assert len({tick.text for tick in ticks}) == len(ticks)


@given(st.lists(st.integers(1, 4096), min_size=1, max_size=20))
def test_ticks_of_counts_are_counts_and_do_not_overlap(counts):
    scale, ticks = count_scale(counts, LEFT, RIGHT)
    assert {number(tick.text) for tick in ticks} <= set(counts)
    positions = [tick.position for tick in ticks]
    assert all(later - earlier >= 24 for earlier, later in pairwise(positions))
    assert number(ticks[-1].text) == max(counts)
    ratio = (scale(2 * max(counts)) - scale(max(counts))) if len(set(counts)) > 1 else 0
    assert ratio == pytest.approx(scale(2 * min(counts)) - scale(min(counts)), abs=0.05) or len(set(counts)) == 1


def test_ticks_of_iterations_are_whole():
    for n in (0, 1, 5, 13, 200):
        assert all("." not in tick.text for tick in iteration_scale(n, LEFT, RIGHT)[1])


def test_the_trace_has_every_objective_of_every_level(fits):
    for fit in fits:
        chart = trace_chart(fit)
        assert [len(re.findall("[ML]", curve.path)) for curve in chart.curves] == [
            len(level["objective"]) for level in fit["trace"]
        ]
        heights = np.concatenate([np.array(re.findall(r" ([\d.]+)", curve.path), float) for curve in chart.curves])
        objectives = np.concatenate([level["objective"] for level in fit["trace"]])
        slope = np.polyfit(objectives, heights, 1)
        np.testing.assert_allclose(np.polyval(slope, objectives), heights, atol=0.02)
        assert slope[0] < 0
        assert chart.bands[-1].x + chart.bands[-1].width == pytest.approx(RIGHT)


def test_a_fit_without_iterations_has_no_trace(fits):
    assert trace_chart({**fits[0], "trace": []}) is None
    assert trace_chart({**fits[0], "trace": [{"level": 3, "objective": [1.0]}]}) is None


def test_charts_of_k_mark_the_figure_of_every_fit(fits):
    likelihood, criteria, error = k_charts(fits)
    for chart, name in ((likelihood, "mean_log_likelihood"), (error, "mse")):
        (curve,) = chart.curves
        assert [mark.fit for mark in curve.marks] == [0, 1, 2]
        figures = [fit[name] for fit in fits]
        assert np.argsort([-mark.y for mark in curve.marks]).tolist() == np.argsort(figures).tolist()
    assert [curve.name for curve in criteria.curves] == ["AIC", "BIC", "ICL"]
    assert "k = 7: " in likelihood.description
    assert k_charts(fits[:1]) == []
    assert len(k_charts([{**fit, "aic": None, "bic": None, "icl": None} for fit in fits])) == 2


@pytest.mark.parametrize("space", ["srgb", "lab", "oklab"])
def test_outlines_lie_two_standard_deviations_from_the_mean_in_the_space_of_the_fit(space):
    fit = run_of(small_cat(), [4], space=space)[0]["fits"][0]
    outlines = COLOR_SPACES[space].from_srgb(cloud.outlines(fit))
    for outline, mean, covariance in zip(
        outlines, fit["components"]["mean"], covariances_of(fit["components"]), strict=True
    ):
        np.testing.assert_allclose(outline[0], mean, rtol=1e-6)
        inverse = np.linalg.inv(covariance)
        distances = [mahalanobis(point, mean, inverse) for point in outline[1:]]
        np.testing.assert_allclose(distances, 2, rtol=1e-5)


def test_points_are_the_visible_colors_of_an_image():
    image = np.array([[[1, 2, 3, 255], [1, 2, 3, 9], [7, 8, 9, 0], [200, 0, 5, 1]]], dtype=np.uint8)
    colors = cloud.points(image)
    assert sorted(colors.tolist()) == [[1, 2, 3], [200, 0, 5]]
    assert base64.b64decode(cloud.packed_points(colors)) == colors.tobytes()


def test_points_of_a_large_image_are_a_sample_that_is_always_the_same():
    image = np.random.default_rng(0).integers(0, 256, (400, 500, 3), dtype=np.uint8)
    colors = cloud.points(image)
    assert 40_000 < len(colors) <= cloud.MAX_POINTS
    np.testing.assert_array_equal(colors, cloud.points(image))
    assert {tuple(color) for color in colors[:100].tolist()} <= {tuple(c) for c in image.reshape(-1, 3).tolist()}
