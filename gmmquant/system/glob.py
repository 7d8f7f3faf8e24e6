"""What matches a pattern of names, on this machine or elsewhere: `*`, `?`, `[ab]`, and `**` for any folders."""

from __future__ import annotations

import glob
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

from gmmquant.system.filesystem import Entry, entries, exists
from gmmquant.system.paths import AnyPath

# Where "?" begins a query, and nothing can be listed.
_WITHOUT_PATTERNS = frozenset({"http", "https"})


def is_pattern(path: AnyPath) -> bool:
    """Tell whether a name holds anything that a pattern is made of; of a URL, what stands after its host."""
    if isinstance(path, Path):
        return glob.has_magic(str(path))
    return glob.has_magic(path.path) and path.scheme not in _WITHOUT_PATTERNS


def fixed_part(pattern: AnyPath) -> AnyPath:
    """Return the folder that a pattern begins with, up to its first part that is a pattern."""
    while is_pattern(pattern):
        pattern = pattern.parent
    return pattern


def matching(pattern: AnyPath) -> Iterator[AnyPath]:
    """Yield what matches a pattern, once, in any order; none of what cannot be listed.

    As in a shell, names that begin with a dot match only a part that does so too. Unlike `glob.glob`, `**` follows no
    links, which may lead round in circles.
    """
    fixed = fixed_part(pattern)
    whole, start = (str(path) if isinstance(path, Path) else path.path for path in (pattern, fixed))
    parts = tuple(whole.removeprefix("" if start == "." else start).strip("/").split("/"))
    waiting = [(fixed, (*parts, "*") if parts[-1] == "**" else parts)]
    seen = set(waiting)
    while waiting:
        folder, (part, *rest) = waiting.pop()
        following: list[tuple[AnyPath, tuple[str, ...]]] = []
        if part == "**":
            folders = (entry.path for entry in _listing(folder) if entry.is_folder and not entry.is_link)
            following = [(folder, tuple(rest)), *((inner, (part, *rest)) for inner in folders)]
        elif glob.has_magic(part):
            found = (entry.path for entry in _listing(folder, hidden=part[0] == "."))
            following = [(path, tuple(rest)) for path in found if fnmatchcase(path.name, part)]
        elif exists(folder / part):
            following = [(folder / part, tuple(rest))]
        for path, left in following:
            if (path, left) not in seen:
                seen.add((path, left))
                if left:
                    waiting.append((path, left))
                else:
                    yield path


def _listing(folder: AnyPath, *, hidden: bool = False) -> list[Entry]:
    """Return what is in a folder, hidden names only if asked for; nothing of what cannot be listed, or is no folder."""
    try:
        return [entry for entry in entries(folder) if hidden or not entry.path.name.startswith(".")]
    except OSError:
        return []
