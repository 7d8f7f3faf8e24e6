"""The results of the readers of input formats, a header and a stored image; their limits and errors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, Protocol

from gmmquant.errors import ImageError

if TYPE_CHECKING:
    import numpy.typing as npt

    from gmmquant.images.decoded import Animation
    from gmmquant.images.decoding.code_points import StatedSpace

# Each frame of an animation takes some work, however small it is.
MAX_FRAMES = 10_000

# OpenCV decodes no longer side.
_MAX_SIDE_PIXELS = 1 << 20

# Enough for the pixels of any format: RGBA with 16 bits has 8 bytes a pixel.
_BYTES_PER_PIXEL = 16

# Enough for everything else in a file. A header is read from no more.
BASE_BYTES = 1 << 26

# A note of readers that decode the first image only.
SEVERAL_IMAGES = "the file contains several images or pages; only the first is used"

# Called with width, height and number of frames before the first frame is decoded; may raise an `ImageError`.
Admit = Callable[[int, int, int], None]


class DamagedError(ImageError):
    """The data of an image are broken or cut short."""


class Header(NamedTuple):
    """The header of an image file of a `format`, the name of an entry of `INPUT_FORMATS`.

    `size` is (width, height) as stored, for a TIFF after its orientation is applied. `mode` is Pillow's name for the
    channels, `info` has its entries "dpi", "exif", "icc_profile" and others. `n_frames` is 1 if it is only known after
    decoding. `n_bytes` is the number of bytes from the beginning of the file that the image needs, if the header tells.
    `details` are for the reader of the format.
    """

    format: str
    size: tuple[int, int]
    mode: str
    n_frames: int = 1
    info: Mapping[str, Any] = MappingProxyType({})
    n_bytes: int | None = None
    details: Any = None


class StoredImage(NamedTuple):
    """A decoded file before its colour profile and orientation are applied. Metadata are unchecked.

    `frames` (n_frames, height, width, 3 or 4) are RGB or RGBA of uint8 or uint16. `orientation` is that of EXIF, 1 to
    8; if it is None, that of XMP counts. `notes` are messages for the user. The ICC `profile` is empty if it cannot be
    read and None if there is none; `is_srgb` is whether the file states sRGB, `other_color_space` describes another one
    that it states without a profile, and that is not applied. `exif` is bytes or a `PIL.Image.Exif`; `comments` are
    pairs of keyword and text, bytes in UTF-8 or Latin-1. `has_full_range` is whether the values were converted
    from those of another range, which the file states.
    """

    frames: npt.NDArray[Any]
    orientation: int | None = None
    animation: Animation | None = None
    notes: tuple[str, ...] = ()
    profile: bytes | None = None
    is_srgb: bool = False
    other_color_space: str | None = None
    dpi: Any = None
    exif: Any = None
    xmp: Any = b""
    comments: tuple[tuple[str, Any], ...] = ()
    has_full_range: bool = False

    @classmethod
    def with_info(cls, frames: npt.NDArray[Any], header: Header, **others: Any) -> StoredImage:
        """Return a stored image with the profile and metadata that Pillow found, unless `others` replace them."""
        profile = header.info.get("icc_profile")
        found = {key: header.info[key] for key in ("dpi", "exif", "xmp") if key in header.info}
        return cls(frames, **{"profile": profile if isinstance(profile, bytes) else None, **found, **others})

    def with_space(self, space: StatedSpace) -> StoredImage:
        """Return the image with a colour space that counts without a profile."""
        return self if self.profile is not None else self._replace(**space._asdict())


class Reader(Protocol):
    """A module of `formats`; it needs no `read_header` if Pillow reads the headers of the format."""

    def read_header(self, file: BinaryIO) -> Header | None:
        """Return the header at the beginning of a file; None if it is broken. Any exception means the same."""

    def decode(self, data: bytes, header: Header, admit: Admit) -> StoredImage:
        """Decode all frames of a file; call `admit` once before the first. Raise an `ImageError` if it is damaged."""


def unused_images(names: Iterable[str]) -> tuple[str, ...]:
    """Return the note on images of a file that are not used, such as "a depth map"; none if there are none."""
    found = list(dict.fromkeys(names))
    return (f"the file also has {' and '.join(found)}; only the image itself is used",) if found else ()


def byte_limit(max_pixels: int) -> int:
    """Return the largest number of bytes that an image of `max_pixels`, all frames counted, may need."""
    return BASE_BYTES + _BYTES_PER_PIXEL * max_pixels


def check_size(width: int, height: int, max_pixels: int, n_frames: int = 1) -> None:
    """Raise an `ImageError` if the pixels of all frames, the number of frames or a side is above its limit."""
    frames = "" if n_frames == 1 else f"{n_frames} frames of "
    if width * height * n_frames > max_pixels:
        raise ImageError(
            f"{frames}{width} x {height} pixels is above the limit {max_pixels}; raise max_pixels (--max-pixels), "
            "or scale the image down"
        )
    if n_frames > MAX_FRAMES:
        raise ImageError(f"an animation of more than {MAX_FRAMES} frames is not supported; split it")
    if max(width, height) > _MAX_SIDE_PIXELS:
        raise ImageError(f"{width} x {height} pixels has a side above the limit {_MAX_SIDE_PIXELS}; crop or split it")


def damaged(name: str) -> DamagedError:
    """Return the error of a file whose data are broken, for the name of its format."""
    return DamagedError(f"damaged or incomplete {name} image; get an undamaged copy")
