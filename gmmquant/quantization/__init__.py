"""Quantize one image in memory: fit a mixture, recolor the image by it."""
