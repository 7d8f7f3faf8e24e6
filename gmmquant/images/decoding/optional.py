"""Decoders that are installed by an extra of the package."""

from __future__ import annotations

import importlib
from typing import Any

from gmmquant.errors import ImageError
from gmmquant.system.installation import Need, missing


def import_decoder(format_name: str, package: str, module: str) -> Any:
    """Import the module of a decoder; an `ImageError` says how to install its package if it is missing."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        if isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] == module.partition(".")[0]:
            raise ImageError(missing(Need(f"{format_name} images need the package {package}", "formats"))) from None
        reason = str(error).partition("\n")[0] or type(error).__name__
        remedy = f"reinstall it, as it cannot be loaded ({reason})"
        raise ImageError(f"{format_name} images need the package {package}; {remedy}") from None
