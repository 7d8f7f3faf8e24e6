"""The images written by gmmquant that folders and patterns leave out, and the note on them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from gmmquant.system.paths import AnyPath

# What gmmquant writes about all images of a folder begins with these words, and not with the stem of one. A sheet of a
# variant begins with the text of --name.
_ABOUT_ALL = frozenset({"shared", "sheet"})
_SHEET = re.compile(r".*_sheet(_\d+)?", re.DOTALL)


class LeftOut:
    """Collects the outputs that are left out of a run; with `names_all` also those beside the images they are of."""

    def __init__(self, *, names_all: bool) -> None:
        self._names_all = names_all
        self._found: dict[AnyPath, None] = {}

    def add(self, outputs: Iterable[AnyPath], stems: Collection[str]) -> None:
        """Add the outputs that were found together with images of some `stems`.

        One that is named after an image is from an earlier run over it, and has no note: every later run beside its
        inputs finds such files.
        """
        known = {*stems, *_ABOUT_ALL}
        for path in outputs:
            if self._names_all or not (_is_named_after(path.stem, known) or _SHEET.fullmatch(path.stem)):
                self._found[path] = None

    def note(self) -> str:
        """Return a note with their number, and their folder if it is one; empty if there are none."""
        number, folders = len(self._found), {path.parent for path in self._found}
        if not number:
            return ""
        place = f" of {folders.pop()}" if len(folders) == 1 else ""
        return f"{outputs_text(number)} left out{place}; {name_them(number)}"


def outputs_text(number: int) -> str:
    """Return a number of outputs as text."""
    return "1 image written by gmmquant" if number == 1 else f"{number:,} images written by gmmquant"


def name_them(number: int) -> str:
    """Return the remedy for a number of outputs that are left out."""
    return "name it to include it" if number == 1 else "name them to include them"


def _is_named_after(stem: str, stems: Collection[str]) -> bool:
    """Return whether a name is one of `stems`, alone or before a character that is no letter and no digit."""
    ends = [end for end, character in enumerate(stem) if not character.isalnum()]
    return any(stem[:end] in stems for end in (*ends, len(stem)))
