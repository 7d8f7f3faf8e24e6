"""Adapts pages that are written for the repository to the site: links to the root folder, menus, dashes.

`contributing.md` includes `../CONTRIBUTING.md`, and so on. In the repository, that page links to `docs/cli.md`, and
pages in `docs/` link to `../CONTRIBUTING.md`. In the site, these are `cli.md` and `contributing.md`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx

# The pages of the root folder, and the pages of the site that include them.
ROOT_PAGES = {"CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md", "SECURITY.md": "security.md"}

# Pages below others in the menu. A directive in the page itself would be shown as code in the repository.
CHILDREN = {
    "examples/README": "two-normals two-gaussians-in-the-plane five-iterations two-starts the-cat",
    "python-api": "api/functions api/quantizer api/results api/estimators api/images api/plots api/errors",
    "recipes/index": "palette small-png poster e-ink pixel-art brand-colours folder cluster notebook science",
}

_LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#)([^)#\s]+)")


def page_in_site(text: str, name: str) -> str:
    """Return a page of `docs/`, such as "recipes/index", as it is in the site."""
    up = "../" * name.count("/")

    def link(match: re.Match[str]) -> str:
        target = match[0].removeprefix(f"{up}../")
        return f"{up}{ROOT_PAGES[target]}" if target in ROOT_PAGES else match[0]

    return _LINK.sub(link, text) + _toctree(CHILDREN.get(name, ""))


def _toctree(pages: str) -> str:
    """Return a table of contents that only the menu shows."""
    return "\n".join(["\n\n```{toctree}", ":hidden:", "", *pages.split(), "```", ""]) if pages else ""


def root_page_in_site(text: str) -> str:
    """Return a page of the root folder as it is in the site, included by a page of `docs/`."""

    def link(match: re.Match[str]) -> str:
        target = match[0]
        return ROOT_PAGES.get(target) or (target[5:] if target.startswith("docs/") else f"../{target}")

    return _LINK.sub(link, text)


def _read(_: Sphinx, name: str, source: list[str]) -> None:
    source[0] = page_in_site(source[0], name)


def _include(_: Sphinx, __: Path, ___: str, source: list[str]) -> None:
    source[0] = root_page_in_site(source[0])


def _put_dashes(_: Sphinx, document: nodes.document) -> None:
    """Put dashes for the two hyphens between a parameter and its description, which napoleon and Sphinx write."""
    for content in document.findall(addnodes.desc_content):
        for text in list(content.findall(nodes.Text)):
            if " -- " in text:
                text.parent.replace(text, nodes.Text(text.replace(" -- ", " \N{EN DASH} ")))


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension."""
    app.connect("source-read", _read)
    app.connect("include-read", _include)
    app.connect("doctree-read", _put_dashes)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
