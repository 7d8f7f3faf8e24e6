"""Images whose outputs would be the same file, or the file of an input, are not done; all others are."""

import shutil
from pathlib import Path

import pytest

from gmmquant.errors import OutputError
from gmmquant.pipeline.plan import Products, Task, plan
from gmmquant.pipeline.sources import Reading, sources_of

PLAIN, RECURSIVE = Reading(), Reading(recursive=True)


def clash(*names, folder=Path("out"), reading=PLAIN):
    with pytest.raises(OutputError) as error:
        plan(sources_of(names, reading), Task([2]), folder)
    return str(error.value)


def test_each_clash_is_reported_with_a_remedy_that_works(tree):
    tree("a.jpg", "a.png", "x/b.png", "y/b.png", "n.png", "N.png")
    assert "a.jpg and a.png would both write a_k2.png; use --name '{stem}.{ext}_k{k}'" in clash("a.jpg", "a.png")
    assert len(plan(sources_of(["a.jpg", "a.png"]), Task([2], name="{stem}.{ext}_k{k}"), Path("out")).jobs) == 2
    assert "name their common folder with -r" in clash("x/b.png", "y/b.png")
    everything = [name for name in sources_of(["."], RECURSIVE) if name.path.parent != Path()]
    assert len(plan(everything, Task([2]), Path("out")).jobs) == 2
    assert "rename one, or use a separate --output for each" in clash("n.png", "N.png")


def test_the_first_clash_is_reported_and_the_others_are_counted(tree):
    names = [f"{folder}/{i}.png" for folder in "xy" for i in range(5)]
    tree(*names)
    assert clash("x", "y").startswith(
        "x/0.png and y/0.png would both write 0_k2.png, and 4 other images clash too; name their common folder"
    )
    assert "write 0_k2.png, and 1 other image clashes too; " in clash("x/0.png", "x/1.png", "y/0.png", "y/1.png")


def test_images_of_a_shared_mixture_that_clash_stay_in_one_run(command, tree, tmp_path):
    tree("a.jpg", "a.png", "c.png", "x/b.png", "y/b.png")
    shared = ["-k", "2", "--shared", "-o", "out"]
    remedies = {
        ("a.jpg", "a.png", "c.png"): "use --name '{stem}.{ext}_k{k}', which names outputs such as cat.jpg_k7.png, or",
        ("x/b.png", "y/b.png", "c.png"): "name their common folder with -r, or rename one",
    }
    for images, remedy in remedies.items():
        refused = command(*images, *shared)
        assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
        assert f"; {remedy}" in refused.stderr
        assert "separate" not in refused.stderr
        assert "for these" not in refused.stderr
        assert not (tmp_path / "out").exists()
    everything = [".", "-r", *shared, "--name", "{stem}.{ext}_k{k}"]
    assert command(*everything).returncode == 0
    assert len(list((tmp_path / "out").rglob("*_k2.png"))) == 5


@pytest.mark.parametrize("other", ["e\u0301.png", "É.png", "E\u0301.png"])
def test_names_that_are_equal_on_some_file_systems_clash(tree, other):
    tree("é.png", other)
    assert "would both write" in clash("é.png", other)


def test_outputs_in_one_folder_under_two_names_clash(tree):
    tree("x/a.png", "y/a.jpg", link={"door": "x"})
    assert "would both write" in clash("door/a.png", "x/a.png", folder=None)


def test_only_the_image_whose_output_is_an_input_fails(command, tree, samples, tmp_path):
    tree("flat.png", "other.png")
    shutil.copy(samples / "grey.png", "flat_k3.png")
    own = Path("flat_k3.png").read_bytes()
    result = command(".", "-k", "3", "--force")
    assert result.returncode == 1
    reason = "flat.png: flat.png would overwrite the input flat_k3.png; use another --name, or a folder for --output"
    assert result.stderr.count(f"gmmquant: {reason}\n") == 1
    assert "2 done, 1 failed" in result.stderr
    assert Path("flat_k3.png").read_bytes() == own
    made = {path.name for path in tmp_path.iterdir()} - {"flat.png", "other.png", "flat_k3.png"}
    assert made == {"other_k3.png", "other_report.json", "flat_k3_k3.png", "flat_k3_report.json"}


def test_an_image_whose_own_file_would_be_replaced_fails_alone(command, tree):
    tree("flat.png", "x/other.jpg")
    result = command("flat.png", "x/other.jpg", "-k", "2", "--name", "{stem}", "--force")
    assert result.returncode == 1
    assert "gmmquant: flat.png: flat.png would overwrite the input flat.png; use another --name" in result.stderr
    assert Path("x/other.png").exists()


@pytest.mark.parametrize("options", [["--shared"], ["--name", "{stem}"]])
def test_all_are_refused_if_they_share_a_palette_or_all_clash(command, tree, options):
    tree("flat.png", "flat_k3.png")
    result = command(".", "-k", "3", "--force", *options)
    assert (result.returncode, result.stderr.count("\n")) == (2, 1)
    assert "would overwrite the input" in result.stderr
    assert sorted(path.name for path in Path().iterdir()) == ["flat.png", "flat_k3.png"]


def test_the_others_are_counted_whatever_they_clash_with(tree):
    tree("a.png", "a_k2.png", "b.png", "x/b.png", "x/c.png")
    with pytest.raises(OutputError) as error:
        plan(sources_of([".", "x"]), Task([2], shared=True), Path())
    assert str(error.value).startswith("a.png would overwrite the input a_k2.png, and 1 other image clashes too; ")


@pytest.mark.parametrize(("kind", "name"), [("flat", "cat_k3_layer02.png"), ("exact", "cat_k3_layer02_exact.png")])
def test_no_layer_may_overwrite_an_input(tree, kind, name):
    tree("cat.png", name)
    failure, job = plan(sources_of(["cat.png", name]), Task([3], products=Products(layers=kind)), None).entries
    assert failure.reason.startswith(f"cat.png would overwrite the input {name}; ")
    assert job.source.name == name
