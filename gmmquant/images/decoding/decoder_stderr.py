"""Capture of what decoders write to standard error, and Pillow without its limit on pixels and its warnings.

C libraries report errors on standard error only, and these messages decide whether an image is damaged. Standard
error, Pillow's limit and Python's warnings are global to the process, so one thread decodes at a time.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

from PIL import Image

_process_state = threading.RLock()

# The largest pipe that an unprivileged process may have.
_MAX_PIPE_BYTES = 1 << 20

# Messages of OpenCV's image readers, libpng, libjpeg (all of its warnings) and libtiff, by their beginnings. Those of
# OpenCV may continue with empty lines and lines that begin with ">".
_MESSAGE = (
    rb"(?m)^(?:\[ERROR:\d+@\d+\.\d+\] global (?:grfmt_\w+|loadsave)\.cpp:\d+ "
    rb"|libpng (?:error|warning): "
    rb"|Corrupt JPEG data: |Premature end of JPEG file$|Invalid SOS parameters for sequential JPEG$"
    rb"|Inconsistent progression sequence for component |Unknown Adobe color transform code "
    rb"|Warning: unknown JFIF revision number |Application transferred too many scanlines$"
    rb"|(?:_?TIFF|Fax|InitCCITT|LZW|ZIP|PixarLog|LogL|O?JPEG|WebP|ZSTD|LERC|LZMA|Thunder|NeXT|DumpMode|PackBits)\w*: "
    rb"|(?:MissingRequired|EstimateStripByteCounts|(?:Chop|allocChopped)Up\w+|CheckDirCount|horizontal\w+): "
    rb"|tempfile\.tif: )[^\n]*\n?(?:[^\S\n]*\n|>[^\n]*\n?)*"
)

# Without a handler, Pillow's log messages would go to standard error.
logging.getLogger("PIL").addHandler(logging.NullHandler())


@contextmanager
def lenient_pillow() -> Iterator[None]:
    """Run the block without Pillow's limit on pixels (ours is checked after the header) and without warnings."""
    with _process_state, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        limit = Image.MAX_IMAGE_PIXELS
        Image.MAX_IMAGE_PIXELS = None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit


@contextmanager
def damage_ignored() -> Iterator[None]:
    """Run the block with a lenient Pillow and leave it at the first exception, unless memory runs out.

    For metadata, which cameras and editors often break, and for which Pillow raises many types of exceptions.
    """
    try:
        with lenient_pillow():
            yield
    except MemoryError:
        raise
    except Exception:  # noqa: S110
        pass


@contextmanager
def captured_stderr() -> Iterator[list[bytes]]:
    """Collect the lines that decoders write to standard error, even if it is closed, in a list filled after the block.

    Lines that other threads of the process write are passed on after the block.
    """
    lines: list[bytes] = []
    with _process_state, ExitStack() as descriptors:
        saved = None
        try:
            saved = os.dup(2)
            descriptors.callback(_close, saved)
        except OSError as error:
            if error.errno != errno.EBADF:  # standard error is not merely closed
                raise
        reader, writer = _open_pipe()
        descriptors.callback(_close, reader)
        try:
            os.dup2(writer, 2)
            _close(writer)
            yield lines
        finally:
            if saved is None:
                _close(2)
            else:
                os.dup2(saved, 2)
            with suppress(BlockingIOError):  # nothing was written
                text = os.read(reader, _MAX_PIPE_BYTES)
                lines += b"".join(re.findall(_MESSAGE, text)).splitlines(keepends=True)
                others = re.sub(_MESSAGE, b"", text)
                if others and saved is not None:
                    with suppress(OSError):  # standard error is full or gone
                        os.write(saved, others)


def _open_pipe() -> tuple[int, int]:
    """Open a non-blocking pipe whose ends are not standard streams, even if those are closed."""
    ends = os.pipe()
    try:
        reader, writer = (fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 3) for end in ends)
    finally:
        for end in ends:
            _close(end)
    os.set_blocking(reader, False)  # a child process may keep the other end open
    os.set_blocking(writer, False)  # a decoder that fills the pipe must not wait
    return reader, writer


def _close(descriptor: int) -> None:
    """Close a descriptor. An error is ignored: it is closed all the same, and nothing was to be written."""
    with suppress(OSError):
        os.close(descriptor)
