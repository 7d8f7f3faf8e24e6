"""Shows tables of images as grids, which have as many columns as the window has room for.

In Markdown, images side by side are a table: their titles are its head, and a row without images has captions. On a
phone such a table is too wide. In the site, each column is a figure, and an image links to its file.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform


class ImageGrids(SphinxTransform):
    """Replaces the tables whose first row below the head has an image in each cell."""

    default_priority = 500

    def apply(self, **_: Any) -> None:
        """Replace the tables of a page."""
        for table in list(self.document.findall(nodes.table)):
            head = [row.children for part in table.findall(nodes.thead) for row in part.findall(nodes.row)]
            body = [row.children for part in table.findall(nodes.tbody) for row in part.findall(nodes.row)]
            if body and all(map(_has_image, body[0])):
                table.replace_self(list(_grids(head, body)))


def _has_image(cell: nodes.Node) -> bool:
    return next(iter(cell.findall(nodes.image)), None) is not None


def _grids(head: list[list[nodes.Node]], body: list[list[nodes.Node]]) -> Iterator[nodes.Element]:
    """Yield a grid for each row of images and the rows of captions below it; only the first has the titles."""
    starts = [index for index, row in enumerate(body) if any(map(_has_image, row))]
    for start, end in zip(starts, [*starts[1:], len(body)], strict=True):
        titles = head[0] if head and start == 0 else [nodes.entry() for _ in body[start]]
        grid = nodes.container(classes=["image-grid", f"columns-{len(body[start])}"])
        for title, *cells in zip(titles, *body[start:end], strict=True):
            grid += _figure(title, cells)
        yield grid


def _figure(title: nodes.Node, cells: list[nodes.Node]) -> nodes.Element:
    for cell in cells:
        for image in cell.findall(nodes.image):
            image["width"] = "100%"  # Sphinx links a scaled image to its file
    parts = [nodes.container("", *part.children, classes=["image-part"]) for part in (title, *cells)]
    return nodes.container("", *parts, classes=["image-cell", f"parts-{len(parts)}"])


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension."""
    app.add_transform(ImageGrids)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
