"""Helpers for several test files: random data, and mixtures computed by scipy."""

import re
import tempfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from gmmquant import GmmquantError, ParameterError
from gmmquant.colors.palette_files import read_named_palette
from gmmquant.models.cells import Cells
from gmmquant.models.em import e_step, m_step

needs_opencv_5 = pytest.mark.skipif(not hasattr(cv2, "FontFace"), reason="OpenCV 4 has no fonts")

SAMPLE_IMAGES = Path(__file__).parents[1] / "sample_images"


def read_sample(name):
    """Decode a sample image with Pillow, without the package."""
    with Image.open(SAMPLE_IMAGES / name) as image:
        return np.asarray(image)


def animation_by_opencv(data):
    """Decode an animation with OpenCV, from a file: OpenCV 4 cannot decode all kinds in memory."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        read, animation = cv2.imreadanimation(file.name)
    assert read
    return animation


def read_palette(data):
    """Return the colours of the content of a palette file."""
    return read_named_palette(data)[0]


def blocks(text, language):
    """Return the code blocks of a Markdown text in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)


def interleaved(color, bits):
    """Return the Morton code of a colour, interleaved bit by bit: red, green, blue, from the highest bit."""
    code = 0
    for bit in reversed(range(bits)):
        for channel in color:
            code = 2 * code + (int(channel) >> bit & 1)
    return code


def in_morton_order(colors, bits):
    """Return the indices that sort `colors` (n, 3) by their Morton codes."""
    return sorted(range(len(colors)), key=lambda index: interleaved(colors[index], bits))


def random_covariances(rng, n_components, d, scale=1.0):
    """Draw well-conditioned covariances (K, d, d) with random orientations."""
    factors = rng.normal(size=(n_components, d, d))
    return scale * (factors @ factors.transpose(0, 2, 1) / d + 0.3 * np.eye(d))


def random_mixture(rng, n_components, d):
    """Draw weights, means and covariances of a mixture whose components overlap."""
    weights = rng.dirichlet(np.full(n_components, 5.0))
    means = rng.normal(scale=2.0, size=(n_components, d))
    return weights, means, random_covariances(rng, n_components, d)


def draw_from(rng, mixture, n):
    """Draw `n` samples of a mixture."""
    weights, means, covariances = mixture
    counts = rng.multinomial(n, weights)
    parts = [
        rng.multivariate_normal(mean, covariance, size=count)
        for count, mean, covariance in zip(counts, means, covariances, strict=True)
    ]
    return rng.permutation(np.concatenate(parts))


def log_joint_by_scipy(X, weights, means, covariances):
    """Return log weights[k] + log N(x | means[k], covariances[k]), shape (n, K); -inf where the weight is 0."""
    with np.errstate(divide="ignore"):
        log_weights = np.log(weights)
    densities = [
        multivariate_normal.logpdf(X, mean, covariance).reshape(len(X))
        for mean, covariance in zip(means, covariances, strict=True)
    ]
    return np.column_stack(densities) + log_weights


def log_density_by_scipy(X, weights, means, covariances):
    """Return the log density of a mixture, shape (n,)."""
    return logsumexp(log_joint_by_scipy(X, weights, means, covariances), axis=1)


def overlapping_samples(seed, d, n_components=3, n=400):
    """Draw samples of a mixture whose components overlap."""
    rng = np.random.default_rng(seed)
    return draw_from(rng, random_mixture(rng, n_components, d), n)


def cells_of(X, weights=None):
    """Return samples as cells, of weight 1 by default."""
    return Cells.from_samples(np.asarray(X, dtype=float), np.ones(len(X)) if weights is None else weights)


def fitted_attributes(estimator):
    """Return what `fit` has set."""
    return {name: value for name, value in vars(estimator).items() if name.endswith("_")}


def assert_identical_estimators(one, other):
    """Check that two fitted estimators are equal to the last bit."""
    assert fitted_attributes(one).keys() == fitted_attributes(other).keys()
    for name, value in fitted_attributes(one).items():
        np.testing.assert_array_equal(value, getattr(other, name), err_msg=name)


def assert_refused(parts, function, *arguments, **options):
    """Check that a call raises an error of one line that has these parts."""
    with pytest.raises(ParameterError) as caught:
        function(*arguments, **options)
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, GmmquantError)
    assert "\n" not in str(caught.value)
    for part in parts:
        assert part in str(caught.value)


def em_step(cells, gaussians, variance):
    """Run one E-step and one M-step; return the new parameters, and J at the old ones."""
    moments, objective = e_step(cells, gaussians, variance)
    return m_step(moments, cells.origin, variance, gaussians), objective


def read_only(array):
    """Return a read-only copy."""
    copy = np.array(array)
    copy.flags.writeable = False
    return copy


def antialiased_logo():
    """Return a drawing of four flat colours with antialiased edges, (80, 200, 3)."""
    scale = 8
    image = Image.new("RGB", (200 * scale, 80 * scale), (255, 255, 255))
    draw = ImageDraw.Draw(image)
    draw.ellipse([scale * v for v in (10, 10, 70, 70)], fill=(29, 161, 242))
    draw.polygon([scale * v for v in (90, 70, 120, 10, 150, 70)], fill=(0, 0, 0))
    draw.rectangle([scale * v for v in (160, 10, 190, 70)], fill=(225, 48, 108))
    draw.line([scale * v for v in (5, 5, 195, 75)], fill=(0, 0, 0), width=scale)
    return np.asarray(image.resize((200, 80), Image.Resampling.LANCZOS))


def median_palette(pixels, labels, means, weights=None):
    """Return the median of the 8-bit `pixels` (n, 3) of each label, or the mean (K, 3) if it is 16 levels away."""
    palette, weights = np.rint(means).astype(np.uint8), np.ones(len(pixels)) if weights is None else weights
    for k in set(labels):
        mine, median = labels == k, []
        for channel in pixels[mine].T:
            order = np.argsort(channel)
            below = weights[mine][order].cumsum()  # or equal
            median.append(channel[order][below >= below[-1] / 2 - 1e-9][0])
        if np.sqrt(((median - means[k]) ** 2).sum()) <= 16:
            palette[k] = median
    return palette


def mixture_of(fit):
    """Return weights, means and full covariances of the fit of a record."""
    columns = fit["components"]
    full = [[[a, b, c], [b, d, e], [c, e, f]] for a, b, c, d, e, f in columns["covariance"]]
    return np.array(columns["weight"]), np.array(columns["mean"]), np.array(full)
