"""Icons with soft shadows and antialiased edges, and the error of a copy where it is seen."""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter


def icon(size=96, *, blur=5.0, opaque=False):
    """Return a disc with a gradient, antialiased, on a soft shadow: RGBA, or RGB over white if it is `opaque`."""
    large = Image.new("L", (4 * size, 4 * size))
    ImageDraw.Draw(large).ellipse((0.6 * size, 0.5 * size, 3.1 * size, 3.0 * size), fill=255)
    mask = large.resize((size, size), Image.Resampling.LANCZOS)
    shadow = Image.new("L", (size, size))
    shadow.paste(mask.point(lambda level: level * 0.6), (3, 5))
    image = Image.new("RGBA", (size, size))
    image.putalpha(shadow.filter(ImageFilter.GaussianBlur(blur)))
    ramp = np.linspace([240, 200, 40], [220, 30, 60], size)[:, np.newaxis] * np.ones((1, size, 1))
    disc = Image.fromarray(np.rint(ramp).astype(np.uint8)).convert("RGBA")
    disc.putalpha(mask)
    image.alpha_composite(disc)
    pixels = np.asarray(image)
    return np.rint(over(pixels, 255)).astype(np.uint8) if opaque else pixels


def over(image, grey):
    """Return RGBA composited over a grey, (height, width, 3), in 0..255."""
    alpha = image[..., 3:] / 255
    return image[..., :3] * alpha + grey * (1 - alpha)


def seen_error(image, copy):
    """Return the mean over visible pixels of the squared errors over black and over white, by a plain loop."""
    total, n_visible = 0.0, 0
    for before, after in zip(image.reshape(-1, 4).tolist(), copy.reshape(-1, 4).tolist(), strict=True):
        if not before[3]:
            assert not after[3]
            continue
        n_visible += 1
        for grey in (0, 255):
            for c, d in zip(before[:3], after[:3], strict=True):
                drawn = (c * before[3] + grey * (255 - before[3])) / 255
                total += 0.5 * (drawn - (d * after[3] + grey * (255 - after[3])) / 255) ** 2
    return total / n_visible
