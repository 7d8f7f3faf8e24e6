"""Tables of --stats and --verbose: the statistics of each fit, and its components."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from rich.text import Text

from gmmquant.cli.reporters.columns import Column
from gmmquant.cli.reporters.palette_text import style_of
from gmmquant.models.budget import MAX_ITERATIONS
from gmmquant.report.record import Record, codes_of, was_searched
from gmmquant.settings import CHANNELS

# Positions of the variances in the six numbers xx, xy, xz, yy, yz, zz of a covariance.
_VARIANCES = (0, 3, 5)

_CELLS: dict[str, Callable[[Record], str]] = {
    "log-likelihood": lambda fit: f"{fit['log_likelihood']:,.0f}",
    "AIC": lambda fit: f"{fit['aic']:,.0f}",
    "BIC": lambda fit: f"{fit['bic']:,.0f}",
    "ICL": lambda fit: f"{fit['icl']:,.0f}",
    "iterations": lambda fit: f"{fit['n_iter']:,}",
    "converged": lambda fit: {True: "yes", False: "no", None: "-"}[fit["converged"]],
    "squared error": lambda fit: f"{fit['mse']:.1f}",
    "seconds": lambda fit: f"{sum(fit['seconds'].values()):.2f}",
}


def name_of_k(fit: Record) -> str:
    """Return k as the rows name it: after the text it was chosen for, before the number of colours if that differs."""
    asked = f"{fit['asked']} " if fit["auto"] else ""
    fitted = "" if fit["k_fitted"] == fit["k"] else f" ({fit['k_fitted']})"
    return f"{asked}{fit['k']}{fitted}"


def statistics_columns(fits: Sequence[Record]) -> list[Column]:
    """Return the columns of the statistics, that of k first. An image in which nothing is visible has only the time."""
    names = Column("k", [name_of_k(fit) for fit in fits])
    return [
        names,
        *(
            Column(heading, [cell(fit) if fit["k_fitted"] or heading == "seconds" else "-" for fit in fits])
            for heading, cell in _CELLS.items()
        ),
    ]


def reasons_to_stop(record: Record) -> Iterator[str]:
    """Yield a line for each reason for which fits ended before they converged, with their k."""
    ks: dict[str, list[str]] = {}
    for fit in record["fits"]:
        if fit["converged"] is False:
            ks.setdefault(_reason(fit["n_iter"], record["settings"]["max_iter"]), []).append(str(fit["k"]))
    return (f"k = {', '.join(names)} stopped at {reason} before it converged" for reason, names in ks.items())


def note_on_iterations(record: Record) -> Iterator[str]:
    """Yield a line on the iterations of fits that a search came before, if there are any."""
    if any(was_searched(record["settings"], fit) for fit in record["fits"]):
        yield "iterations: those after the search by splits and merges, which is not counted"


def _reason(n_iter: int, max_iter: int | None) -> str:
    if max_iter is not None:
        return f"--max-iter {max_iter}"
    if n_iter >= MAX_ITERATIONS:
        return f"{MAX_ITERATIONS} iterations, the default of --max-iter,"
    return "the default limit of work, which --max-iter replaces,"


def component_columns(fit: Record) -> list[Column]:
    """Return the columns of a fit's components, in the 0..255 units of sRGB or the units of the space."""
    scale, digits = (255, "5.1f") if fit["space"] == "srgb" else (1, "7.4f")
    components = fit["components"]
    deviations = [
        " ".join(f"{scale * covariance[i] ** 0.5:{digits}}" for i in _VARIANCES)
        for covariance in components["covariance"]
    ]
    return [
        Column("weight", [f"{100 * weight:.2f} %" for weight in components["weight"]]),
        Column("pixels", [f"{n_pixels:,}" for n_pixels in components["pixels"]]),
        Column(f"std. dev. of {CHANNELS[fit['space']]}", deviations),
    ]


def swatches_of(fit: Record, *, colors: bool) -> list[Text]:
    """Return the colour of each component, with its code."""
    return [Text(f" {code} ", style_of(code)) if colors else Text(code) for code in codes_of(fit["components"])]
