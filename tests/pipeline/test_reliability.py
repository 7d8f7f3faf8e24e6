"""Bad inputs and failing systems: one line, the right exit code, no file lost or incomplete."""

import errno
import json
import os
import random
import resource
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
import weakref

import numpy as np
import pytest
from PIL import Image
from running import ENDLESS, obey_permissions, read_until, start
from waiting import GUARD_SECONDS, wait_for

from gmmquant import Quantizer, read_image
from gmmquant.cli.app import run
from gmmquant.pipeline import batch, image_job
from gmmquant.pipeline.batch import run_all
from gmmquant.pipeline.plan import Products, Task, plan
from gmmquant.pipeline.sources import Source
from gmmquant.report.outcome import Done, Failure
from gmmquant.system import atomic, process
from gmmquant.system.process import Stopped, stopped_by_signals


@pytest.fixture
def flat(tmp_path, samples):
    return shutil.copy(samples / "flat.png", tmp_path / "flat.png")


# --- bad files --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "make", "reason"),
    [
        ("missing.png", lambda path: None, "no such file or directory"),
        ("text.png", lambda path: path.write_text("hello"), "not a supported image"),
        ("empty.jpg", lambda path: path.touch(), "not a supported image"),
        ("folder", lambda path: path.mkdir(), "no images in this folder"),
        ("pipe.png", os.mkfifo, "not a regular file"),
        ("loop.png", lambda path: path.symlink_to(path.name), "too many levels of symbolic links"),
        ("float.tif", lambda path: Image.new("F", (4, 4), 7.5).save(path), "floating-point pixels from 7.5 to 7.5"),
    ],
)
def test_a_bad_input_is_one_line_with_exit_1_and_nothing_is_left(command, tmp_path, name, make, reason):
    make(tmp_path / name)
    before = sorted(tmp_path.iterdir())
    result = command(name, "-k", "2", "-o", "out")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith(f"gmmquant: {name}: {reason}")
    assert result.stderr.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("ending", ["jpg", "png"])
def test_a_truncated_image_is_an_error_and_never_a_grey_one(command, tmp_path, samples, ending):
    source = {"jpg": "cat.jpg", "png": "coffee.png"}[ending]
    data = (samples / source).read_bytes()
    (tmp_path / f"cut.{ending}").write_bytes(data[: len(data) // 2])
    result = command(f"cut.{ending}", "-k", "2")
    kind = {"jpg": "JPEG", "png": "PNG"}[ending]
    message = f"gmmquant: cut.{ending}: damaged or incomplete {kind} image; get an undamaged copy\n"
    assert (result.returncode, result.stdout, result.stderr) == (1, "", message)
    assert [path.name for path in tmp_path.iterdir()] == [f"cut.{ending}"]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b"caf\xe9.png", "caf\\xe9.png"),
        (b"two\nlines.png", "two\\x0alines.png"),
        (b"\x1b[31mred.png", "\\x1b[31mred.png"),
        (b"[bold]rich[red].png", "[bold]rich[red].png"),
        (b"a space.png", "a space.png"),
        ("ünïcødé 猫.png".encode(), "ünïcødé 猫.png"),
        ("right\u202eto left.png".encode(), "right\\u202eto left.png"),
        (b"-dash.png", "-dash.png"),
        (b"$(touch pwned);=1+2.png", "$(touch pwned);=1+2.png"),
        (b"<b>.png", "<b>.png"),
    ],
)
def test_any_name_works_and_is_shown_harmless(command, tmp_path, samples, name, shown):
    folder = os.fsencode(tmp_path)
    shutil.copy(samples / "flat.png", os.path.join(folder, name))
    result = command("-k", "2", "--", name)
    assert (result.returncode, result.stderr) == (0, "")
    heading, *lines = result.stdout.splitlines()
    assert heading == f"{shown}  96 x 64, {(samples / 'flat.png').stat().st_size} bytes, 3 distinct colours"
    assert any(f"  {shown.removesuffix('.png')}_k2.png  " in line for line in lines)
    stem = name.removesuffix(b".png")
    assert sorted(os.listdir(folder)) == sorted([name, stem + b"_k2.png", stem + b"_report.json"])
    with open(os.path.join(folder, stem + b"_report.json"), encoding="ascii") as file:
        assert json.load(file)["image"]["path"].encode() == name.replace(b"\xe9", b"\\xe9")


def test_names_of_255_bytes_work(command, tmp_path, samples):
    long, other = "n" * 251 + ".png", "n" * 250 + "m.png"
    for name in (long, other):
        shutil.copy(samples / "flat.png", tmp_path / name)
    result = command(long, other, "-k", "2", "-o", "out")
    assert result.returncode == 0
    assert result.stderr.splitlines()[-1].startswith("gmmquant: 2 done in ")
    assert len(list((tmp_path / "out").iterdir())) == 4


def test_an_image_above_the_limit_is_refused_before_it_is_decoded(command, tmp_path):
    """Decoding it would need 1.2 GB; the process may have 1 GB of addresses, of which numpy takes most."""
    Image.new("1", (20_000, 20_000)).save(tmp_path / "large.png")
    limit = 1_000_000_000
    result = command("large.png", "-k", "2", preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)))
    assert result.returncode == 1
    assert result.stderr.startswith("gmmquant: large.png: 20000 x 20000 pixels is above the limit 200000000; ")


def test_an_image_too_large_for_the_memory_is_one_line(command, tmp_path):
    Image.new("1", (20_000, 20_000)).save(tmp_path / "large.png")
    limit = 1_000_000_000
    result = command(
        "large.png",
        "-k",
        "2",
        "--max-pixels",
        "1000000000",
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
    )
    assert result.returncode == 1
    assert result.stderr.startswith("gmmquant: large.png: not enough memory")
    assert result.stderr.count("\n") == 1


def test_max_pixels_sets_the_limit(command, flat):
    result = command("flat.png", "-k", "2", "--max-pixels", "6143")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == (
        "gmmquant: flat.png: 96 x 64 pixels is above the limit 6143; raise max_pixels (--max-pixels), "
        "or scale the image down\n"
    )
    assert command("flat.png", "-k", "2", "--max-pixels", "6144").returncode == 0


@pytest.mark.parametrize(("size", "mode"), [((1, 1), "RGB"), ((1, 50), "RGB"), ((50, 1), "L"), ((3, 2), "RGBA")])
def test_tiny_and_one_colored_images_work_at_any_k(command, tmp_path, size, mode):
    Image.new(mode, size, "#808080").save(tmp_path / "tiny.png")
    result = command("tiny.png", "-k", "1", "2", "256")
    assert result.returncode == 0, result.stderr
    record = json.loads((tmp_path / "tiny_report.json").read_text())
    for fit in record["fits"]:
        assert (fit["k_fitted"], fit["mse"]) == (1, 0.0)
        assert np.isfinite(fit["log_likelihood"])
        with Image.open(tmp_path / f"tiny_k{fit['k']}.png") as made, Image.open(tmp_path / "tiny.png") as drawn:
            assert np.array_equal(np.asarray(made.convert("RGBA")), np.asarray(drawn.convert("RGBA")))


def test_if_an_image_may_not_be_read_only_that_image_fails(command, tmp_path, samples):
    for name in ("closed.png", "open.png"):
        shutil.copy(samples / "flat.png", tmp_path / name)
    (tmp_path / "closed.png").chmod(0o000)
    (tmp_path / "folder").mkdir(mode=0o000)
    inputs = ("closed.png", "folder", "folder/a.png", "open.png")
    result = command(*inputs, "-k", "2", "-o", "out", preexec_fn=obey_permissions)
    assert result.returncode == 1
    *lines, done, summary = result.stderr.splitlines()
    assert lines == [
        "gmmquant: closed.png: permission denied",
        "gmmquant: folder: permission denied",
        "gmmquant: folder/a.png: permission denied",
    ]
    assert done.startswith("gmmquant: open.png: wrote ")
    assert summary.startswith("gmmquant: 1 done, 3 failed in ")


def test_if_a_name_is_too_long_only_that_image_fails(command, flat):
    result = command("n" * 300 + ".png", "flat.png", "-k", "2")
    assert result.returncode == 1
    assert result.stderr.startswith(f"gmmquant: {'n' * 300}.png: file name too long\ngmmquant: flat.png: wrote ")


def test_a_working_folder_that_is_gone_is_one_line(tmp_path, clean_environment):
    code = "import os, sys\nos.chdir(sys.argv[1])\nos.rmdir(sys.argv[1])\nos.execv(sys.executable, sys.argv[2:])"
    (tmp_path / "gone").mkdir()
    arguments = [sys.executable, "-P", "-m", "gmmquant", "a.png", "-k", "2"]
    result = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "gone", *arguments],
        env=clean_environment,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 1
    assert result.stderr == "gmmquant: a.png: no such file or directory\n"


def test_an_output_folder_that_may_not_be_written_is_one_line(command, tmp_path, flat):
    (tmp_path / "closed").mkdir(mode=0o500)
    for folder in ("closed", "closed/below"):
        result = command("flat.png", "-k", "2", "-o", folder, preexec_fn=obey_permissions)
        assert result.returncode == 1
        assert result.stderr == f"gmmquant: flat.png: cannot write to {folder}: permission denied\n"


# --- bad disks --------------------------------------------------------------------------------------------------------


def test_a_file_too_large_for_the_system_is_one_line_and_nothing_is_left(command, tmp_path, samples):
    result = command(
        samples / "cat.jpg",
        "-k",
        "2",
        "20",
        "-o",
        "out",
        "--max-iter",
        "2",
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192)),
    )
    assert result.returncode == 1
    assert result.stderr == f"gmmquant: {samples / 'cat.jpg'}: cannot write to out: file too large\n"
    assert list((tmp_path / "out").iterdir()) == []


def test_an_impossible_output_folder_is_one_line(command, flat, tmp_path):
    (tmp_path / "text").touch()
    result = command("flat.png", "-k", "2", "-o", "text")
    assert (result.returncode, result.stderr) == (
        2,
        "gmmquant: text is a file, not a folder; use another --output\n",
    )
    for folder in ("flat.png/below", "/proc/below"):
        result = command("flat.png", "-k", "2", "-o", folder)
        assert result.returncode == 1
        assert result.stderr.startswith(f"gmmquant: flat.png: cannot write to {folder}: ")
        assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(("number", "hopeless"), [(errno.ENOSPC, True), (errno.EROFS, True), (errno.EIO, False)])
@pytest.mark.parametrize("large", [False, True], ids=["small", "large"])
def test_a_batch_stops_at_a_full_disk_but_not_at_a_bad_block(tmp_path, samples, monkeypatch, number, hopeless, large):
    if large:
        monkeypatch.setattr(image_job, "_IN_BACKGROUND_PIXELS", 0)
    for name in ("a.png", "b.png", "c.png"):
        shutil.copy(samples / "flat.png", tmp_path / name)
    out = tmp_path / "out"
    jobs = plan([Source(tmp_path / name) for name in ("a.png", "b.png", "c.png")], Task([2]), out)
    written, flush = [], os.fsync

    def failing_second(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            return flush(descriptor)
        written.append(descriptor)
        if len(written) == 3:
            raise OSError(number, os.strerror(number))
        return flush(descriptor)

    monkeypatch.setattr(atomic.os, "fsync", failing_second)
    results = list(run_all(jobs))
    kinds = [type(result) for result in results]
    assert kinds == ([Done, Failure] if hopeless else [Done, Failure, Done])
    assert results[1].reason == f"cannot write to {out}: {os.strerror(number).lower()}"
    done = ["a"] if hopeless else ["a", "c"]
    assert sorted(os.listdir(out)) == sorted(f"{s}_{e}" for s in done for e in ("k2.png", "report.json"))


def test_a_large_image_written_in_a_thread_gives_the_bytes_it_gives_at_once(tmp_path, samples, monkeypatch):
    shutil.copy(samples / "alpha.png", tmp_path / "alpha.png")
    task, encode, threads = Task([2, 5, 7], products=Products(models=True)), image_job.encode_image, []

    def noting(*content, **options):
        threads.append(threading.get_ident())
        return encode(*content, **options)

    monkeypatch.setattr(image_job, "encode_image", noting)
    records = []
    for folder, limit in (("once", 1_000_000), ("thread", 0)):
        monkeypatch.setattr(image_job, "_IN_BACKGROUND_PIXELS", limit)
        (done,) = run_all(plan([Source(tmp_path / "alpha.png")], task, tmp_path / folder))
        assert isinstance(done, Done)
        assert sorted(path.name for path in done.written) == sorted(os.listdir(tmp_path / folder))
        record = json.loads((tmp_path / folder / "alpha_report.json").read_text())
        assert all(fit.pop("seconds")["write"] > 0 for fit in record["fits"])
        records.append(record)
    assert records[0] == records[1]
    here = threading.get_ident()
    assert [thread == here for thread in threads] == [True] * 3 + [False] * 3
    outputs_of = [
        [path for path in sorted((tmp_path / f).iterdir()) if "report" not in path.name] for f in ("once", "thread")
    ]
    assert len(outputs_of[0]) == 6
    for one, other in zip(*outputs_of, strict=True):
        assert one.name == other.name
        assert one.read_bytes() == other.read_bytes()


def test_if_memory_runs_out_only_that_image_fails(tmp_path, samples, monkeypatch):
    for name in ("a.png", "b.png"):
        shutil.copy(samples / "flat.png", tmp_path / name)
    opened = image_job.open_path

    def exhausted(path, limit):
        if path.name == "a.png":
            raise MemoryError
        return opened(path, limit)

    monkeypatch.setattr(image_job, "open_path", exhausted)
    jobs = plan([Source(tmp_path / name) for name in ("a.png", "b.png")], Task([2]), None)
    first, second = run_all(jobs)
    assert first.reason.startswith("not enough memory")
    assert isinstance(second, Done)


def test_without_the_functions_of_the_c_library_memory_is_not_tuned(monkeypatch):
    def missing(name):
        raise OSError(f"no {name}")

    monkeypatch.setattr(process.ctypes, "CDLL", missing)
    process.keep_freed_memory()
    monkeypatch.setattr(process.ctypes, "CDLL", lambda name: object())
    process.keep_freed_memory()


# --- standard streams -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1, 2)])
def test_missing_standard_streams_change_nothing(tmp_path, flat, clean_environment, closed):
    process = start(
        clean_environment,
        tmp_path,
        "flat.png",
        "missing.ppm",
        "-k",
        "2",
        "-o",
        "out",
        stdin=None,
        stdout=None if 1 in closed else subprocess.PIPE,
        stderr=None if 2 in closed else subprocess.PIPE,
        preexec_fn=lambda: [os.close(descriptor) for descriptor in closed],
    )
    _, errors = process.communicate(timeout=GUARD_SECONDS)
    assert process.returncode == 1
    if errors is not None:
        flat, missing, summary = errors.splitlines()
        assert flat.startswith("gmmquant: flat.png: wrote flat_k2.png, flat_report.json in out")
        assert missing == "gmmquant: missing.ppm: no such file or directory"
        assert summary.startswith("gmmquant: 1 done, 1 failed in ")
    with Image.open(tmp_path / "out/flat_k2.png") as image:
        assert image.size == (96, 64)
    json.loads((tmp_path / "out/flat_report.json").read_text())


@pytest.mark.parametrize("options", [[], ["--json"], ["-v"]])
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_closed_pipe_is_not_an_error(tmp_path, flat, clean_environment, options, unbuffered):
    reader, writer = os.pipe()
    os.close(reader)
    environment = {**clean_environment, "PYTHONUNBUFFERED": unbuffered}
    process = start(environment, tmp_path, "flat.png", "-k", "2", "-o", "out", *options, stdout=writer)
    os.close(writer)
    _, errors = process.communicate(timeout=GUARD_SECONDS)
    assert (process.returncode, errors) == (0, "")
    assert len(os.listdir(tmp_path / "out")) == 2


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_standard_output_is_reported_and_the_images_are_done(tmp_path, samples, clean_environment, unbuffered):
    for name in ("a.png", "b.png"):
        shutil.copy(samples / "flat.png", tmp_path / name)
    environment = {**clean_environment, "PYTHONUNBUFFERED": unbuffered}
    with open("/dev/full", "w") as full:
        process = start(environment, tmp_path, "a.png", "b.png", "-k", "2", "-o", "out", "-v", stdout=full)
        _, errors = process.communicate(timeout=GUARD_SECONDS)
    assert process.returncode == 1
    lost, summary = errors.splitlines()
    assert lost == "gmmquant: cannot write to standard output: no space left on device"
    assert summary.startswith("gmmquant: 2 done in ")
    assert len(os.listdir(tmp_path / "out")) == 4


def test_a_folder_with_the_name_of_the_report_is_reported_with_a_remedy(command, tmp_path, samples):
    (tmp_path / "out/flat_report.json").mkdir(parents=True)
    result = command(samples / "flat.png", "-k", "2", "-o", "out", "--force")
    reason = "flat_report.json is a folder; move it, or use another --output\n"
    assert (result.returncode, result.stderr) == (1, f"gmmquant: {samples / 'flat.png'}: {reason}")
    assert os.listdir(tmp_path / "out") == ["flat_report.json"]


@pytest.mark.parametrize("what", [["-o", "-"], ["-o", "out", "--json"], ["-o", "out", "-v"]])
def test_a_closed_standard_output_is_an_error_if_something_is_printed(tmp_path, samples, what):
    shutil.copy(samples / "flat.png", tmp_path / "a.png")
    for arguments, code in ((what, 1), (["-o", "quiet", "-q"], 0)):
        script = ["sh", "-c", 'exec "$@" >&-', "sh", sys.executable, "-m", "gmmquant", "a.png", "-k", "2", *arguments]
        result = subprocess.run(
            script, cwd=tmp_path, stderr=subprocess.PIPE, text=True, timeout=GUARD_SECONDS, check=False
        )
        assert result.returncode == code, result.stderr
        assert ("cannot write to standard output: bad file descriptor\n" in result.stderr) == (code == 1)
    assert len(os.listdir(tmp_path / "quiet")) == 2


@pytest.mark.parametrize("option", ["--version", "--help"])
def test_a_full_standard_output_is_a_failure_of_help_and_version(tmp_path, clean_environment, option):
    with open("/dev/full", "w") as full:
        process = start(clean_environment, tmp_path, option, stdout=full)
        _, errors = process.communicate(timeout=GUARD_SECONDS)
    assert process.returncode == 1
    assert errors.startswith("gmmquant: ")
    assert "no space left on device" in errors
    assert errors.count("\n") == 1


@pytest.mark.parametrize("option", ["--version", "--help"])
def test_a_closed_pipe_is_not_a_failure_of_help_and_version(tmp_path, clean_environment, option):
    reader, writer = os.pipe()
    os.close(reader)
    process = start(clean_environment, tmp_path, option, stdout=writer)
    os.close(writer)
    _, errors = process.communicate(timeout=GUARD_SECONDS)
    assert (process.returncode, errors) == (0, "")


def test_a_terminal_with_ascii_only_works(command, flat):
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    result = command("flat.png", "-k", "2", env=environment)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.isascii()


def test_no_home_and_no_folder_for_temporary_files_is_needed(command, tmp_path, flat):
    environment = {"PATH": os.environ["PATH"], "TMPDIR": "/nowhere", "HOME": "/nowhere"}
    result = command("flat.png", "-k", "2", env=environment)
    assert (result.returncode, result.stderr) == (0, "")
    assert sorted(os.listdir(tmp_path)) == ["flat.png", "flat_k2.png", "flat_report.json"]


# --- signals ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
def test_a_signal_ends_the_run_cleanly(tmp_path, samples, flat, clean_environment, name, code):
    rocket = samples / "rocket.jpg"
    process = start(clean_environment, tmp_path, "flat.png", rocket, "-k", "256", "-o", "out", *ENDLESS)
    errors = read_until(process.stderr, lambda text: "flat_k256.png" in text)
    process.send_signal(getattr(signal, name))
    errors += process.communicate(timeout=GUARD_SECONDS)[1]
    assert process.returncode == code
    assert "flat_k256.png" in errors
    assert errors.splitlines()[-1] == (
        f"gmmquant: stopped by {name}: finished images are complete; run again with --skip-existing to do the rest"
    )
    assert "Traceback" not in errors
    assert sorted(os.listdir(tmp_path / "out")) == ["flat_k256.png", "flat_report.json"]


def test_a_signal_that_the_caller_ignores_is_ignored(tmp_path, samples, flat, clean_environment):
    """Otherwise it would end the run, as the first of two signals does."""
    process = start(
        clean_environment,
        tmp_path,
        *("flat.png", samples / "rocket.jpg", "-k", "256", "-o", "out", *ENDLESS),
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
    )
    wait_for((tmp_path / "out/flat_report.json").exists)
    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=GUARD_SECONDS)
    assert process.returncode == 143
    assert "stopped by SIGTERM" in errors


def test_many_signals_have_the_effect_of_one(tmp_path, samples, flat, clean_environment):
    rocket = samples / "rocket.jpg"
    process = start(clean_environment, tmp_path, "flat.png", rocket, "-k", "256", "-o", "out", *ENDLESS)
    wait_for(lambda: (tmp_path / "out/flat_report.json").exists())
    for _ in range(20):
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=GUARD_SECONDS)
    assert process.returncode in (130, 143)
    assert errors.count("stopped by") == 1
    assert "Traceback" not in errors


@pytest.mark.parametrize("delay", [0.0, 0.03, 0.06, 0.1, 0.15, 0.25])
def test_ctrl_c_while_the_program_starts_shows_no_traceback(tmp_path, samples, clean_environment, delay):
    code = (
        "import sys\nfrom pathlib import Path\nfrom types import SimpleNamespace\nfrom gmmquant.__main__ import main\n"
        "sys.meta_path.insert(0, SimpleNamespace(find_spec=lambda *_: Path('started').touch()))\n"
        "main()  # its first import is noted\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, samples / "rocket.jpg", "-k", "256", "-o", "out", *ENDLESS],
        cwd=tmp_path,
        env=clean_environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for((tmp_path / "started").exists)
    time.sleep(delay)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=GUARD_SECONDS)
    assert process.returncode in (-signal.SIGINT, 130)
    assert "Traceback" not in errors


@pytest.mark.parametrize("ends_early", [True, False])
def test_a_signal_in_a_finalizer_is_neither_lost_nor_reported_as_an_error(ends_early, monkeypatch):
    class Interrupted:
        def __del__(self):
            signal.raise_signal(signal.SIGTERM)

    class RaisesAnError:
        def __del__(self):
            raise ValueError

    class CannotClose:
        def __del__(self):
            raise OSError(errno.EIO, "Input/output error")

    ignored_types = []
    monkeypatch.setattr(sys, "unraisablehook", lambda ignored: ignored_types.append(ignored.exc_type))
    held = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        with pytest.raises(Stopped) as stop, stopped_by_signals() as stop_if_asked:
            stop_if_asked()
            RaisesAnError()
            CannotClose()
            Interrupted()
            if ends_early:
                stop_if_asked()
                pytest.fail("the signal was lost")
    finally:
        for number, handler in held.items():
            signal.signal(number, handler)
    assert stop.value.exit_code == 143
    RaisesAnError()
    assert ignored_types == [ValueError, ValueError]


@pytest.mark.parametrize("path", ["in an iteration", "between two images"])
def test_a_signal_lost_in_a_finalizer_ends_the_run_before_the_next_image(tmp_path, samples, monkeypatch, capsys, path):
    class Interrupted:
        def __del__(self):
            signal.raise_signal(signal.SIGINT)

    started_jobs = []

    def run_all_but_lose_a_signal(planned, watch, **options):
        for job in planned.jobs:
            started_jobs.append(job.source.name)
            if path == "in an iteration":
                Interrupted()
                watch(job.source, 2, 0, 0.0)
                pytest.fail("the signal was lost")
            yield Failure(job.source, "a test")
            Interrupted()

    for name in ("a.png", "b.png", "c.png"):
        shutil.copy(samples / "flat.png", tmp_path / name)
    monkeypatch.setattr(batch, "run_all", run_all_but_lose_a_signal)
    held = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        assert run([str(tmp_path), "-k", "2"]) == 130
    finally:
        for number, handler in held.items():
            signal.signal(number, handler)
    assert started_jobs == (["a.png"] if path == "in an iteration" else ["a.png", "b.png"])
    assert "stopped by SIGINT" in capsys.readouterr().err


def test_an_unknown_completion_instruction_is_a_failure(command):
    result = command(env={"PATH": os.environ["PATH"], "_GMMQUANT_COMPLETE": "bogus"})
    assert result.returncode == 1


def test_if_no_thread_can_be_started_files_are_written_at_once(monkeypatch):
    def refuse(_thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("threading.Thread.start", refuse)
    with atomic.writing(in_background=True) as writer:
        assert writer.submit(lambda a, b: a + b, 1, b=2).result() == 3


@pytest.mark.parametrize("name", ["rocket.jpg", "alpha.png"])
def test_the_pixels_of_an_image_are_dropped_before_it_is_fitted(tmp_path, samples, monkeypatch, name):
    seen = []

    def read(*args, **kwargs):
        image = read_image(*args, **kwargs)
        seen.append(weakref.ref(image.pixels))
        return image

    def quantizer(*args):
        assert seen[0]() is None
        return Quantizer(*args)

    monkeypatch.setattr(image_job, "read_image", read)
    monkeypatch.setattr(image_job, "Quantizer", quantizer)
    task = Task([2])
    (outcome,) = run_all(plan([Source(samples / name)], task, tmp_path))
    assert isinstance(outcome, Done)


@pytest.mark.parametrize("seed", range(6))
def test_a_killed_run_leaves_no_incomplete_file_and_the_next_one_cleans_up(tmp_path, samples, clean_environment, seed):
    out = tmp_path / "out"
    images = [samples / name for name in ("flat.png", "grey.png", "alpha.png", "sixteen.png")]
    arguments = [*images, "-k", "2", "7", "-o", "out"]
    process = start(clean_environment, tmp_path, *arguments)
    wait_for(lambda: out.exists() or process.poll() is not None)
    time.sleep(random.Random(seed).uniform(0, 0.25))
    process.kill()
    process.communicate(timeout=GUARD_SECONDS)
    (out / ".gmmquant-0123456789abcdef-0.tmp").write_bytes(b"incomplete")
    for path in out.iterdir():
        if path.suffix == ".png":
            with Image.open(path) as image:
                image.load()
        elif path.suffix == ".json":
            json.loads(path.read_text())
        else:
            assert path.name.startswith(".gmmquant-")
    again = start(clean_environment, tmp_path, *arguments, "--skip-existing")
    again.communicate(timeout=GUARD_SECONDS)
    assert again.returncode == 0
    stems = [original.stem for original in images]
    expected = [f"{stem}_{rest}" for stem in stems for rest in ("k2.png", "k7.png", "report.json")]
    assert sorted(os.listdir(out)) == sorted(expected)
