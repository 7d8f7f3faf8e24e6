"""Draw the small sample images: alpha, nearly invisible pixels, 16 bits, grey, three flat colours, an animation."""

from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw

HERE = Path(__file__).parent

WHEEL = [
    *((220, 40, 30), (240, 160, 20), (250, 235, 60), (60, 170, 60)),
    *((40, 150, 190), (40, 60, 170), (130, 50, 150), (30, 30, 30)),
]


def leaf_with_alpha() -> Image.Image:
    """Return a green disc with a soft edge on a transparent ground, 96 x 96, RGBA."""
    y, x = np.mgrid[:96, :96]
    radius = np.hypot(x - 47.5, y - 47.5)
    alpha = np.clip((44 - radius) / 8, 0, 1)
    red = 60 + x
    green = 200 - y / 2
    blue = np.full_like(red, 70)
    return Image.fromarray(np.dstack([red, green, blue, 255 * alpha]).round().astype(np.uint8))


def wheel_on_a_nearly_invisible_ground() -> Image.Image:
    """Return a wheel of eight colours, 180 x 120, RGBA, on a ground of many colours and an alpha of 1 to 3.

    Programs that cut out an image leave such a ground.
    """
    y, x = np.mgrid[:120, :180].astype(float)
    waves = [
        127.5 + 127.5 * np.sin(x / a + np.cos(y / b) * 2 + c) for a, b, c in ((31, 17, 0), (23, 29, 2), (41, 13, 4))
    ]
    radius, sector = np.hypot(x - 89.5, y - 59.5), ((np.arctan2(y - 59.5, x - 89.5) / np.pi + 1) * 4).astype(int) % 8
    inside = radius < 28
    colors = np.where(inside[..., np.newaxis], np.array(WHEEL)[sector], np.dstack(waves))
    alpha = np.where(inside, np.clip((28 - radius) / 3 * 255, 3, 255), 1 + (x + y) % 3)
    return Image.fromarray(np.dstack([colors, alpha]).round().astype(np.uint8))


def dusk_16_bits() -> np.ndarray:
    """Return a gradient too fine for 8 bits, like a sky at dusk, 96 x 64, RGB, 16 bits."""
    y = np.linspace(0, 1, 64)[:, np.newaxis]
    x = np.linspace(0, 1, 96)[np.newaxis, :]
    red = 20000 + 24000 * y + 600 * x
    green = 15000 + 12000 * y**2 + 300 * x
    blue = 30000 - 9000 * y + 900 * x
    return np.dstack([red, green, blue]).round().astype(np.uint16)


def grey_ramp() -> Image.Image:
    """Return grey rings, 96 x 64, one channel."""
    y, x = np.mgrid[:64, :96]
    return Image.fromarray((127.5 + 127.5 * np.cos(np.hypot(x - 47.5, y - 31.5) / 6)).round().astype(np.uint8))


def flag_of_three_colors() -> Image.Image:
    """Return a disc and a bar in three flat colours, 96 x 64, RGB."""
    image = Image.new("RGB", (96, 64), "#f4f1de")
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 44, 95, 63), fill="#3d405b")
    draw.ellipse((32, 8, 64, 40), fill="#e07a5f")
    return image


def bouncing_ball(n_frames: int = 12) -> list[Image.Image]:
    """Return the frames of one period of a bouncing ball, 96 x 64, RGB."""
    y, x = np.mgrid[:64, :96].astype(float)
    sky = np.dstack([60 + 2.2 * y, 50 + 0.9 * y, 110 - 0.4 * y])
    ground = y > 55
    sky[ground] = [40, 34, 52]
    frames = []
    for phase in np.arange(n_frames) / n_frames:
        height = 4 * phase * (1 - phase)
        across, down = (x - 47.5) / 10, (y - (45.5 - 32 * height)) / 10
        inside = across**2 + down**2 < 1
        depth = np.sqrt(np.maximum(1 - across**2 - down**2, 0))
        light = np.clip(0.25 + 0.75 * (0.6 * depth - 0.4 * across - 0.7 * down), 0.1, 1)
        shadow = ground & (((x - 47.5) / (8 + 8 * height)) ** 2 + ((y - 59) / 3) ** 2 < 1)
        frame = np.where(shadow[..., np.newaxis], sky * 0.6, sky)
        frame = np.where(inside[..., np.newaxis], light[..., np.newaxis] * [240, 130, 80], frame)
        frames.append(Image.fromarray(frame.round().astype(np.uint8)))
    return frames


def main() -> None:
    """Write all sample images beside this script."""
    leaf_with_alpha().save(HERE / "alpha.png")
    wheel_on_a_nearly_invisible_ground().save(HERE / "cutout.png")
    cv2.imwrite(str(HERE / "sixteen.png"), dusk_16_bits()[:, :, ::-1])
    grey_ramp().save(HERE / "grey.png")
    flag_of_three_colors().save(HERE / "flat.png")
    first, *others = bouncing_ball()
    first.save(HERE / "ball.webp", save_all=True, append_images=others, duration=60, lossless=True)


if __name__ == "__main__":
    main()
