"""The files that a run wrote as text: their names, or the number of each kind if they are many."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gmmquant.settings import PLOT_FORMATS
from gmmquant.system.paths import AnyPath
from gmmquant.system.printable import printable

# More names than this are counted by kind.
_MAX_NAMES = 8

# The files of a fit in a record, by key.
_KINDS = {
    "image": "image",
    "model": "model",
    "palettes": "palette",
    "maps": "map",
    "layers": "layer",
    "openraster": "layered image",
}


def file_names(paths: Sequence[AnyPath]) -> str:
    """Return the names of files, and their folder unless it is the current one."""
    return _in_folder([printable(path.name) for path in paths], paths)


def written_files(record: Mapping[str, Any], written: Sequence[AnyPath], *, counts_images: bool = False) -> str:
    """Return the names of the files of an image, or of a shared mixture, and their folder.

    Several images are counted if a table names them. If there are many files, all kinds are counted, except reports.
    """
    kinds = dict(_kinds(record))
    of_files = [kinds.get(path.name, _kind_of_others(path)) for path in written]
    numbers = Counter(of_files)
    counted = {"image"} if counts_images else set[str]()
    if sum(number for kind, number in numbers.items() if kind not in counted) + len(counted & {*numbers}) > _MAX_NAMES:
        counted = numbers.keys() - {""}
    shown = dict[str, None]()  # in the order of the files
    for path, kind in zip(written, of_files, strict=True):
        is_counted = kind in counted and numbers[kind] > 1
        shown[f"{numbers[kind]} {kind}s" if is_counted else printable(path.name)] = None
    return _in_folder(list(shown), written)


def _in_folder(names: Sequence[str], paths: Sequence[AnyPath]) -> str:
    folder = printable(str(paths[0].parent))
    return ", ".join(names) + f" in {folder}" * (folder != ".")


def _kinds(record: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the name and the kind of each file of the fits of a record."""
    for fit in record["fits"]:
        for key, files in fit["files"].items():
            values = files.values() if isinstance(files, dict) else files if isinstance(files, list) else [files]
            for value in values:
                path = value["file"] if isinstance(value, dict) else value
                yield path.rsplit("/", 1)[-1], _KINDS.get(key, "")


def _kind_of_others(path: AnyPath) -> str:
    """Return the kind of a file on all fits: plots are counted, reports are not."""
    return "plot" if path.suffix.removeprefix(".") in PLOT_FORMATS else ""
