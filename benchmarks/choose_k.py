"""The stability of `-k auto`: print the choice for images, for their halves in size, and for JPEGs at quality 90.

    python benchmarks/choose_k.py STYLE IMAGE_OR_FOLDER...

It prints the table of a style in docs/choosing-k.md.
"""

import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from gmmquant import Quantizer, read_image
from gmmquant.quantization.choose_k import AUTO_PATH


def variants(path: Path) -> list[npt.NDArray[Any]]:
    """Return an image unchanged, at half its size, and as JPEG at quality 90 (8 bits, without alpha)."""
    pixels = read_image(path).pixels
    halved = cv2.resize(pixels, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    in_8_bits = pixels[..., :3] if pixels.dtype == np.uint8 else (pixels[..., :3] >> 8).astype(np.uint8)
    jpeg = cv2.imencode(".jpg", in_8_bits[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])[1]
    return [pixels, halved, cv2.imdecode(jpeg, cv2.IMREAD_COLOR)[..., ::-1]]


def main() -> None:
    """Print a Markdown table with a row for each image."""
    print("| image | k | half size | JPEG 90 | lowest ICL | lowest BIC | interior | within a step |")
    print("|---|---|---|---|---|---|---|---|")
    for argument in map(Path, sys.argv[2:]):
        for path in sorted(argument.iterdir()) if argument.is_dir() else [argument]:
            if path.suffix not in (".png", ".jpg"):
                continue
            choices = [Quantizer(image, style=sys.argv[1]).choose_k() for image in variants(path)]
            interior = choices[0].path[0].k < choices[0].k < choices[0].path[-1].k
            steps = [sum(k < choice.k for k in AUTO_PATH) for choice in choices]
            stable = max(abs(step - steps[0]) for step in steps) <= 1
            ks = " | ".join(str(choice.k) for choice in choices)
            first = choices[0]
            marks = " | ".join("yes" if mark else "no" for mark in (interior, stable))
            print(f"| {path.stem} | {ks} | {first.lowest_icl} | {first.lowest_bic} | {marks} |", flush=True)


if __name__ == "__main__":
    main()
