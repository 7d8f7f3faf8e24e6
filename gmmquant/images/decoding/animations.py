"""Animations decoded: GIF and animated PNG frame by frame with composition of our own, WebP and AVIF by Pillow.

All frames come as full images. Their number and size are submitted to the caller before the first is decoded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gmmquant.images.decoded import Animation
from gmmquant.images.decoding import apng, gif, isobmff, png_chunks
from gmmquant.images.decoding.compositing import FrameBox, composed
from gmmquant.images.decoding.decode import decode, opened_by_pillow, orientation_of
from gmmquant.images.decoding.decoder_stderr import captured_stderr, pillow_at_ease
from gmmquant.images.decoding.sniff import MAX_FRAMES, Header, damaged

# Called with width, height and number of frames before any is decoded; raises an ImageError` if that is too much.
Admit = Callable[[int, int, int], None]


@dataclass(frozen=True)
class Film:
    """Frames (n, height, width, 3 or 4) as stored, in time, how to turn them, and what else came to light."""

    frames: npt.NDArray[Any]
    durations: tuple[float, ...]
    loop: int
    orientation: int = 1
    notes: tuple[str, ...] = ()
    comment: bytes = b""

    @property
    def animation(self) -> Animation | None:
        """The frames in time; None if there is but one."""
        return Animation(self.durations, self.loop) if len(self.durations) > 1 else None


def decode_film(data: bytes, header: Header, found: dict[bytes, list[bytes]], admit: Admit) -> Film | None:
    """Decode all frames of a GIF or an animation; None if it is neither.

    Parameters
    ----------
    data : the whole file
    header : Header
    found : the chunks of a PNG, else empty
    admit : function of width, height and number of frames
        Called before the first is decoded; what it raises passes through.

    Raises
    ------
    ImageError
        If the frames are damaged.
    """
    if header.format == "GIF":
        return _decode_gif(data, admit)
    if header.format == "PNG" and apng.announced_frames(found):
        return _decode_apng(data, header, found, admit)
    if header.n_frames > 1:
        return _decode_with_pillow(data, header, admit)
    return None


def _decode_gif(data: bytes, admit: Admit) -> Film:
    film = gif.take_apart(data, MAX_FRAMES)
    if film is None:
        raise damaged("GIF")
    admit(*film.size, len(film.frames))
    with captured_stderr():
        try:
            with pillow_at_ease():
                frames = composed(film.size, len(film.frames), gif.unpack(data, film))
        except MemoryError:
            raise
        except Exception:  # as for headers
            raise damaged("GIF") from None
    durations = tuple(frame.box.duration for frame in film.frames)
    return Film(frames, durations, film.loop, comment=film.comment)


def _decode_apng(data: bytes, header: Header, found: dict[bytes, list[bytes]], admit: Admit) -> Film:
    admit(*header.size, apng.announced_frames(found))
    film = apng.take_apart(data)
    if film is None or film.size != header.size or len(film.places) != apng.announced_frames(found):
        raise damaged("PNG")
    grey = png_chunks.transparent_grey(found)

    def drawn() -> Iterator[tuple[FrameBox, npt.NDArray[Any]]]:
        for box, file in zip(film.places, film.files(), strict=True):
            yield box, decode(file, header, transparent_grey=grey).pixels

    frames = composed(film.size, len(film.places), drawn())
    durations = tuple(box.duration for box in film.places)
    return Film(frames, durations, film.loop, orientation_of(found.get(b"eXIf", [b""])[0]))


def _decode_with_pillow(data: bytes, header: Header, admit: Admit) -> Film:
    width, height = header.size
    admit(width, height, header.n_frames)
    channels = 4 if header.mode in ("RGBA", "LA") else 3
    frames = np.empty((header.n_frames, height, width, channels), np.uint8)
    durations = []
    with opened_by_pillow(data, header.format) as image:
        for n in range(header.n_frames):
            image.seek(n)
            frames[n] = np.asarray(image.convert("RGBA" if channels == 4 else "RGB"))
            durations.append(float(image.info["duration"]))
    if channels == 4 and (frames[..., 3] == 255).all():
        frames = frames[..., :3]
    deep = header.format == "AVIF" and isobmff.avif_bits(data) > 8
    return Film(
        frames,
        tuple(durations),
        int(header.info.get("loop", 0)),
        orientation_of(header.info.get("exif", b"")),
        ("an animation of more than 8 bits; 8 are used",) if deep else (),
    )
