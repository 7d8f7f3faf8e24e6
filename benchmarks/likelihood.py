"""Log-likelihoods and times of fits, compared with scikit-learn's GaussianMixture.

python benchmarks/likelihood.py IMAGE_OR_FOLDER... prints the table. scikit-learn's fits take half an hour for thirteen
small photographs; --kept FILE stores their likelihoods as JSON and reads them back.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from sklearn.mixture import GaussianMixture
from swaps import best_by_swaps

from gmmquant import Quantizer

KS = (3, 7, 20)
SEEDS = range(5)


def as_stored(path: Path) -> npt.NDArray[Any]:
    """Read an image without applying its colour profile, as other programs do, so that all fit the same pixels."""
    decoded = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    return cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB) if decoded.ndim == 3 and decoded.shape[2] == 3 else decoded


def photographs(arguments: Sequence[Path]) -> Iterator[Path]:
    """Yield the images among the arguments, and from folders the PNGs and JPEGs with more than 1000 colours."""
    for argument in arguments:
        for path in sorted(argument.iterdir()) if argument.is_dir() else [argument]:
            if path.suffix in (".png", ".jpg") and (argument == path or _is_photograph(path)):
                yield path


def _is_photograph(path: Path) -> bool:
    pixels = as_stored(path)
    return (
        pixels.dtype == np.uint8
        and pixels.ndim == 3
        and pixels.shape[2] == 3
        and Quantizer(pixels).histogram.n_colors > 1000
    )


def theirs(path: Path, k: int, kept: dict[str, Any]) -> list[float]:
    """Return the mean log-likelihoods of scikit-learn's default fits from five seeds."""
    values = []
    for seed in SEEDS:
        name = f"{path.name}|{k}|{seed}"
        if name not in kept:
            X = as_stored(path).reshape(-1, 3) / 255
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                kept[name] = {"ll": GaussianMixture(k, random_state=seed).fit(X).score(X)}
        values.append(kept[name]["ll"])
    return values


def by_swaps(path: Path, k: int, kept: dict[str, Any], seconds: float) -> float | None:
    """Return the mean log-likelihood after random swaps, or None if they were not run."""
    name = f"{path.name}|{k}|swaps for {seconds:g} s"
    if name not in kept and seconds:
        kept[name] = best_by_swaps(as_stored(path).reshape(-1, 3), k, seconds)
    return kept.get(name)


def table(paths: Sequence[Path], kept: dict[str, Any], swaps: float = 0) -> list[str]:
    """Return a Markdown table with a row for each image and k, and a summary."""
    lines = [
        "| image | k | gmmquant | `--search none` | scikit-learn | best of 5 seeds | random swaps |",
        "|---|---|---|---|---|---|---|",
    ]
    below = above = near = compared = pairs = 0
    for path in paths:
        quantizers = [
            Quantizer(as_stored(path), style="likelihood", search=search) for search in ("split-merge", "none")
        ]
        for k in KS:
            (ours, plain), values = (
                (quantizer.fit(k).mean_log_likelihood for quantizer in quantizers),
                theirs(path, k, kept),
            )
            below, above, pairs = below + (ours < values[0]), above + (ours > max(values)), pairs + 1
            swapped = by_swaps(path, k, kept, swaps)
            if swapped is not None:
                near, compared = near + (ours > swapped - 0.005), compared + 1
            last = "" if swapped is None else f"{swapped:.4f}"
            lines.append(
                f"| {path.stem} | {k} | {ours:.4f} | {plain:.4f} | {values[0]:.4f} | {max(values):.4f} | {last} |"
            )
    lines.append("")
    lines.append(f"Below scikit-learn's default fit on {below} of {pairs} pairs, above its best of five on {above}.")
    if compared:
        lines.append(f"Above or at most 0.005 below random swaps on {near} of {compared}.")
    return lines


def fit_alone(path: Path, k: int, rounds: int = 5, every: int = 10) -> list[str]:
    """Compare the times from decoded pixels to the mixture; scikit-learn's is extrapolated from every tenth pixel."""
    pixels = as_stored(path)
    seconds = []
    for _ in range(rounds):
        started = time.perf_counter()
        fit = Quantizer(pixels, style="likelihood").fit(k)
        seconds.append(time.perf_counter() - started - fit.statistics.seconds["recolor"])
    X = pixels.reshape(-1, 3)[::every] / 255
    started = time.perf_counter()
    mixture = GaussianMixture(k, random_state=0).fit(X)
    sample = time.perf_counter() - started
    ours, estimate = statistics.median(seconds), sample * every
    score = mixture.score(pixels.reshape(-1, 3)[:: max(every // 3, 1)] / 255)
    return [
        f"From decoded pixels to the fitted mixture, likelihood included, k = {k}, {len(X) * every / 1e6:.0f} megapixels: "
        f"{ours:.2f} s ({min(seconds):.2f} to {max(seconds):.2f}). scikit-learn's default fit to every {every}th pixel: "
        f"{sample:.0f} s, {mixture.n_iter_} iterations; on all pixels this would be {estimate:.0f} s, "
        f"{estimate / ours:.0f} times as long. (It was not run on all of them: its time is proportional to the pixels.) "
        f"Mean log-likelihood {fit.mean_log_likelihood:.4f}, scikit-learn's {score:.4f}.",
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("images", nargs="+", type=Path)
    parser.add_argument("--kept", type=Path)
    arguments = parser.parse_args()
    fits = json.loads(arguments.kept.read_text()) if arguments.kept and arguments.kept.exists() else {}
    print("\n".join(table(list(photographs(arguments.images)), fits)))
    if arguments.kept:
        arguments.kept.write_text(json.dumps(fits, indent=1))
