"""Draw the images of docs/drawing.md: run its commands, and keep the outputs that the page shows.

    python docs/draw.py

The image `images/drawing/FOLDER/NAME` of the page is the output `FOLDER/NAME` of the commands, except
those that `draw_layers` and `draw_cutout` compose of them.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt
from PIL import Image

from gmmquant import quantize

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parent
PAGE = HERE / "drawing.md"
IMAGES = HERE / "images" / "drawing"

_CHECKERS_PIXELS, _WIDTH_PIXELS, _GAP_PIXELS = 12, 226, 6


def commands() -> list[str]:
    """Return the commands of the page, in order."""
    blocks = re.findall(r"^```sh\n(.*?)^```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    return [line for block in blocks for line in block.splitlines()]


def images() -> list[str]:
    """Return the images of the page that the commands write, as `folder/name`."""
    return re.findall(r"\]\(images/drawing/([^)]+)\)", PAGE.read_text(encoding="utf-8"))


def run_commands(folder: Path, program: str = f"{sys.executable} -m gmmquant") -> None:
    """Copy the sample images to `folder`, and run the commands of the page there."""
    shutil.copytree(PROJECT / "sample_images", folder / "sample_images")
    for command in commands():
        subprocess.run(["sh", "-c", re.sub("^gmmquant", program, command)], cwd=folder, check=True)  # noqa: S603, S607
    draw_layers(folder / "layers")
    draw_cutout(folder / "sample_images" / "cutout.png", folder / "cutout")


def draw_cutout(original: Path, folder: Path) -> None:
    """Draw a cut-out over white, in the colours of all its pixels, and in those weighted by alpha: `over_white.png`."""
    image = np.asarray(Image.open(original))
    unweighted = np.dstack([quantize(image[..., :3], 8).image, image[..., 3]])
    weighted = np.asarray(Image.open(folder / "cutout_k8.png").convert("RGBA"))
    row = [framed(over(each / 255, np.ones(3))) for each in (image, unweighted, weighted)]
    Image.fromarray(np.concatenate(row, axis=1)).save(folder / "over_white.png", optimize=True)


def draw_layers(folder: Path) -> None:
    """Draw the layers of `folder` over checkers, and then their sum, in a row: `flat.jpg` and `exact.jpg`."""
    for kind, ending in (("flat", ""), ("exact", "_exact")):
        layers = [np.asarray(Image.open(path)) / 255 for path in sorted(folder.glob(f"*_layer??{ending}.png"))]
        images = [over_checkers(layer) for layer in layers]
        images.append(sum(layer[..., :3] * layer[..., 3:] for layer in layers))
        row = np.concatenate([framed(image) for image in images], axis=1)
        Image.fromarray(row).save(folder / f"{kind}.jpg", quality=82)


def over_checkers(layer: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return a layer (h, w, 4) in [0, 1] over light and dark squares."""
    y, x = np.indices(layer.shape[:2]) // _CHECKERS_PIXELS
    checkers = np.where((x + y) % 2, 0.8, 1.0)[..., np.newaxis]
    return over(layer, checkers)


def over(image: npt.NDArray[np.float64], background: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return an image (h, w, 4) in [0, 1] composited over a background."""
    return image[..., :3] * image[..., 3:] + background * (1 - image[..., 3:])


def framed(image: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
    """Return an image (h, w, 3) in [0, 1] made smaller, with white edges."""
    pixels = Image.fromarray(np.rint(255 * np.clip(image, 0, 1)).astype(np.uint8))
    pixels.thumbnail((_WIDTH_PIXELS, _WIDTH_PIXELS), Image.Resampling.LANCZOS)
    edges = (_GAP_PIXELS // 2, _GAP_PIXELS // 2)
    return np.pad(np.asarray(pixels), (edges, edges, (0, 0)), constant_values=255)


def main() -> None:
    """Run the commands in a temporary folder, and copy the images from there."""
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        run_commands(folder)
        shutil.rmtree(IMAGES, ignore_errors=True)
        for name in images():
            (IMAGES / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(folder / name, IMAGES / name)


if __name__ == "__main__":
    main()
