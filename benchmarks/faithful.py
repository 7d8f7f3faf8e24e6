"""Squared errors of `--method kmeans` and libimagequant, sizes of files of gmmquant and Pillow, times of dithering.

python benchmarks/faithful.py IMAGE_OR_FOLDER... prints the tables.
"""

from __future__ import annotations

import io
import statistics
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt
from likelihood import as_stored, photographs
from PIL import Image

from gmmquant import Quantizer, quantize
from gmmquant.images.encoding.encode import encode_image
from gmmquant.images.recolor import IndexedImage
from gmmquant.settings import DITHERS

KS = (4, 16, 64, 256)


def errors(paths: Sequence[Path]) -> list[str]:
    """Compare squared errors and times with libimagequant on 8-bit RGB images, without dithering."""
    try:
        import imagequant
    except ImportError:
        return ["imagequant is not installed."]
    rows = [
        "| k | squared error / libimagequant's: mean | maximum | not above it on | time / its time: mean | maximum |"
    ]
    rows.append("|---|---|---|---|---|---|")
    for k in KS:
        ratios, times = [], []
        for path in paths:
            pixels = as_stored(path)
            image = Image.fromarray(pixels).convert("RGBA")
            theirs, their_time = _timed(
                lambda image=image, k=k: imagequant.quantize_pil_image(image, dithering_level=0.0, max_colors=k)
            )
            ours, our_time = _timed(lambda pixels=pixels, k=k: quantize(pixels, k, method="kmeans"))
            drawn = np.asarray(theirs.convert("RGB"), dtype=float)
            ratios.append(ours.mse / ((drawn - pixels) ** 2).sum(axis=2).mean())
            times.append(our_time / their_time)
        rows.append(
            f"| {k} | {np.mean(ratios):.3f} | {max(ratios):.3f} | {sum(ratio <= 1 for ratio in ratios)} of {len(paths)} | "
            f"{np.mean(times):.2f} | {max(times):.2f} |"
        )
    return rows


def sizes(paths: Sequence[Path]) -> list[str]:
    """Compare sizes of indexed PNGs with Pillow's optimized PNG of the same indices, and with truecolour PNGs."""
    rows = ["| k | plain / Pillow's optimized | `--optimize` | `--optimize`, order kept | plain / truecolour |"]
    rows.append("|---|---|---|---|---|")
    for k in (16, 256):
        plain, small, kept, true = ([] for _ in range(4))
        for path in paths:
            fit = quantize(as_stored(path), k, max_iter=20)
            image = IndexedImage(fit.labels, fit.palette)
            indexed = Image.fromarray(fit.labels)
            indexed.putpalette(fit.palette.tobytes())
            best, full = _size(indexed, optimize=True), _size(Image.fromarray(fit.image))
            ours = len(encode_image(image, "png"))
            plain.append(ours / best)
            small.append(len(encode_image(image, "png", optimize=True)) / best)
            kept.append(len(encode_image(image, "png", optimize=True, keep_order=True)) / best)
            true.append(ours / full)
        spans = (f"{min(part):.3f} to {max(part):.3f}" for part in (plain, small, kept, true))
        rows.append(f"| {k} | {' | '.join(spans)} |")
    return rows


def dithering(path: Path) -> list[str]:
    """Time each dither of a large image, without the fit."""
    pixels = as_stored(path)
    rows = ["| k | " + " | ".join(DITHERS[1:]) + " |", "|---" * len(DITHERS) + "|"]
    for k in (16, 256):
        quantizers = {dither: Quantizer(pixels, method="kmeans", dither=dither) for dither in DITHERS}
        seconds = {dither: quantizer.fit(k).statistics.seconds["recolor"] for dither, quantizer in quantizers.items()}
        rows.append(
            f"| {k} | " + " | ".join(f"{seconds[dither] - seconds['none']:.2f} s" for dither in DITHERS[1:]) + " |"
        )
    return rows


def _size(image: Image.Image, **options: Any) -> int:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", **options)
    return len(buffer.getvalue())


def _timed(work: Callable[[], Any], rounds: int = 3) -> tuple[Any, float]:
    """Return the result of `work` and the median of its times."""
    times = []
    for _ in range(rounds):
        started = perf_counter()
        result = work()
        times.append(perf_counter() - started)
    return result, statistics.median(times)


def rgb(paths: Sequence[Path]) -> list[Path]:
    """Return the paths of images with three channels of 8 bits."""

    def fits(pixels: npt.NDArray[Any]) -> bool:
        return pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.shape[2] == 3

    return [path for path in paths if fits(as_stored(path))]


if __name__ == "__main__":
    images = rgb(list(photographs([Path(argument) for argument in sys.argv[1:]])))
    print("\n".join([*errors(images), "", *sizes(images), "", *dithering(images[0])]))
