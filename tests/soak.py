"""Run the command over many small images and watch its processes: `make soak N=20000`.

Images of 24 to 64 pixels are cut from the sample images, half of them PNG and half JPEG, in folders of a hundred. For
each kind of run, the memory, the open files and the processor time of the command and its worker processes are read
once a second from /proc (Linux). Every line that the command writes about an image has its time. The samples are kept
as CSV, and the figures are printed: times are processor time, because a machine may have other work.
"""

import argparse
import contextlib
import csv
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from running import pids_of_workers

SAMPLES = Path(__file__).parent.parent / "sample_images"
IN_A_FOLDER = 100
TICKS = os.sysconf("SC_CLK_TCK")

RUNS = {
    "plain": ["-k", "4"],
    "again": ["-k", "4", "--skip-existing"],
    "tables": ["-k", "4", "--report", "json,csv,html"],
    "tables again": ["-k", "4", "--report", "json,csv,html", "--skip-existing"],
    "shared": ["-k", "4", "--shared", "--report", "json,csv,html"],
    "shared again": ["-k", "4", "--shared", "--report", "json,csv,html", "--skip-existing"],
}


def draw_images(folder, n, seed=0):
    """Write `n` small images of different content into folders of a hundred, two levels deep."""
    rng = random.Random(seed)
    originals = [cv2.imread(str(SAMPLES / name)) for name in ("cat.jpg", "coffee.png", "rocket.jpg")]
    for number in range(n):
        whole = rng.choice(originals)
        height, width = rng.randint(24, 64), rng.randint(24, 64)
        y, x = rng.randint(0, whole.shape[0] - height), rng.randint(0, whole.shape[1] - width)
        part = cv2.convertScaleAbs(whole[y : y + height, x : x + width], alpha=rng.uniform(0.6, 1.2))
        part[0, 0] = np.frombuffer((number + 1).to_bytes(3, "little"), np.uint8)  # no two are the same
        group = number // IN_A_FOLDER
        below = folder / f"{group // 10:03}" / f"{group:04}"
        below.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(below / f"image{number}.{'png' if number % 2 else 'jpg'}"), part)


class Sample(NamedTuple):
    """The state of a process and its children at a moment; memory in kB, time in seconds of a processor."""

    seconds: float  # since the start
    lines: int  # that the command has written
    cpu: float  # of the command and its children
    memory: int  # of the command
    descriptors: int
    workers: int
    largest_worker: int  # memory
    worker_descriptors: int  # of the worker that has most


class Watched(NamedTuple):
    """A run of the command: its exit code, last lines, samples, and the processor time at each line."""

    code: int
    lines: list[str]
    samples: list[Sample]
    cpu_at: list[float]  # by line; of the last sample before it
    cpu: float


def watch(command, folder, environment=None, interval=1.0):
    """Run a command in a folder, and return what was seen of it."""
    lines, cpu_at, samples = [], [], []
    started, before = time.monotonic(), os.times()
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip

        def sample_now():
            while process.poll() is None:
                with contextlib.suppress(OSError, IndexError, ValueError):  # it ends meanwhile
                    samples.append(_sample(process.pid, time.monotonic() - started, len(lines)))
                time.sleep(interval)

        sampler = threading.Thread(target=sample_now)
        sampler.start()
        for line in process.stderr:
            lines.append(line)
            cpu_at.append(_cpu_of_tree(process.pid) if len(lines) % 100 == 0 else None)
        code = process.wait()
        sampler.join()
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return Watched(code, lines, samples, cpu_at, cpu)


def _sample(pid, seconds, n_lines):
    workers = pids_of_workers(pid)
    states = [(_memory(worker), _descriptors(worker)) for worker in workers]
    memory, descriptors = zip(*states, strict=True) if states else ((0,), (0,))
    return Sample(
        round(seconds, 1), n_lines, round(_cpu_of_tree(pid), 2), _memory(pid), _descriptors(pid), len(workers),
        max(memory), max(descriptors),
    )  # fmt: skip


def _memory(pid):
    """Return the resident memory of a process, in kB, without pages of files."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1])
    raise ValueError


def _descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def _cpu_of_tree(pid):
    """Return the seconds of a processor that a process, its children, and those that have ended have used."""
    total = 0.0
    try:
        for each in (pid, *pids_of_workers(pid)):
            fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
            total += sum(map(int, fields[11:15])) / TICKS
    except (OSError, IndexError):
        pass
    return total


def rates(watched, n, parts=10):
    """Return the images per second of a processor in the first and the last tenth of the images."""
    known = [(number + 1, cpu) for number, cpu in enumerate(watched.cpu_at[:n]) if cpu]
    if len(known) < 2 * parts:
        return None
    edges = [known[len(known) * part // parts - (part == parts)] for part in range(parts + 1)]
    (n0, c0), (n1, c1), *_, (n2, c2), (n3, c3) = edges
    return (n1 - n0) / max(c1 - c0, 1e-9), (n3 - n2) / max(c3 - c2, 1e-9)


def write_samples(path, samples):
    """Write samples as CSV."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(Sample._fields)
        writer.writerows(samples)


def described(name, watched, n, output):
    """Return the figures of a run as lines of text."""
    working = [sample for sample in watched.samples if 0 < sample.lines < n and sample.workers]
    at = [working[len(working) * part // 100] for part in (10, 50, 99)] if working else []
    files = [path for path in output.rglob("*") if path.is_file()]
    left = sum(path.name.startswith(".gmmquant-") for path in files)
    images = [path for path in files if path.suffix == ".png"]
    damaged = [path for path in images[:: max(1, len(images) // 200)] if cv2.imread(str(path)) is None]
    rate = rates(watched, n)
    yield f"{name}: exit code {watched.code}, {watched.cpu:.0f} s of a processor, {len(files)} files"
    yield f"  {len(images)} images, {len(damaged)} of 200 damaged, {left} temporary files left"
    yield f"  last line: {watched.lines[-1].strip() if watched.lines else '(none)'}"
    if rate:
        yield f"  images a second of a processor: {rate[0]:.1f} in the first tenth, {rate[1]:.1f} in the last"
    if watched.samples:
        peak = max(sample.memory for sample in watched.samples) / 1000
        first = watched.samples[0].memory / 1000
        before = next((sample.memory for sample in watched.samples if sample.lines), 0) / 1000
        after = watched.samples[-1].cpu - next(
            (s.cpu for s in watched.samples if s.lines >= n), watched.samples[-1].cpu
        )
        yield f"  command: {first:.0f} MB at first, {before:.0f} MB with its first image, {peak:.0f} MB at most"
        yield f"  command after its last image: {after:.1f} s of a processor"
    if at:
        shown = "; ".join(
            f"{sample.lines} images: command {sample.memory / 1000:.0f} MB, {sample.descriptors} files, "
            f"{sample.workers} workers of {sample.largest_worker / 1000:.0f} MB, {sample.worker_descriptors} files"
            for sample in at
        )
        yield f"  {shown}"


def main():
    """Draw the images and make the runs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--jobs", default="2")
    parser.add_argument("--folder", type=Path, required=True, help="where images, outputs and samples are written")
    parser.add_argument("--runs", nargs="*", default=list(RUNS), choices=list(RUNS))
    arguments = parser.parse_args()
    folder = arguments.folder.resolve() / str(arguments.images)
    if not (folder / "album").exists():
        draw_images(folder / "album", arguments.images)
    for name in arguments.runs:
        output = name.removesuffix(" again") if name != "again" else "plain"
        if not name.endswith("again"):
            shutil.rmtree(folder / output, ignore_errors=True)
        command = [sys.executable, "-m", "gmmquant", "album", "-r", *RUNS[name], "-o", output, "-j", arguments.jobs]
        watched = watch(command, folder)
        write_samples(folder / f"{name.replace(' ', '-')}.csv", watched.samples)
        for line in described(name, watched, arguments.images, folder / output):
            print(line, flush=True)


if __name__ == "__main__":
    main()
