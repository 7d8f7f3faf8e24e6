"""Change files at random and use them: `python tests/fuzz.py --seconds 60`, or `make fuzz SECONDS=60`.

Images of every input format, palettes of every format, models and reports are drawn, changed byte by byte, and used in
this process: decoded, fitted, recoloured, encoded, and decoded again. An input fails if an exception arises that is no
message of the package, if it needs more than 1.5 GB or 10 s of a processor, or if it ends the process. It is saved with
the reason. The same seed gives the same inputs, in chunks that each run in a process of their own.
"""

import argparse
import json
import mmap
import os
import random
import resource
import signal
import struct
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path

TESTS = Path(__file__).parent
sys.path[:0] = [str(TESTS), str(TESTS / "images")]

import numpy as np  # noqa: E402
from PIL import Image  # noqa: E402
from test_hostile_files import changed, originals  # noqa: E402
from waiting import GUARD_SECONDS  # noqa: E402

from gmmquant import read_image  # noqa: E402
from gmmquant.colors.palette_files import encode_palette  # noqa: E402
from gmmquant.errors import GmmquantError, ImageError, PaletteFileError  # noqa: E402
from gmmquant.images.palette_image import ALL_FORMATS, load_palette  # noqa: E402
from gmmquant.pipeline.batch import run_all  # noqa: E402
from gmmquant.pipeline.loaded_strategy import load_model  # noqa: E402
from gmmquant.pipeline.plan import Existing, Products, Task, plan  # noqa: E402
from gmmquant.pipeline.sources import Source  # noqa: E402
from gmmquant.pipeline.strategy import FitEach  # noqa: E402
from gmmquant.report.outcome import Done, Failure, Skipped  # noqa: E402
from gmmquant.settings import DITHERS, OUTPUT_FORMATS, PALETTE_FORMATS, Settings  # noqa: E402

MAX_BYTES, MAX_SECONDS = 1_500_000_000, 10
MAX_PIXELS = 1_000_000
CHUNK = 2000  # inputs of a process


def drawn_image():
    """Return a small image of smooth and flat parts, and an alpha channel, as Pillow's images."""
    y, x = np.mgrid[0:40, 0:60]
    pixels = np.stack([4 * x, 6 * y, 128 + 100 * np.sin(x * y / 90)], axis=-1).astype(np.uint8)
    pixels[5:20, 30:50] = 200, 30, 60
    veil = np.clip(6 * x - 30, 0, 255).astype(np.uint8)
    return Image.fromarray(pixels), Image.fromarray(veil)


def drawn_palettes():
    """Return a palette file of each format that is written, and of those that are only read."""
    colors = np.array([[255, 0, 0], [0, 128, 255], [12, 34, 56], [250, 250, 250]], dtype=np.uint8)
    shares = [0.4, 0.3, 0.2, 0.1]
    made = {
        name: encode_palette(colors, name, name="so", shares=shares, formats=ALL_FORMATS) for name in PALETTE_FORMATS
    }
    entries = b"".join(bytes([*color, 0]) for color in colors)
    body = b"PAL data" + struct.pack("<IHH", 4 + len(entries), 0x300, len(colors)) + entries
    return made | {"riff": b"RIFF" + struct.pack("<I", len(body)) + body, "act": bytes(range(256)) * 3}


class Fuzzer:
    """Makes and uses the inputs of a seed, in a folder."""

    def __init__(self, seed, folder):
        self.seed, self._folder = seed, folder
        self.images = originals(*drawn_image())
        self.palettes = drawn_palettes()
        source = folder / "original.png"
        source.write_bytes(self.images["png"])
        (done,) = run_all(plan([Source(source)], Task([3], products=Products(models=True)), folder / "original"))
        files = {path.name: path.read_bytes() for path in done.written}
        self.models = {"model.json": next(data for name, data in files.items() if name.endswith("k3.gmm.json"))}
        self.reports = {"report.json": next(data for name, data in files.items() if name.endswith("report.json"))}

    def input(self, number):
        """Return the kind, the name and the bytes of an input."""
        rng = random.Random(f"{self.seed} {number}")
        kind = rng.choices(["image", "palette", "model", "report"], [6, 2, 1, 1])[0]
        files = getattr(self, f"{kind}s")
        name = rng.choice(list(files))
        data = files[name]
        if kind in ("model", "report") and rng.random() < 0.7:
            return kind, name, json.dumps(changed_json(rng, json.loads(data))).encode()
        return kind, name, changed(rng, data)

    def use(self, number):
        """Use an input; any exception but a message of the package is a fault."""
        kind, _, data = self.input(number)
        rng = random.Random(f"{number} {self.seed}")
        path = self._folder / f"{number} input"
        path.write_bytes(data)
        try:
            getattr(self, f"_use_{kind}")(path, rng)
        finally:
            path.unlink()

    def _use_image(self, path, rng):
        try:
            image = read_image(path, max_pixels=MAX_PIXELS)
        except ImageError as error:
            check_message(error)
            return
        assert 0 < image.pixels.size <= 4 * MAX_PIXELS
        if image.pixels.size < 200_000 and rng.random() < 0.3:
            self._recolor(path, rng, FitEach())

    def _recolor(self, path, rng, strategy, **options):
        name = rng.choice(list(OUTPUT_FORMATS))
        settings = Settings(
            method=rng.choice(["gmm", "kmeans"]),
            space=rng.choice(["srgb", "oklab", "lab"]),
            dither=rng.choice(DITHERS),
        )
        products = Products(format=name, keep_metadata=rng.random() < 0.5, palettes=(rng.choice(PALETTE_FORMATS),))
        task = Task([rng.choice([1, 2, 5])], settings, max_pixels=MAX_PIXELS, products=products, strategy=strategy)
        with tempfile.TemporaryDirectory(dir=self._folder) as folder:
            outcomes = list(run_all(plan([Source(path)], task._replace(**options), Path(folder) / "out")))
            for outcome in outcomes:
                assert isinstance(outcome, (Done, Failure, Skipped))
                if isinstance(outcome, Failure):
                    check_message(outcome.reason)
                elif isinstance(outcome, Done):
                    json.dumps(outcome.record, allow_nan=False)
                    for written in outcome.written:
                        if written.suffix.lstrip(".") == name:
                            read_image(written)

    def _use_palette(self, path, rng):
        try:
            palette = load_palette(path)
        except (PaletteFileError, ImageError) as error:
            check_message(error)
            return
        assert palette.dtype == np.uint8
        again = self._folder / "again.hex"
        again.write_bytes(encode_palette(palette, "hex"))
        assert (load_palette(again) == palette).all()

    def _use_model(self, path, rng):
        try:
            model = load_model(path)
        except GmmquantError as error:  # a model file, or one for other data than images
            check_message(error)
            return
        self._recolor(self._folder / "original.png", rng, model)

    def _use_report(self, path, rng):
        report = self._folder / "again" / "original_report.json"
        report.parent.mkdir(exist_ok=True)
        report.write_bytes(path.read_bytes())
        task = Task([3], existing=rng.choice([Existing.KEEP, Existing.REFUSE]))
        for outcome in run_all(plan([Source(self._folder / "original.png")], task, report.parent)):
            if isinstance(outcome, Failure):
                check_message(outcome.reason)
        for written in report.parent.iterdir():
            written.unlink()


def changed_json(rng, value):
    """Return JSON with one of its values replaced."""
    if rng.random() < 0.2 or not isinstance(value, (dict, list)) or not value:
        return rng.choice([None, -1, 0, 1e308, 1e-320, 2**70, "", "x" * 50, [], {}, [[]], True, float("nan"), "\ud800"])
    key = rng.choice(list(value) if isinstance(value, dict) else range(len(value)))
    value[key] = changed_json(rng, value[key])
    return value


def check_message(error):
    text = str(error)
    assert text, "an empty message"
    assert "\n" not in text, text
    assert "this is a bug" not in text, text


def save(fuzzer, folder, number, reason):
    """Save an input that failed, and the reason beside it."""
    kind, name, data = fuzzer.input(number)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{kind}-{name.strip('.').replace(' ', '_')}-{fuzzer.seed}-{number}"
    path.write_bytes(data)
    path.with_name(f"{path.name}.txt").write_text(reason)
    print(f"{path}: {reason.strip().splitlines()[-1]}", flush=True)


def run_chunk(fuzzer, first, stop, end, current, failures):
    """Use inputs up to `stop`; the number of the current one and that of the failures are shared with the parent."""
    for end_of_time in (signal.SIGALRM, signal.SIGPROF):
        signal.signal(end_of_time, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_AS, (MAX_BYTES, MAX_BYTES))
    warnings.simplefilter("error", RuntimeWarning)
    n_failed = 0
    for number in range(first, min(first + CHUNK, stop)):
        if time.monotonic() > end:
            break
        current[:] = struct.pack("<qq", number, n_failed)
        signal.setitimer(signal.ITIMER_PROF, MAX_SECONDS)
        signal.alarm(GUARD_SECONDS)
        try:
            fuzzer.use(number)
        except BaseException:
            n_failed += 1
            save(fuzzer, failures, number, traceback.format_exc())
        signal.alarm(0)
        signal.setitimer(signal.ITIMER_PROF, 0)
    current[:] = struct.pack("<qq", number, n_failed)


def in_a_copy(work, seed, *arguments):
    """Call `work` with a `Fuzzer` in a copy of this process; return its exit code, negative for a signal.

    This process itself does no work: libraries that have started threads cannot be copied.
    """
    pid = os.fork()
    if pid == 0:
        try:
            with tempfile.TemporaryDirectory() as folder:
                work(Fuzzer(seed, Path(folder)), *arguments)
            os._exit(0)
        except BaseException:
            traceback.print_exc()
        os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def fuzz(seconds, seed, failures, n_inputs=sys.maxsize):
    """Use inputs for some seconds, at most `n_inputs`; return their number and that of those that failed."""
    end, first, n_failed = time.monotonic() + seconds, 0, 0
    with mmap.mmap(-1, 16) as current:
        while time.monotonic() < end and first < n_inputs:
            current[:] = struct.pack("<qq", first - 1, 0)
            code = in_a_copy(run_chunk, seed, first, n_inputs, end, current, failures)
            last, failed = struct.unpack("<qq", current[:])
            if last < first:
                raise RuntimeError(f"a process ended with {code} before it used an input")
            if code != 0:
                failed += 1
                reason = {
                    -signal.SIGPROF: f"more than {MAX_SECONDS} s of a processor",
                    -signal.SIGALRM: f"more than {GUARD_SECONDS} s",
                }.get(code, f"the process ended with {code}")
                in_a_copy(save, seed, failures, last, reason)
            first, n_failed = last + 1, n_failed + failed
    return first, n_failed


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--inputs", type=int, default=sys.maxsize, help="number of inputs, if the time is enough")
    parser.add_argument("--seed", default=None, help="by default, another one each time")
    parser.add_argument("--failures", type=Path, default=Path("fuzz_failures"), help="folder of the inputs that fail")
    arguments = parser.parse_args()
    seed = arguments.seed or str(time.time_ns() // 1_000_000_000)
    n, n_failed = fuzz(arguments.seconds, seed, arguments.failures, arguments.inputs)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss << 10
    print(f"seed {seed}: {n:,} inputs, {n_failed} failed, at most {peak / 1e6:.0f} MB")
    return n_failed > 0


if __name__ == "__main__":
    sys.exit(main())
