"""The index of images that share a mixture: its palettes, and links to the results."""

import re


def test_the_index_of_a_shared_mixture_has_its_palettes_and_links_to_the_results(command, samples, tmp_path):
    images = [samples / "cat.jpg", samples / "flat.png"]
    result = command(*images, "-k", "3", "5", "--shared", "-o", "out", "--report", "json,html")
    assert result.returncode == 0, result.stderr
    page = (tmp_path / "out/shared_report.html").read_text()
    record = (tmp_path / "out/shared_report.json").read_text()
    shown = re.findall(r"<code>(#[0-9a-f]{6})</code>", page)
    assert shown == re.findall(r"#[0-9a-f]{6}", record)
    assert set(re.findall(r'href="(\./[^"]+)"', page)) == {"./cat_k3.png", "./flat_k3.png"}
    assert re.search(r"<output[^>]*>2 images", page)
