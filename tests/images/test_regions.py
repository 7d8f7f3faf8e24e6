"""The number of connected regions, compared with scipy's labelling of each label by itself."""

import numpy as np
import pytest
from scipy import ndimage

from gmmquant.images import regions
from gmmquant.images.regions import count_regions


def count_by_scipy(labels, visible, frame_height):
    """Label each frame and each label by itself."""
    total = 0
    for top in range(0, len(labels), frame_height):
        frame, seen = labels[top : top + frame_height], visible[top : top + frame_height]
        total += sum(ndimage.label((frame == label) & seen)[1] for label in np.unique(frame))
    return total


@pytest.mark.parametrize("seed", range(40))
def test_regions_are_those_of_scipy_for_any_labels_frames_and_sizes_of_chunks(seed, monkeypatch):
    rng = np.random.default_rng(seed)
    height, width, n_labels, n_frames = rng.integers(1, [24, 24, 5, 4])
    labels = rng.integers(0, n_labels, (height * n_frames, width)).astype(np.uint8)
    visible = rng.random(labels.shape) < 0.7
    monkeypatch.setattr(regions, "_CHUNK_PIXELS", int(rng.integers(1, 200)))
    assert count_regions(labels, visible, int(height)) == count_by_scipy(labels, visible, height)
    everything = np.ones_like(visible)
    assert count_regions(labels, None, int(height)) == count_by_scipy(labels, everything, height)


def test_a_spiral_is_one_region_in_another():
    spiral = np.zeros((65, 65), dtype=np.uint16)
    y = x = 32
    for length, (dy, dx) in zip(range(2, 62, 2), [(0, 1), (1, 0), (0, -1), (-1, 0)] * 8, strict=False):
        for _ in range(length):
            spiral[y, x] = 300
            y, x = y + dy, x + dx
    assert count_regions(spiral) == 2


def test_pixels_that_touch_at_a_corner_are_separate_regions():
    assert count_regions(np.eye(5, dtype=np.uint8)) == 5 + 2


def test_an_image_without_visible_pixels_has_no_region():
    assert count_regions(np.zeros((3, 4), dtype=np.uint8), np.zeros((3, 4), dtype=bool)) == 0
