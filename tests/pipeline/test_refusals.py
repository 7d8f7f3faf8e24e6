"""Refusals of a run over earlier outputs: their remedies work, and their paths can be typed in the current folder."""

import os
import re
import shlex
import shutil

import pytest
from PIL import Image


@pytest.fixture
def icons(tmp_path, samples):
    """A folder with three small images, one of them in a subfolder."""
    folder = tmp_path / "icons"
    (folder / "sub dir").mkdir(parents=True)
    for name in ("a.png", "b.png", "sub dir/c.png"):
        shutil.copy(samples / "flat.png", folder / name)
    return folder


@pytest.mark.parametrize("output", [["-o", "out"], []])
@pytest.mark.parametrize("is_old", [False, True])
@pytest.mark.parametrize("name", ["a.png", "sub dir/c.png"])
def test_a_changed_image_is_done_alone_as_its_refusal_says(command, icons, name, output, is_old):
    options = ["icons", "-r", "-k", "2", *output, "--report", "json,html"]
    assert command(*options).returncode == 0
    Image.new("RGB", (9, 9), "red").save(icons / name)
    if is_old:  # as by `cp -p`; then another process finds the difference
        os.utime(icons / name, (10, 10))
        report = icons if not output else icons.parent / "out"
        (report / name.replace(".png", "_k2.png")).unlink()
    again = [*options, "--skip-existing"]
    refused = command(*again)
    assert refused.returncode == 1
    remedy = re.search(
        r"_report.json was written; use (--force) with this image alone(?: and (.*))?, or", refused.stderr
    )
    assert (remedy[2] or "") == ({"a.png": "--output out"}.get(name, "--output 'out/sub dir'") if output else "")
    alone = command(f"icons/{name}", "-k", "2", *output, *shlex.split(" ".join(filter(None, remedy.groups()))))
    assert alone.returncode == 0, alone.stderr
    done = command(*again)
    assert (done.returncode, done.stderr.count("changed after")) == (0, 0), done.stderr


def test_a_changed_image_of_a_shared_mixture_is_not_to_be_replaced_alone(command, icons):
    options = ["icons/a.png", "icons/b.png", "-k", "2", "-o", "out", "--shared", "--skip-existing"]
    assert command(*options).returncode == 0
    Image.new("RGB", (9, 9), "red").save(icons / "a.png")
    refused = command(*options)
    assert "a.png changed after shared_report.json was written; use another --output or --name, or --force\n" in (
        refused.stderr
    )
    assert command(*options[:-1], "--force").returncode == 0


@pytest.mark.parametrize("kind", ["palette", "model", "transfer-from"])
def test_files_of_other_settings_are_named_from_the_current_folder(command, icons, tmp_path, kind):
    (tmp_path / "brand").mkdir()
    for name in ("x", "y"):
        shutil.copy(icons / "a.png", tmp_path / f"brand/{name}.png")
        (tmp_path / f"brand/{name}.hex").write_text("ff0000\n00ff00\n")
    assert command("brand", "-k", "2", "-o", "brand", "--save-model", "--report", "none").returncode == 0
    ending = {"palette": "hex", "model": "gmm.json", "transfer-from": "png"}[kind]
    files = [f"brand/{name}{'_k2' * (kind == 'model')}.{ending}" for name in ("x", "y")]
    run = ["icons/a.png", "-o", "deep/er/out", *["-k", "2"] * (kind == "transfer-from"), f"--{kind}"]
    assert command(*run, files[0]).returncode == 0
    for file, now in ((files[1], files[1]), (str(tmp_path / files[1]), files[1])):
        refused = command(*run, file, "--skip-existing")
        assert f"with --{kind} {files[0]}, this run is with --{kind} {now}; use the same options" in refused.stderr
    elsewhere = command("../icons/a.png", "-o", "../deep/er/out", "--skip-existing", cwd=tmp_path / "brand")
    assert f"with --{kind} {files[0].removeprefix('brand/')}, this run is without --{kind}" in elsewhere.stderr
    outside = command("a.png", "-o", "../deep/er/out", "--skip-existing", cwd=icons)
    assert f"with --{kind} {os.path.realpath(tmp_path / files[0])}, this run is without --{kind}" in outside.stderr
