"""What matches a pattern of names, on this machine or elsewhere: `*`, `?`, `[ab]`, and `**` for any folders."""

from __future__ import annotations

import glob
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

from gmmquant.places import Place
from gmmquant.storage import Entry, entries, exists

# Where "?" begins a query, and nothing can be listed.
_WITHOUT_PATTERNS = frozenset({"http", "https"})


def is_pattern(place: Place) -> bool:
    """Tell whether a name holds anything that a pattern is made of; of a URL, what stands after its host."""
    if isinstance(place, Path):
        return glob.has_magic(str(place))
    return glob.has_magic(place.path) and place.scheme not in _WITHOUT_PATTERNS


def fixed_part(pattern: Place) -> Place:
    """Return the folder that a pattern begins with, up to its first part that is a pattern."""
    while is_pattern(pattern):
        pattern = pattern.parent
    return pattern


def matching(pattern: Place) -> Iterator[Place]:
    """Yield what matches a pattern, once, in any order; none of what cannot be listed.

    As in a shell, names that begin with a dot match only a part that does so too. Unlike `glob.glob`, `**` follows no
    links, which may lead round in circles.
    """
    fixed = fixed_part(pattern)
    whole, start = (str(place) if isinstance(place, Path) else place.path for place in (pattern, fixed))
    parts = tuple(whole.removeprefix("" if start == "." else start).strip("/").split("/"))
    waiting = [(fixed, (*parts, "*") if parts[-1] == "**" else parts)]
    seen = set(waiting)
    while waiting:
        folder, (part, *rest) = waiting.pop()
        following: list[tuple[Place, tuple[str, ...]]] = []
        if part == "**":
            folders = (entry.place for entry in _listing(folder) if entry.is_folder and not entry.is_link)
            following = [(folder, tuple(rest)), *((inner, (part, *rest)) for inner in folders)]
        elif glob.has_magic(part):
            found = (entry.place for entry in _listing(folder, hidden=part[0] == "."))
            following = [(place, tuple(rest)) for place in found if fnmatchcase(place.name, part)]
        elif exists(folder / part):
            following = [(folder / part, tuple(rest))]
        for place, left in following:
            if (place, left) not in seen:
                seen.add((place, left))
                if left:
                    waiting.append((place, left))
                else:
                    yield place


def _listing(folder: Place, *, hidden: bool = False) -> list[Entry]:
    """Return what is in a folder, hidden names only if asked for; nothing of what cannot be listed, or is no folder."""
    try:
        return [entry for entry in entries(folder) if hidden or not entry.place.name.startswith(".")]
    except OSError:
        return []
