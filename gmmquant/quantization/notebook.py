"""Fits and recoloured images as HTML for notebooks: self-contained, and readable on light and dark pages."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from typing import TYPE_CHECKING

from gmmquant.images.embedded import data_url
from gmmquant.images.preview import preview_png
from gmmquant.system.printable import plural

if TYPE_CHECKING:
    from gmmquant.models.array_validation import FloatArray
    from gmmquant.quantization.fit import Fit
    from gmmquant.quantization.result import QuantizedImage

# Colours with a hex code and a share; the others are a strip.
_MAX_LABELLED, _MAX_STRIP = 24, 512

# Results of a list that are shown: the image of each is a part of the notebook.
_MAX_SIDE_BY_SIDE = 16

# Text has the colour of the page. Lines and frames are half of it, on any background.
_LINE = "1px solid rgba(128, 128, 128, 0.5)"
_CHIP = f"display:inline-block;width:1.6em;height:1.1em;border:{_LINE};vertical-align:middle;margin-right:0.4em"
_NAME = "font-weight:normal;opacity:0.7;white-space:nowrap"
_CELL = f"padding:0.15em 0.8em 0.15em 0;text-align:left;vertical-align:top;border-top:{_LINE}"

_NAMES = {"gmm": "Gaussian mixture", "kmeans": "KMeans"}

Figures = Iterable[tuple[str, str]]


def result_html(result: QuantizedImage) -> str:
    """Return a recoloured image, its palette and its figures as HTML."""
    url = data_url(preview_png(result.shown), "png")
    height, width = result.labels.shape[0] // result.n_frames, result.labels.shape[1]
    n_colors = len(result.palette)
    label = escape(f"{width} x {height} pixels in {plural(n_colors, 'colour')}")
    image = f'<img src="{url}" alt="{label}" style="max-width:100%;border:{_LINE}">'
    size = f"{width} x {height}" + ("" if result.n_frames == 1 else f", {result.n_frames} frames")
    figures = [("size", size), *_fit_figures(result.fit), *_result_figures(result)]
    return _framed(f"<div>{image}</div>{_palette(result.fit, result.shares)}{_table(figures)}")


def results_html(results: Sequence[QuantizedImage]) -> str:
    """Return the pages of several results side by side, in as many rows as the width requires."""
    cells = "".join(f'<div style="min-width:0">{result_html(result)}</div>' for result in results[:_MAX_SIDE_BY_SIDE])
    n_others = len(results) - _MAX_SIDE_BY_SIDE
    others = f"<div>+ {plural(n_others, 'result')}</div>" if n_others > 0 else ""
    columns = "repeat(auto-fill, minmax(min(22em, 100%), 1fr))"
    return f'<div style="display:grid;grid-template-columns:{columns};gap:1em 2em">{cells}</div>{others}'


def fit_html(fit: Fit) -> str:
    """Return the palette and the figures of a fit as HTML."""
    return _framed(_palette(fit, fit.mixture.weights, "weight ") + _table(_fit_figures(fit)))


def _fit_figures(fit: Fit) -> Iterator[tuple[str, str]]:
    n_fitted = len(fit.palette)
    yield "k", f"{fit.k}" if n_fitted == fit.k else f"{fit.k}, {n_fitted} found"
    yield "method", _NAMES.get(fit.method, fit.method)
    yield "colour space", fit.space
    yield "covariance", fit.mixture.covariance_type.name
    if fit.exact:
        yield "fit", "the exact colours"
    elif fit.converged is not None:
        yield "iterations", f"{fit.n_iter}" + ("" if fit.converged else ", not converged")


def _result_figures(result: QuantizedImage) -> Iterator[tuple[str, str]]:
    yield "recolouring", result.recoloring + ("" if result.dither == "none" else f", {result.dither}")
    if math.isfinite(result.mean_log_likelihood):
        yield "log-likelihood per pixel", f"{result.mean_log_likelihood:.4f} nats"
        weight = result.statistics.weight
        criteria = (result.aic / weight, result.bic / weight, result.icl / weight)
        yield "AIC, BIC, ICL per pixel", ", ".join(f"{value:.4f}" for value in criteria)
    yield "squared error", f"{result.mse:.2f}"
    yield "PSNR", f"{result.psnr:.2f} dB" if math.isfinite(result.psnr) else "exact"


def _palette(fit: Fit, shares: FloatArray, prefix: str = "") -> str:
    """Return the colours of a fit with percentages, which are shares of pixels unless the prefix says otherwise."""
    codes = fit.codes
    labelled = "".join(
        f'<span style="white-space:nowrap"><span style="{_CHIP};background:{code}"></span>'
        f"<code>{code}</code> {prefix}{share:.1%}</span>"
        for code, share in zip(codes[:_MAX_LABELLED], shares, strict=False)
    )
    palette = f'<div style="display:flex;flex-wrap:wrap;gap:0.3em 1.2em;margin:0.6em 0">{labelled}</div>'
    others = codes[_MAX_LABELLED:]
    if not others:
        return palette
    chips = "".join(
        f'<span style="display:inline-block;width:0.8em;height:0.8em;background:{code}"></span>'
        for code in others[:_MAX_STRIP]
    )
    return f'{palette}<div style="line-height:0.8em;max-width:40em">{chips} + {len(others)}</div>'


def _table(figures: Figures) -> str:
    rows = "".join(
        f'<tr style="background:transparent"><th style="{_CELL};{_NAME}">{escape(name)}</th>'
        f'<td style="{_CELL}">{escape(value)}</td></tr>'
        for name, value in figures
    )
    return f'<table style="border-collapse:collapse;margin:0.6em 0;color:inherit">{rows}</table>'


def _framed(content: str) -> str:
    return f'<div style="font-family:sans-serif;font-size:90%;color:inherit">{content}</div>'
