"""The results of images as Markdown: their sizes, the images side by side, and a table of the figures."""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import quote

from gmmquant.report.entry import Collector, Entry
from gmmquant.report.notes import transfer_remark
from gmmquant.report.outcome import Illustration
from gmmquant.report.record import Record, codes_of
from gmmquant.system.printable import plural, printable
from gmmquant.version import __version__

_MOST_COLORS = 16

_HEADINGS = ("k", "palette", "log-likelihood per pixel", "PSNR", "squared error", "file")

# Characters that mean something in Markdown or HTML where they stand. An entity shows them as they are, also in tables.
_SPECIAL = re.compile(r"[\\`*\[\]<>#|~&$^@]|:(?=//)|(?<!\w)_|_(?!\w)|^[-+=]|(?<=www)\.|(?<=\d)\.(?=\s)")


class Markdown(Collector):
    """Collects the sections of images; `finish` returns the page."""

    def __init__(self) -> None:
        self._sections: list[str] = []

    def add(self, entry: Entry, illustration: Illustration | None = None) -> None:
        """Add the section of an image."""
        self._sections.append(section(entry))

    def add_failure(self, path: str, reason: str) -> None:
        """Add the section of an image that failed."""
        self._sections.append(f"## {escaped(path)}\n\n{escaped(reason)}\n")

    def finish(self) -> dict[str, bytes]:
        """Return the page by its content, "md"."""
        text = "\n".join([f"<!-- gmmquant {__version__} -->\n", *self._sections])
        return {"md": text.encode("utf-8", "backslashreplace")}


def section(entry: Entry) -> str:
    """Return the section of one image. Images are links to their files, relative to the folder of the report."""
    image, fits = entry.record["image"], entry.record["fits"]
    facts = [] if image["width"] is None else [f"{image['width']} x {image['height']}"]
    if image["distinct_colors"] is not None:
        facts.append(plural(image["distinct_colors"], "distinct colour"))
    if image["bytes"] is not None:
        facts.append(plural(image["bytes"], "byte"))
    files = [entry.path_of(fit["files"].get("image")) for fit in fits]
    links = [_image(f"k = {_k(fit)}", file) if file else "" for fit, file in zip(fits, files, strict=True)]
    transferred = transfer_remark(entry.record["settings"])
    rows = [_row(fit, file, image["bytes"]) for fit, file in zip(fits, files, strict=True)]
    parts = [
        f"## {escaped(entry.image)}\n",
        f"{', '.join(facts)}\n",
        *([_gallery(entry.image, fits, links)] if any(links) else []),
        _table([f"{h} of the original" if transferred and h == "palette" else h for h in _HEADINGS], rows),
        *([f"{escaped(transferred[:1].upper() + transferred[1:])}.\n"] if transferred else []),
        *(f"- {escaped(note)}\n" for note in entry.record["notes"]),
    ]
    return "\n".join(parts)


def _gallery(image: str, fits: Sequence[Record], links: Sequence[str]) -> str:
    """Return a table of the original, if it is a file, and of the recoloured images."""
    return _table(["original", *(f"k = {_k(fit)}" for fit in fits)], [[_image("original", image), *links]])


def escaped(text: str) -> str:
    """Return a text that Markdown and HTML show as it is, in one line; control characters are visible."""
    return _SPECIAL.sub(lambda match: f"&#{ord(match[0])};", printable(text))


def _k(fit: Record) -> str:
    """Return the number of colours, and how it was chosen."""
    return f"{fit['k']}, {escaped(fit['asked'])}" if fit["auto"] else str(fit["k"])


def _row(fit: Record, file: str, n_source: int | None) -> list[str]:
    codes = codes_of(fit["components"])
    more = f" +{len(codes) - _MOST_COLORS}" if len(codes) > _MOST_COLORS else ""
    size = "" if fit["bytes"] is None else f"{fit['bytes']:,} bytes"
    if size and n_source:
        size += f" ({fit['bytes'] / n_source:.0%})"
    return [
        _k(fit),
        " ".join(f"`{code}`" for code in codes[:_MOST_COLORS]) + more,
        "" if fit["mean_log_likelihood"] is None else f"{fit['mean_log_likelihood']:.4f}",
        "exact" if fit["psnr"] is None else f"{fit['psnr']:.2f} dB",
        f"{fit['mse']:.1f}",
        " ".join(part for part in (f"[{escaped(file)}]({_url(file)})" if file else "", size) if part),
    ]


def _image(text: str, file: str) -> str:
    return f"![{text}]({_url(file)})"


def _url(file: str) -> str:
    """Return the URL of a path; one with "://" stays a URL, and no path is taken for another scheme."""
    scheme, separator, rest = file.partition("://")
    if separator:
        return f"{quote(scheme)}://{quote(rest, safe='/?=&:@')}"
    url = quote(file.encode("utf-8", "surrogateescape"))
    return url if url.startswith(("/", ".")) else f"./{url}"


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
