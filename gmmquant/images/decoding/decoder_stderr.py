"""Decoders kept quiet: what they write to standard error is collected, and their process-wide settings are set back.

C libraries know no other way to complain than standard error, and what they say decides whether an image is damaged.
Standard error, Pillow's limit and Python's warnings belong to the whole process, so one thread decodes at a time.
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

# The most that a pipe may be made to hold without special rights.
_PIPE = 1 << 20

# How the lines of decoders begin: OpenCV's from its reading of images, libpng's, libjpeg's (every warning that it
# has), libtiff's; and how those that go on with a message of OpenCV do.
_DECODERS = re.compile(
    rb"\[ERROR:\d+@\d+\.\d+\] global (?:grfmt_\w+|loadsave)\.cpp:\d+ "
    rb"|libpng (?:error|warning): "
    rb"|Corrupt JPEG data: |Premature end of JPEG file$|Invalid SOS parameters for sequential JPEG$"
    rb"|Inconsistent progression sequence for component |Unknown Adobe color transform code "
    rb"|Warning: unknown JFIF revision number |Application transferred too many scanlines$"
    rb"|(?:_?TIFF|Fax|InitCCITT|LZW|ZIP|PixarLog|LogL|O?JPEG|WebP|ZSTD|LERC|LZMA|Thunder|NeXT|DumpMode|PackBits)\w*: "
    rb"|(?:MissingRequired|EstimateStripByteCounts|(?:Chop|allocChopped)Up\w+|CheckDirCount|horizontal\w+): "
    rb"|tempfile\.tif: ",
    re.MULTILINE,
)
_FURTHER = re.compile(rb"\s*$|>")

# Otherwise what Pillow has to say of a file would go to standard error where nobody has set up logging.
logging.getLogger("PIL").addHandler(logging.NullHandler())


@contextmanager
def pillow_at_ease() -> Iterator[None]:
    """Let Pillow read any header without a limit on pixels (ours is checked right after) and without warnings."""
    with _process_state, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        limit = Image.MAX_IMAGE_PIXELS
        Image.MAX_IMAGE_PIXELS = None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit


@contextmanager
def captured_stderr() -> Iterator[list[bytes]]:
    """Collect the lines that decoders write to standard error; they are there when the block is left.

    What other threads of the process write meanwhile is passed on then. Decoders are heard even where standard error
    is closed.

    Raises
    ------
    OSError
        If the process has too many open files.
    """
    said: list[bytes] = []
    with _process_state, ExitStack() as left_open:
        saved = _copy_of_stderr()
        if saved is not None:
            left_open.callback(os.close, saved)
        reader, writer = _pipe()
        left_open.callback(os.close, reader)
        os.dup2(writer, 2)
        os.close(writer)
        try:
            yield said
        finally:
            if saved is None:
                os.close(2)
            else:
                os.dup2(saved, 2)
            decoders, others = _sorted_out(_all_of(reader))
            said += decoders
            if others and saved is not None:
                with suppress(OSError):  # as for any program whose standard error is full or gone
                    os.write(saved, others)


def _copy_of_stderr() -> int | None:
    """Return a copy of standard error; None if it is closed."""
    try:
        return os.dup(2)
    except OSError as error:
        if error.errno != errno.EBADF:
            raise
        return None


def _pipe() -> tuple[int, int]:
    """Open a pipe that nobody waits for, with ends other than the standard streams, even if those are closed."""
    ends = os.pipe()
    try:
        reader, writer = (fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 3) for end in ends)
    finally:
        for end in ends:
            os.close(end)
    os.set_blocking(reader, False)  # a child process of the program may keep the other end open
    os.set_blocking(writer, False)  # a decoder that says more than a pipe holds must not wait for us to read it
    return reader, writer


def _all_of(reader: int) -> bytes:
    try:
        return os.read(reader, _PIPE)
    except BlockingIOError:
        return b""


def _sorted_out(text: bytes) -> tuple[list[bytes], bytes]:
    """Return the lines of decoders, and all the others as one text."""
    decoders: list[bytes] = []
    others: list[bytes] = []
    follows = False
    for line in text.splitlines(keepends=True):
        follows = _DECODERS.match(line) is not None or (follows and _FURTHER.match(line) is not None)
        (decoders if follows else others).append(line)
    return decoders, b"".join(others)
