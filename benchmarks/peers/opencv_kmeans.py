"""OpenCV's kmeans on all pixels: k-means++ centres, one attempt, ten iterations."""

import sys

import cv2
import numpy as np
from PIL import Image

source, folder, *ks = sys.argv[1:]
pixels = cv2.imread(source)[:, :, ::-1]
X = pixels.reshape(-1, 3).astype(np.float32)
for k in map(int, ks):
    stop = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 10, 1.0)
    _, labels, centers = cv2.kmeans(X, k, None, stop, 1, cv2.KMEANS_PP_CENTERS)
    image = Image.fromarray(labels.astype(np.uint8).reshape(pixels.shape[:2]))
    image.putpalette(np.rint(centers).astype(np.uint8).tobytes())
    image.save(f"{folder}/opencv_k{k}.png")
