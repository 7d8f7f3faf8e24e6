"""Batches that are stopped or killed at any moment, and two at once: no file is incomplete, lost or left behind.

Each test runs for one moment; `make kill-test` runs for more, GMMQUANT_KILLS of them.
"""

import contextlib
import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image
from running import pids_of_workers
from test_batch import digests
from waiting import GUARD_SECONDS, wait_for

N_KILLS = int(os.environ.get("GMMQUANT_KILLS", "1"))
CODES = {signal.SIGINT: (130, -signal.SIGINT), signal.SIGTERM: (143, -signal.SIGTERM), signal.SIGKILL: (-9,)}
OPTIONS = ["photos", "-r", "-k", "2", "5", "--jobs", "2", "--max-iter", "30", "-q", "-o"]


@pytest.fixture(scope="module")
def work(tmp_path_factory, samples, clean_environment):
    """Return a folder with images in subfolders and the outputs of an undisturbed run, and the seconds of that run."""
    folder = tmp_path_factory.mktemp("kills")
    for path in ("photos/a", "photos/b"):
        (folder / path).mkdir(parents=True)
        for name in ("flat.png", "grey.png", "alpha.png", "sixteen.png", "cat.jpg", "ball.webp"):
            shutil.copy(samples / name, folder / path)
    started = time.monotonic()
    undisturbed = start(folder, clean_environment, "undisturbed")
    assert undisturbed.communicate(timeout=GUARD_SECONDS) == ("", "")
    return folder, time.monotonic() - started


@pytest.fixture
def output(work, request):
    """Return an output folder beside that of the undisturbed run, so that paths in the reports are the same."""
    folder = work[0] / hashlib.sha256(request.node.name.encode()).hexdigest()[:16]
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def start(folder, environment, output, *options, **settings):
    """Start a run as a terminal does: in a new process group, to which Ctrl-C sends its signal."""
    command = [sys.executable, "-m", "gmmquant", *OPTIONS, output, *options]
    settings = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **settings}
    return subprocess.Popen(command, cwd=folder, env=environment, text=True, start_new_session=True, **settings)


def wait_until_signals_are_handled(process):
    """Wait until a run handles SIGTERM: before, while Python starts, Ctrl-C ends it with a traceback."""

    def handles_sigterm():
        status = Path(f"/proc/{process.pid}/status").read_text()
        return int(status.partition("SigCgt:")[2].split()[0], 16) >> (signal.SIGTERM - 1) & 1

    wait_for(handles_sigterm)


def check_that_files_are_complete(folder, undisturbed, *, swept):
    """Check that every file is that of an undisturbed run; temporary files may be left if not `swept`."""
    for path in filter(Path.is_file, folder.rglob("*")):
        if path.name.startswith(".gmmquant-"):
            assert not swept, path
        elif path.suffix == ".json":
            json.loads(path.read_text())
            assert (undisturbed / path.relative_to(folder)).exists()
        else:
            assert path.read_bytes() == (undisturbed / path.relative_to(folder)).read_bytes()
            with Image.open(path) as image:
                image.load()


@pytest.mark.parametrize("seed", range(N_KILLS))
@pytest.mark.parametrize(
    ("number", "to_all"),
    [
        pytest.param(signal.SIGINT, True, id="Ctrl-C, which all processes get"),
        pytest.param(signal.SIGINT, False, id="SIGINT"),
        pytest.param(signal.SIGTERM, True, id="SIGTERM to all"),
        pytest.param(signal.SIGTERM, False, id="SIGTERM"),
        pytest.param(signal.SIGKILL, False, id="SIGKILL"),
    ],
)
def test_a_batch_stopped_at_any_moment_can_be_resumed(work, output, clean_environment, number, seed, to_all):
    folder, seconds = work
    undisturbed = folder / "undisturbed"
    process = start(folder, clean_environment, output)
    # Half of the moments are in the first tenth of the work, when processes start.
    chance = random.Random(f"{number} {seed} {to_all}")
    wait_until_signals_are_handled(process)
    time.sleep(seconds * chance.uniform(0, chance.choice([0.2, 0.9])))
    workers = []
    with contextlib.suppress(OSError):
        workers = pids_of_workers(process.pid)
    if to_all:
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    _, errors = process.communicate(timeout=GUARD_SECONDS)
    ended = process.returncode
    assert ended in (*CODES[number], 0), errors
    assert "Traceback" not in errors
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))
    check_that_files_are_complete(output, undisturbed, swept=number != signal.SIGKILL)
    again = start(folder, clean_environment, output, "--skip-existing")
    _, errors = again.communicate(timeout=GUARD_SECONDS)
    assert (again.returncode, errors) == (0, "")
    check_that_files_are_complete(output, undisturbed, swept=True)
    assert digests(output) == digests(undisturbed)


@pytest.mark.parametrize("seed", range(N_KILLS))
def test_if_workers_are_killed_only_their_images_fail(work, output, clean_environment, seed):
    folder, seconds = work
    undisturbed = folder / "undisturbed"
    process = start(folder, clean_environment, output, "--json-lines")
    chance, killed = random.Random(seed), 0
    time.sleep(0.15)
    while killed < 4 and process.poll() is None:
        time.sleep(chance.uniform(0, seconds / 5))
        with contextlib.suppress(OSError, IndexError):
            os.kill(chance.choice(pids_of_workers(process.pid)), signal.SIGKILL)
            killed += 1
    shown, errors = process.communicate(timeout=GUARD_SECONDS)
    outcomes = [json.loads(line)["outcome"] for line in shown.splitlines()]
    lost = outcomes.count("failed")
    assert (len(outcomes), outcomes.count("done")) == (12, 12 - lost)
    assert lost <= killed
    assert process.returncode == (1 if lost else 0)
    assert errors.count("its process was killed by SIGKILL") == errors.count("\n") == lost
    check_that_files_are_complete(output, undisturbed, swept=True)
    again = start(folder, clean_environment, output, "--skip-existing")
    assert again.communicate(timeout=GUARD_SECONDS) == ("", "")
    assert digests(output) == digests(undisturbed)


@pytest.mark.parametrize("seed", range(N_KILLS))
def test_two_runs_into_one_folder_do_not_disturb_each_other(work, output, clean_environment, seed):
    folder, seconds = work
    undisturbed = folder / "undisturbed"
    first = start(folder, clean_environment, output)
    time.sleep(random.Random(seed).uniform(0, seconds / 2))
    second = start(folder, clean_environment, output)
    ends = [process.communicate(timeout=GUARD_SECONDS) for process in (first, second)]
    for process, (_, errors) in zip((first, second), ends, strict=True):
        assert process.returncode in (0, 1)
        first_line, *others = errors.splitlines() or [""]
        assert " exists; use --force to replace it, --skip-existing" in first_line or not errors
        assert all(re.search(r"\d more images? ha(s|ve) outputs that exist; use", line) for line in others)
        assert len(others) <= 1
        assert process.returncode == (1 if errors else 0)
    left = [path for path in output.rglob("*") if path.name.startswith(".gmmquant-")]
    assert left == []
    assert digests(output) == digests(undisturbed)


@pytest.mark.parametrize("options", [["--skip-existing"], ["--force"]], ids=" ".join)
def test_two_runs_that_skip_or_replace_files_give_the_outputs_of_one(work, output, clean_environment, options):
    folder, _ = work
    runs = [start(folder, clean_environment, output, *options) for _ in range(2)]
    ends = [process.communicate(timeout=GUARD_SECONDS) for process in runs]
    assert [(process.returncode, errors) for process, (_, errors) in zip(runs, ends, strict=True)] == [(0, "")] * 2
    assert digests(output) == digests(folder / "undisturbed")
