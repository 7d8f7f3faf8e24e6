"""A run over a thousand images holds the memory, the files and the processes that it has at its beginning."""

import sys

import pytest
from PIL import Image
from soak import RUNS, draw_images, watch

N_IMAGES = 1000

# Python and its allocator take some memory later: for one image more, not for each.
MAX_KB_OF_A_WORKER = 8_000
MAX_KB_OF_AN_IMAGE = 20  # of the command, which collects the tables, the index and the shared record


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="it reads /proc")
@pytest.mark.parametrize("name", ["plain", "tables", "shared"])
def test_a_long_run_holds_what_it_has_at_its_beginning(tmp_path, clean_environment, name):
    draw_images(tmp_path / "album", N_IMAGES)
    command = [sys.executable, "-m", "gmmquant", "album", "-r", *RUNS[name], "-o", "out", "--jobs", "2"]
    run = watch(command, tmp_path, clean_environment, interval=0.1)
    assert run.code == 0
    assert f"{N_IMAGES:,} done" in run.lines[-1]

    working = [sample for sample in run.samples if sample.workers == 2 and 0 < sample.lines < N_IMAGES]
    begun = working[len(working) // 2 :]  # each process has allocated what it keeps: 14 MB in its first 200 images
    first, last = begun[0], begun[-1]
    assert max(sample.workers for sample in run.samples) == 2
    assert max(sample.descriptors for sample in begun) <= first.descriptors + 1
    assert max(sample.worker_descriptors for sample in begun) <= 16
    assert last.largest_worker - first.largest_worker < MAX_KB_OF_A_WORKER
    assert last.memory - first.memory < MAX_KB_OF_AN_IMAGE * (last.lines - first.lines) + 2_000

    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert not [path for path in files if path.name.startswith(".gmmquant-")]
    images = [path for path in files if path.suffix == ".png"]
    assert len(images) == N_IMAGES
    for path in images[::50]:
        with Image.open(path) as image:
            image.load()
