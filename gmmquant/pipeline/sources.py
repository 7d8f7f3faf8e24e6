"""What is named on the command line becomes images: files, folders, patterns, lists of names, standard input."""

from __future__ import annotations

import codecs
import os
import re
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from gmmquant.images.decoding.reader import byte_limit
from gmmquant.images.decoding.registry import INPUT_EXTENSIONS
from gmmquant.images.encoding.encode import is_gmmquant_output
from gmmquant.report.outcome import Failure
from gmmquant.settings import MAX_PIXELS, STANDARD_INPUT
from gmmquant.system.filesystem import examine, exists, files_below, is_folder
from gmmquant.system.glob import fixed_part, is_pattern, matching
from gmmquant.system.paths import AnyPath, SourcePath, StandardInput, below, parse_path
from gmmquant.system.process import system_reason

LIST_MARK = "@"

# Bytes of a list of names: some million names are 100 MB.
_MAX_LIST = 1 << 28

# Bytes of the name of a file, at most.
_LONGEST_NAME = 4096

_KINDS = ", ".join(sorted(INPUT_EXTENSIONS))


@dataclass(frozen=True)
class Source:
    """An image that was named.

    Attributes
    ----------
    path : Path, RemotePath or StandardInput
    below : str
        The folders between it and the folder that was named, which are made again below the output folder.
    """

    path: SourcePath
    below: str = ""


@dataclass(frozen=True)
class Reading:
    """How what is named is understood.

    Attributes
    ----------
    recursive : bool
        Whether a folder stands for the images in its subfolders too.
    null_terminated : bool
        Whether names in lists end in a zero byte, and `-` is such a list.
    max_pixels : int
        See `read_image`; it limits what is read from standard input.
    """

    recursive: bool = False
    null_terminated: bool = False
    max_pixels: int = MAX_PIXELS


def sources_of(names: Iterable[str], reading: Reading = Reading()) -> Iterator[Source | Failure]:
    """Yield the images that `names` stand for, in their order, and a failure where one stands for none.

    A folder stands for the images in it, by their ending, in natural order, and so does a pattern (`*`, `?`, `[]`,
    `**`) for those that match; hidden files and what gmmquant made are left out, and links to folders in a folder are
    not followed. `@list.txt` stands for the files and folders whose names are its lines, or end in a zero byte each;
    `@-` for such a list on standard input, `-` for an image there. A file that exists is never taken for a pattern or
    a list. Names may be URLs, see `places`.

    Raises
    ------
    ParameterError
        If a URL has an unknown scheme, or a package for it is missing.
    """
    for name in names:
        if name == STANDARD_INPUT and not reading.null_terminated:
            yield _piped(reading.max_pixels)
        elif name == STANDARD_INPUT or (name.startswith(LIST_MARK) and not os.path.lexists(name)):
            yield from _listed(name, reading)
        else:
            named = parse_path(name)
            found = _matching(named) if is_pattern(named) and not _exists(named) else _named(named, reading)
            yield from found


def _named(named: AnyPath, reading: Reading) -> Iterator[Source | Failure]:
    """Yield a file, or the images of a folder."""
    if not _is_folder(named):
        yield Source(named)
        return
    failures: deque[Failure] = deque()
    files = files_below(
        named,
        natural_key,
        lambda folder, error: failures.append(Failure(folder, system_reason(error))),
        recursive=reading.recursive,
    )
    found = False
    for file in chain(files, [None]):
        while failures:
            found = True
            yield failures.popleft()
        if file is not None and _is_image(file):
            found = True
            yield Source(file, below(file, named))
    if not found:
        where = "this folder or those in it" if reading.recursive else "this folder (-r looks into those in it, too)"
        yield Failure(named, f"no images in {where}; give one with {_KINDS}")


def _exists(named: AnyPath) -> bool:
    """Tell whether anything has this name; what cannot be asked has not."""
    try:
        return exists(named)
    except OSError:
        return False


def _is_folder(named: AnyPath) -> bool:
    """Tell whether this is a folder; of what cannot be asked, reading it as an image will tell why."""
    try:
        return is_folder(named)
    except OSError:
        return False


def _is_image(file: AnyPath) -> bool:
    """Tell whether a file is an image by its ending, and not an output of ours by its mark."""
    if file.suffix.lower() not in INPUT_EXTENSIONS:
        return False
    if isinstance(file, Path):
        return os.path.isfile(file) and not is_gmmquant_output(file)
    try:
        return not examine(file, is_gmmquant_output)
    except OSError:  # which reading it will tell
        return True


def _matching(pattern: AnyPath) -> Iterator[Source | Failure]:
    """Yield the images that match a pattern, below the part of it that names one folder."""
    matches = sorted(matching(pattern), key=lambda match: [natural_key(part) for part in str(match).split("/")])
    images = [match for match in matches if not _is_folder(match) and _is_image(match)]
    if not images:
        reason = "only folders, other kinds of files, or what gmmquant made match" if matches else "no file matches"
        yield Failure(pattern, f"{reason} this pattern; give one that matches {_KINDS}")
    for image in images:
        inner = below(image, fixed_part(pattern))
        yield Source(image, "" if ".." in inner.split("/") else inner)  # all outputs stay below the output folder


def _listed(name: str, reading: Reading) -> Iterator[Source | Failure]:
    """Yield the images whose names a list holds."""
    file = name.removeprefix(LIST_MARK)
    try:
        with nullcontext(sys.stdin.buffer) if file == STANDARD_INPUT else open(file, "rb") as stream:
            text = stream.read(_MAX_LIST + 1)
    except OSError as error:
        yield Failure(Path(name), f"the list cannot be read: {system_reason(error)}")
        return
    if len(text) > _MAX_LIST:
        yield Failure(Path(name), f"the list is longer than {_MAX_LIST >> 20} MiB; give several")
        return
    if text.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        yield Failure(Path(name), "the list is UTF-16 text; write it as UTF-8")
        return
    text = text.removeprefix(codecs.BOM_UTF8)
    lines = text.split(b"\0") if reading.null_terminated or b"\0" in text else re.split(rb"\r?\n", text)
    named = [parse_path(os.fsdecode(line)) for line in lines if line]
    if not named:
        yield Failure(Path(name), "the list names no image; give one name a line, or -0 and a zero byte after each")
    for each in named:
        yield from _named(each, reading)


def _piped(max_pixels: int) -> Source | Failure:
    """Return the image on standard input."""
    if sys.stdin.isatty():
        return Failure(Path(STANDARD_INPUT), "standard input is a terminal; pipe an image into it, or name a file")
    limit = byte_limit(max_pixels)
    data = sys.stdin.buffer.read(limit + 1)
    if len(data) > limit:
        return Failure(Path(STANDARD_INPUT), f"more than {limit} bytes on standard input; raise --max-pixels")
    if not data:
        return Failure(Path(STANDARD_INPUT), "nothing came on standard input; pipe an image into it")
    if _begins_with_a_name(data):
        return Failure(Path(STANDARD_INPUT), "names of images on standard input, not an image; read them by @-")
    return Source(StandardInput(data))


def _begins_with_a_name(data: bytes) -> bool:
    """Tell whether the first line is the name of a file that is there and ends as images do."""
    first = Path(os.fsdecode(re.split(rb"[\0\r\n]", data[:_LONGEST_NAME], maxsplit=1)[0]))
    return first.suffix.lower() in INPUT_EXTENSIONS and _exists(first)


def natural_key(name: str) -> tuple[list[tuple[int, int, str]], str]:
    """Return a sort key that puts `cat2` before `cat10`, and of `cat2` and `cat02` always the same first."""
    return [(1, int(part), "") if part.isdecimal() else (0, 0, part) for part in re.split(r"(\d+)", name)], name
