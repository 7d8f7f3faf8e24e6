"""Build a release, and check it as a user gets it: run by `make release`, which does all but the upload.

The wheel and the source distribution are built twice and must have the same bytes. Both are installed into new
environments outside of the project, without and with each extra, and do the main job there.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
DIST = PROJECT / "dist"
CAT = PROJECT / "sample_images" / "cat.jpg"

# A command for each extra, and the files that it writes only with the extra.
_COMMANDS = {
    "": (["--sheet", "--report", "json,csv,md"], ["cat_sheet.png", "cat_report.csv"]),
    "report": (["--report", "html"], ["cat_report.html"]),
    "plot": (["--plots", "svg"], ["cat_objective.svg"]),
    "cluster": (["--jobs", "2"], []),
}


def run(*command: str | Path, **variables: str) -> str:
    """Run a command and return what it prints; end the program with its messages if it fails."""
    environment, folder = os.environ | variables, tempfile.gettempdir()
    result = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=folder)
    if result.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}\n{result.stdout}{result.stderr}")
    return result.stdout


def build(folder: Path) -> dict[str, str]:
    """Build both distributions and return the SHA-256 of each file; times are that of the last commit."""
    epoch = run("git", "-C", PROJECT, "log", "-1", "--format=%ct").strip()
    run(sys.executable, "-m", "build", "--outdir", folder, PROJECT, SOURCE_DATE_EPOCH=epoch)
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def check_versions() -> str:
    """Return the version of the package; end if the changelog does not date it."""
    text = (PROJECT / "gmmquant" / "version.py").read_text(encoding="utf-8")
    (version,) = re.findall(r'__version__ = "(.+)"', text)
    heading = re.search(r"^## (.+)$", (PROJECT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    if heading is None or not re.fullmatch(rf"{re.escape(version)} \(\d{{4}}-\d\d-\d\d\)", heading[1]):
        found = None if heading is None else heading[1]
        print(f"note: CHANGELOG.md starts with {found!r}; a release needs '{version} (its date)'")
    return version


def smoke_test(distribution: Path, extra: str, version: str) -> None:
    """Install a distribution into a new environment and do the main job with it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run(sys.executable, "-m", "venv", folder / "venv")
        program = folder / "venv" / "bin"
        run(
            program / "python", "-m", "pip", "install", "--quiet", f"{distribution}[{extra}]" if extra else distribution
        )
        run(program / "python", "-m", "pip", "check")
        found = run(program / "gmmquant", "--version")
        if version not in found:
            sys.exit(f"{distribution.name}: --version prints {found!r}, not {version}")
        options, files = _COMMANDS.get(extra, ([], []))
        run(program / "gmmquant", CAT, "-k", "2", "7", "-o", folder / "out", *options)
        for file in ["cat_k2.png", "cat_k7.png", *files]:
            if not (folder / "out" / file).exists():
                sys.exit(f"{distribution.name}[{extra}]: {file} was not written")
        if not list((folder / "venv").glob("share/man/man1/gmmquant.1")):
            sys.exit(f"{distribution.name}: the manual page was not installed")
        print(f"{distribution.name}{f' with {extra}' if extra else ''}: installed, the main job done")


def main() -> None:
    """Build, compare, install, and name the files to upload."""
    version = check_versions()
    with tempfile.TemporaryDirectory() as again:
        for path in DIST.glob("*"):
            path.unlink()
        DIST.mkdir(exist_ok=True)
        first, second = build(DIST), build(Path(again))
    if first != second:
        sys.exit(f"two builds differ: {first}, {second}")
    run(sys.executable, "-m", "twine", "check", "--strict", *DIST.iterdir())
    extras = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    (wheel,) = DIST.glob("*.whl")
    (source,) = DIST.glob("*.tar.gz")
    for extra in ["", *extras]:
        smoke_test(wheel, extra, version)
    smoke_test(source, "", version)
    for name, digest in first.items():
        print(f"{digest}  dist/{name}")


if __name__ == "__main__":
    main()
