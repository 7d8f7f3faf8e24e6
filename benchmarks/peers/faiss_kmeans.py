"""faiss's Kmeans: 25 iterations on at most 256 random pixels for each centre, its default; then all pixels labelled."""

import sys

import cv2
import faiss
import numpy as np
from PIL import Image

source, folder, *ks = sys.argv[1:]
pixels = cv2.imread(source)[:, :, ::-1]
X = pixels.reshape(-1, 3).astype(np.float32)
for k in map(int, ks):
    kmeans = faiss.Kmeans(3, k)
    kmeans.train(X)
    labels = kmeans.index.search(X, 1)[1]
    image = Image.fromarray(labels.astype(np.uint8).reshape(pixels.shape[:2]))
    image.putpalette(np.rint(kmeans.centroids).astype(np.uint8).tobytes())
    image.save(f"{folder}/faiss_k{k}.png")
