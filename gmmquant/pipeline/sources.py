"""Turn the names of a command line into images: files, folders, patterns, lists of names, standard input."""

from __future__ import annotations

import codecs
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from enum import Enum
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from gmmquant.errors import ImageError
from gmmquant.images.decoding.reader import byte_limit
from gmmquant.images.decoding.registry import INPUT_EXTENSIONS, INPUT_FORMATS
from gmmquant.images.encoding.encode import is_gmmquant_output
from gmmquant.pipeline.left_out import LeftOut, name_them, outputs_text
from gmmquant.report.outcome import Failure
from gmmquant.settings import MAX_PIXELS, STANDARD_INPUT
from gmmquant.system.executors.base import ignore
from gmmquant.system.filesystem import examine, exists, files_below, is_broken_link, is_folder
from gmmquant.system.glob import fixed_part, is_pattern, matching
from gmmquant.system.paths import AnyPath, SourcePath, StandardInput, below, local_path, parse_path
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
    note: Callable[[str], None] = ignore  # called with what the user should know
    names_all: bool = False  # whether images that gmmquant wrote beside their inputs are in the note on those left out


def sources_of(names: Iterable[str], reading: Reading = Reading()) -> Iterator[Source | Failure]:
    """Yield the images that `names` stand for, in their order, and a failure for a name without images.

    A folder stands for its images, known by their extensions, in natural order. A pattern (`*`, `?`, `[]`, `**`) stands
    for the images that match it. Both leave out hidden files and gmmquant's outputs, and do not follow links to folders
    inside a folder. `@list.txt` stands for the files and folders that it names, one a line or each with a zero byte
    after it; lines that start with "# " are comments. `@-` stands for such a list on standard input, `-` for an image
    on standard input. A file that exists is never taken for a pattern or a list. Names may be URLs, see `parse_path`.

    A note says at the end how many outputs were left out, see `left_out`.

    Raises
    ------
    ParameterError
        If the scheme of a URL is unknown, or needs a package that is missing.
    """
    left_out, names = LeftOut(names_all=reading.names_all), list(names)
    for name in names:
        if name == STANDARD_INPUT and not reading.null_terminated:
            yield _piped_image(reading.max_pixels)
        elif name == STANDARD_INPUT or (name.startswith(_LIST_MARK) and not os.path.lexists(name)):
            yield from _listed(name, reading, left_out)
        else:
            path = parse_path(name)
            is_glob = is_pattern(path) and not _answer(exists, path)
            is_alone = len(names) == 1
            yield from _matching(path, left_out) if is_glob else _images_at(path, reading, left_out, is_alone=is_alone)
    if note := left_out.note():
        reading.note(note)


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


def _images_at(path: AnyPath, reading: Reading, left_out: LeftOut, *, is_alone: bool = False) -> list[Source | Failure]:
    """Return a file, or the images in a folder and a failure for each subfolder that cannot be listed.

    An output has a note, as the shell may have found it for a pattern, unless its name `is_alone`.
    """
    try:
        is_one_file = not is_folder(path)
    except OSError as error:
        if not isinstance(path, Path):  # it may answer the next time, that it is no file
            return [Failure(path, system_reason(error))]
        is_one_file = True  # reading it will report the error
    if is_one_file:
        if isinstance(path, Path) and not is_alone and is_gmmquant_output(path):
            reading.note(f"{path} was written by gmmquant; quote a pattern, as in '*.png', to leave such files out")
        return [Source(path)]
    found: list[Source | Failure] = []

    def on_error(folder: AnyPath, error: OSError) -> None:
        found.append(Failure(folder, system_reason(error)))

    outputs: list[AnyPath] = []
    for file in files_below(path, natural_key, on_error, recursive=reading.recursive):
        kind = _kind(file)
        if kind is _Kind.IMAGE:
            found.append(Source(file, below(file, path)))
        elif kind is _Kind.OUTPUT:
            outputs.append(file)
    if not found:
        return [Failure(path, _no_images_in(path, reading, len(outputs)))]
    left_out.add(outputs, {entry.path.stem for entry in found if isinstance(entry, Source)})
    if not reading.recursive and (n_below := _count_below(path)):
        images = "an image" if n_below == 1 else f"{n_below:,} images" + " or more" * (n_below == _MAX_COUNTED)
        reading.note(f"{path}: {images} in its subfolders left out; add -r to include them")
    return found


def _no_images_in(folder: AnyPath, reading: Reading, n_outputs: int) -> str:
    """Return the reason why a folder gives no images, and whether it or its subfolders have some."""
    if not reading.recursive and (n_images := _count_below(folder)):
        found = f"only {outputs_text(n_outputs)}" if n_outputs else "no images"
        return f"{found} in this folder, but {n_images:,} in its subfolders; add -r to include them"
    if n_outputs:
        place = "in this folder or its subfolders" if reading.recursive else "in this folder"
        return f"only {outputs_text(n_outputs)} {place}; {name_them(n_outputs)}"
    if reading.recursive:
        return f"no images in this folder or its subfolders; recognised extensions: {_EXTENSIONS}"
    return f"no images in this folder (-r includes its subfolders); recognised extensions: {_EXTENSIONS}"


def _count_below(folder: AnyPath) -> int:
    """Return the number of images in the subfolders of a local folder, at most `_MAX_COUNTED`."""
    if not isinstance(folder, Path):  # elsewhere a listing can take minutes
        return 0
    files = islice(files_below(folder, natural_key, ignore), _MAX_COUNTED)
    return sum(_kind(file) is _Kind.IMAGE for file in files if file.parent != folder)


class _Kind(Enum):
    """What a file is for a folder or a pattern that contains it."""

    IMAGE = "image"
    OUTPUT = "output of gmmquant"
    OTHER = "other"


def _kind(file: AnyPath) -> _Kind:
    """Return what a file is, by its extension and the mark of outputs.

    A link to nothing is an image: reading it will report that, as its photograph may be on a disk that is not there.
    """
    if file.suffix.lower() not in INPUT_EXTENSIONS:
        return _Kind.OTHER
    if isinstance(file, Path):
        if is_broken_link(file):
            return _Kind.IMAGE
        if not os.path.isfile(file):
            return _Kind.OTHER
        return _Kind.OUTPUT if is_gmmquant_output(file) else _Kind.IMAGE
    try:
        return _Kind.OUTPUT if examine(file, is_gmmquant_output) else _Kind.IMAGE
    except OSError:  # reading the image will report it
        return _Kind.IMAGE


def _matching(pattern: AnyPath, left_out: LeftOut) -> Iterator[Source | Failure]:
    """Yield the images that match a pattern; the folders below them start where the pattern's wildcards do."""
    matches = sorted(matching(pattern), key=lambda match: [natural_key(part) for part in str(match).split("/")])
    kinds = {match: _kind(match) for match in matches if not _answer(is_folder, match)}
    images = [match for match, kind in kinds.items() if kind is _Kind.IMAGE]
    outputs = [match for match, kind in kinds.items() if kind is _Kind.OUTPUT]
    left_out.add(outputs if images else [], {image.stem for image in images})
    if not images:
        reason = "only folders or other files match" if matches else "no file matches"
        reason = f"{reason} this pattern; recognised extensions: {_EXTENSIONS}"
        if outputs:
            reason = f"only {outputs_text(len(outputs))} matched by this pattern; {name_them(len(outputs))}"
        yield Failure(pattern, reason)
    for image in images:
        inner = below(image, fixed_part(pattern))
        yield Source(image, "" if ".." in inner.split("/") else inner)  # all outputs stay below the output folder


def _listed(name: str, reading: Reading, left_out: LeftOut) -> Iterator[Source | Failure]:
    """Yield the images of a list of names."""
    try:
        paths = _paths_in_list(name.removeprefix(_LIST_MARK), null_terminated=reading.null_terminated)
    except OSError as error:
        yield Failure(Path(name), f"the list cannot be read: {system_reason(error)}")
    except ImageError as error:
        yield Failure(Path(name), str(error))
    else:
        for path in paths:
            yield from _images_at(path, reading, left_out)


def _paths_in_list(file: str, *, null_terminated: bool) -> list[AnyPath]:
    """Read a list of names; an `ImageError` is raised if it is too long, has another encoding or is empty."""
    with nullcontext(sys.stdin.buffer) if file == STANDARD_INPUT else open(local_path(file), "rb") as stream:
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
    """Return a sort key that puts `cat.png` before `cat2.gif` and that before `cat10`, and distinguishes `cat02`.

    Only the ending of an image is left out: the folder `v1.9` stands before `v1.10`.
    """
    stem, ending = os.path.splitext(name)
    stem = stem if ending.lower() in INPUT_EXTENSIONS else name
    return [(1, int(part), "") if part.isdecimal() else (0, 0, part) for part in re.split(r"(\d+)", stem)], name
