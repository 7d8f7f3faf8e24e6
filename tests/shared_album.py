"""An album whose images share a mixture: parts of three samples, and what a run on it has written."""

import csv
import io
import json

import numpy as np
from helpers import read_sample
from PIL import Image

NAMES = [f"p{number}.png" for number in range(10)]


def draw_album(folder):
    """Write ten parts of three samples, of the same width."""
    folder.mkdir()
    sources = [read_sample(name)[:, :90, :3] for name in ("cat.jpg", "coffee.png", "rocket.jpg")]
    for number, name in enumerate(NAMES):
        source = sources[number % 3]
        Image.fromarray(source[20 * number : 20 * number + 30 + number]).save(folder / name)


def pixels_of(path):
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def palette_of(path, k):
    with Image.open(path) as image:
        assert image.mode == "P"
        return image.getpalette()[: 3 * k]


def report(folder):
    return json.loads((folder / "shared_report.json").read_text())


def table(path):
    """Return the rows of a table."""
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"), newline="")))


def without_times(record):
    """Return a record without the times, which differ from run to run."""
    if isinstance(record, dict):
        return {key: without_times(value) for key, value in record.items() if key != "seconds"}
    return [without_times(part) for part in record] if isinstance(record, list) else record


def contents(folder):
    """Return the content of all files in a folder; reports without their times."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            data = path.read_bytes()
            found[str(path.relative_to(folder))] = (
                without_times(json.loads(data)) if path.name.endswith("_report.json") else data
            )
    return found
