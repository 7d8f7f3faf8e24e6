"""How close dithered images look to the original: SSIMULACRA2, FLIP, and the OKLab difference of blurred images.

python benchmarks/eye.py IMAGE_OR_FOLDER... prints a table for each k.
"""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import flip_evaluator
import numpy as np
import numpy.typing as npt
from likelihood import as_stored, photographs
from measure import program
from PIL import Image
from ssimulacra2 import compute_ssimulacra2

from gmmquant import quantize
from gmmquant.colors.spaces import COLOR_SPACES

KS = (16, 64)
# The eye mixes neighbouring pixels: at a usual distance it blurs by about this standard deviation.
SIGMA_PIXELS = 1.5

Pixels = npt.NDArray[np.uint8]


def ours(**options: Any) -> Callable[[Pixels, int], Pixels]:
    """Return the function that draws an image in k colours with these options."""
    return lambda pixels, k: quantize(pixels, k, **options).image


def by_pngquant(*options: str) -> Callable[[Pixels, int], Pixels]:
    """Return the function that draws an image in k colours by pngquant."""

    def draw(pixels: Pixels, k: int) -> Pixels:
        with TemporaryDirectory() as folder:
            source, target = Path(folder, "in.png"), Path(folder, "out.png")
            Image.fromarray(pixels).save(source)
            command = [
                program("pngquant") or "pngquant",
                *options,
                "--force",
                "--output",
                str(target),
                str(k),
                str(source),
            ]
            subprocess.run(command, check=True)
            return np.asarray(Image.open(target).convert("RGB"))

    return draw


ROWS = {
    "`--style faithful`": ours(style="faithful"),
    "`--dither floyd-steinberg`": ours(dither="floyd-steinberg"),
    "`--method kmeans --dither floyd-steinberg`": ours(method="kmeans", dither="floyd-steinberg"),
    "`--method kmeans`, not dithered": ours(method="kmeans"),
}
if program("pngquant"):
    ROWS |= {"pngquant": by_pngquant(), "pngquant --nofs": by_pngquant("--nofs")}


def figures(original: Pixels, drawn: Pixels) -> tuple[float, float, float]:
    """Return SSIMULACRA2 (higher is better), FLIP and the difference of blurred images x 100 (lower is better)."""
    flip = flip_evaluator.evaluate(
        *(image.astype(np.float32) / 255 for image in (original, drawn)), "LDR", applyMagma=False
    )[1]
    return (
        float(compute_ssimulacra2(_png(original), _png(drawn))),
        float(flip),
        100 * _blurred_difference(original, drawn),
    )


def table(paths: Sequence[Path], rows: dict[str, Callable[[Pixels, int], Pixels]] = ROWS) -> list[str]:
    """Return a Markdown table of the means over the images at each k."""
    images = [as_stored(path) for path in paths]
    titles = "".join(f" k = {k}: SSIMULACRA2 | FLIP | blurred difference |" for k in KS)
    lines = [f"| |{titles}", "|---" * (1 + 3 * len(KS)) + "|"]
    for name, draw in rows.items():
        means = [np.mean([figures(image, draw(image, k)) for image in images], axis=0) for k in KS]
        cells = " | ".join(f"{similar:.1f} | {flip:.3f} | {difference:.2f}" for similar, flip, difference in means)
        lines.append(f"| {name} | {cells} |")
    return lines


def _png(pixels: Pixels) -> io.BytesIO:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=0)
    buffer.seek(0)
    return buffer


def _blurred_difference(one: Pixels, other: Pixels) -> float:
    """Return the mean distance in OKLab of two images whose linear light was blurred."""

    def seen(pixels: Pixels) -> npt.NDArray[np.float64]:
        linear = COLOR_SPACES["linear"].from_srgb(pixels.reshape(-1, 3) / 255).reshape(pixels.shape)
        blurred = cv2.GaussianBlur(linear, (0, 0), SIGMA_PIXELS, borderType=cv2.BORDER_REFLECT).reshape(-1, 3)
        return COLOR_SPACES["oklab"].from_srgb(COLOR_SPACES["linear"].to_srgb(blurred))

    return float(np.linalg.norm(seen(one) - seen(other), axis=1).mean())


if __name__ == "__main__":
    print("\n".join(table(list(photographs([Path(argument) for argument in sys.argv[1:]])))))
