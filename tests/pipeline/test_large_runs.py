"""Runs over many images: the memory and the work of the command grow by a little for each, not by more and more."""

import gc
import weakref

import cv2
import numpy as np
import pytest
from PIL import Image

from gmmquant.pipeline import listed, outdated
from gmmquant.pipeline.listed import images_left_out
from gmmquant.pipeline.outdated import outdated_note
from gmmquant.pipeline.plan import Products, Task, plan
from gmmquant.pipeline.shared_palette import run_shared
from gmmquant.pipeline.sources import Source
from gmmquant.pipeline.summary import summarized
from gmmquant.report.outcome import Done, Summary
from gmmquant.system.executors.base import ignore
from gmmquant.system.executors.serial import SerialExecutor
from gmmquant.system.paths import identity


@pytest.fixture
def album(tmp_path, photo):
    """Return a function that draws an album of `n` images and plans a run over it."""

    def planned(n, reports, **options):
        folder = tmp_path / f"album{n}"
        folder.mkdir()
        pixels = np.asarray(photo)
        for number in range(n):
            Image.fromarray(cv2.add(pixels, float(number))).save(folder / f"p{number}.png")
        sources = [Source(path) for path in sorted(folder.iterdir())]
        return plan(sources, Task([2], products=Products(reports=reports), **options), tmp_path / f"out{n}")

    return planned


def test_a_shared_run_keeps_no_pixels_of_the_images_that_it_has_shown(album):
    planned = album(6, ("json", "html", "csv", "md"), shared=True, illustrated=20_000)
    shown, alive = [], None
    for outcome in summarized(planned, run_shared(planned, SerialExecutor(), ignore, ignore)):
        if isinstance(outcome, Done):
            shown.append(weakref.ref(outcome.illustration.original))
        if isinstance(outcome, Summary) and alive is None:
            gc.collect()
            alive = sum(pixels() is not None for pixels in shown)
        del outcome
    assert len(shown) == 6
    assert alive == 0
    page = (planned.shared_job.folder / "shared_report.html").read_text()
    assert page.count("data:image/webp") == 12  # the thumbnails of the images, and of their results


def test_pages_that_are_not_updated_are_found_in_work_that_grows_with_their_number(album, monkeypatch):
    calls = []
    find = outdated.summary_files
    monkeypatch.setattr(outdated, "summary_files", lambda planned: calls.append(1) or find(planned))
    numbers = []
    for n in (4, 12):
        planned = album(n, ("json",))
        for job in planned.jobs:
            job.folder.mkdir(exist_ok=True)
            (job.folder / f"{job.stem}_report.html").touch()
        calls.clear()
        assert f"and {n - 2} more are not updated; add --skip-existing --report html" in outdated_note(
            planned, {identity(job.source) for job in planned.jobs}
        )
        numbers.append(len(calls))
    assert numbers[0] == numbers[1]  # each looks at all jobs


class Compared(str):
    """A text that counts how often texts are compared with it."""

    __slots__ = ()
    n = 0

    def __eq__(self, other):
        Compared.n += 1
        return str.__eq__(self, other)

    __hash__ = str.__hash__


def test_images_that_a_table_lists_are_looked_up_in_work_that_grows_with_their_number(album, monkeypatch, tmp_path):
    planned, numbers = album(1, ("csv",)), []
    for n in (50, 200):
        monkeypatch.setattr(listed, "images_listed", lambda *_, n=n: [Compared(f"p{i}.png") for i in range(n)])
        Compared.n = 0
        missing, gone = images_left_out(planned, tmp_path / "report.csv", b"")
        assert (missing, len(gone)) == ([], n)
        numbers.append(Compared.n)
    assert numbers[1] <= 4 * numbers[0] + 8
