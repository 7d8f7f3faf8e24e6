"""Runs on a cluster whose workers are killed and join at random moments: as if nothing had happened.

Each test runs for one seed; `make kill-test` runs for ten.
"""

import json
import os
import random
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest
from PIL import Image

pytest.importorskip("distributed")

from dask_cluster import Dask, without_seconds

N_SEEDS = min(10, int(os.environ.get("GMMQUANT_KILLS", "1")))
N_IMAGES, N_WORKERS = 48, 3

MODES = {"each image alone": ["--json-lines"], "one mixture": ["--json-lines", "--shared", "--save-model"]}


@pytest.fixture(scope="module")
def work(tmp_path_factory, photo, clean_environment):
    """A folder with images in two subfolders, and the outputs of a run without a cluster for each mode."""
    folder = tmp_path_factory.mktemp("work")
    pixels = np.asarray(photo)
    for number in range(N_IMAGES):
        path = folder / "photos" / "ab"[number % 2] / f"p{number}.{'png' if number % 3 else 'jpg'}"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(cv2.add(pixels, float(number))).save(path)
    for mode, options in MODES.items():
        process = start(folder, clean_environment, f"plain {mode}", *options, "--jobs", "1")
        assert process.communicate()[1].count("\n") == 1
        assert process.returncode == 0
    return folder


def start(folder, environment, output, *options):
    command = [sys.executable, "-m", "gmmquant", "photos", "-r", "-k", "2", "3", "--max-iter", "40", "-o", output]
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([*command, *options], cwd=folder, env=environment, text=True, **streams)


def outputs(folder):
    """The files below a folder by name; records without the seconds and the name of this folder."""
    found = {}
    for path in filter(lambda path: path.is_file(), folder.rglob("*")):
        found[str(path.relative_to(folder))] = (
            without_seconds(json.loads(path.read_text())) if path.name.endswith("report.json") else path.read_bytes()
        )
    return found


def disturb(dask, chance):
    """Kill two workers and start another, at random moments of the next second."""
    for what in chance.sample(["kill", "kill", "join"], 3):
        time.sleep(chance.uniform(0, 0.4))
        if what == "kill":
            dask.kill_a_worker(chance.randrange(len(dask.workers)))
        else:
            dask.start_a_worker()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(N_SEEDS))
@pytest.mark.parametrize("mode", MODES)
def test_a_run_whose_workers_are_killed_and_join_late_has_the_outputs_of_one_without_a_cluster(
    work, tmp_path, clean_environment, mode, seed
):
    """Two of three workers are killed, and a fourth joins, each at a random moment of the run."""
    chance, dask, output = random.Random(f"{mode} {seed}"), Dask(tmp_path), f"{mode} {seed}"
    try:
        dask.complete(N_WORKERS)
        with start(work, clean_environment, output, *MODES[mode], "--scheduler", dask.address) as process:
            lines = []
            n_before = chance.choice([0, chance.randrange(N_IMAGES - 8)])  # 0: also while colours are counted
            if n_before == 0:
                time.sleep(chance.uniform(0.5, 2))
                disturb(dask, chance)
            for line in process.stdout:
                lines.append(json.loads(line))
                if len(lines) == n_before:
                    disturb(dask, chance)
            errors = process.stderr.read()
        assert process.returncode == 0, errors
    finally:
        dask.stop()
    sources = sorted(line["source"] for line in lines if line["outcome"] == "done")
    assert sources == sorted(str(path.relative_to(work)) for path in (work / "photos").rglob("p*"))
    assert errors.count("\n") == 1, errors
    assert f"{N_IMAGES} done" in errors
    assert outputs(work / output) == outputs(work / f"plain {mode}")
