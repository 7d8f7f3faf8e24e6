"""Paths that match a pattern, on this machine or remote: `*`, `?`, `[ab]`, and `**` for any folders."""

from __future__ import annotations

import glob
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

from gmmquant.system.filesystem import Entry, entries, exists
from gmmquant.system.paths import AnyPath

# "?" begins a query, and folders cannot be listed.
_WITHOUT_PATTERNS = frozenset({"http", "https"})


def is_pattern(path: AnyPath) -> bool:
    """Return whether a path contains wildcards; in a URL, after its host."""
    if isinstance(path, Path):
        return glob.has_magic(str(path))
    return glob.has_magic(path.path) and path.scheme not in _WITHOUT_PATTERNS


def fixed_part(pattern: AnyPath) -> AnyPath:
    """Return the folder before the first part with wildcards."""
    while is_pattern(pattern):
        pattern = pattern.parent
    return pattern


def matching(pattern: AnyPath) -> Iterator[AnyPath]:
    """Yield each path that matches a pattern once, in any order; folders that cannot be listed are skipped.

    As in a shell, names that begin with a dot match only a part that does so too. Unlike in `glob.glob`, `**` follows
    no links, which may be circular.
    """
    fixed = fixed_part(pattern)
    full, start = (str(path) if isinstance(path, Path) else path.path for path in (pattern, fixed))
    parts = tuple(full.removeprefix("" if start == "." else start).strip("/").split("/"))
    waiting = [(fixed, (*parts, "*") if parts[-1] == "**" else parts)]
    seen = set(waiting)
    while waiting:
        folder, (part, *rest) = waiting.pop()
        if part == "**":
            folders = (entry.path for entry in _listing(folder) if entry.is_folder and not entry.is_link)
            following = [(folder, tuple(rest)), *((inner, (part, *rest)) for inner in folders)]
        elif glob.has_magic(part):
            found = (entry.path for entry in _listing(folder, hidden=part[0] == "."))
            following = [(path, tuple(rest)) for path in found if fnmatchcase(path.name, part)]
        else:
            following = [(folder / part, tuple(rest))] if exists(folder / part) else []
        new = set(following) - seen
        seen |= new
        waiting += (pair for pair in new if pair[1])
        yield from (path for path, left in new if not left)


def _listing(folder: AnyPath, *, hidden: bool = False) -> list[Entry]:
    """Return the entries of a folder, hidden ones on request; none if it cannot be listed."""
    try:
        return [entry for entry in entries(folder) if hidden or not entry.path.name.startswith(".")]
    except OSError:
        return []
