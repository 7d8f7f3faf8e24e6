"""Turn the names of a command line into images: files, folders, patterns, lists of names, standard input."""

from __future__ import annotations

import codecs
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from gmmquant.errors import ImageError
from gmmquant.images.decoding.reader import byte_limit
from gmmquant.images.decoding.registry import INPUT_EXTENSIONS, INPUT_FORMATS
from gmmquant.images.encoding.encode import is_gmmquant_output
from gmmquant.report.outcome import Failure
from gmmquant.settings import MAX_PIXELS, STANDARD_INPUT
from gmmquant.system.executors.base import ignore
from gmmquant.system.filesystem import examine, exists, files_below, is_folder
from gmmquant.system.glob import fixed_part, is_pattern, matching
from gmmquant.system.paths import AnyPath, SourcePath, StandardInput, below, parse_path
from gmmquant.system.process import system_reason

_LIST_MARK = "@"

# A list of a million names takes some 100 MB.
_MAX_LIST_BYTES = 1 << 28

_MAX_PATH_BYTES = 4096

# Files in a folder and its subfolders among which images are counted, to say how many are left out.
_MAX_COUNTED = 10_000

# Formats whose first extensions are in messages; all of them would fill three lines.
_N_SHOWN = 9
_EXTENSIONS = ", ".join(entry.extensions[0] for entry in list(INPUT_FORMATS.values())[:_N_SHOWN]) + " and more"


class Source(NamedTuple):
    """An image, and the folders between it and the folder that was named, joined by "/"."""

    path: SourcePath
    below: str = ""


@dataclass(frozen=True)
class Reading:
    """How names are understood."""

    recursive: bool = False  # whether a folder includes its subfolders
    null_terminated: bool = False  # whether names in lists end with a zero byte, and "-" is such a list
    max_pixels: int = MAX_PIXELS  # limits the bytes of an image on standard input
    note: Callable[[str], None] = ignore  # called with notes for the user


def sources_of(names: Iterable[str], reading: Reading = Reading()) -> Iterator[Source | Failure]:
    """Yield the images that `names` stand for, in their order, and a failure for a name without images.

    A folder stands for its images, known by their extensions, in natural order. A pattern (`*`, `?`, `[]`, `**`) stands
    for the images that match it. Both leave out hidden files and gmmquant's outputs, and do not follow links to folders
    inside a folder. `@list.txt` stands for the files and folders that it names, one a line or each with a zero byte
    after it; lines that start with "# " are comments. `@-` stands for such a list on standard input, `-` for an image
    on standard input. A file that exists is never taken for a pattern or a list. Names may be URLs, see `parse_path`.

    Raises
    ------
    ParameterError
        If the scheme of a URL is unknown, or needs a package that is missing.
    """
    for name in names:
        if name == STANDARD_INPUT and not reading.null_terminated:
            yield _piped_image(reading.max_pixels)
        elif name == STANDARD_INPUT or (name.startswith(_LIST_MARK) and not os.path.lexists(name)):
            yield from _listed(name, reading)
        else:
            path = parse_path(name)
            is_glob = is_pattern(path) and not _answer(exists, path)
            yield from _matching(path) if is_glob else _images_at(path, reading)


@contextmanager
def errors_of_reading() -> Iterator[None]:
    """Turn an OSError into an `ImageError` with the system's reason."""
    try:
        yield
    except OSError as error:
        raise ImageError(system_reason(error)) from None


def _answer(question: Callable[[AnyPath], bool], path: AnyPath) -> bool:
    """Return `question(path)`; False if the system does not answer, which reading the path as an image will report."""
    try:
        return question(path)
    except OSError:
        return False


def _images_at(path: AnyPath, reading: Reading) -> list[Source | Failure]:
    """Return a file, or the images in a folder and a failure for each subfolder that cannot be listed."""
    if not _answer(is_folder, path):
        if isinstance(path, Path) and is_gmmquant_output(path):
            reading.note(f"{path} was written by gmmquant; quote a pattern, as in '*.png', to leave such files out")
        return [Source(path)]
    found: list[Source | Failure] = []

    def on_error(folder: AnyPath, error: OSError) -> None:
        found.append(Failure(folder, system_reason(error)))

    for file in files_below(path, natural_key, on_error, recursive=reading.recursive):
        if _is_input(file):
            found.append(Source(file, below(file, path)))  # noqa: PERF401  `on_error` appends meanwhile
    if found and not reading.recursive and (n_below := _count_below(path)):
        images = "an image" if n_below == 1 else f"{n_below:,} images" + " or more" * (n_below == _MAX_COUNTED)
        reading.note(f"{path}: {images} in its subfolders left out; add -r to include them")
    return found or [Failure(path, _no_images_in(path, reading))]


def _no_images_in(folder: AnyPath, reading: Reading) -> str:
    """Return the reason why a folder gives no images, and whether its subfolders have some."""
    if reading.recursive:
        return f"no images in this folder or its subfolders; recognised extensions: {_EXTENSIONS}"
    if n_images := _count_below(folder):
        return f"no images in this folder, but {n_images:,} in its subfolders; add -r to include them"
    return f"no images in this folder (-r includes its subfolders); recognised extensions: {_EXTENSIONS}"


def _count_below(folder: AnyPath) -> int:
    """Return the number of images in the subfolders of a local folder, at most `_MAX_COUNTED`."""
    if not isinstance(folder, Path):  # elsewhere a listing can take minutes
        return 0
    files = islice(files_below(folder, natural_key, ignore), _MAX_COUNTED)
    return sum(_is_input(file) for file in files if file.parent != folder)


def _is_input(file: AnyPath) -> bool:
    """Return whether a file has the extension of an image and is not an output of gmmquant."""
    if file.suffix.lower() not in INPUT_EXTENSIONS:
        return False
    if isinstance(file, Path):
        return os.path.isfile(file) and not is_gmmquant_output(file)
    try:
        return not examine(file, is_gmmquant_output)
    except OSError:  # reading the image will report it
        return True


def _matching(pattern: AnyPath) -> Iterator[Source | Failure]:
    """Yield the images that match a pattern; the folders below them start where the pattern's wildcards do."""
    matches = sorted(matching(pattern), key=lambda match: [natural_key(part) for part in str(match).split("/")])
    images = [match for match in matches if not _answer(is_folder, match) and _is_input(match)]
    if not images:
        reason = "only folders, other files or gmmquant's outputs match" if matches else "no file matches"
        yield Failure(pattern, f"{reason} this pattern; recognised extensions: {_EXTENSIONS}")
    for image in images:
        inner = below(image, fixed_part(pattern))
        yield Source(image, "" if ".." in inner.split("/") else inner)  # all outputs stay below the output folder


def _listed(name: str, reading: Reading) -> Iterator[Source | Failure]:
    """Yield the images of a list of names."""
    try:
        paths = _paths_in_list(name.removeprefix(_LIST_MARK), null_terminated=reading.null_terminated)
    except OSError as error:
        yield Failure(Path(name), f"the list cannot be read: {system_reason(error)}")
    except ImageError as error:
        yield Failure(Path(name), str(error))
    else:
        for path in paths:
            yield from _images_at(path, reading)


def _paths_in_list(file: str, *, null_terminated: bool) -> list[AnyPath]:
    """Read a list of names; an `ImageError` is raised if it is too long, has another encoding or is empty."""
    with nullcontext(sys.stdin.buffer) if file == STANDARD_INPUT else open(file, "rb") as stream:
        text = stream.read(_MAX_LIST_BYTES + 1)
    if len(text) > _MAX_LIST_BYTES:
        raise ImageError(f"the list is longer than {_MAX_LIST_BYTES >> 20} MiB; split it")
    if text.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise ImageError("the list is UTF-16 text; write it as UTF-8")
    text = text.removeprefix(codecs.BOM_UTF8)
    if null_terminated or b"\0" in text:
        names = text.split(b"\0")
    else:
        names = [line for line in re.split(rb"\r?\n", text) if not line.startswith(b"# ")]
    paths = [parse_path(os.fsdecode(name)) for name in names if name]
    if not paths:
        raise ImageError("the list contains no names; write one per line, or use --null and end each with a zero byte")
    return paths


def _piped_image(max_pixels: int) -> Source | Failure:
    """Return the image on standard input."""
    limit = byte_limit(max_pixels)
    data = b"" if sys.stdin.isatty() else sys.stdin.buffer.read(limit + 1)
    if len(data) > limit:
        reason = f"more than {limit} bytes on standard input; raise --max-pixels"
    elif sys.stdin.isatty():
        reason = "standard input is a terminal; pipe an image into it, or name a file"
    elif not data:
        reason = "standard input is empty; pipe an image into it"
    elif _starts_with_file_name(data):
        reason = "standard input is a list of names, not an image; use @- to read it"
    else:
        return Source(StandardInput(data))
    return Failure(Path(STANDARD_INPUT), reason)


def _starts_with_file_name(data: bytes) -> bool:
    """Return whether the first line is the name of an existing file with the extension of an image."""
    first = Path(os.fsdecode(re.split(rb"[\0\r\n]", data[:_MAX_PATH_BYTES], maxsplit=1)[0]))
    return first.suffix.lower() in INPUT_EXTENSIONS and _answer(exists, first)


def natural_key(name: str) -> tuple[list[tuple[int, int, str]], str]:
    """Return a sort key that puts `cat2` before `cat10`, and distinguishes `cat2` from `cat02`."""
    return [(1, int(part), "") if part.isdecimal() else (0, 0, part) for part in re.split(r"(\d+)", name)], name
