"""Run all benchmarks and write docs/benchmarks.md.

python benchmarks/page.py [PHOTOGRAPH_OR_FOLDER...] [--kept FILE] [--swaps SECONDS]

The large images consist of the first four photographs (default: those of sample_images), and the likelihoods are compared
on all photographs. pngquant, ImageMagick and imagequant are included if they are installed.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import platform
import shutil
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path

import eye
import faithful
import folders
import likelihood
import scaling
from commands import ours, race, script, squared_errors, table
from images import distinct_colors, enlarge
from measure import in_turn, program

ROOT = Path(__file__).parent.parent
CAT = ROOT / "sample_images" / "cat.jpg"
FOUR = (2, 3, 7, 20)
PACKAGES = ("gmmquant", "numpy", "opencv-python-headless", "pillow", "typer", "scikit-learn", "imagequant", "faiss-cpu")


def machine() -> list[str]:
    """Return the lines that describe the machine, the versions and the method."""
    model = "unknown processor"
    if Path("/proc/cpuinfo").exists():
        names = [
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ]
        model = names[0] if names else model
    versions = [f"Python {platform.python_version()}"]
    for package in PACKAGES:
        try:
            versions.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            versions.append(f"{package} not installed")
    for name, arguments in (("pngquant", "--version"), ("magick", "-version"), ("convert-im6", "-version")):
        path = program(name)
        if path:
            line = subprocess.run([path, arguments], capture_output=True, text=True, check=False).stdout.split("\n")[0]
            versions.append(line if "ImageMagick" in line else f"{name} {line}")
    return [
        f"{dt.date.today():%d %B %Y}; {model}, {scaling.cores()} cores, a shared virtual machine; {', '.join(versions)}.",
        "",
        "Times are wall-clock seconds of whole processes: the median, with minimum and maximum in brackets. The commands were",
        "run in turn (A B C A B C ...) after one uncounted run each. Compare ratios, not seconds: the machine is shared.",
    ]


def small(folder: Path) -> list[str]:
    """Return the section on the cat."""
    runs = race(CAT, FOUR, folder, rounds=9, slow=("opencv_kmeans",))
    slow = in_turn({"gmmquant": ours(CAT, FOUR, folder), "scikit-learn": script("scikit_learn", CAT, FOUR, folder)}, 2)
    ratio = slow["scikit-learn"].median / slow["gmmquant"].median
    return [
        "## A small image",
        "",
        "`cat.jpg` (451 x 300) with `-k 2 3 7 20`. The floor is a script that starts Python, imports numpy, OpenCV and",
        "Pillow, decodes the image and writes four indexed PNGs.",
        "",
        *table(runs, squared_errors(CAT, 20, folder)),
        "",
        "The squared errors are those of 20 colours.",
        "",
        f"gmmquant takes {runs['gmmquant'].median / runs['floor'].median:.2f} times the floor. A script that makes the same "
        f"four fits with scikit-learn takes {slow['scikit-learn']} s, {ratio:.0f} times as long as gmmquant.",
        "",
    ]


def large(image: Path, folder: Path) -> list[str]:
    """Return the section on a large image."""
    lines = [
        "## Large photographs",
        "",
        f"12 megapixels made of four photographs, {distinct_colors(image):,} distinct colours, as PNG (pngquant reads",
        "nothing else).",
        "",
    ]
    for ks, rounds in (((20,), 5), ((256,), 3), (FOUR, 3)):
        runs = race(image, ks, folder, rounds)
        errors = squared_errors(image, ks[0], folder) if len(ks) == 1 else None
        lines += [f"`-k {' '.join(map(str, ks))}`:", "", *table(runs, errors), ""]
    return lines


def stages(folder: Path) -> list[str]:
    """Return the table of the stages, measured by pytest-benchmark."""
    out = folder / "stages.json"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", str(ROOT / "benchmarks"), "--benchmark-only"]
    subprocess.run([*command, f"--benchmark-json={out}"], check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
    lines = [
        "| stage, on `coffee.png` (240,000 pixels, 94,478 colours) | median ms | interquartile range |",
        "|---|---|---|",
    ]
    for each in json.loads(out.read_text())["benchmarks"]:
        name = each["name"].removeprefix("test_").replace("_", " ")
        lines.append(f"| {name} | {each['stats']['median'] * 1e3:.2f} | {each['stats']['iqr'] * 1e3:.2f} |")
    return lines


def _text(name: str) -> str:
    return (Path(__file__).parent / name).read_text().rstrip()


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def main() -> None:
    """Measure everything and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs", nargs="*", type=Path, default=[ROOT / "sample_images"])
    parser.add_argument("--kept", type=Path, help="file that keeps the likelihoods of other programs")
    parser.add_argument(
        "--swaps", type=float, default=0, help="seconds of random swaps per fit (a minute each takes an hour)"
    )
    arguments = parser.parse_args()
    photographs = list(likelihood.photographs(arguments.photographs))
    kept = json.loads(arguments.kept.read_text()) if arguments.kept and arguments.kept.exists() else {}
    folder = Path(tempfile.mkdtemp())
    try:
        tiles = (photographs * 4)[:4]
        image = enlarge(tiles, 12, folder / "large.png")
        text = [
            "# Benchmarks",
            "",
            "`make bench` writes this page, with the paths of photographs for images of your own: `make bench PHOTOGRAPHS=folder`.",
            "",
            _text("remarks.md"),
            "",
            "## Machine and programs",
            "",
            *machine(),
            "",
            *small(_made(folder / "small")),
            *large(image, _made(folder / "large")),
            "## The fit alone",
            "",
            *likelihood.fit_alone(image, 20),
            "",
            "## Likelihoods",
            "",
            "Mean log-likelihood per pixel of `--style likelihood`, and without its search; scikit-learn's",
            "`GaussianMixture(k).fit(pixels)`, seed 0, and the best of its seeds 0 to 4; and, if they were run, random swaps of",
            f"components for {arguments.swaps:g} s from the fit without a search.",
            "",
            *likelihood.table(photographs, kept, arguments.swaps),
            "",
            "## Squared errors, file sizes, dithering",
            "",
            f"`--method kmeans` against libimagequant without dithering, on {len(photographs)} photographs:",
            "",
            *faithful.errors(faithful.rgb(photographs)),
            "",
            "Sizes of indexed PNGs, the smallest and the largest ratio among the photographs:",
            "",
            *faithful.sizes(faithful.rgb(photographs)),
            "",
            "Seconds for dithering the 12 megapixels, one run each:",
            "",
            *faithful.dithering(image),
            "",
            "## Dithering as the eye sees it",
            "",
            "Means over the photographs of SSIMULACRA2 (higher is better), FLIP, and the distance in OKLab x 100 of images",
            f"blurred by {eye.SIGMA_PIXELS} pixels in linear light (lower is better).",
            "",
            *eye.table(faithful.rgb(photographs)),
            "",
            "## Folders",
            "",
            "PNGs cut out of the photographs, compared with pngquant without dithering:",
            "",
            *folders.races(photographs, _made(folder / "folders")),
            "## Scaling",
            "",
            "Pixels (JPEG, k = 20):",
            "",
            *scaling.by_pixels(tiles, (0.1, 0.5, 2, 12, 50), folder, rounds=3),
            "",
            "Number of colours (the 12 megapixels above, PNG):",
            "",
            *scaling.by_k(image, (2, 4, 8, 16, 32, 64, 128, 256), folder, rounds=3),
            "",
            "Distinct colours (random colours around k centres, only the fit, k = 20):",
            "",
            *scaling.by_colors((1_000, 10_000, 100_000, 1_000_000)),
            "",
            "Threads:",
            "",
            *scaling.by_threads(image, folder, rounds=3),
            "",
            "## Stage by stage",
            "",
            *stages(folder),
            "",
            _text("rejected.md"),
        ]
    finally:
        shutil.rmtree(folder)
    (ROOT / "docs" / "benchmarks.md").write_text("\n".join(text) + "\n")
    if arguments.kept:
        arguments.kept.write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
