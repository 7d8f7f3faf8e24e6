"""How steady is `-k auto`? Print the choice for pictures as they are, at half their size, and as JPEG at quality 90.

    python benchmarks/choose_k.py PICTURE_OR_FOLDER...

The table of docs/choosing-k.md was made by it.
"""

import io
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from gmmquant import Quantizer
from gmmquant.quantizer import AUTO_PATH


def variants(path: Path) -> list[Image.Image]:
    """Return a picture as it is, at half its size, and as JPEG at quality 90."""
    image = Image.open(path).convert("RGB")
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=90)
    return [image, image.resize((image.width // 2, image.height // 2), Image.Resampling.LANCZOS), Image.open(buffer)]


def main() -> None:
    """Print a Markdown table with a row for each picture."""
    print("| picture | k | half size | JPEG 90 | lowest ICL | lowest BIC | interior | within a step |")
    print("|---|---|---|---|---|---|---|---|")
    for argument in map(Path, sys.argv[1:]):
        for path in sorted(argument.iterdir()) if argument.is_dir() else [argument]:
            if path.suffix not in (".png", ".jpg"):
                continue
            choices = [Quantizer(np.asarray(image)).choose_k() for image in variants(path)]
            steps = [AUTO_PATH.index(choice.k) if choice.k in AUTO_PATH else -9 for choice in choices]
            interior = 0 < steps[0] < len(AUTO_PATH) - 1
            steady = max(abs(step - steps[0]) for step in steps) <= 1
            ks = " | ".join(str(choice.k) for choice in choices)
            first = choices[0]
            marks = " | ".join("yes" if mark else "no" for mark in (interior, steady))
            print(f"| {path.stem} | {ks} | {first.lowest_icl} | {first.lowest_bic} | {marks} |", flush=True)


if __name__ == "__main__":
    main()
