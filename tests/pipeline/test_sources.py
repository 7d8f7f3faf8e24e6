"""Names on the command line become images, in natural order, and the outputs of each get different names."""

import io
import os
import random
import shutil
import subprocess
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from running import obey_permissions

from gmmquant.pipeline import sources
from gmmquant.pipeline.plan import Job, Products, Task, plan
from gmmquant.pipeline.sources import Reading, Source, natural_key, sources_of
from gmmquant.report.outcome import Failure
from gmmquant.system.glob import fixed_part, is_pattern
from gmmquant.system.paths import parse_path

PLAIN, RECURSIVE = Reading(), Reading(recursive=True)


def found(*names, reading=PLAIN):
    """Return the paths of the images found, and the reasons of failures."""
    return [entry.reason if isinstance(entry, Failure) else str(entry.path) for entry in sources_of(names, reading)]


def failures(*names, reading=PLAIN):
    return [(str(f.source), f.reason) for f in sources_of(names, reading) if isinstance(f, Failure)]


# --- order ------------------------------------------------------------------------------------------------------------


def test_numbers_in_names_are_ordered_as_numbers():
    names = ["a.gif", "a1.png", "a2.png", "a02b.png", "a10.png", "a10b2.png", "a10b11.png", "b0.png", "c.png"]
    shuffled = random.Random(0).sample(names, len(names))
    assert sorted(shuffled, key=natural_key) == names


def test_only_the_ending_of_an_image_is_left_out_of_the_order():
    names = ["cat.png", "cat2.gif", "scan.2", "scan.10", "v1.2", "v1.9", "v1.10"]
    assert sorted(random.Random(0).sample(names, len(names)), key=natural_key) == names


@given(st.lists(st.text("0a19²٣.", max_size=5), unique=True))
def test_natural_order_is_the_same_for_any_order_of_the_names(names):
    ordered = sorted(names, key=natural_key)
    assert all(natural_key(one) < natural_key(other) for one, other in pairwise(ordered))


@pytest.mark.parametrize("name", [".", "*", "?*.png", "**"])
def test_folders_and_patterns_are_in_natural_order(tree, name):
    tree("p10.png", "p9.png", "p1.png", "p01.png", "p100.png")
    assert found(name) == ["p01.png", "p1.png", "p9.png", "p10.png", "p100.png"]


def test_named_inputs_keep_their_order(tree):
    tree("b.png", "a/10.png", "a/9.png", "c.png")
    assert found("c.png", "a", "b.png", "nothing.png") == ["c.png", "a/9.png", "a/10.png", "b.png", "nothing.png"]


# --- folders ----------------------------------------------------------------------------------------------------------


def test_a_folder_stands_for_its_images_only(tree):
    tree("a.png", "B.JPEG", ".hidden.png", "text.txt", "no_extension", "sub/c.png", "folder.png/d.png")
    assert found(".") == ["B.JPEG", "a.png"]


def test_subfolders_follow_the_images_of_their_folder_and_hidden_ones_are_skipped(tree):
    tree("z.png", "b/1.png", "b/a/2.png", "b10/3.png", "b9/4.png", ".hidden/5.png", "b/.git/6.png")
    assert found(".", reading=RECURSIVE) == ["z.png", "b/1.png", "b/a/2.png", "b9/4.png", "b10/3.png"]


def test_a_hidden_file_or_folder_can_be_named(tree):
    tree(".hidden/a.png", ".b.png")
    assert found(".hidden", ".b.png", ".*.png") == [".hidden/a.png", ".b.png", ".b.png"]


def test_links_to_images_are_followed_and_links_to_folders_inside_a_folder_are_not(tree):
    tree("outside/a.png", "in/b.png", link={"in/c.png": "../outside/a.png", "in/sub": "../outside", "door": "in"})
    assert found("in", reading=RECURSIVE) == ["in/b.png", "in/c.png"]
    assert found("door", reading=RECURSIVE) == ["door/b.png", "door/c.png"]


@pytest.mark.parametrize("name", [".", "**/*.png", "**", "*/**/*.png"])
def test_circular_links_are_not_followed(tree, name):
    tree("in/a.png", "in/deep/b.png", link={"in/up": "..", "in/self": ".", "in/other": "../in"})
    assert found(name, reading=RECURSIVE) == ["in/a.png", "in/deep/b.png"]


@pytest.mark.parametrize("name", [".", "**/*.png"])
def test_a_tree_may_be_deeper_than_the_recursion_limit(tree, name):
    tree("a.png")
    here = os.getcwd()
    for _ in range(1500):
        os.mkdir("d")
        os.chdir("d")
    shutil.copy(f"{here}/a.png", "b.png")
    os.chdir(here)
    try:
        assert found(name, reading=RECURSIVE) == ["a.png", "d/" * 1500 + "b.png"]
    finally:
        subprocess.run(["rm", "-rf", "d"], check=True)


def test_an_unreadable_folder_is_reported_and_the_others_are_done(command, tree, tmp_path):
    tree("in/a.png", "in/closed/b.png", "in/later/c.png")
    Path("in/closed").chmod(0o000)
    result = command("in", "-r", "-k", "2", "-o", "out", preexec_fn=obey_permissions)
    assert result.returncode == 1
    lines = [line.split(" ", 2)[1:] for line in result.stderr.splitlines()]
    assert [line[0] for line in lines[:3]] == ["in/a.png:", "in/closed:", "in/later/c.png:"]
    assert lines[1][1] == "permission denied"
    assert lines[3][0] == "2"


def test_a_folder_without_images_is_reported_with_a_remedy(tree):
    tree("sub/a.png", "sub/below/b.png")
    Path("empty").mkdir()
    Path("text.txt").touch()
    assert failures(".")[0][1] == "no images in this folder, but 2 in its subfolders; add -r to include them"
    assert "(-r includes its subfolders)" in failures("empty")[0][1]
    assert failures("empty", reading=RECURSIVE)[0][0] == "empty"
    assert "-r" not in failures("empty", reading=RECURSIVE)[0][1]
    assert failures(".", reading=RECURSIVE) == []


def test_a_folder_with_images_says_how_many_more_its_subfolders_have(command, tree, tmp_path, samples):
    tree("in/a.png", "in/x/b.png", "in/x/y/c.jpg", "in/x/.hidden.png", "in/x/text.txt")
    notes = []
    assert len(list(sources_of(["in"], Reading(note=notes.append)))) == 1
    assert notes == ["in: 2 images in its subfolders left out; add -r to include them"]
    for names, reading in ((["in"], RECURSIVE), (["in/x"], RECURSIVE), (["in/x/y"], Reading())):
        list(sources_of(names, replace(reading, note=notes.append)))
    assert len(notes) == 1
    shutil.copy(samples / "flat.png", "in/a.png")
    assert command("in", "-k", "2", "-o", "in/out", "--name", "{stem}").returncode == 0
    shutil.rmtree("in/x")
    assert command("in", "-k", "2", "-o", "other").stderr.count("\n") == 0  # outputs of gmmquant are not counted


def test_outputs_are_inputs_only_if_they_are_named(command, tree, tmp_path):
    tree("a.png")
    assert (
        command(
            "a.png", "-k", "2", "--maps", "all", "--layers", "exact", "--palette-out", "png", "-o", "made"
        ).returncode
        == 0
    )
    made = sorted(str(path) for path in Path("made").glob("*.png"))
    assert len(made) == 7
    assert found(".", reading=RECURSIVE) == ["a.png"]
    assert found("**/*.png") == ["a.png"]
    reason = "only 7 images written by gmmquant matched by this pattern; name them to include them"
    assert failures("made/*.png") == [("made/*.png", reason)]
    assert found(*made) == made


# --- patterns ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "matches"),
    [
        ("*.png", ["a.png", "b1.png", "b2.png"]),
        ("./b?.png", ["b1.png", "b2.png"]),
        ("b[13-9].png", ["b1.png"]),
        ("[!b]*.png", ["a.png"]),
        ("*", ["a.png", "b1.png", "b2.png", "c.jpg"]),
        ("*/*.png", ["sub/d.png"]),
        ("sub/*", ["sub/d.png"]),
        ("s*b/d.png", ["sub/d.png"]),
        ("**/d.png", ["sub/d.png"]),
        ("**/*.jpg", ["c.jpg", "sub/deep/e.jpg"]),
        ("**", ["a.png", "b1.png", "b2.png", "c.jpg", "sub/d.png", "sub/deep/e.jpg"]),
        ("sub/**", ["sub/d.png", "sub/deep/e.jpg"]),
        ("**/**/*.jpg", ["c.jpg", "sub/deep/e.jpg"]),
        ("**/deep/**/*.jpg", ["sub/deep/e.jpg"]),
        (".h*.png", [".hidden.png"]),
        ("sub/../b*.png", ["sub/../b1.png", "sub/../b2.png"]),
        ("*/../c.*", ["sub/../c.jpg"]),
        ("a.png/*", []),
        ("nothing*", []),
        ("[", []),
        ("[]", []),
    ],
)
def test_a_pattern_stands_for_the_images_that_match_it(tree, pattern, matches):
    tree("a.png", "b1.png", "b2.png", "c.jpg", ".hidden.png", "sub/d.png", "sub/deep/e.jpg", ".git/f.png")
    Path("notes.txt").touch()
    if matches:
        assert found(pattern) == matches
    else:
        assert failures(pattern)[0][1].startswith("no file matches this pattern")


def test_patterns_match_as_in_a_shell(tree, tmp_path):
    tree("x/1/a.png", "x/2/a.png", "x/3/b.png", "x/.4/a.png", "x/a/a.png")
    for pattern in ("x/*/a.png", "x/[12]/*.png", "*/?/*", f"{tmp_path}/x/*/*.png"):
        by_shell = subprocess.run(["sh", "-c", f"printf '%s\\n' {pattern}"], capture_output=True, text=True, check=True)
        assert found(pattern) == by_shell.stdout.splitlines()


@pytest.mark.parametrize("name", ["a*.png", "[1].png", "wh?t.png", "@list.png", "@list", "*", "-r"])
def test_an_existing_file_is_never_taken_for_a_pattern_or_a_list(tree, name):
    tree(name, "ab.png", "1.png", "what.png")
    Path("list.png").write_text("missing.png")
    Path("list").write_text("missing.png")
    assert found(name) == [name]


@pytest.mark.parametrize("name", ["folder[1]", "@folder"])
def test_an_existing_folder_is_never_taken_for_a_pattern_or_a_list(tree, name):
    tree(f"{name}/a.png")
    assert found(name) == [f"{name}/a.png"]


# --- lists ------------------------------------------------------------------------------------------------------------

ODD = [b"a b.png", b"new\nline.png", b"caf\xe9.png", b"-dash.png", b"@at.png", b"#hash.png", b" lead.png", b"tail.png "]


@pytest.mark.parametrize("by", ["list", "list without -0", "standard input"])
def test_a_list_with_zero_bytes_may_contain_any_name(tree, by, monkeypatch):
    content = b"\0".join(ODD) + b"\0"
    tree(*map(os.fsdecode, ODD))
    Path("list").write_bytes(content)
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(content)))
    name = "-" if by == "standard input" else "@list"
    reading = Reading(null_terminated="without" not in by)
    assert found(name, reading=reading) == [os.fsdecode(name) for name in ODD]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\n\n", b"\r\n\r\n"])
@pytest.mark.parametrize("last", [True, False])
def test_the_lines_of_a_list_may_end_as_on_unix_or_windows(tree, end, last):
    names = [name for name in ODD if b"\n" not in name]
    Path("list").write_bytes(end.join(names) + end * last)
    assert found("@list") == [os.fsdecode(name) for name in names]


def test_with_zero_bytes_line_ends_belong_to_names(tree):
    Path("list").write_bytes(b"two\nlines.png")
    assert found("@list", reading=Reading(null_terminated=True)) == ["two\nlines.png"]
    assert found("@list") == ["two", "lines.png"]


def test_a_list_may_name_folders_but_neither_patterns_nor_lists(tree):
    tree("in/a.png", "in/sub/b.png")
    Path("list").write_text("in\n*.png\n@list\n")
    assert found("@list") == ["in/a.png", "*.png", "@list"]
    assert found("@list", reading=RECURSIVE) == ["in/a.png", "in/sub/b.png", "*.png", "@list"]


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: None, "the list cannot be read: no such file or directory"),
        (lambda path: path.touch(), "the list contains no names"),
        (lambda path: path.write_text("\n\n\r\n"), "the list contains no names"),
        (lambda path: path.write_bytes(b"\0\0"), "the list contains no names"),
    ],
)
def test_a_missing_or_empty_list_is_reported(tree, make, reason):
    make(Path("list"))
    ((name, message),) = failures("@list")
    assert name == "@list"
    assert message.startswith(reason)


@pytest.mark.parametrize("name", ["@", "@/"])
def test_a_list_that_is_not_a_file_is_reported(tree, name):
    assert failures(name)[0][1].startswith("the list cannot be read: ")


def test_an_endless_list_is_refused(tree, monkeypatch):
    monkeypatch.setattr(sources, "_MAX_LIST_BYTES", 1 << 20)
    Path("list").write_bytes(b"x" * (1 << 20))
    assert found("@list") == ["x" * (1 << 20)]
    for name in ("@list", "@/dev/zero"):
        with Path("list").open("ab") as file:
            file.write(b"x")
        assert failures(name) == [(name, "the list is longer than 1 MiB; split it")]


def test_a_list_may_be_on_standard_input(command, tree, tmp_path):
    tree("a.png", "two\nlines.png")
    lines = command("@-", "-k", "2", "-o", "lines", stdin=None, input="a.png\n")
    zeros = command("-", "-0", "-k", "2", "-o", "zeros", stdin=None, input="a.png\0two\nlines.png\0")
    assert (lines.returncode, zeros.returncode) == (0, 0)
    assert sorted(os.listdir("lines")) == ["a_k2.png", "a_report.json"]
    assert sorted(os.listdir("zeros")) == ["a_k2.png", "a_report.json", "two\nlines_k2.png", "two\nlines_report.json"]


def test_an_empty_standard_input_is_reported(command):
    result = command("-", "-o", "out")
    message = "gmmquant: -: standard input is empty; pipe an image into it\n"
    assert (result.returncode, result.stderr) == (1, message)


def test_a_list_may_have_a_byte_order_mark_of_utf_8_but_not_of_utf_16(tree):
    tree("a.png")
    Path("list").write_text("a.png\n", encoding="utf-8-sig")
    assert found("@list") == ["a.png"]
    Path("list").write_text("a.png\n", encoding="utf-16")
    assert failures("@list") == [("@list", "the list is UTF-16 text; write it as UTF-8")]


def test_names_instead_of_an_image_are_reported_with_a_remedy(command, tree, samples):
    tree("a.png")
    for names in ("a.png\nb.png\n", "a.png\0", "a.png"):
        result = command("-", "-o", "out", stdin=None, input=names)
        message = "gmmquant: -: standard input is a list of names, not an image; use @- to read it\n"
        assert (result.returncode, result.stderr) == (1, message)
    for other in ("nothing.png\n", "\n"):
        assert "not a supported image" in command("-", "-o", "out", stdin=None, input=other).stderr
    with (samples / "flat.png").open("rb") as image:
        assert command("-", "-o", "out", stdin=image).returncode == 0


def test_a_list_on_a_closed_standard_input_is_empty(command, tree):
    result = command("@-", "-k", "2", stdin=None, preexec_fn=lambda: os.close(0))
    assert result.returncode == 1
    assert result.stderr.startswith("gmmquant: @-: the list contains no names")
    assert result.stderr.count("\n") == 1


def test_a_long_list_is_planned(tree, tmp_path):
    n = 5_000
    Path("list").write_text("".join(f"photos/{i % 100}/{i}.png\n" for i in range(n)))
    jobs = plan(sources_of(["@list", "@list"]), Task([2, 3]), tmp_path / "out").entries
    assert len(jobs) == n
    assert jobs[4_321].report == tmp_path / "out/4321_report.json"


# --- the names of outputs ---------------------------------------------------------------------------------------------


def test_subfolders_are_kept_below_the_output_folder(command, tree, tmp_path):
    tree("in/a.png", "in/x/a.png", "in/x/y/a.png")
    assert command("in", "-r", "-k", "2", "-o", "out").returncode == 0
    made = {str(path.relative_to("out")) for path in Path("out").rglob("*") if path.is_file()}
    assert made == {f"{path}a_{what}" for path in ("", "x/", "x/y/") for what in ("k2.png", "report.json")}


def test_without_an_output_folder_outputs_go_beside_each_image(tree):
    tree("in/a.png", "in/x/a.png")
    folders = [job.folder for job in plan(sources_of(["in"], RECURSIVE), Task([2]), None).jobs]
    assert folders == [Path("in"), Path("in/x")]


@pytest.mark.parametrize(
    ("name", "folders"),
    [
        ("in", [".", "x", "x/y"]),
        ("in/**/*.png", [".", "x", "x/y"]),
        ("i?/**/*.png", ["in", "in/x", "in/x/y"]),
        ("in/*/a.png", ["x"]),
        ("in/x/*/a.png", ["y"]),
        ("./in/**/a.png", [".", "x", "x/y"]),
    ],
)
def test_outputs_go_to_the_subfolders_between_the_image_and_the_named_folder(tree, name, folders):
    tree("in/a.png", "in/x/a.png", "in/x/y/a.png")
    jobs = plan(sources_of([name], RECURSIVE), Task([2]), Path("out")).entries
    assert [str(job.folder.relative_to("out")) for job in jobs] == folders


@pytest.mark.parametrize("name", ["*/../../outside/*.png", "x/*/../../../outside/*.png", "../w*/x/../../outside/*.png"])
def test_every_output_stays_below_the_output_folder(tree, name, monkeypatch):
    tree("outside/a.png", "work/x/y/b.png")
    monkeypatch.chdir("work")
    (job,) = plan(sources_of([name]), Task([2]), Path("out")).entries
    for path in job.outputs:
        assert Path(os.path.normpath(path)).is_relative_to("out")


def test_an_image_named_twice_is_done_once(tree):
    tree("in/a.png", "in/b.png")
    Path("list").write_text("./in/b.png\n")
    jobs = plan(sources_of(["in/b.png", "in", "@list", "in/*"]), Task([2]), Path("out")).entries
    assert [job.source.name for job in jobs] == ["b.png", "a.png"]


def test_the_template_names_all_files(command, tree, tmp_path, samples):
    tree("cat.png")
    shutil.copy(samples / "cat.jpg", "cat.jpg")
    options = [
        "-k",
        "2",
        "--save-model",
        "--maps",
        "labels",
        "--palette-out",
        "hex",
        "--layers",
        "flat",
        "--max-iter",
        "2",
    ]
    refused = command("cat.png", "cat.jpg", *options, "-o", "out")
    assert (refused.returncode, os.path.exists("out")) == (2, False)
    assert command("cat.png", "cat.jpg", *options, "-o", "out", "--name", "{stem}.{ext}_k{k}").returncode == 0
    ends = ["k2.png", "k2.gmm.json", "k2_labels.png", "k2_palette.hex", "k2_layer01.png", "k2_layer02.png"]
    names = [f"cat.{ending}_{end}" for ending in ("jpg", "png") for end in [*ends, "report.json"]]
    assert sorted(os.listdir("out")) == sorted(names)


@given(st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=250))
@example("x" * 250)
@settings(max_examples=40)
def test_no_name_of_an_output_is_too_long(stem):
    products = Products(models=True, palettes=("hex",), maps=("entropy",), layers="exact")
    (job,) = plan([Source(Path(stem))], Task(["auto", "auto:99.999", 1000], products=products), Path("out")).jobs
    assert all(len(os.fsencode(path.name)) <= 255 for path in job.outputs)
    assert isinstance(job, Job)


@pytest.mark.parametrize(
    "url", ["ftp://[::1]/x.png", "memory://bucket*/a.png", "http://host/p0.png?sig=K", "http://h/a[1].png"]
)
def test_only_what_can_be_listed_is_a_pattern_and_only_after_its_host(url):
    assert is_pattern(parse_path(url)) == url.startswith("memory:")
    assert fixed_part(parse_path("memory://a/b*/c.png")) == parse_path("memory://a")


def test_an_existing_remote_file_is_not_taken_for_a_pattern():
    import fsspec

    fsspec.filesystem("memory").pipe_file("/brackets/a[1].png", b"x")
    (source,) = sources_of(["memory://brackets/a[1].png"])
    assert source.path == parse_path("memory://brackets/a[1].png")
