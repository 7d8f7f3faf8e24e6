"""A variant by --name has files about all images of its own, and every advice on such files can be followed."""

import itertools
import re
import shlex

import pytest
from PIL import Image

from gmmquant.pipeline.listed import images_listed
from gmmquant.pipeline.names import is_image_name, report_stem, stem_of_all

POSTER = ["--style", "poster", "--name", "{stem}_poster_k{k}"]
ABOUT_ALL = ["report.html", "report.csv", "components.csv", "report.md", "sheet.png"]
EVERYTHING = ["--report", "json,html,csv,md", "--sheet", "png"]


@pytest.fixture
def two(tmp_path):
    """A folder with two images of four colours."""
    folder = tmp_path / "two"
    folder.mkdir()
    for number, name in enumerate(("cat.png", "mug.png")):
        image = Image.new("RGB", (8, 8), (60 * number, 200, 90))
        image.paste((10, 20, 30), (0, 0, 4, 4))
        image.paste((200, 30, 30), (4, 4, 8, 8))
        image.paste((240, 240, 230), (0, 4, 2, 8))
        image.save(folder / name)
    return folder


@pytest.mark.parametrize(
    ("template", "stem"),
    {
        "{stem}_k{k}": "",
        "{stem}": "",
        "k{k}_{stem}": "",
        "{stem}_poster_k{k}": "poster",
        "{stem}_small_k{k}": "small",
        "{stem}-small-k{k}": "all-small",
        "poster-{stem}_k{k}": "poster-all",
        "{stem}_all_k{k}": "all_all",
        "a_{stem}_b{k}": "a_all_b",
        "{stem}.{ext}_k{k}": "all.ext",
        "{stem}_{ext}": "all_ext",
        "-{stem}": "-all",
    }.items(),
)
def test_files_about_all_images_start_with_the_text_of_the_template(template, stem):
    assert stem_of_all(template) == stem


@pytest.mark.parametrize(
    ("template", "stem"),
    [
        ("{stem}_k{k}", "cat"),
        ("{stem}_{k}x", "cat_x"),
        ("{stem}-{ext}-{k}colours", "cat-png-colours"),
        ("{k}_{stem}", "cat"),
    ],
)
def test_text_after_the_number_of_colours_is_a_word_of_its_own(template, stem):
    assert report_stem(template, "cat", "png") == stem


def test_templates_share_files_about_all_images_only_if_they_share_the_reports_of_images():
    """The reports then keep the fits of both, and other settings are refused."""
    parts, separators = ["{stem}", "{stem}", "poster", "x2", "{ext}", "k{k}", "{k}"], "-_. "
    templates = {
        separator.join(chosen)
        for n in (1, 2, 3, 4)
        for chosen in itertools.permutations(parts, n)
        for separator in separators
        if chosen.count("{stem}") == 1
    }
    templates |= {template.replace(separators[0], "_", 1) for template in templates}
    of_reports = {template: report_stem(template, "<stem>", "<ext>") for template in templates}
    of_all = {template: stem_of_all(template) for template in templates}
    pairs = {(of_reports[template], of_all[template]) for template in templates}
    assert len(pairs) == len(set(of_reports.values())) == len(set(of_all.values()))
    assert len(pairs) > 100


@pytest.mark.parametrize("name", ["a.b_k3.png", "a.b_kauto.webp", "a.b_kauto4.5.png"])
def test_an_image_at_any_k_has_the_name_of_the_template(name):
    assert is_image_name("{stem}_k{k}", "a.b", "png", name)
    for template in ("{stem}-k{k}", "{stem}_x_k{k}", "{stem}.{ext}_k{k}"):
        assert not is_image_name(template, "a.b", "png", name)
    assert not is_image_name("{stem}_k{k}", "axb", "png", name)


def test_a_variant_has_an_index_tables_and_a_sheet_of_its_own(command, two, tmp_path):
    options = ["two", "-k", "2", "-o", "v", *EVERYTHING]
    assert command(*options).returncode == 0
    before = {name: (tmp_path / "v" / name).read_bytes() for name in ABOUT_ALL}
    for more in ([], ["--skip-existing"], ["-k", "3", "--skip-existing"]):
        variant = command(*options, *POSTER, *more)
        assert (variant.returncode, "not updated" in variant.stderr) == (0, False), variant.stderr
    assert {name: (tmp_path / "v" / name).read_bytes() for name in ABOUT_ALL} == before
    assert all((tmp_path / "v" / f"poster_{name}").exists() for name in ABOUT_ALL)
    index = (tmp_path / "v/poster_report.html").read_text()
    assert "./cat_poster_report.html" in index
    assert "./cat_report.html" not in index


def test_the_index_of_the_folder_is_not_said_to_lack_a_variant(command, two):
    assert command("two", "-k", "2", "-o", "v", *EVERYTHING).returncode == 0
    assert "not updated" not in command("two", "-k", "2", "-o", "v", *POSTER).stderr
    one = command("two/cat.png", "-k", "2", "-o", "v", "--name", "{stem}_p2_k{k}", "--report", "json,html")
    assert (one.returncode, "not updated" in one.stderr) == (0, False)
    named = command("two/cat.png", "-k", "2", "-o", "v/other.png", "--report", "json")
    assert (named.returncode, "not updated" in named.stderr) == (0, False)


@pytest.mark.parametrize("name", ["poster_{stem}_k{k}", "{stem}-poster-k{k}", "{stem}_poster_{ext}_k{k}"])
def test_a_variant_of_the_same_text_has_a_sheet_and_an_index_of_its_own(command, two, tmp_path, name):
    options = ["two", "-k", "2", "-o", "v"]
    assert command(*options, *EVERYTHING, *POSTER).returncode == 0
    before = {path: path.read_bytes() for path in (tmp_path / "v").iterdir()}
    first = command(*options, "--name", name)  # the sheet of the other variant is not said to lack this one
    assert (first.returncode, "not updated" in first.stderr) == (0, False)
    for more in (["--skip-existing"], ["-k", "3", "--skip-existing"], ["--force"]):
        assert command(*options, *EVERYTHING, "--name", name, *more).returncode == 0
    assert {path: path.read_bytes() for path in before} == before
    own = {f"{stem_of_all(name)}_{each}" for each in ABOUT_ALL}
    assert own <= {path.name for path in (tmp_path / "v").iterdir()} - {path.name for path in before}


@pytest.mark.parametrize("report", ["html", "csv", "md"])
def test_names_that_differ_in_k_alone_share_a_report_and_files_about_all(command, two, tmp_path, report):
    options = ["two", "-o", "v", "--report", f"json,{report}", "--sheet"]
    assert command(*options, "-k", "2", *POSTER).returncode == 0
    other = ["--name", "{stem}_poster-{k}"]
    refused = command(*options, "-k", "3", *other)  # another style
    assert refused.returncode == 1
    assert "written with --style poster, this run is with --style mixture" in refused.stderr
    assert command(*options, "-k", "3", *other, "--style", "poster").returncode == 0
    listed = (tmp_path / f"v/poster_report.{report}").read_text()
    if report == "html":
        listed = (tmp_path / "v/cat_poster_report.html").read_text()
    assert "cat_poster_k2.png" in listed
    assert "cat_poster-3.png" in listed


def test_images_of_one_output_name_are_done_as_the_message_says(command, two):
    Image.open(two / "cat.png").save(two / "cat.bmp")
    (two / "dot.png").write_bytes((two / "mug.png").read_bytes())
    options = ["-k", "2", "-o", "v", *EVERYTHING]
    failed = command("two", *options)
    assert failed.returncode == 1
    name = shlex.split(re.search(r"use (--name '[^']*') for these", failed.stderr)[1])
    assert command("two/cat.png", "two/cat.bmp", *options, *name).returncode == 0


def test_the_page_of_an_image_is_not_replaced_by_an_index_of_its_name(command, two, tmp_path):
    (two / "cat.png").rename(two / "poster.png")
    assert command("two/poster.png", "-k", "2", "-o", "v", *EVERYTHING).returncode == 0
    before = {path: path.read_bytes() for path in (tmp_path / "v").iterdir()}
    for reports in (["--report", "html"], ["--report", "none", "--sheet"], ["--report", "json,csv"]):
        refused = command("two", "-k", "2", "-o", "v", *POSTER, *reports)
        assert refused.returncode == 1
        assert "of ../two/poster.png alone; use another --output or --name, or --force" in refused.stderr
    assert {path: path.read_bytes() for path in (tmp_path / "v").iterdir()} == before
    assert command("two", "-k", "2", "-o", "v", "--report", "html", "--name", "{stem}_p_k{k}").returncode == 0


@pytest.mark.parametrize("reports", [["--report", "csv"], ["--report", "md"], ["--report", "none", "--sheet"]])
def test_files_without_records_are_kept_and_each_remedy_works(command, two, reports):
    options = ["two", "-o", "v", *reports]
    assert command(*options, "-k", "1").returncode == 0
    refused = command(*options, "-k", "2")
    first, then = (
        "run first with the k and the options that it has and (.*) alone(.*?)",
        "(, then add (.*) to this run)?",
    )
    found = re.search(f"{first}{then}, or use (.*)$", refused.stderr)
    assert found[5] == "another --output or --name, or --force to replace it"
    assert command(*options, "-k", "2", *POSTER).returncode == 0
    assert command(*options, "-k", "2", "-o", "w").returncode == 0
    assert found[2] == (", without --sheet" if "--sheet" in reports else "")
    first = ["two", "-o", "v", "-k", "1", *shlex.split(found[1])]
    assert command(*first).returncode == 0
    if found[3]:
        once_more = command(*options, "-k", "2")
        assert "would lose what it has; add --report json, or use another --output" in once_more.stderr
        options = ["two", "-o", "v", "--sheet", *shlex.split(found[4])]
    assert command(*options, "-k", "2").returncode == 0


def test_a_table_that_the_records_lack_is_refused_with_a_remedy_that_works(command, two, tmp_path):
    options = ["two", "-o", "v", "--report"]
    assert command(*options, "csv", "-k", "1").returncode == 0
    added = command(*options, "json", "-k", "2")
    assert (added.returncode, "not updated" in added.stderr) == (0, False)  # the option alone would be refused
    refused = command(*options, "csv", "-k", "2", "--skip-existing")
    assert (
        "v/report.csv has cat_k1.png, which is not in the reports of this run; run first with its k" in refused.stderr
    )
    assert command(*options, "json", "-k", "1", "--skip-existing").returncode == 0
    assert command(*options, "csv", "-k", "2", "--skip-existing").returncode == 0
    assert {row.split(",")[1] for row in (tmp_path / "v/report.csv").read_text().splitlines()[1:]} == {
        f"{name}_k{k}.png" for name in ("cat", "mug") for k in (1, 2)
    }


def test_files_of_other_settings_are_not_said_to_lack_a_run_without_reports(command, two):
    assert command("two", "-k", "2", "-o", "v", "--report", "html").returncode == 0
    other = command("two", "-k", "3", "-o", "v", "--report", "none", "--style", "poster")
    assert (other.returncode, "not updated" in other.stderr) == (0, False)
    same = command("two", "-k", "1", "-o", "v", "--report", "none")
    options = re.search(r"not updated; add (.*)", same.stderr)[1]
    again = command("two", "-k", "1", "-o", "v", *shlex.split(options))
    assert again.returncode == 0, again.stderr


def test_one_image_of_a_folder_names_the_files_of_its_own_variant(command, two, tmp_path):
    assert command("two", "-k", "2", "-o", "v", *EVERYTHING, *POSTER).returncode == 0
    one = command("two/cat.png", "-k", "3", "-o", "v", *POSTER)
    note = re.search(r"are not updated; run over all images with (.*)", one.stderr)
    assert command("two", "-k", "3", "-o", "v", *POSTER, *shlex.split(note[1])).returncode == 0
    assert "./cat_poster_report.html" in (tmp_path / "v/poster_report.html").read_text()


def test_outputs_of_other_settings_are_not_refused_with_an_advice_that_is_refused_too(command, two):
    assert command("two", "-k", "2", "-o", "v").returncode == 0
    same = command("two", "-k", "2", "-o", "v")
    assert "cat_k2.png exists; use --force to replace it, --skip-existing to write what is missing" in same.stderr
    assert command("two", "-k", "2", "-o", "v", "--skip-existing").returncode == 0
    other = command("two", "-k", "2", "-o", "v", "--style", "poster")
    assert (other.returncode, "exist" in other.stderr) == (1, False)
    assert "was written with --style mixture, this run is with --style poster; use the same options" in other.stderr


@pytest.mark.parametrize("images", [["two"], ["two/cat10.png", "two/2023/a.png", "two/cat2.png"]])
def test_files_about_all_images_have_the_same_order_with_a_shared_mixture(command, two, tmp_path, images):
    (two / "2023").mkdir()
    for name in ("2023/a.png", "cat10.png", "cat2.png"):
        (two / name).write_bytes((two / "cat.png").read_bytes())
    options = [*images, "-r", "-k", "2", "--report", "json,html,csv,md"]
    for more in (["-o", "v"], ["-o", "s", "--shared"], ["-o", "s", "--shared", "--skip-existing"]):
        assert command(*options, *more).returncode == 0
    for end in (".csv", ".md", ".html"):
        plain = images_listed(end, (tmp_path / f"v/report{end}").read_bytes())
        assert images_listed(end, (tmp_path / f"s/shared_report{end}").read_bytes()) == plain
        assert len(plain) == (5 if images == ["two"] else 3)


def test_a_second_run_beside_the_images_has_no_note_on_the_sheet_of_a_variant(command, two):
    for _ in range(2):
        for more in ([], POSTER):
            result = command("two", "-k", "2", "--sheet", "--skip-existing", *more)
            assert (result.returncode, "left out" in result.stderr) == (0, False), result.stderr
    assert "left out of two" in command("two", "-k", "2", "--sheet", "--skip-existing", "-v").stderr
