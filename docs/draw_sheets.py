"""Draw the images of docs/sheets-and-plots.md.

python docs/draw_sheets.py
"""

import io
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from gmmquant import Quantizer, plot_colors, plot_criteria, quantize
from gmmquant.images.encoding.encode import encode_image
from gmmquant.report.record import fit_record, image_record
from gmmquant.report.sheet import sheet

HERE = Path(__file__).resolve().parent
SOURCE = HERE.parent / "sample_images" / "cat.jpg"
IMAGES = HERE / "images" / "sheets-and-plots"

_WIDTH_PIXELS = 1100


def drawn() -> dict[str, bytes]:
    """Return the images of the page by their names."""
    with Image.open(SOURCE) as file:
        photo = np.asarray(file)
    quantizer = Quantizer(photo)
    results = {k: quantizer.fit(k) for k in (2, 3, 5, 7, 10, 14, 20, 28)}
    shown = [results[k] for k in (2, 3, 7, 20)]
    fits = [fit_record(result, {}, n_bytes=len(encode_image(result.recolored, "png"))) for result in shown]
    record = {"image": image_record("cat.jpg", quantizer, SOURCE.stat().st_size), "fits": fits}
    page = Image.open(io.BytesIO(sheet([(record, photo, [result.recolored for result in shown])], "png")))
    small = page.resize((_WIDTH_PIXELS, round(page.height * _WIDTH_PIXELS / page.width)), Image.Resampling.BOX)
    few = quantize(np.asarray(small), 256, method="kmeans").recolored
    return {
        "sheet.png": encode_image(few, "png", optimize=True),
        "criteria.png": plot_criteria(results.values())._repr_png_(),
        "colors.png": plot_colors(results[7], photo)._repr_png_(),
    }


def main() -> int:
    """Write the images of the page."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    for name, data in drawn().items():
        (IMAGES / name).write_bytes(data)
    return 0


if __name__ == "__main__":
    sys.exit(main())
