"""Draw the images of docs/drawing.md: run its commands, and keep the outputs that the page shows.

    python docs/draw.py

The image `images/drawing/FOLDER/NAME` of the page is the output `FOLDER/NAME` of the commands.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parent
PAGE = HERE / "drawing.md"
IMAGES = HERE / "images" / "drawing"


def commands() -> list[str]:
    """Return the commands of the page, in order."""
    blocks = re.findall(r"^```sh\n(.*?)^```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    return [line for block in blocks for line in block.splitlines()]


def images() -> list[str]:
    """Return the images of the page that the commands write, as `folder/name`."""
    return re.findall(r"\]\(images/drawing/([^)]+)\)", PAGE.read_text(encoding="utf-8"))


def run_commands(folder: Path, program: str = f"{sys.executable} -m gmmquant") -> None:
    """Copy the sample images to `folder`, and run the commands of the page there."""
    shutil.copytree(PROJECT / "sample_images", folder / "sample_images")
    for command in commands():
        subprocess.run(["sh", "-c", re.sub("^gmmquant", program, command)], cwd=folder, check=True)  # noqa: S603, S607


def main() -> None:
    """Run the commands in a temporary folder, and copy the images from there."""
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        run_commands(folder)
        shutil.rmtree(IMAGES, ignore_errors=True)
        for name in images():
            (IMAGES / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(folder / name, IMAGES / name)


if __name__ == "__main__":
    main()
