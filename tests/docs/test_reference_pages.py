"""The pages on records, files, messages and the Python interface name what there is, and nothing else."""

import json
import re
import shlex

import numpy as np
import pytest
from helpers import SAMPLE_IMAGES, blocks
from PIL import Image

import gmmquant
from gmmquant import parsing, settings
from gmmquant.colors import palette_files
from gmmquant.images import palette_image
from gmmquant.images.decoding import metadata, reader
from gmmquant.images.decoding.registry import INPUT_FORMATS
from gmmquant.models import serialization
from gmmquant.pipeline import sources
from gmmquant.settings import LAYERS, MAPS, OUTPUT_FORMATS, PALETTE_FORMATS, REPORTS

DOCS = SAMPLE_IMAGES.parent / "docs"

# Keys whose entries are named by other pages, or in words on this one.
IN_WORDS = r"settings\.|fits\[\]\.files\.(maps|palettes)\.|images\[\]\."

# The sections of the page on records whose keys are below others.
CSV = "CSV tables"  # the section on what is no record
ABOVE = {"Fits": "fits[].", "Settings": "settings.", "Choices of k": "choices[]."}


def text_of(page):
    return (DOCS / page).read_text(encoding="utf-8")


def keys_of(value, prefix=""):
    """Yield the keys of a record with those above them: `image.width`, `fits[].k`."""
    if isinstance(value, list):
        yield f"{prefix}[]"
        for entry in value:
            if isinstance(entry, dict):
                yield from keys_of(entry, f"{prefix}[]")
    elif isinstance(value, dict):
        if prefix:
            yield prefix
        for name, entry in value.items():
            yield from keys_of(entry, f"{prefix}.{name}" if prefix else name)
    else:
        yield prefix


@pytest.fixture(scope="module")
def run(clean_environment, command_server):
    def run(line, folder):
        return command_server.run(shlex.split(line)[1:], folder, clean_environment)

    return run


@pytest.fixture(scope="module")
def records(tmp_path_factory, run):
    """Records of an image and of a shared mixture with all optional keys, and a line of each outcome."""
    folder = tmp_path_factory.mktemp("records")
    for name in ("flat", "alpha"):
        Image.open(SAMPLE_IMAGES / f"{name}.png").save(folder / f"{name}.png")
    (folder / "broken.png").write_bytes(b"no image")
    more = "--smooth 1 --save-model --palette-out all"
    of_k = "-k 2 auto auto:9 --seed 1-2 --keep-colors white"
    run(f"gmmquant flat.png {of_k} --layers exact --maps all {more} --format jpg -o a", folder)
    run(f"gmmquant flat.png alpha.png broken.png -k 2 --shared {more} -o b", folder)
    run("gmmquant alpha.png -k 9 --alpha quantize -o d", folder)
    image, shared, indexed = (
        json.loads((folder / name).read_text())
        for name in ("a/flat_report.json", "b/shared_report.json", "d/alpha_report.json")
    )
    image["fits"] += indexed["fits"]
    lines = [
        json.loads(line)
        for option in ("--dry-run", "--report json,csv", "--skip-existing")
        for line in run(f"gmmquant flat.png broken.png -k 2 -o c --json-lines -q {option}", folder).stdout.splitlines()
    ]
    return image, shared, lines


@pytest.fixture(scope="module")
def documented():
    """The keys in the first columns of the page's tables, with those above them."""
    keys = set()
    for section in text_of("records.md").split("\n## "):
        if section.startswith(CSV):
            continue
        prefix = ABOVE.get(section.partition("\n")[0], "")
        rows = re.findall(r"^\| (`.*?) \|", section, flags=re.MULTILINE)
        keys |= {prefix + key.removesuffix("[]") for row in rows for key in re.findall(r"`([^`]+)`", row)}
    return keys


def test_the_page_on_records_has_all_keys_of_a_record(records, documented):
    image, shared, lines = records
    keys = {re.sub(r"^choice\.", "choices[].", key).removesuffix("[]") for key in (*keys_of(image), *keys_of(shared))}
    above = {key for key in keys if any(name.startswith((f"{key}.", f"{key}[]")) for name in documented)}
    assert not {key for key in keys - above - documented if not re.match(IN_WORDS, key)}
    assert {line["outcome"] for line in lines} == {"planned", "done", "failed", "skipped", "summary"}
    assert {key for line in lines for key in line} <= documented


def test_the_page_on_records_has_no_other_keys(records, documented):
    image, shared, lines = records
    keys = {*keys_of(image), *keys_of(shared), *(key for line in lines for key in line)}
    assert documented <= {key.removesuffix("[]") for key in keys}


def test_the_columns_on_the_page_on_records_are_those_of_the_tables(run, tmp_path):
    Image.open(SAMPLE_IMAGES / "cat.jpg").resize((60, 40)).save(tmp_path / "cat.png")
    run("gmmquant cat.png -k 2 --seed 1-2 --report csv -o .", tmp_path)
    tables = sorted(tmp_path.glob("*.csv"))
    assert len(tables) == 2
    columns = {name for table in tables for name in table.read_text("utf-8-sig").partition("\n")[0].strip().split(",")}
    section = next(part for part in text_of("records.md").split("\n## ") if part.startswith(CSV))
    rows = re.findall(r"^\| (`.*?) \|", section, flags=re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`([^`]+)`", row)}
    assert named and named <= columns


def test_the_keys_of_a_model_on_the_page_on_files_are_those_of_its_file(tmp_path):
    results = (
        gmmquant.quantize(SAMPLE_IMAGES / "cat.jpg", 2),
        gmmquant.quantize(SAMPLE_IMAGES / "cat.jpg", palette="pico8"),
    )
    keys = set()
    for result in results:
        result.save_model(tmp_path / "cat.gmm.json")
        keys |= json.loads((tmp_path / "cat.gmm.json").read_text()).keys()
    mixture = results[0].to_estimator()
    mixture.feature_names_in_ = np.array(["r", "g", "b"], dtype=object)
    mixture.save(tmp_path / "mixture.json")
    of_mixture = json.loads((tmp_path / "mixture.json").read_text()).keys()
    section = text_of("formats.md").partition("## Models")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`.*?) \|", section, flags=re.MULTILINE)
    assert {key for row in rows for key in re.findall(r"`([^`]+)`", row)} == {*keys, *of_mixture}
    assert keys - of_mixture == {"method", "noise", "recolor", "exact", "palette"}


def test_the_settings_of_a_record_are_those_of_settings_and_those_on_the_page(records, documented):
    of_record = {f"settings.{name}" for name in records[0]["settings"]}
    of_class = {f"settings.{name}" for name in gmmquant.Settings.__dataclass_fields__}
    assert of_record - documented == of_class


def test_the_page_on_files_lists_all_formats():
    text = text_of("formats.md")
    read, written, names, palettes = (text.partition(f"## {title}")[2].partition("\n## ")[0] for title in (
        "Images that are read", "Images that are written", "Names", "Palettes"
    ))  # fmt: skip
    rows = re.findall(r"^\| ([\w ]+) \| (`\..*?) \|", read, flags=re.MULTILINE)
    assert {name: tuple(re.findall(r"`(\.\w+)`", row)) for name, row in rows} == {
        name: entry.extensions for name, entry in INPUT_FORMATS.items()
    }
    assert re.findall(r"^\| `(\w+)` \|", written, flags=re.MULTILINE) == list(OUTPUT_FORMATS)
    named = set(re.findall(r"`(\w+)`", palettes))
    assert named == {*PALETTE_FORMATS, "act", "colors", "rgb", "name", "share", "weight"}
    assert set(re.findall(r"`(\w+)`", names)) >= {*PALETTE_FORMATS, *MAPS}
    assert all(f"{extension}`" in names for extension in REPORTS)
    assert all(("_exact" if kind == "exact" else "_layer01.png") in names for kind in LAYERS)


def test_the_page_on_files_describes_how_every_format_is_read():
    section = text_of("formats.md").partition("## How each format is read")[2].partition("\n## ")[0]
    table = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| ")]
    assert [row[0] for row in table[1:]] == list(INPUT_FORMATS)
    assert all(len(row) == len(table[0]) == 6 and all(row) for row in table)
    assert "64 MiB and 16 bytes" in section
    assert reader.byte_limit(1) - reader.byte_limit(0) == 16


def test_the_page_on_files_has_the_names_of_files(records, run, tmp_path):
    Image.open(SAMPLE_IMAGES / "flat.png").save(tmp_path / "cat.png")
    more = "--palette-out gpl --maps labels --layers exact --save-model --sheet --plots svg"
    result = run(f"gmmquant cat.png -k 7 -o . --report json,html,csv,md {more} -q", tmp_path)
    assert result.returncode == 0, result.stderr
    reports = {path.name for path in tmp_path.iterdir() if re.search("report|components", path.name)}
    run("gmmquant cat.png -k 7 -o flat --layers flat -q", tmp_path)
    run("gmmquant cat.png -k 7 -o together --shared --save-model --palette-out gpl --report json,csv -q", tmp_path)
    Image.open(SAMPLE_IMAGES / "flat.png").save(tmp_path / "dog.png")
    run("gmmquant cat.png dog.png -k 7 -o several --report html,csv,md --sheet -q", tmp_path)
    made = {path.name for path in tmp_path.rglob("*.*")}
    section = text_of("formats.md").partition("## Names")[2].partition("\n## ")[0]
    files = set(re.findall(r"`((?:(?:cat|shared)_[\w.]+)|(?:report|components|sheet)\.\w+)`", section))
    assert len(files) >= 21
    assert reports <= files <= made


def indices_of(path):
    """Return the index of the transparent entry of a file, and those of its opaque pixels."""
    with Image.open(path) as image:
        clear, indices = image.info["transparency"], np.asarray(image)
    clear = clear.index(0) if isinstance(clear, bytes) else clear
    return clear, set(np.unique(indices[indices != clear]).tolist())


@pytest.mark.parametrize("file_format", ["png", "gif"])
def test_indices_of_an_image_with_transparency_are_as_the_page_on_files_says(file_format, run, tmp_path):
    pixels = np.zeros((8, 12, 4), dtype=np.uint8)
    pixels[:, 4:] = np.repeat([[200, 30, 20, 255], [20, 30, 200, 255], [20, 200, 30, 255]], [5, 2, 1], axis=0)
    Image.fromarray(pixels).save(tmp_path / "cat.png")
    command = f"gmmquant cat.png -k 3 --format {file_format} --maps labels -q"
    for options in ("-o free", "-o set --palette-order weight", "-o given --palette red,lime,blue", "-o all --shared"):
        assert run(f"{command} {options}", tmp_path).returncode == 0
    name = f"cat_k3.{file_format}"
    assert indices_of(tmp_path / "free" / name) == (0, {1, 2, 3})
    for folder in ("set", "given", "all"):
        assert indices_of(tmp_path / folder / name) == (3, {0, 1, 2})
    assert indices_of(tmp_path / "free/cat_k3_labels.png") == (3, {0, 1, 2})


def test_the_limits_on_the_page_are_those_of_the_program():
    table = text_of("formats.md").partition("## Limits")[2]
    stated = [int(number.replace(",", "")) for number in re.findall(r"\d{1,3}(?:,\d{3})+|\b\d{3}\b", table)]
    image, palette = palette_files.MAX_BYTES, palette_image.MAX_BYTES
    assert stated == [
        *(settings.MAX_PIXELS, reader._MAX_SIDE_PIXELS, reader.MAX_FRAMES, reader.byte_limit(0)),
        *(metadata.MAX_METADATA_BYTES, parsing.MAX_K, settings.MAX_TRANSFER_K, image, palette),
        *(serialization.MAX_MODEL_BYTES, sources._MAX_LIST_BYTES),
    ]
    assert settings.MAX_AUTO_K == settings.MAX_TRANSFER_K


def test_each_message_on_the_page_about_troubles_is_that_of_the_program(run, tmp_path):
    for name, source in {"cat.jpg": "cat.jpg", "cat.png": "flat.png", "cutout.png": "cutout.png"}.items():
        (tmp_path / name).write_bytes((SAMPLE_IMAGES / source).read_bytes())
    (tmp_path / "torn.jpg").write_bytes((SAMPLE_IMAGES / "cat.jpg").read_bytes()[:20_000])
    (tmp_path / "page.jpg").write_text("<!doctype html><title>not found</title>")
    (tmp_path / "broken.hex").write_text("#12345\n")
    (tmp_path / "broken.json").write_text('{"schema": ')
    (tmp_path / "empty").mkdir()
    n_messages = 0
    for block in blocks(text_of("troubleshooting.md"), "console"):
        for command, messages in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block, flags=re.MULTILINE):
            result = run(command, tmp_path)
            assert result.stderr == messages, command
            failed = bool(messages) and "stores" not in messages
            assert bool(result.returncode) == failed, command
            n_messages += len(messages.splitlines())
    assert n_messages >= 19


def test_each_public_name_is_on_exactly_one_page_of_the_interface():
    pages = [path.read_text(encoding="utf-8") for path in (DOCS / "api").glob("*.md")]
    documented = [name for page in pages for name in re.findall(r"^\.\. auto\w+:: (\w+)$", page, flags=re.MULTILINE)]
    assert sorted(documented) == sorted(set(gmmquant.__all__) - {"__version__"})
    overview = text_of("python-api.md")
    assert all(re.search(rf"`{name}\b", overview) for name in documented)
