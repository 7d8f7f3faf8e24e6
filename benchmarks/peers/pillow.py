"""Pillow's quantiser (median cut) without dithering."""

import sys

from PIL import Image

source, folder, *ks = sys.argv[1:]
image = Image.open(source).convert("RGB")
for k in map(int, ks):
    image.quantize(k, dither=Image.Dither.NONE).save(f"{folder}/pillow_k{k}.png")
