"""Advice on the files of an image that may surprise, given once per run."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from gmmquant.images.containers import PNG_SIGNATURE
from gmmquant.report.outcome import Done
from gmmquant.system.paths import AnyPath

_TRUECOLOR, _TRUECOLOR_WITH_ALPHA = 2, 6
_MAX_ENTRIES = 256

# Bytes of a PNG that have the mark of gmmquant.
_BEGINNING_BYTES = 4096

# Up to this size, true colour is also chosen where it is the smaller file.
_TINY_PIXELS = 1 << 14


def advice_on_format(done: Done) -> str | None:
    """Return a note on an animated GIF or WebP that became an animated PNG, which not every program shows."""
    own = done.source.suffix.lower().removeprefix(".")
    if own not in ("gif", "webp") or done.record.get("image", done.record)["frames"] < 2:
        return None
    names = [fit["files"].get("image", "") for fit in done.record["fits"]]
    png = next((path.name for path in done.written if path.suffix == ".png" and path.name in names), None)
    return None if png is None else f"{png} is an animated PNG; --format {own} keeps the format"


def advice_on_true_color(done: Done) -> str | None:
    """Return a note on a PNG that is in true colour because a palette has too few entries; None if none is."""
    for fit in done.record["fits"]:
        if fit.get("recolor") in ("soft", "transfer"):  # smooth, as the user chose; a shared fit does not state it
            continue
        name = fit["files"].get("image", "")
        path = next((path for path in done.written if path.name == name and isinstance(path, Path)), None)
        width, height, color_type = _header(path) if path else (0, 0, 0)
        if color_type == _TRUECOLOR_WITH_ALPHA and width * height > _TINY_PIXELS:
            remedy = "--format webp is often smaller"
            if fit["k"] <= _MAX_ENTRIES and _could_quantize_alpha(done.record):
                remedy = "--alpha quantize makes it indexed, --format webp is often smaller, too"
            return (
                f"{name} is in true colour with alpha, as it has more than the {_MAX_ENTRIES} pairs of colour and "
                f"alpha of a palette; {remedy}"
            )
        if color_type == _TRUECOLOR and fit["k"] > _MAX_ENTRIES:
            return (
                f"{name} is in true colour, as a palette of png has at most {_MAX_ENTRIES} colours; a smaller k, or "
                "--format webp, is often smaller"
            )
    return None


def advice_on_kept(images: Iterable[AnyPath]) -> str | None:
    """Return a note that --optimize changes no image that is kept; None if all are PNGs that were optimized."""
    from gmmquant.images.encoding.png import is_optimized

    others, note = set[str](), "--optimize changes no file that is kept"
    for path in images:
        beginning = _beginning(path, _BEGINNING_BYTES)
        if path.suffix == ".png" and beginning and not is_optimized(beginning):
            return f"{note}; --force writes them again"
        others.add(path.suffix)
    return f"{note}; if they were made without it, --force writes them again" if others - {".png"} else None


def _could_quantize_alpha(record: dict[str, Any]) -> bool:
    """Return whether a run kept alpha, and fitted the colours of one image, so that it could fit both together."""
    settings = record.get("settings", {})  # images of a shared mixture have none
    given = any(settings.get(name) is not None for name in ("model", "palette", "transfer_from"))
    return settings.get("alpha") == "keep" and not given and settings["dither"] == "none"


def _header(path: Path) -> tuple[int, int, int]:
    """Return the width, height and colour type of a PNG; zeros if the file is none, or is gone."""
    header = _beginning(path, 26)
    if len(header) < 26 or not header.startswith(PNG_SIGNATURE):
        return 0, 0, 0
    width, height, _, color_type = struct.unpack(">IIBB", header[16:26])
    return width, height, color_type


def _beginning(path: AnyPath, n_bytes: int) -> bytes:
    """Return the first bytes of a local file; none if it cannot be read."""
    if isinstance(path, Path):
        with suppress(OSError), path.open("rb") as file:
            return file.read(n_bytes)
    return b""
