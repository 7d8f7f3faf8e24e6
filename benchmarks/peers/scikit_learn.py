"""The same task with scikit-learn: fit a GaussianMixture to all pixels for each k, and write the images."""

import sys
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from sklearn.mixture import GaussianMixture

source, folder, *ks = sys.argv[1:]
pixels = cv2.imdecode(np.frombuffer(Path(source).read_bytes(), np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1]
X = pixels.reshape(-1, 3) / 255
for k in map(int, ks):
    mixture = GaussianMixture(k, random_state=0).fit(X)
    labels = mixture.predict(X).astype(np.uint8).reshape(pixels.shape[:2])
    mixture.score(X)
    image = Image.fromarray(labels)
    image.putpalette(np.rint(np.clip(mixture.means_, 0, 1) * 255).astype(np.uint8).tobytes())
    image.save(f"{folder}/sklearn_k{k}.png")
