"""Plots: what is drawn is what the results and the records state."""

import io
import json
import re
import sys
from dataclasses import replace
from itertools import pairwise
from xml.etree import ElementTree as ET

import matplotlib as mpl
import numpy as np
import pypdfium2
import pytest
from helpers import SAMPLE_IMAGES, assert_refused, read_sample
from PIL import Image

import gmmquant
from gmmquant import GmmquantError, Quantizer, plot_colors, plot_criteria, plot_objective, plot_palettes, quantize
from gmmquant.report.plots.canvas import COLORS, encode_figure
from gmmquant.report.plots.criteria import _set_axis_of_k
from gmmquant.report.plots.figures import figures_of
from gmmquant.report.plots.files import plots
from gmmquant.report.record import build_record, fit_record, to_json
from gmmquant.settings import PLOT_FORMATS

KS = [2, 3, 7, 20]
SIMPLE = [plot_objective, plot_criteria, plot_palettes]


@pytest.fixture(scope="module")
def quantizer():
    return Quantizer(read_sample("cat.jpg"))


@pytest.fixture(scope="module")
def results(quantizer):
    return [quantizer.fit(k) for k in KS]


@pytest.fixture(scope="module")
def record(quantizer, results):
    """The record as it is read from a file."""
    made = build_record("cat.jpg", SAMPLE_IMAGES / "report.json", quantizer, [fit_record(r, {}) for r in results])
    return json.loads(to_json(made))


def curves(axes):
    """Return the coordinates of each line that is no row of single points."""
    return [np.array(line.get_data()) for line in axes.lines if line.get_linestyle() != "None"]


def test_the_objective_has_a_line_for_each_k_through_every_value_of_the_trace(results):
    (axes,) = plot_objective(results).axes
    lines = curves(axes)
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [str(k) for k in KS]
    for (x, y), result in zip(lines, results, strict=True):
        np.testing.assert_array_equal(y, result.fit.trace)
        assert x[0] == 0
        assert x[-1] == result.fit.n_iter
        n_cells = np.array(result.fit.n_cells)
        np.testing.assert_array_equal(np.diff(x), n_cells[1:] == n_cells[:-1])


def test_a_circle_marks_the_start_of_each_level(results):
    (axes,) = plot_objective(results).axes
    marked = [np.array(line.get_data()) for line in axes.lines if line.get_linestyle() == "None"]
    for (x, y), (steps, objective), result in zip(marked, curves(axes), results, strict=True):
        cells = list(result.fit.n_cells)
        starts = [cells.index(level) for level in dict.fromkeys(cells)]
        np.testing.assert_array_equal(y, objective[starts])
        np.testing.assert_array_equal(x, steps[starts])


def test_kmeans_has_axes_of_its_own():
    image = read_sample("cat.jpg")
    clusters = quantize(image, [2, 3], method="kmeans")
    upper, lower = plot_objective([*clusters, quantize(image, 3)]).axes
    assert (len(curves(upper)), len(curves(lower))) == (1, 2)
    assert "nats" in upper.get_ylabel()
    assert "squared distance" in lower.get_ylabel()
    np.testing.assert_array_equal(curves(lower)[0][1], clusters[0].fit.trace)


def test_criteria_are_those_of_the_results_per_pixel_in_the_order_of_k(results):
    figure = plot_criteria(results[::-1])
    likelihood, criteria, error = figure.axes
    for axes in figure.axes:
        for x, _ in curves(axes):
            assert x.tolist() == KS
        assert axes.get_xlabel() == "number of colours k"
        assert [text.get_text() for text in axes.get_xticklabels()] == [str(k) for k in KS]
    n_pixels = 451 * 300
    np.testing.assert_allclose(curves(likelihood)[0][1], [r.log_likelihood / n_pixels for r in results], rtol=1e-12)
    np.testing.assert_allclose(curves(error)[0][1], [r.mse for r in results], rtol=1e-12)
    assert [text.get_text() for text in criteria.get_legend().get_texts()] == ["AIC", "BIC", "ICL"]
    for (_, y), name in zip(curves(criteria), ("aic", "bic", "icl"), strict=True):
        np.testing.assert_allclose(y, [getattr(r, name) / n_pixels for r in results], rtol=1e-12)


def test_criteria_of_other_methods_spaces_and_images_have_lines_of_their_own(results):
    clusters = quantize(read_sample("cat.jpg"), [2, 5], method="kmeans")
    lab = quantize(read_sample("cat.jpg"), [3, 2], space="lab")
    cut = quantize(read_sample("cat.jpg")[:50], [2, 4])
    other = quantize(read_sample("cat.jpg")[:, ::-1], [2, 4], shrink=0)
    figure = plot_criteria([*results, results[0], *clusters, *lab, *cut, *other])
    likelihood, criteria, error = figure.axes
    ks = [[2, *KS], [2, 5], [2, 3], [2, 4], [2, 4]]
    for axes, repeated in ((likelihood, 1), (criteria, 3), (error, 1)):
        assert [x.tolist() for x, _ in curves(axes)] == [each for each in ks for _ in range(repeated)]
    names = [text.get_text() for text in likelihood.get_legend().get_texts()]
    assert names == ["gmm, sRGB (1)", "kmeans, sRGB", "gmm, CIELAB", "gmm, sRGB (2)", "gmm, sRGB (3)"]
    assert [text.get_text() for text in criteria.get_legend().get_texts()] == ["AIC", "BIC", "ICL"]


def test_translucent_pixels_count_by_their_weight():
    result = quantize(read_sample("alpha.png"), 3)
    likelihood, criteria, _ = plot_criteria(result).axes
    assert curves(likelihood)[0][1][0] == pytest.approx(result.mean_log_likelihood, rel=1e-12)
    assert curves(criteria)[1][1][0] == pytest.approx(result.bic / result.statistics.weight, rel=1e-12)


def test_palettes_are_bars_of_the_weights_in_the_colors_of_the_image(results):
    (axes,) = plot_palettes(results).axes
    bars = iter(patch for patch in axes.patches if patch.get_fill())
    for row, result in enumerate(results):
        start = 0.0
        for weight, color in zip(result.weights, result.palette, strict=True):
            bar = next(bars)
            assert (bar.get_x(), bar.get_width()) == (pytest.approx(start), pytest.approx(weight))
            assert bar.get_y() + bar.get_height() / 2 == pytest.approx(row)
            np.testing.assert_allclose(bar.get_facecolor()[:3], color / 255, atol=1e-9)
            start += weight
    codes = [text.get_text() for text in axes.texts]
    assert codes[:2] == ["#" + bytes(color).hex() for color in results[0].palette]
    assert [text.get_text() for text in axes.get_yticklabels()] == [str(k) for k in KS]


def test_a_row_of_a_palette_has_an_edge_that_white_does_not_hide():
    palette = ["#fff", "#f00", "#000", "#fff"]
    (axes,) = plot_palettes(quantize(np.full((4, 4, 3), 255, np.uint8), palette=palette)).axes
    (edge,) = (patch for patch in axes.patches if not patch.get_fill())
    assert (edge.get_x(), edge.get_y()) == (0, -0.4)
    assert (edge.get_width(), edge.get_height()) == (pytest.approx(1), 0.8)
    assert edge.get_linewidth() > 0.5
    assert max(edge.get_edgecolor()[:3]) < 0.8


def test_the_plots_of_criteria_say_which_direction_is_better(results):
    titles = [axes.get_title(loc="left") for axes in plot_criteria(results).axes]
    better = [result.mean_log_likelihood for result in results], [-result.mse for result in results]
    assert all(sorted(values) == list(values) for values in better)  # here, more colours are better
    assert titles == [
        "log-likelihood: higher is better",
        "criteria: lower is better",
        "squared error: lower is better",
    ]


@pytest.mark.parametrize("draw", SIMPLE)
def test_a_record_gives_the_plot_of_its_results(draw, record, results):
    plain, of_record, of_fits = (
        encode_figure(draw(source), "png") for source in (results, record, iter(record["fits"]))
    )
    assert of_record == of_fits
    difference = np.asarray(Image.open(io.BytesIO(plain))) - np.asarray(Image.open(io.BytesIO(of_record))).astype(int)
    assert np.abs(difference).mean() < 0.01  # digits beyond the fifteenth


def test_one_result_is_enough(results):
    for draw in SIMPLE:
        assert len(draw(results[1]).axes) == len(draw(results).axes)
    assert [axes.get_title() for axes in plot_colors(results, read_sample("cat.jpg")).axes] == [f"k = {k}" for k in KS]


def test_plots_name_what_was_asked_for_and_the_format_where_there_are_several(quantizer, results):
    asked = {2: 2, 3: "auto", 7: "auto:4"}
    fits = [fit_record(fit, {"image": f"cat_k{fit.k}.png"}, asked=asked[fit.k]) for fit in results[:3]]
    record = build_record("cat.jpg", SAMPLE_IMAGES / "r.json", quantizer, fits)
    labels = ["2", "3, auto", "7, auto:4"]
    assert [text.get_text() for text in plot_palettes(record).axes[0].get_yticklabels()] == labels
    assert [text.get_text() for text in plot_objective(record).axes[0].get_legend().get_texts()] == labels
    titles = [axes.get_title() for axes in plot_colors(record, read_sample("cat.jpg")).axes]
    assert titles == [f"k = {label}" for label in labels]
    both = {**record, "fits": [*fits, fit_record(results[2], {"image": "cat_k7.webp"}, asked="auto:4")]}
    found = [text.get_text() for text in plot_palettes(both).axes[0].get_yticklabels()]
    assert found == ["2", "3, auto", "7, auto:4, png", "7, auto:4, webp"]


@pytest.mark.parametrize(("narrow", "n_shown"), [(0.0902, 7), (0.0898, 1), (0.08, 1)])
def test_hex_codes_of_palettes_do_not_overlap(narrow, n_shown, results):
    fit = fit_record(results[2], {})
    codes = ["#dddddd", *["#aa8866"] * 6]
    components = {**fit["components"], "weight": [1 - 6 * narrow, *[narrow] * 6], "hex": codes}
    figure = plot_palettes({**fit, "components": components})
    figure.canvas.draw()
    texts = figure.axes[0].texts
    assert [text.get_text() for text in texts] == codes[:n_shown]
    assert all(left.get_window_extent().x1 < right.get_window_extent().x0 for left, right in pairwise(texts))


def test_exact_images_and_mixtures_of_other_images_can_be_plotted():
    exact = quantize(read_sample("flat.png"), [2, 7])
    assert plot_colors(exact, read_sample("flat.png")).axes[1].get_title() == "k = 7, 3 colours"
    elsewhere = Quantizer(read_sample("coffee.png")).apply(quantize(read_sample("cat.jpg"), 3).mixture)
    empty = quantize(np.zeros((4, 4, 4), dtype=np.uint8), 2)
    for draw in SIMPLE:
        for result in (exact, elsewhere, empty):
            assert encode_figure(draw(result), "svg")


@pytest.mark.parametrize("kind", PLOT_FORMATS)
def test_all_plots_of_a_record_are_files_with_the_same_bytes_each_time(kind, record):
    image = read_sample("cat.jpg")
    files = plots(record, image, kind)
    assert list(files) == ["objective", "criteria", "palettes", *(f"colors_k{k}" for k in KS)]
    assert files == plots(record, image, kind)
    for data in files.values():
        if kind == "svg":
            assert ET.fromstring(data).tag == "{http://www.w3.org/2000/svg}svg"
            assert not re.search(rb"<script|href=\"http|dc:date|\d{4}-\d\d-\d\dT", data)
        elif kind == "pdf":
            assert not pypdfium2.PdfDocument(data).get_metadata_dict()["CreationDate"]
        else:
            assert Image.open(io.BytesIO(data)).info.keys() <= {"dpi", "Software"}


def test_texts_stay_texts_and_points_become_an_image_in_vector_files(record):
    files = plots(record, read_sample("cat.jpg"), "svg")
    root = ET.fromstring(files["criteria"])
    texts = {"".join(element.itertext()) for element in root.iter("{http://www.w3.org/2000/svg}text")}
    assert {"log-likelihood: higher is better", "criteria: lower is better", "nats per pixel"} <= texts
    assert {"AIC", "BIC", "ICL", "20"} <= texts
    assert len(ET.fromstring(files["colors_k7"]).findall(".//{*}image")) == 1
    assert len(files["colors_k7"]) < 300_000
    page = pypdfium2.PdfDocument(plots(record, read_sample("cat.jpg"), "pdf")["criteria"])[0]
    assert "squared error" in page.get_textpage().get_text_bounded()


def test_an_image_without_a_visible_pixel_has_no_plots():
    image = np.zeros((4, 4, 4), dtype=np.uint8)
    quantizer = Quantizer(image)
    record = build_record("a.png", SAMPLE_IMAGES / "r.json", quantizer, [fit_record(quantizer.fit(2), {})])
    assert plots(record, image, "svg") == {}
    assert_refused(["0 visible pixels"], plot_colors, quantizer.fit(2), image)


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_the_title_of_the_axis_of_palettes_lies_within_the_figure(n, results):
    figure = plot_palettes(results[:n])
    figure.draw_without_rendering()
    (axes,) = figure.axes
    title = axes.yaxis.label.get_window_extent()
    assert figure.bbox.y0 <= title.y0 < title.y1 <= figure.bbox.y1


@pytest.mark.parametrize("ks", [range(1, 65), range(2, 33), (1, 2, 4, 8, 16, "auto"), range(100, 131)])
def test_labels_of_k_do_not_touch_and_name_fits_before_what_auto_tried(ks):
    quantizer = Quantizer(read_sample("cat.jpg")[::16, ::16])
    figure = plot_criteria([quantizer.fit(k) for k in ks if k != "auto"])
    if "auto" in ks:
        criteria = figure.axes[1]
        _set_axis_of_k(criteria, ks[:-1], [1, 2, 4, 8, 12, 16, 24, 32, 48, 64])
        assert {"1", "2", "4", "8", "16"} <= {label.get_text() for label in criteria.get_xticklabels()}
    figure.canvas.draw()
    for axes in figure.axes:
        boxes = [label.get_window_extent() for label in axes.get_xticklabels()]
        assert all(left.x1 < right.x0 for left, right in pairwise(boxes))


@pytest.mark.parametrize("method", ["gmm", "kmeans"])
@pytest.mark.parametrize("draw", [plot_objective, plot_criteria])
def test_ticks_of_a_flat_curve_have_few_digits(method, draw):
    for image in (read_sample("cat.jpg"), np.full((1, 1, 3), (127, 80, 20), np.uint8)):
        figure = draw(quantize(image, 1, method=method))
        figure.draw_without_rendering()
        for axes in figure.axes:
            assert max(len(label.get_text()) for label in axes.get_yticklabels()) <= 7
            assert axes.get_xlim()[0] >= -0.5
            assert axes.get_ylim()[0] >= 0 or "error" not in axes.get_title(loc="left")


def test_settings_of_matplotlib_stay_and_do_not_matter(results):
    before = dict(mpl.rcParams)
    expected = encode_figure(plot_criteria(results), "svg")
    assert dict(mpl.rcParams) == before
    with mpl.rc_context({"lines.linewidth": 9, "font.size": 3, "svg.hashsalt": "x", "axes.facecolor": "black"}):
        assert encode_figure(plot_criteria(results), "svg") == expected


def test_pyplot_is_not_needed_and_holds_no_figure(results):
    import matplotlib.pyplot as plt

    before = plt.get_fignums()
    figure = plot_objective(results)
    assert plt.get_fignums() == before
    png = figure._repr_png_()
    assert Image.open(io.BytesIO(png)).format == "PNG"


@pytest.mark.parametrize("n_lines", [7, 8, 11, 15, 20])
def test_lines_have_distinct_colors_and_more_than_7_a_scale_of_k_in_place_of_a_legend(n_lines):
    result = quantize(read_sample("flat.png"), 2)
    many = [replace(result, fit=replace(result.fit, k=k)) for k in range(n_lines + 1, 1, -1)]
    axes, *scales = plot_objective(many).axes
    lines = [line for line in axes.lines if line.get_linestyle() != "None"]
    colors = [mpl.colors.to_hex(line.get_color()) for line in lines]
    assert len(set(colors)) == n_lines
    assert (axes.get_legend() is None) == (len(scales) == 1) == (n_lines > len(COLORS))
    if scales:
        labels = [text.get_text() for text in scales[0].get_yticklabels()]
        step = 1 if n_lines <= 16 else 2  # all of them while they have room, and else regularly
        assert labels == [str(k) for k in range(2, n_lines + 2, step)]
        assert scales[0].get_ylabel() == "k"
        brightness = [sum(mpl.colors.to_rgb(color)) for color in colors]
        assert brightness == sorted(brightness)
    else:
        assert colors == list(COLORS)


def test_a_logarithmic_axis_of_k_says_so(results):
    for axes in plot_criteria([*results, replace(results[0], fit=replace(results[0].fit, k=64))]).axes:
        assert (axes.get_xscale(), axes.get_xlabel()) == ("log", "number of colours k (log scale)")
    for axes in plot_criteria(results).axes:
        assert (axes.get_xscale(), axes.get_xlabel()) == ("linear", "number of colours k")


def test_the_criteria_that_auto_tried_are_lines_through_its_path(quantizer):
    choice = quantizer.choose_k()
    fit = fit_record(quantizer.fit(choice.k), {}, asked="auto")
    made = build_record("cat.jpg", SAMPLE_IMAGES / "r.json", quantizer, [fit], choices={"auto": choice})
    record = json.loads(to_json(made))
    likelihood, criteria, _ = plot_criteria(record).axes
    path = record["choices"][0]["path"]
    assert len(path) > 5
    tried = [line for line in criteria.lines if line.get_linestyle() == "--" and len(line.get_xdata())]
    assert len(tried) == 3
    for line, name in zip(tried, ("aic", "bic", "icl"), strict=True):
        assert line.get_xdata().tolist() == [entry["k"] for entry in path]
        np.testing.assert_allclose(line.get_ydata(), [entry[name] / (451 * 300) for entry in path], rtol=1e-12)
    legend = [text.get_text() for text in criteria.get_legend().get_texts()]
    assert legend == ["AIC", "BIC", "ICL", "tried by auto"]
    low, high = likelihood.get_xlim()
    assert low < path[0]["k"] < path[-1]["k"] < high


def test_iterations_after_a_search_are_named_so():
    quantizer = Quantizer(read_sample("cat.jpg")[60:100, 120:180], style="likelihood")
    fits = [fit_record(quantizer.fit(3), {})]
    record = build_record("cat.jpg", SAMPLE_IMAGES / "r.json", quantizer, fits)
    assert plot_objective(record).axes[0].get_xlabel().startswith("iteration after the search (")
    record["settings"]["search"] = "none"
    assert plot_objective(record).axes[0].get_xlabel().startswith("iteration (")


@pytest.mark.parametrize("nothing", [[], {"fits": []}, iter([])])
def test_no_result_is_refused(nothing):
    assert_refused(["0 results", "at least 1"], figures_of, nothing)


@pytest.mark.parametrize("other", [7, "cat.jpg", None, [3]])
def test_what_is_not_a_result_is_refused(other):
    assert_refused(["not a result", "quantize"], figures_of, other)


def test_a_record_of_something_else_is_refused():
    assert_refused(["'components'", "`fits`"], figures_of, {"k": 3})
    assert_refused(
        ["'gif'", "svg, pdf, png"], encode_figure, plot_palettes(quantize(read_sample("flat.png"), 2)), "gif"
    )


@pytest.mark.parametrize("draw", [*SIMPLE, lambda result: plot_colors(result, read_sample("flat.png"))])
def test_without_matplotlib_an_error_of_one_line_names_the_extra(draw, monkeypatch):
    result = quantize(read_sample("flat.png"), 2)
    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(GmmquantError) as caught:
        draw(result)
    assert "pip install 'gmmquant[plot]'" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_every_public_function_of_plots_is_exported():
    assert {name for name in gmmquant.__all__ if name.startswith("plot")} == {
        "plot_colors",
        "plot_criteria",
        "plot_objective",
        "plot_palettes",
    }
