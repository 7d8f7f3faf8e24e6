"""How missing packages are installed: by pip, or by the tool that made the environment of the command."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

# The modules of each extra of the package, by the names of their packages.
EXTRAS = {
    "formats": {"pillow-heif": "pillow_heif", "pillow-jxl-plugin": "pillow_jxl"},
    "cluster": {"dask": "dask", "distributed": "distributed", "fsspec": "fsspec"},
    "plot": {"matplotlib": "matplotlib"},
    "report": {"jinja2": "jinja2"},
}


class Need(NamedTuple):
    """What needs a package, such as "plots need matplotlib", the extra that has it, and what to do instead."""

    reason: str
    extra: str
    instead: str = ""


CLUSTER = Need("a cluster needs the package distributed", "cluster")


def is_installed(module: str) -> bool:
    """Return whether a module can be found; it is not imported."""
    return find_spec(module) is not None


def missing(*needs: Need) -> str:
    """Return a message that names what is missing, and one command that installs all of it."""
    reasons = ", ".join(need.reason for need in needs)
    instead = "".join(f", or {need.instead}" for need in needs if need.instead and len(needs) == 1)
    return f"{reasons}: {install_command([need.extra for need in needs])}{instead}"


def install_command(extras: Sequence[str], prefix: str | None = None) -> str:
    """Return the command that installs extras into the environment at `prefix`; None: that of this process.

    Environments of pipx and of `uv tool` have no pip. A file that the tool keeps in each, or its usual folder, tells
    them apart. `uv tool install` removes the extras that are not named, so those that are installed are named too.
    """
    folder = Path(sys.prefix if prefix is None else prefix)
    names = sorted(set(extras))
    if _is_below(folder, "pipx", "venvs") or (folder / "pipx_metadata.json").exists():
        return shlex.join(["pipx", "inject", "gmmquant", *(package for name in names for package in EXTRAS[name])])
    if _is_below(folder, "uv", "tools") or (folder / "uv-receipt.toml").exists():
        present = {name for name, modules in EXTRAS.items() if all(map(is_installed, modules.values()))}
        return f"uv tool install --reinstall 'gmmquant[{','.join(sorted({*names, *present}))}]'"
    return f"pip install 'gmmquant[{','.join(names)}]'"


def _is_below(folder: Path, *names: str) -> bool:
    """Return whether a folder is in the folder that is called by `names` at the end, as in pipx/venvs/gmmquant."""
    return folder.parts[-len(names) - 1 : -1] == names
