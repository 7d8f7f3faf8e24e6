"""gmmquant and comparable programs as whole commands, run in turn."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
from measure import Runs, in_turn, program
from PIL import Image

GMMQUANT = [str(Path(sys.executable).parent / "gmmquant")]
PEERS = Path(__file__).parent / "peers"


def ours(image: Path, ks: Sequence[int], folder: Path, *options: str) -> list[str]:
    """Return the command of gmmquant."""
    return [*GMMQUANT, str(image), "-k", *map(str, ks), "-o", str(folder), "-f", *options]


def script(name: str, image: Path, ks: Sequence[int], folder: Path) -> list[str]:
    """Return the command of a script in `peers`."""
    return [sys.executable, str(PEERS / f"{name}.py"), str(image), str(folder), *map(str, ks)]


def pngquant(image: Path, ks: Sequence[int], folder: Path, speed: int = 4) -> list[str]:
    """Return the command of pngquant, one run for each k, without dithering; 4 is its default speed, 11 the highest."""
    name = "pngquant" if speed == 4 else f"pngquant_speed_{speed}"
    call = f"'{program('pngquant')}' --nofs --speed {speed} --force -o"
    runs = [f"{call} '{folder}/{name}_k{k}.png' {k} '{image}'" for k in ks]
    return ["sh", "-c", " && ".join(runs)]


def imagemagick(image: Path, ks: Sequence[int], folder: Path) -> list[str]:
    """Return the command of ImageMagick, one run for each k, without dithering."""
    name = program("magick", "convert-im6", "convert")
    runs = [f"{name} '{image}' +dither -colors {k} 'PNG8:{folder}/imagemagick_k{k}.png'" for k in ks]
    return ["sh", "-c", " && ".join(runs)]


def race(image: Path, ks: Sequence[int], folder: Path, rounds: int, slow: Sequence[str] = ()) -> dict[str, Runs]:
    """Run gmmquant, the installed peers and the scripts `slow` in turn."""
    commands = {"gmmquant": ours(image, ks, folder), "floor": script("floor", image, ks, folder)}
    kmeans = folder / "kmeans"
    kmeans.mkdir(exist_ok=True)
    commands["gmmquant --method kmeans"] = ours(image, ks, kmeans, "--method", "kmeans")
    if program("pngquant") and image.suffix == ".png":
        commands["pngquant"] = pngquant(image, ks, folder)
        commands["pngquant --speed 11"] = pngquant(image, ks, folder, speed=11)
    if program("magick", "convert-im6"):
        commands["ImageMagick"] = imagemagick(image, ks, folder)
    commands["Pillow"] = script("pillow", image, ks, folder)
    if find_spec("imagequant"):
        commands["libimagequant"] = script("libimagequant", image, ks, folder)
    if find_spec("faiss"):
        commands["faiss"] = script("faiss_kmeans", image, ks, folder)
    commands |= {name: script(name, image, ks, folder) for name in slow}
    return in_turn(commands, rounds)


def table(runs: dict[str, Runs], errors: dict[str, str] | None = None) -> list[str]:
    """Return a Markdown table: seconds, ratio of gmmquant's time to it, peak memory, squared errors if there are any."""
    lines = ["| command | seconds | gmmquant / this | peak MB |" + (" squared error |" if errors else "")]
    lines.append("|---|---|---|---|" + ("---|" if errors else ""))
    for name, each in runs.items():
        ratio = f"{runs['gmmquant'].median / each.median:.2f}"
        error = f" {errors.get(name, '')} |" if errors else ""
        lines.append(f"| {name} | {each} | {ratio} | {max(each.peaks):.0f} |{error}")
    return lines


def squared_errors(image: Path, k: int, folder: Path) -> dict[str, str]:
    """Return the mean squared RGB error, summed over channels, of the image that each command wrote for `k`."""
    original = cv2.imread(str(image))[:, :, ::-1].astype(np.float64)
    names = {"gmmquant": f"{image.stem}_k{k}", "opencv_kmeans": f"opencv_k{k}", "scikit_learn": f"sklearn_k{k}"}
    names |= {"gmmquant --method kmeans": f"kmeans/{image.stem}_k{k}", "pngquant --speed 11": f"pngquant_speed_11_k{k}"}
    names |= {name: f"{name.lower()}_k{k}" for name in ("pngquant", "ImageMagick", "Pillow", "libimagequant", "faiss")}
    errors = {}
    for name, stem in names.items():
        path = folder / f"{stem}.png"
        if os.path.exists(path):
            written = np.asarray(Image.open(path).convert("RGBA").convert("RGB"), dtype=np.float64)
            errors[name] = f"{((written - original) ** 2).sum(axis=2).mean():.0f}"
    return errors
