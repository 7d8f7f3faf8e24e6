"""Time and memory of the command by pixels, k and threads, and the time of a fit by distinct colours."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from commands import ours
from images import distinct_colors, enlarge
from measure import in_turn

from gmmquant import Quantizer


def by_pixels(photographs: Sequence[Path], sizes: Sequence[float], folder: Path, rounds: int) -> list[str]:
    """Return a table over sizes in megapixels, k = 20, from JPEG."""
    images = {size: enlarge(photographs, size, folder / f"size_{size:g}.png") for size in sizes}
    commands = {str(size): ours(path.with_suffix(".jpg"), [20], folder) for size, path in images.items()}
    lines = [
        "| megapixels | distinct colours | seconds | nanoseconds per pixel | peak MB | 150 MB + 16 bytes per pixel |"
    ]
    lines.append("|---|---|---|---|---|---|")
    for (size, path), runs in zip(images.items(), in_turn(commands, rounds).values(), strict=True):
        a_pixel = runs.median / size * 1000
        colors = f"{distinct_colors(path):,}"
        lines.append(
            f"| {size:g} | {colors} | {runs} | {a_pixel:.0f} | {max(runs.peaks):.0f} | {150 + 16 * size:.0f} |"
        )
    return lines


def by_k(image: Path, ks: Sequence[int], folder: Path, rounds: int) -> list[str]:
    """Return a table over k for one image."""
    runs = in_turn({str(k): ours(image, [k], folder) for k in ks}, rounds)
    lines = ["| k | seconds | peak MB |", "|---|---|---|"]
    return lines + [f"| {k} | {each} | {max(each.peaks):.0f} |" for k, each in runs.items()]


def by_threads(image: Path, folder: Path, rounds: int) -> list[str]:
    """Return a table over the number of threads of BLAS, and whether the bytes are the same."""
    commands = {
        str(threads): ["env", f"OPENBLAS_NUM_THREADS={threads}", *ours(image, [20], folder / str(threads))]
        for threads in (1, 2)
    }
    runs = in_turn(commands, rounds)
    written = [(folder / threads / f"{image.stem}_k20.png").read_bytes() for threads in commands]
    lines = ["| threads of BLAS | seconds |", "|---|---|", *(f"| {name} | {each} |" for name, each in runs.items())]
    return [*lines, "", "Same bytes." if written[0] == written[1] else "DIFFERENT BYTES."]


def by_colors(counts: Sequence[int], k: int = 20) -> list[str]:
    """Return a table over distinct colours of the time of a fit to random colours around k centres."""
    lines = ["| distinct colours | fit, seconds |", "|---|---|"]
    rng = np.random.default_rng(0)
    for count in counts:
        clouds = rng.uniform(40, 215, (k, 3))[rng.integers(k, size=2 * count)] + rng.normal(0, 22, (2 * count, 3))
        pixels = np.unique(np.clip(np.rint(clouds), 0, 255).astype(np.uint8), axis=0)
        rng.shuffle(pixels)
        image = np.repeat(pixels[:count], 2, axis=0)[np.newaxis]
        seconds = []
        for _ in range(3):
            started = time.perf_counter()
            Quantizer(image).fit(k)
            seconds.append(time.perf_counter() - started)
        lines.append(f"| {len(pixels[:count]):,} | {statistics.median(seconds):.2f} |")
    return lines


def cores() -> int:
    """Return the number of processors that this process may use."""
    return len(os.sched_getaffinity(0))
