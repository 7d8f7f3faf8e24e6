"""How images in few colours look, in figures: the table of docs/noise-and-shape.md.

    python benchmarks/looks.py IMAGE_OR_FOLDER... [--jpeg]

prints a table for each k: the geometric mean of the squared error, the mean distance of OKLab chroma, the chroma that is
kept where the original is most colourful, pixels that differ from all four neighbours, structural similarity, and the size
of the files. The last columns count the images on which a fit is better than `pngquant --nofs`, if that is installed. With
`--jpeg`, the images are copies at quality 75.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
from likelihood import as_stored, photographs
from PIL import Image

from gmmquant import Quantizer
from gmmquant.colors import spaces
from gmmquant.colors.spaces import COLOR_SPACES
from gmmquant.images.encoding.encode import encode_image
from gmmquant.models import prior

KS = (2, 7, 16)
FITS: dict[str, dict[str, Any]] = {
    "`--noise 0 --shrink 0`": {"noise": 0.0, "shrink": 0.0},
    **{f"`--noise {noise}` only": {"shrink": 0.0, "noise": noise} for noise in (1, 2, 3)},
    "`--covariance tied --noise 2`": {"covariance": "tied"},
    **{f"`--shrink {shrink} --noise 2`": {"shrink": shrink} for shrink in (0.5, 0.7, 0.8, 0.95)},
    "`--average mean`": {"average": "mean"},
    "**the default**: `--shrink 0.9 --noise 2`": {},
    "`--method kmeans`": {"method": "kmeans"},
}
# What covariances are drawn towards: how much more than lightness chroma counts in it, and its part of the variance.
SHAPES = {
    (1.0, 1 / 3): "spheres",
    (1.25, 1 / 3): "chroma 1.25 times",
    (2.0, 1 / 3): "chroma 2 times",
    (3.0, 1 / 3): "chroma 3 times",
    (1.5, 1.0): "three times the variance",
}


class Looks(NamedTuple):
    """The figures of an image; the error as a logarithm."""

    error: float
    chroma: float
    vivid: float
    specks: float
    similarity: float
    size: float

    def beats(self, other: Looks) -> npt.NDArray[np.bool_]:
        """Return whether chroma, vividness, specks and size are better."""
        return np.array(
            [self.chroma < other.chroma, self.vivid > other.vivid, self.specks < other.specks, self.size < other.size]
        )


def looks(original: npt.NDArray[np.uint8], drawn: npt.NDArray[np.uint8], size: int) -> Looks:
    """Compare a drawn image (h, w, 3) with its original."""
    before, after = (COLOR_SPACES["oklab"].from_srgb(image.reshape(-1, 3) / 255)[:, 1:] for image in (original, drawn))
    chroma = np.linalg.norm(before, axis=1)
    vivid = chroma >= np.quantile(chroma, 0.95)
    codes = drawn.astype(np.int64) @ [65536, 256, 1]
    inner = codes[1:-1, 1:-1]
    neighbours = (codes[:-2, 1:-1], codes[2:, 1:-1], codes[1:-1, :-2], codes[1:-1, 2:])
    squares = ((original.astype(float) - drawn) ** 2).sum(axis=2)
    return Looks(
        error=float(np.log(max(squares.mean(), 1e-9))),
        chroma=100 * float(np.linalg.norm(after - before, axis=1).mean()),
        vivid=float(np.linalg.norm(after[vivid], axis=1).mean() / max(chroma[vivid].mean(), 1e-9)),
        specks=100 * float(np.logical_and.reduce([inner != other for other in neighbours]).mean()),
        similarity=similarity(original, drawn),
        size=size,
    )


def similarity(one: npt.NDArray[np.uint8], other: npt.NDArray[np.uint8]) -> float:
    """Return the mean structural similarity of two images over the channels (Wang, Bovik, Sheikh and Simoncelli 2004)."""

    def blur(image: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return cv2.GaussianBlur(image, (11, 11), 1.5)

    x, y = one.astype(np.float64), other.astype(np.float64)
    mean_x, mean_y = blur(x), blur(y)
    var_x, var_y, covariance = blur(x * x) - mean_x**2, blur(y * y) - mean_y**2, blur(x * y) - mean_x * mean_y
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    index = (2 * mean_x * mean_y + c1) * (2 * covariance + c2) / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))
    return float(index[5:-5, 5:-5].mean())


def of_fits(pixels: npt.NDArray[np.uint8], options: dict[str, Any]) -> Iterator[Looks]:
    """Yield the figures of a fit at each k."""
    quantizer = Quantizer(pixels, **options)
    for k in KS:
        result = quantizer.fit(k)
        yield looks(pixels, result.image, len(encode_image(result.recolored, "png")))


def of_pngquant(pixels: npt.NDArray[np.uint8]) -> Iterator[Looks]:
    """Yield the figures of pngquant at each k."""
    with TemporaryDirectory() as folder:
        source, target = Path(folder, "in.png"), Path(folder, "out.png")
        Image.fromarray(pixels).save(source)
        for k in KS:
            subprocess.run(["pngquant", "--nofs", str(k), "--force", "--output", target, source], check=True)
            yield looks(pixels, np.asarray(Image.open(target).convert("RGB")), target.stat().st_size)


def as_jpeg(pixels: npt.NDArray[np.uint8], quality: int = 75) -> npt.NDArray[np.uint8]:
    """Return an image after compression as JPEG."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer))


def table(k: int, figures: dict[str, list[Looks]]) -> Iterator[str]:
    """Yield the lines of the table for `k`, from the figures of each image by row."""
    yield f"| k = {k} | squared error | chroma error | vividness | specks % | similarity | KB | better than pngquant |"
    yield "|---|---|---|---|---|---|---|---|"
    peer = figures.get("pngquant")
    for name, rows in figures.items():
        error, chroma, vivid, specks, similar, size = np.mean(rows, axis=0)
        wins = ""
        if peer and rows is not peer:
            counts = np.sum([row.beats(other) for row, other in zip(rows, peer, strict=True)], axis=0)
            wins = " ".join(map(str, counts)) + f" of {len(rows)}"
        yield (
            f"| {name} | {np.exp(error):.0f} | {chroma:.2f} | {vivid:.2f} | {specks:.1f} | {similar:.3f} | "
            f"{size / 1000:.1f} | {wins} |"
        )


def measure(images: Sequence[npt.NDArray[np.uint8]]) -> Iterator[str]:
    """Yield the tables of all k."""
    figures = {name: [list(of_fits(image, options)) for image in images] for name, options in FITS.items()}
    chosen = spaces.CHROMA_WEIGHT, prior.SCALE
    for shape, name in SHAPES.items():
        spaces.CHROMA_WEIGHT, prior.SCALE = shape
        figures[f"the default, but {name}"] = [list(of_fits(image, {})) for image in images]
    spaces.CHROMA_WEIGHT, prior.SCALE = chosen
    if shutil.which("pngquant"):
        figures["pngquant"] = [list(of_pngquant(image)) for image in images]
    for index, k in enumerate(KS):
        yield from table(k, {name: [row[index] for row in rows] for name, rows in figures.items()})
        yield ""


if __name__ == "__main__":
    paths = [Path(argument) for argument in sys.argv[1:] if argument != "--jpeg"]
    originals = [as_stored(path) for path in photographs(paths)]
    print("\n".join(measure([as_jpeg(image) for image in originals] if "--jpeg" in sys.argv else originals)))
