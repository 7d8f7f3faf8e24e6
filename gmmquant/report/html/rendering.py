"""Templates to pages: one file with its style, its scripts and a policy that allows nothing else."""

from __future__ import annotations

import codecs
from base64 import b64encode
from collections.abc import Sequence
from hashlib import sha256
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from gmmquant.errors import ParameterError
from gmmquant.report import numbers
from gmmquant.system.installation import Need, is_installed, missing
from gmmquant.system.printable import printable

if TYPE_CHECKING:
    from jinja2 import Environment

_PACKAGE = "gmmquant.report.html"

JINJA2 = Need("an HTML report needs Jinja2", "report")


def render(template: str, styles: Sequence[str], scripts: Sequence[str], **context: Any) -> bytes:
    """Return the page of a template, in UTF-8.

    `styles` and `scripts` are files of the folder `assets`. The page's policy allows them by their hashes, and images
    as data URLs. Every text of `context` is escaped, after control characters were made visible.

    Raises
    ------
    ParameterError
        If Jinja2 is not installed.
    """
    style, script = ("\n".join(map(_asset, names)) for names in (styles, scripts))
    policy = "; ".join(
        [
            "default-src 'none'",
            "img-src data:",
            f"style-src '{content_hash(style)}'",
            f"script-src '{content_hash(script)}'",
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )
    environment = _environment()
    from markupsafe import Markup

    trusted = {"style": Markup(style), "script": Markup(script)}  # noqa: S704  # files of this package
    page = environment.get_template(template).render(policy=policy, **trusted, **context)
    return page.encode()


def require_jinja2() -> None:
    """Raise a `ParameterError` if Jinja2 is not installed."""
    if not is_installed("jinja2"):
        raise ParameterError(missing(JINJA2))


def content_hash(text: str) -> str:
    """Return the hash by which a Content Security Policy (level 2) names a style or script inside the page."""
    return f"sha256-{b64encode(sha256(text.encode()).digest()).decode('ascii')}"


def _asset(name: str) -> str:
    return _text("assets", name).strip()


def _text(folder: str, name: str) -> str:
    """Return a file of this package; an OSError tells why it cannot be read, as no loader of Jinja does."""
    return (files(_PACKAGE) / folder / name).read_text(encoding="utf-8")


def _environment() -> Environment:
    require_jinja2()
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    environment = Environment(
        loader=FunctionLoader(lambda name: _text("templates", name)),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(numbers.FILTERS)
    try:
        codecs.lookup("unicode-escape")  # Jinja reads texts with it, and says of any failure that a template is wrong
    except LookupError:
        raise ImportError("the codec unicode-escape of Python") from None
    return environment


def _visible(value: Any) -> Any:
    """Return the value of an expression of a template, a text with its control characters visible."""
    return printable(value) if type(value) is str else value
