"""Files that a folder or a pattern leaves out, or that are not there, are never passed over without a word."""

import shutil
from pathlib import Path

import pytest

from gmmquant.pipeline.sources import Reading, sources_of
from gmmquant.report.outcome import Failure


@pytest.fixture
def made(command, tmp_path, samples, monkeypatch):
    """Return a function that makes photographs, and images written by gmmquant, in the working folder."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(samples / "flat.png", "made.png")
    assert command("made.png", "-k", "2", "-o", "logo.png").returncode == 0
    Path("made.png").unlink()
    logo = Path("logo.png").read_bytes()
    Path("logo.png").unlink()

    def make(photographs=(), outputs=()):
        for name in photographs:
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(samples / "flat.png", name)
        for name in outputs:
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            Path(name).write_bytes(logo)

    return make


def notes_on(*names, **settings):
    """Return the notes on names, and the reasons of failures."""
    notes = []
    entries = list(sources_of(names, Reading(note=notes.append, **settings)))
    return notes, [entry.reason for entry in entries if isinstance(entry, Failure)]


def test_a_folder_of_outputs_only_says_so(made):
    made(outputs=["in/logo.png"])
    assert notes_on("in") == ([], ["only 1 image written by gmmquant in this folder; name it to include it"])
    made(outputs=["in/x/other.png"])
    assert notes_on("in", recursive=True)[1] == [
        "only 2 images written by gmmquant in this folder or its subfolders; name them to include them"
    ]
    assert notes_on("in/*.png")[1] == [
        "only 1 image written by gmmquant matched by this pattern; name it to include it"
    ]
    made(["in/x/photo.png"])
    assert notes_on("in")[1] == [
        "only 1 image written by gmmquant in this folder, but 1 in its subfolders; add -r to include them"
    ]


def test_an_output_among_photographs_is_counted_in_one_note(made):
    made(["in/a.png", "other/b.png"], ["in/logo.png"])
    note = ["1 image written by gmmquant left out of in; name it to include it"]
    for name in ("in", "in/*.png", "in/*"):
        assert notes_on(name) == (note, [])
    assert notes_on("in", "in/*", "other") == (note, [])
    assert notes_on("in", "in/logo.png")[1] == []
    made(outputs=["other/x.png"])
    assert notes_on("in", "other") == (["2 images written by gmmquant left out; name them to include them"], [])


@pytest.mark.parametrize("options", [["-n"], ["--json-lines"], []])
def test_the_note_is_printed_once_whatever_the_results_are(command, made, options):
    made(["in/a.png"], ["in/logo.png", "in/icon.png"])
    note = "gmmquant: 2 images written by gmmquant left out of in; name them to include them\n"
    assert command("in", "-k", "2", "-o", "out", *options).stderr.count(note) == 1
    assert note not in command("in", "-k", "2", "-o", "quiet", "-q", *options[1:]).stderr


def test_outputs_beside_their_inputs_have_no_note_at_the_next_run(command, made):
    made(["in/a.png", "in/b.v2.png"])
    everything = ["--maps", "labels", "--layers", "exact", "--sheet", "png", "--palette-out", "png", "--plots", "png"]
    assert command("in", "-k", "2", *everything).returncode == 0
    assert command("in", "-k", "2", "--shared", "--palette-out", "png", "-f").returncode == 0
    assert notes_on("in") == ([], [])
    number = sum(path.suffix == ".png" for path in Path("in").iterdir()) - 2
    expected = [f"{number} images written by gmmquant left out of in; name them to include them"]
    assert notes_on("in", names_all=True) == (expected, [])
    assert f"gmmquant: {expected[0]}\n" in command("in", "-k", "3", "-n", "-v").stderr


def test_only_a_whole_stem_names_an_output_after_an_image(made):
    made(["in/a.png"], ["in/a_k2.png", "in/apple.png", "in/a2.png"])
    assert notes_on("in")[0] == ["2 images written by gmmquant left out of in; name them to include them"]


@pytest.mark.parametrize(("target", "reason"), [("nowhere.png", "no such file"), ("gone.png", "too many levels")])
def test_a_broken_link_in_a_folder_is_a_failed_image(command, made, target, reason):
    made(["in/a.png"])
    Path("in/gone.png").symlink_to(target)
    Path("in/text.txt").symlink_to("nowhere")
    for name in ("in", "in/*.png", "in/gone.png"):
        result = command(name, "-k", "2", "-o", "out", "--skip-existing")
        assert result.returncode == 1
        assert f"gmmquant: in/gone.png: {reason}" in result.stderr
    assert Path("out/a_k2.png").exists()
    assert "text" not in result.stderr
