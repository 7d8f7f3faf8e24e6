"""Highlights the options of commands, and marks words with hyphens, so that a browser wraps commands only at spaces."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from pygments.lexers.shell import BashLexer
from pygments.token import Name, Text
from sphinx.application import Sphinx


class CommandLexer(BashLexer):
    """Bash, with options such as `-k` and `--style`, and words such as `to-rocket`, as tokens of their own."""

    def get_tokens_unprocessed(self, text: str, stack: tuple[str, ...] = ("root",)) -> Iterator[tuple[int, Any, str]]:
        """Yield the position, the kind and the text of each token."""
        for start, kind, value in super().get_tokens_unprocessed(text, stack):
            if kind is not Text:
                yield start, kind, value
                continue
            for part in re.finditer(r"\s+|\S+", value):
                word = part[0]
                named = Name.Attribute if word.startswith("-") else Name if "-" in word else Text
                yield start + part.start(), named, word


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension."""
    app.add_lexer("sh", CommandLexer)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
