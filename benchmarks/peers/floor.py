"""The minimum for any such command in Python: start, import, decode, and write an indexed PNG for each k."""

import sys
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

source, folder, *ks = sys.argv[1:]
pixels = cv2.imdecode(np.frombuffer(Path(source).read_bytes(), np.uint8), cv2.IMREAD_COLOR)
for k in map(int, ks):
    image = Image.fromarray((pixels[:, :, 1].astype(np.uint16) * k >> 8).astype(np.uint8))
    image.putpalette(bytes(range(256)) * 3)
    image.save(f"{folder}/floor_k{k}.png")
