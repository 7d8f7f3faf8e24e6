"""Names of outputs, by a template such as `{stem}_k{k}`."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping

from gmmquant.parsing import in_names
from gmmquant.settings import DEFAULT_NAME, format_of

# {stem} and {ext} are of the source: its name without the extension, and the extension without the dot.
_FIELDS = ("stem", "ext", "k")

_FIELD = re.compile(r"\{([^{}]*)\}")

# The part that tells numbers of colours apart, which other names do not have, with a separator unless text follows.
_K_PART = re.compile(r"^k?\{k\}[-_. ]|[-_. ]k?\{k\}(?![^-_. {}])|(?<![a-zA-Z])k\{k\}|\{k\}")

# The extension with one separator, which a source without an extension leaves out.
_EXTENSION_PART = re.compile(r"[-_. ]\{ext\}|\{ext\}[-_. ]?")

# Templates whose text alone begins the names of files about several images; in others, a word stands for the stem.
_TEXT_AFTER_STEM = re.compile(r"\{stem\}(?:_(?P<text>[^{}]+))?")
_ALL = "all"

# The usual file systems take names of 255 bytes. The longest ending is that of an exact layer.
_MAX_NAME_BYTES = 255 - len("_layer000_exact.png")
_LONGEST_K = "auto:99.999"


def check_name(template: str) -> str:
    """Return a template of names; raise a ValueError if it cannot be used."""
    unknown = [field for field in _FIELD.findall(template) if field not in _FIELDS]
    fields = " ".join(f"{{{field}}}" for field in _FIELDS)
    if unknown or re.search(r"[{}]", _FIELD.sub("", template)):
        found = f"{{{unknown[0]}}}" if unknown else "a single brace"
        raise ValueError(f"{found} in {template!r}; the fields of a name are {fields}")
    if re.search(r"[/\0]", template):
        raise ValueError(f"{template!r} names a folder; use --output for the folder")
    if template.endswith(".{ext}"):
        raise ValueError(
            f"{template!r} ends with the extension of the input, and that of --format is added; leave it out"
        )
    if format_of(template.rpartition(".")[2].lower()) is not None:
        raise ValueError(f"{template!r} ends with an extension, which --format decides; leave it out")
    if not template or template.startswith("."):
        raise ValueError(f"{template!r} would be hidden or empty; start with a field, such as {DEFAULT_NAME}")
    return template


def has_k(template: str) -> bool:
    """Return whether names differ by the number of colours."""
    return "{k}" in template


def image_stem(template: str, stem: str, extension: str, k: int | str) -> str:
    """Return the beginning of the names of the files of a fit."""
    return _fill(template, {"stem": stem, "ext": extension, "k": in_names(k)})


def shared_image_name(template: str, k: int | str, extension: str) -> str:
    """Return the template of the names of the images of a shared fit."""
    return f"{image_stem(template, '{stem}', '{ext}', k)}.{extension}"


def report_stem(template: str, stem: str, extension: str) -> str:
    """Return the beginning of the names of the files of all fits: the template without the number of colours."""
    return _fill(_K_PART.sub("", template), {"stem": stem, "ext": extension}) or stem


def stem_of_all(template: str) -> str:
    """Return the beginning of the names of files about several images.

    It is empty for {stem}_k{k}, "poster" for {stem}_poster_k{k}, and "poster-all" for poster-{stem}_k{k}: templates
    that name reports of images differently have different files, too, unless one has the word "all" or "ext" where the
    other has a field. {ext} stands for itself.
    """
    of_reports = _K_PART.sub("", template)
    text = _TEXT_AFTER_STEM.fullmatch(of_reports)
    if text is not None and _ALL not in re.split(r"[-_. ]", text["text"] or ""):
        return text["text"] or ""
    return _FIELD.sub(lambda match: _ALL if match[1] == "stem" else match[1], of_reports)


def is_image_name(template: str, stem: str, extension: str, name: str) -> bool:
    """Return whether a file has the name of an image by the template, at any k and in any format."""
    beginning = re.escape(_fill(template, {"stem": stem, "ext": extension, "k": "\0"}))
    return re.fullmatch(beginning.replace("\0", "(auto)?[0-9.]*") + r"\.[a-z]+", name) is not None


def fitting_stem(stem: str, template: str = DEFAULT_NAME, extension: str = "") -> str:
    """Return a stem; if the names of outputs would be too long, its beginning and a digest of all of it."""
    encoded = os.fsencode(stem)
    n_free = _MAX_NAME_BYTES - len(os.fsencode(image_stem(template, "", extension, _LONGEST_K)))
    if len(encoded) <= n_free:
        return stem
    digest = "~" + hashlib.sha256(encoded).hexdigest()[:8]
    return encoded[: max(n_free - len(digest), 0)].decode("utf-8", "ignore") + digest


def _fill(template: str, values: Mapping[str, str]) -> str:
    """Return a template with its fields replaced, in one pass: a value may have braces.

    Without an extension, the separator before or after it is left out too: `shared_k7`, not `shared._k7`.
    """
    if not values["ext"]:
        template = _EXTENSION_PART.sub("", template)
    return _FIELD.sub(lambda match: values[match[1]], template)
