"""What the figures of fits show and a user should know, each in one line for all k, with a remedy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from gmmquant.colors.color_sum import Colors
from gmmquant.models.selection import BoundedChoice, Choice
from gmmquant.parsing import hex_code
from gmmquant.quantization.result import RecoloredFit
from gmmquant.report.numbers import series
from gmmquant.settings import COLOR_DEPTHS, SPACE_TITLES, Settings
from gmmquant.system.printable import plural, printable

# The error of the posterior, as a multiple of that of the nearest colours, from which on there is a note, if the error
# itself is large enough to be seen. Without noise and shrinkage, antialiased drawings have 2.5 to 12 times the error
# from about seven colours on, with rings around every shape; photographs mostly 1.3 to 2.3 times. With --noise 2
# --shrink 0.9 no image that was tried (28 photographs, 6 drawings; 4 to 32 colours) has more than 1.3 times.
_MANY_TIMES, _VISIBLE_MSE = 2.5, 100.0

# Below this share of distinct colours, and of those in the image, there is a note.
_MOST = 0.9

# Share of the pixels from which on one colour of a palette has nearly all.
_NEARLY_ALL = 0.95

# Kept colours in no pixel that a note names.
_MAX_UNUSED_COLORS = 8

FALLING = "the log-likelihood falls"

_SMOOTHER = "--noise 2 --shrink 0.9"


def fit_notes(
    fits: Sequence[RecoloredFit],
    colors: Colors,
    settings: Settings,
    *,
    choices: Mapping[str, Choice | BoundedChoice],
    recoloring_chosen: bool,
) -> list[str]:
    """Return the notes on the fits to `colors`, with `settings`, of one image or of several together.

    `recoloring_chosen` is whether the user chose the recoloring or a dither, and needs no advice on it.
    """
    return [
        *_few_colors(fits, colors, settings),
        *_equal_colors(fits, settings),
        *_unused_colors(fits, settings),
        *([] if recoloring_chosen else _far_from_nearest(fits, settings)),
        *_overlapping(fits, settings),
        *_unreached_bounds(choices, settings),
        *falling_likelihood([(fit.k, fit.mean_log_likelihood) for fit in fits], settings.shrink),
        *_one_color_for_all(fits, settings),
        *_repeated_colors(fits),
        *_unused_kept_colors(fits, settings),
        *_spread_over_seeds(fits),
        *_stopped_early(fits, settings),
    ]


def _few_colors(fits: Sequence[RecoloredFit], colors: Colors, settings: Settings) -> Iterable[str]:
    """Yield a note on the k that are larger than the number of colours of the image, if there are any."""
    ks = [str(fit.k) for fit in fits if fit.fit.exact and 0 < len(fit.weights) < fit.k]
    if ks:
        number = "1 distinct colour" if colors.n_colors == 1 else f"{colors.n_colors} distinct colours"
        rounded = "" if colors.bit_depth == 8 else ", rounded to 8 bits"
        drawn = f"the exact colours are kept{rounded}"
        if any(fit.fit.alphas is not None for fit in fits):
            n_pairs = max(len(fit.weights) for fit in fits if fit.fit.exact)
            number, drawn = f"{plural(n_pairs, 'distinct colour')} with alpha", "they are kept"
        if settings.color_depth != COLOR_DEPTHS[0]:
            drawn = f"they are rounded to {settings.color_depth}"
        yield f"{number}, fewer than k = {', '.join(ks)}: {drawn}"


def _equal_colors(fits: Sequence[RecoloredFit], settings: Settings) -> Iterable[str]:
    """Yield a note on the palettes with entries that round to the same 8 bits, if any, and on those in few pixels."""
    few = {fit.k: fit for fit in fits if _is_fitted(fit) and n_distinct(fit) < _MOST * len(fit.palette)}
    numbers = {k: (_n_in_pixels(fit), n_distinct(fit), len(fit.palette)) for k, fit in few.items()}
    shown = [
        f"{n} of {of} colours at k = {k}{f' ({used} in pixels)' * (used < _MOST * n)}"
        for k, (used, n, of) in numbers.items()
    ]
    if shown:
        noise = "--noise 0 or " if settings.noise else ""
        remedy = "" if settings.method == "kmeans" else f"; {noise}--method kmeans keeps more apart"
        yield f"{series(shown)} are distinct after rounding to 8 bits{remedy}"


def _unused_colors(fits: Sequence[RecoloredFit], settings: Settings) -> Iterable[str]:
    """Yield a note on the fitted palettes with colours that no pixel has, if there are many and no note counts them."""
    numbers = {fit.k: (_n_in_pixels(fit), n_distinct(fit), len(fit.palette)) for fit in fits if _is_fitted(fit)}
    shown = [
        f"{used} of {of} colours at k = {k}{_repeating(of - n)}"
        for k, (used, n, of) in numbers.items()
        if used < _MOST * n and n >= _MOST * of
    ]
    if shown:
        remedy = "; --recolor nearest uses more" if settings.recoloring == "posterior" else ""
        yield f"pixels have only {series(shown)}{remedy}"


def _repeating(n: int) -> str:
    """Return that `n` colours of a palette are equal to others; nothing if none are."""
    return f" ({n} repeat{'s another' if n == 1 else ' others'})" if n else ""


def _far_from_nearest(fits: Sequence[RecoloredFit], settings: Settings) -> Iterable[str]:
    """Yield a note on the posterior images with a much larger error than that of the nearest colours, if any."""
    ratios = {
        fit.k: fit.statistics.errors["posterior"] / max(fit.statistics.errors["nearest"], 1e-9)
        for fit in fits
        if (fit.recoloring, fit.dither) == ("posterior", "none") and fit.mse >= _VISIBLE_MSE
    }
    shown = {str(k): ratio for k, ratio in ratios.items() if ratio >= _MANY_TIMES}
    if shown:
        plain = not settings.noise and not settings.shrink
        remedy = f"--recolor nearest draws these{f', {_SMOOTHER} fits a smoother mixture' if plain else ''}"
        lowest, highest = f"{min(shown.values()):.1f}", f"{max(shown.values()):.1f}"
        times = lowest if lowest == highest else f"{lowest} to {highest}"
        yield f"the squared error is {times} times that of the nearest colours at k = {', '.join(shown)}; {remedy}"


def _overlapping(fits: Sequence[RecoloredFit], settings: Settings) -> Iterable[str]:
    """Yield a note on the mixtures that are drawn by the nearest colours, as their components overlap, if any."""
    if settings.method == "kmeans" or settings.recoloring == "nearest":
        return
    ks = [str(fit.k) for fit in fits if _is_fitted(fit) and fit.fit.recoloring == "nearest" and fit.fit.alphas is None]
    if ks:
        remedy = "fewer colours, or --method kmeans, suit the image better"
        yield f"components overlap at k = {', '.join(ks)}, so pixels get the nearest colours; {remedy}"


def _unreached_bounds(choices: Mapping[str, Choice | BoundedChoice], settings: Settings) -> Iterable[str]:
    """Yield a note on each "auto:DE" whose bound the largest number of colours does not reach."""
    for asked, choice in choices.items():
        if isinstance(choice, BoundedChoice) and choice.difference > choice.bound:
            remedy = "" if settings.method == "kmeans" else ", or --method kmeans"
            yield (
                f"k = {asked} is not reached: {choice.k} colours, the most that are tried, have a mean difference of "
                f"{choice.difference:.3g}; use a larger bound{remedy}"
            )


def falling_likelihood(means: Iterable[tuple[int, float | None]], shrink: float | None) -> Iterable[str]:
    """Yield a note, which starts with `FALLING`, on the k with a lower log-likelihood than a smaller k, if any.

    `means` are the k of fits and their mean log-likelihoods.
    """
    ordered = sorted((k, mean) for k, mean in means if mean is not None)
    falls = [f"{k} to {more}" for (k, mean), (more, lower) in pairwise(ordered) if lower < mean - 1e-3 and k < more]
    if falls and shrink:
        alone = ", and a single one is not shrunken" if falls[0].startswith("1 to ") else ""
        yield (
            f"{FALLING} from k = {', '.join(falls)}, because fits of --shrink {shrink:g} do not maximise it{alone}; "
            "compare k with --style likelihood"
        )


def _one_color_for_all(fits: Sequence[RecoloredFit], settings: Settings) -> Iterable[str]:
    """Yield a note if one of several colours of a palette is that of nearly all pixels of a colourful image."""
    fixed = [fit for fit in fits if fit.fit.fixed is not None and fit.fit.fixed.all() and n_distinct(fit) > 1]
    if settings.dither not in ("none", "posterior"):  # the others mix colours, as far as the palette has them
        return
    remedies = ["--space oklab"] * (settings.space == "srgb") + ["--dither bayer"]
    flat = [
        fit
        for fit in fixed
        if fit.statistics.counts.max() >= _NEARLY_ALL * fit.statistics.counts.sum() and fit.mse >= _VISIBLE_MSE
    ]
    if flat:
        yield f"one colour of the palette covers nearly all pixels{_at(flat, fits)}; try {', or '.join(remedies)}"


def _repeated_colors(fits: Sequence[RecoloredFit]) -> Iterable[str]:
    """Yield a note on a given palette that has a colour more than once, all of which k counts."""
    for fit in fits:
        if fit.fit.fixed is not None and fit.fit.fixed.all() and fit.recoloring != "transfer":
            n, of = n_distinct(fit), len(fit.palette)
            if n < of:
                at = _at([fit], fits)
                yield f"{n} of {of} colours of the palette are distinct{at}; those that are equal keep their indices"
                return


def _unused_kept_colors(fits: Sequence[RecoloredFit], settings: Settings) -> Iterable[str]:
    """Yield a note on the kept colours that no pixel has, with the k, if there are any."""
    drawn = [fit for fit in fits if fit.recoloring not in ("soft", "transfer") and fit.statistics.counts.any()]
    unused: dict[str, list[str]] = {}
    for fit in drawn:
        used = {hex_code(color) for color in fit.palette[fit.statistics.counts > 0]}
        for code in settings.kept_codes:
            if code not in used:
                unused.setdefault(code, []).append(str(fit.k))
    if unused:
        shown = [f"{code} is in no pixel of k = {', '.join(ks)}" for code, ks in unused.items()]
        n_others = len(shown) - _MAX_UNUSED_COLORS
        yield "; ".join(shown[:_MAX_UNUSED_COLORS] + [f"and {n_others} others"] * (n_others > 0))


def _at(noted: Sequence[RecoloredFit], fits: Sequence[RecoloredFit]) -> str:
    """Return which k a note is about; nothing if there is only one."""
    return f" at k = {', '.join(str(fit.k) for fit in noted)}" if len(fits) > 1 else ""


def _spread_over_seeds(fits: Sequence[RecoloredFit]) -> Iterable[str]:
    """Yield a note on the figure of each seed that decides which fit is kept, for each k."""
    for fit in fits:
        if fit.fit.seeds:
            if fit.fit.method == "kmeans":
                values = [figures.objective for figures in fit.fit.seeds]
                name, best = f"squared distance to a centre in {SPACE_TITLES[fit.fit.space]}", "lowest"
            else:
                values = [figures.mean_log_likelihood for figures in fit.fit.seeds]
                name, best = "log-likelihood per pixel", "highest"
            seeds = f"seeds {fit.fit.seeds[0].seed} to {fit.fit.seeds[-1].seed}"
            mean, deviation, least, most = (
                f"{value:{'.4g' if fit.fit.method == 'kmeans' else '.4f'}}"
                for value in (np.mean(values), np.std(values, ddof=1), min(values), max(values))
            )
            yield (
                f"{name} at k = {fit.k}, {seeds}: mean {mean}, standard deviation {deviation}, from {least} to {most}; "
                f"the fit of seed {fit.fit.seed}, the {best}, is kept"
            )


def _stopped_early(fits: Sequence[RecoloredFit], settings: Settings) -> Iterable[str]:
    """Yield a note on the fits that `max_iter` ended before they converged, if there are any."""
    ks = [str(fit.k) for fit in fits if fit.fit.converged is False]
    if ks and settings.max_iter is not None:
        yield (
            f"--max-iter {settings.max_iter} ended the fit before it converged at k = {', '.join(ks)}; raise it, or "
            "leave it out"
        )


def transfer_remark(settings: Mapping[str, Any]) -> str:
    """Return what the figures and the palette are of, by the settings of a record with transferred colours; else ""."""
    path = settings.get("transfer_from")
    if path is None:
        return ""
    name = printable(path.rsplit("/", 1)[-1])
    return (
        f"colours transferred from {name}; figures and palette are those of the image's mixture, the squared error is "
        "the change of colours"
    )


def n_distinct(fit: RecoloredFit, *, used: bool = False) -> int:
    """Return the number of distinct colours in the palette of a fit, of pairs if they have alpha.

    `used` is whether only those count that a pixel has.
    """
    alphas = [] if fit.fit.alphas is None else [fit.fit.alphas]
    colors = np.column_stack([fit.palette, *alphas])
    # A set of rows: `np.unique` would import numpy.ma, which takes 10 ms.
    return len(set(map(bytes, colors[fit.statistics.counts > 0] if used else colors)))


def _n_in_pixels(fit: RecoloredFit) -> int:
    """Return the number of distinct colours of the palette that pixels have; all, if pixels have mixed colours."""
    return n_distinct(fit, used=fit.recoloring != "soft" and bool(fit.statistics.counts.any()))


def _is_fitted(fit: RecoloredFit) -> bool:
    """Return whether the palette of a fit is made of fitted means, and drawn."""
    fixed = fit.fit.fixed
    return not fit.fit.exact and (fixed is None or not fixed.all()) and fit.recoloring != "transfer"
