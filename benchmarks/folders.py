"""Folders of images: images per second, compared with shell loops over pngquant, and memory of a long run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from commands import GMMQUANT
from measure import Runs, in_turn, program

KS = (16, 256)


def crops(photographs: Sequence[Path], n: int, width: int, height: int, folder: Path) -> Path:
    """Write `n` random crops of photographs, at random scales, as PNGs of one size; return their folder."""
    folder.mkdir()
    sources = [cv2.imread(str(path)) for path in photographs]
    rng = np.random.default_rng(0)
    for number in range(n):
        source = sources[number % len(sources)]
        most = min(source.shape[0] / height, source.shape[1] / width)
        scale = most if most <= 1 else rng.uniform(1, most)
        h, w = int(height * scale), int(width * scale)
        y, x = rng.integers(source.shape[0] - h + 1), rng.integers(source.shape[1] - w + 1)
        part = cv2.resize(source[y : y + h, x : x + w], (width, height), interpolation=cv2.INTER_AREA)
        cv2.imwrite(str(folder / f"{number:04}.png"), part)
    return folder


def commands(folder: Path, k: int, out: Path) -> dict[str, list[str]]:
    """Return the commands that redraw the images of a folder in `k` colours."""
    out.mkdir(exist_ok=True)
    ours = [*GMMQUANT, str(folder), "-k", str(k), "-o", str(out), "--force", "--quiet"]
    both = {
        "gmmquant": ours,
        "gmmquant --jobs 1": [*ours, "--jobs", "1"],
        "gmmquant --method kmeans": [*ours, "--method", "kmeans"],
    }
    pngquant = program("pngquant")
    if pngquant:
        loop = f"for f in '{folder}'/*.png; do '{pngquant}' --nofs --force -o '{out}'/p_$(basename $f) {k} $f; done"
        side_by_side = (
            f"ls '{folder}'/*.png | OMP_NUM_THREADS=1 xargs -P 2 -I@ "
            f"sh -c '{pngquant} --nofs --force -o {out}/p_$(basename @) {k} @'"
        )
        both |= {"a loop over pngquant": ["sh", "-c", loop], "pngquant by xargs -P 2": ["sh", "-c", side_by_side]}
    return both


def table(runs: dict[str, Runs], n: int) -> list[str]:
    """Return a Markdown table of images per second."""
    lines = ["| command | seconds | images per second | peak MB of the largest process |", "|---|---|---|---|"]
    lines += [f"| {name} | {each} | {n / each.median:.1f} | {max(each.peaks):.0f} |" for name, each in runs.items()]
    return lines


def races(photographs: Sequence[Path], folder: Path) -> list[str]:
    """Compare on 1,000 small images, on 100 of them (memory must be the same), on smaller and on larger images."""
    lines: list[str] = []
    few, many = KS
    sizes = (
        (1000, 320, 240, few, 1),
        (100, 320, 240, few, 3),
        (1000, 128, 96, few, 1),
        (24, 768, 512, few, 3),
        (24, 768, 512, many, 3),
    )
    for n, width, height, k, rounds in sizes:
        cut = folder / f"{n}_{width}_{k}"
        images = crops(photographs, n, width, height, cut)
        runs = in_turn(commands(images, k, cut.with_suffix(".out")), rounds)
        lines += [f"{n:,} images of {width} x {height}, k = {k}:", "", *table(runs, n), ""]
    return lines
