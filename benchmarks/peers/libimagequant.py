"""libimagequant through its Python binding, without dithering."""

import sys

import imagequant
from PIL import Image

source, folder, *ks = sys.argv[1:]
image = Image.open(source).convert("RGB")
for k in map(int, ks):
    imagequant.quantize_pil_image(image, dithering_level=0.0, max_colors=k).save(f"{folder}/libimagequant_k{k}.png")
