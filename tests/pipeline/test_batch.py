"""The command on many images: files, messages and exit codes do not depend on which process ends first or dies."""

import contextlib
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from running import (
    ENDLESS,
    in_a_terminal,
    obey_permissions,
    pids_of_workers,
    read_until,
    start,
    wait_for_a_full_pipe,
)
from waiting import GUARD_SECONDS, wait_for

from gmmquant.pipeline.batch import executor_for, run_all
from gmmquant.pipeline.plan import Destination, Plan, Task, plan
from gmmquant.pipeline.sources import Source, sources_of
from gmmquant.report.outcome import Done, Failure
from gmmquant.system import threads
from gmmquant.system.executors.processes import ProcessExecutor
from gmmquant.system.executors.serial import SerialExecutor
from gmmquant.system.paths import parse_path

SMALL = ("alpha.png", "flat.png", "grey.png", "sixteen.png")

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")


@pytest.fixture
def photos(tmp_path, samples):
    """Return a folder of small images: 0.png, 1.png and so on."""
    (tmp_path / "photos").mkdir()
    for number, name in enumerate((*SMALL, *SMALL)):
        shutil.copy(samples / name, tmp_path / f"photos/{number}.png")
    return tmp_path / "photos"


@pytest.fixture
def mixed(photos, samples):
    """Return the same folder with three images that fail: the fourth, the fifth and the last."""
    (photos / "3.png").write_bytes((samples / "coffee.png").read_bytes()[:1000])
    (photos / "4.png").write_text("no image")
    (photos / "7.png").write_bytes(b"")
    return photos


def without_times(record):
    for fit in record.get("fits", []):
        del fit["seconds"]
    return record


def digests(folder):
    """Return names and digests of the files below a folder; times in records are ignored."""
    result = {}
    for path in sorted(Path(folder).rglob("*")):
        if path.is_file():
            data = path.read_bytes()
            if path.suffix == ".json":
                data = json.dumps(without_times(json.loads(data))).encode()
            result[str(path.relative_to(folder))] = hashlib.sha256(data).hexdigest()
    return result


def messages_about(result):
    """Return the names of the images in the order of their messages; the summary is checked and left out."""
    *lines, summary = result.stderr.splitlines()
    assert re.fullmatch(
        r"gmmquant: \d.* in \d+\.\d s(, \d+\.\d \w+ an? \w+)?(; .* read, .* written \(.* %\) in .*)?",
        summary,
    )
    return [line.split()[1].rstrip(":") for line in lines if "distinct colours" not in line]


# --- the same for any number of processes -----------------------------------------------------------------------------


def test_any_number_of_jobs_gives_the_same_bytes_records_and_order(command, mixed, samples, tmp_path):
    """The slowest image is the first, so that the others are done before it."""
    shutil.copy(samples / "cat.jpg", mixed / "0.jpg")
    Path(mixed / "0.png").unlink()
    results = []
    for jobs in ("1", "2"):
        made = tmp_path / jobs
        options = ["-k", "2", "7", "--save-model", "--maps", "all", "--json-lines", "--jobs", jobs]
        result = command("photos", "-o", "out", *options)
        shutil.move(tmp_path / "out", made)
        lines = [json.loads(line) for line in result.stdout.splitlines()]
        for line in lines:
            line.pop("seconds", None)
            without_times(line.get("record", {}))
        messages = re.sub(r"\d+\.\d+ s.*", "", result.stderr)
        results.append((result.returncode, messages, lines, digests(made)))
    assert results[0][0] == 1
    assert [Path(line["source"]).stem for line in results[0][2]] == list("01234567")
    assert len(results[0][3]) == 5 * 11
    assert results[0] == results[1]


def test_a_batch_gives_the_bytes_that_its_images_give_alone(command, photos, tmp_path):
    for number in range(4, 8):
        (photos / f"{number}.png").unlink()
    assert command("photos", "-k", "2", "7", "-o", "out/together").returncode == 0
    for number in range(4):
        assert command(f"photos/{number}.png", "-k", "2", "7", "-o", "out/alone", "-q").returncode == 0
    assert digests(tmp_path / "out/together") == digests(tmp_path / "out/alone")


def test_spawned_processes_give_the_same_bytes(photos, tmp_path):
    """As on systems without fork; callbacks cannot be sent to them."""
    task, watched = Task([2, 7]), []
    planned = plan(sources_of([str(photos)]), task, tmp_path / "out")
    executor = ProcessExecutor(2, start_method="spawn")
    outcomes = list(run_all(planned, lambda *seen: watched.append(seen), executor=executor))
    assert all(isinstance(outcome, Done) for outcome in outcomes)
    by_spawn = digests(tmp_path / "out")
    shutil.rmtree(tmp_path / "out")
    list(run_all(planned, lambda *seen: watched.append(seen)))
    assert digests(tmp_path / "out") == by_spawn
    assert {seen[0] for seen in watched} == {job.source for job in planned.jobs}


@pytest.mark.parametrize("jobs", ["0", "-1", "x", "1.5"])
def test_an_invalid_number_of_jobs_is_refused(command, photos, jobs, tmp_path):
    result = command("photos", "-k", "2", "-o", "out", "--jobs", jobs)
    assert (result.returncode, result.stderr.count("\n")) == (2, 1)
    assert "jobs" in result.stderr
    assert not (tmp_path / "out").exists()


# --- messages ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("jobs", "processors"), [(1, 1), (2, 2), (9, 3), (None, 3)])
def test_one_image_uses_as_many_processors_as_jobs_at_most(monkeypatch, jobs, processors):
    monkeypatch.setattr(threads, "_share", 3)
    with executor_for(Plan((), Task(ks=(2,))), jobs, lambda: None):
        assert threads.n_processors() == processors
    assert threads.n_processors() == 3


def test_each_image_has_a_message_in_input_order_and_the_summary_counts_them(command, mixed):
    result = command("photos", "nothing.png", "photos/0.png", "-k", "2", "-o", "out")
    assert (result.returncode, result.stdout) == (1, "")
    assert messages_about(result) == [f"photos/{number}.png" for number in range(8)] + ["nothing.png"]
    assert result.stderr.splitlines()[-1].startswith("gmmquant: 5 done, 4 failed in ")
    again = command("photos", "-k", "2", "-o", "out", "--skip-existing")
    assert again.returncode == 1
    assert again.stderr.count("skipped, its outputs exist") == 5
    assert again.stderr.splitlines()[-1].startswith("gmmquant: 5 skipped, 3 failed in ")


def test_messages_state_the_numbers_of_colours_that_were_chosen(command, photos, tmp_path):
    result = command(photos, "-k", "2", "auto", "auto:9", "-o", "out")
    records = [json.loads(path.read_text()) for path in sorted((tmp_path / "out").glob("*_report.json"))]
    messages = [line for line in result.stderr.splitlines() if ": auto" in line]
    assert len(messages) == len(records) > 1
    for message, record in zip(messages, records, strict=True):
        auto, within = (fit["k"] for fit in record["fits"][1:])
        assert f": auto: k = {auto}, auto:9: k = {within}, wrote " in message


def test_failures_are_repeated_after_many_messages(command, tmp_path, samples):
    (tmp_path / "0.png").touch()
    for number in range(1, 25):
        shutil.copy(samples / "flat.png", tmp_path / f"{number}.png")
    result = command(".", "-k", "2", "-o", "out")
    assert result.returncode == 1
    *_, summary, failure = result.stderr.splitlines()
    assert summary.startswith("gmmquant: 24 done, 1 failed in ")
    assert failure.startswith("gmmquant: failed: 0.png: not a supported image")


def test_a_quiet_run_prints_only_failures(command, mixed):
    result = command("photos", "-k", "2", "-o", "out", "-q")
    assert (result.returncode, result.stdout) == (1, "")
    assert [line.split()[1] for line in result.stderr.splitlines()] == [f"photos/{n}.png:" for n in (3, 4, 7)]


def test_a_batch_shows_tables_only_with_verbose(command, photos):
    assert command("photos", "-k", "2", "-o", "out").stdout == ""
    result = command("photos", "-k", "2", "-o", "more", "-v")
    assert result.stdout.count("distinct colour") == 8
    assert result.stderr.startswith("gmmquant: 8 done in ")


# --- records ----------------------------------------------------------------------------------------------------------


def test_json_lines_have_the_outcome_of_every_image(command, mixed, tmp_path):
    assert command("photos/5.png", "-k", "2", "-o", "out").returncode == 0
    result = command("photos", "-k", "2", "-o", "out", "--skip-existing", "--json-lines", "-q")
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [line["source"] for line in lines] == [f"photos/{number}.png" for number in range(8)]
    assert {line["schema"] for line in lines} == {"gmmquant-outcome/1"}
    assert [line["outcome"] for line in lines] == [
        *["done"] * 3,
        *["failed"] * 2,
        "skipped",
        "done",
        "failed",
    ]
    for line in lines:
        if line["outcome"] == "done":
            stem = Path(line["source"]).stem
            assert line["record"] == json.loads((tmp_path / f"out/{stem}_report.json").read_text())
            assert line["written"] == [f"out/{stem}_k2.png", f"out/{stem}_report.json"]
    assert lines[3]["reason"].startswith("damaged or incomplete PNG image")
    assert result.returncode == 1


def test_a_line_is_written_as_soon_as_its_image_is_done(tmp_path, samples, clean_environment):
    shutil.copy(samples / "flat.png", tmp_path / "a.png")
    shutil.copy(samples / "rocket.jpg", tmp_path / "b.jpg")
    for option, first in (("--json-lines", '{"schema": "gmmquant-outcome/1"'), ("--json", "[\n")):
        process = start(clean_environment, tmp_path, ".", "-k", "512", "-o", "out", option, "-q", *ENDLESS)
        assert process.stdout.readline().startswith(first)
        assert process.poll() is None
        process.kill()
        process.communicate()
        shutil.rmtree(tmp_path / "out")


def test_records_on_standard_output_write_no_files(command, mixed, tmp_path):
    before = digests(tmp_path)
    for option in ("--json", "--json-lines"):
        result = command("photos", "-k", "2", "-o", "-", option)
        assert result.returncode == 1
        assert digests(tmp_path) == before
    assert len(result.stdout.splitlines()) == 8


def test_an_array_of_records_is_valid_for_any_number_of_them(command, mixed, tmp_path):
    assert [record["image"]["path"] for record in json.loads(command("photos", "-k2", "-o", "-", "--json").stdout)] == [
        f"photos/{number}.png" for number in (0, 1, 2, 5, 6)
    ]
    assert json.loads(command("photos/4.png", "-k", "2", "--json").stdout) == []
    assert json.loads(command("photos/4.png", "photos/7.png", "-k", "2", "--json").stdout) == []


@pytest.mark.parametrize("start_method", [None, "spawn"])
def test_a_record_without_a_file_names_images_as_they_were_named(photos, tmp_path, monkeypatch, start_method):
    """Also where a worker process gets absolute paths, and where a name goes through a link."""
    monkeypatch.chdir(tmp_path)
    Path("link").symlink_to("photos")
    names = ["photos/0.png", f"{tmp_path}/photos/1.png", "link/2.png"]
    planned = plan(map(Source, map(Path, names)), Task([2], to=Destination.RECORD), None)
    executor = SerialExecutor() if start_method is None else ProcessExecutor(2, start_method=start_method)
    assert [outcome.record["image"]["path"] for outcome in run_all(planned, executor=executor)] == names


def test_other_inputs_in_a_record_without_a_file_are_relative_to_the_working_folder(command, photos):
    assert command("photos/0.png", "-k", "2", "--save-model", "-o", "fit").returncode == 0
    result = command("photos/1.png", "--model", "fit/0_k2.gmm.json", "-o", "-", "--json")
    (record,) = json.loads(result.stdout)
    assert (record["image"]["path"], record["settings"]["model"]) == ("photos/1.png", "fit/0_k2.gmm.json")


@pytest.mark.parametrize("n_done", [0, 1, 5])
def test_an_array_is_complete_when_the_run_is_stopped(tmp_path, samples, clean_environment, n_done):
    (tmp_path / "in").mkdir()
    for number in range(n_done):
        shutil.copy(samples / "flat.png", tmp_path / f"in/{number}.png")
    for number in range(2):
        shutil.copy(samples / "rocket.jpg", tmp_path / f"in/rocket{number}.jpg")
    process = start(clean_environment, tmp_path, "in", "-k", "512", "-o", "out", "--json", *ENDLESS)
    wait_for((tmp_path / "out").exists)
    shown = read_until(process.stdout, lambda text: text.count('"schema"') == n_done)
    process.send_signal(signal.SIGINT)
    rest, errors = process.communicate(timeout=GUARD_SECONDS)
    assert process.returncode == 130, errors
    assert len(json.loads(shown + rest)) == n_done


def test_a_slow_reader_gets_complete_records_when_the_run_is_stopped(tmp_path, photos, clean_environment):
    """The pipe holds 64 KB, less than is written; the signal arrives while the command waits for room in it."""
    process = start(clean_environment, tmp_path, "photos", "-k", "200", "-o", "out", "--json", "-q")
    wait_for_a_full_pipe(process.stdout)
    process.send_signal(signal.SIGTERM)
    shown, _ = process.communicate(timeout=GUARD_SECONDS)
    assert process.returncode == 143
    assert 1 <= len(json.loads(shown)) < 8


def test_a_slow_reader_gets_the_end_of_the_array(tmp_path, flat_and_full_pipe):
    process, reader = flat_and_full_pipe
    wait_for((tmp_path / "out/flat_report.json").exists)
    time.sleep(1)  # only the writing is left, or the reader comes before it
    with open(reader, "rb") as pipe:
        shown = pipe.read().lstrip(b" ")
    process.communicate(timeout=GUARD_SECONDS)
    assert (process.returncode, len(json.loads(shown))) == (0, 1)


@pytest.fixture
def flat_and_full_pipe(tmp_path, samples, clean_environment):
    """Start the command on one image, with a full pipe as standard output; return the process and the reading end."""
    shutil.copy(samples / "flat.png", tmp_path / "flat.png")
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writer, b" " * 4096)
    os.set_blocking(writer, True)
    process = start(clean_environment, tmp_path, "flat.png", "-k", "2", "--json", "-q", "-o", "out", stdout=writer)
    os.close(writer)
    return process, reader


def test_a_reader_who_reads_nothing_does_not_block_a_stopped_run(tmp_path, photos, clean_environment):
    process = start(clean_environment, tmp_path, "photos", "-k", "200", "-o", "out", "--json", "-q")
    wait_for_a_full_pipe(process.stdout)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=GUARD_SECONDS) == 143  # nothing has been read
    process.communicate()


# --- early ends -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_with_fail_fast_no_image_is_started_after_a_failure(command, mixed, jobs, tmp_path):
    result = command("photos", "-k", "2", "-o", "out", "--fail-fast", "-j", jobs)
    assert result.returncode == 1
    done = {int(name.split("_")[0]) for name in os.listdir(tmp_path / "out")}
    started_before = {0, 1, 2} if jobs == "1" else done & {0, 1, 2, 5}  # the others were running
    assert done == started_before
    assert {0, 1, 2} <= done
    n_messages = len(messages_about(result))
    assert result.stderr.splitlines()[-1].startswith(f"gmmquant: {len(done)} done, {n_messages - len(done)} failed, ")
    assert f", {8 - n_messages} not tried in " in result.stderr


def test_with_fail_fast_a_failure_ends_the_run_while_an_earlier_image_is_running(tmp_path, samples):
    """The first image takes longer than all others, and its outcome is yielded before theirs."""
    (tmp_path / "1.png").touch()
    for number in range(2, 30):
        shutil.copy(samples / "flat.png", tmp_path / f"{number}.png")
    task = Task([60])
    names = [samples / "cat.jpg", *(tmp_path / f"{number}.png" for number in range(1, 30))]
    jobs = plan(map(Source, names), task, tmp_path / "out")
    outcomes = list(run_all(jobs, executor=ProcessExecutor(2), fail_fast=True))
    assert [type(outcome) for outcome in outcomes] == [Done, Failure]
    assert len(os.listdir(tmp_path / "out")) == 2


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_with_fail_fast_a_missing_input_ends_the_run(command, photos, jobs, tmp_path):
    result = command("photos/0.png", "none*.png", "photos", "-k", "2", "-o", "out", "--fail-fast", "-j", jobs)
    assert result.returncode == 1
    assert messages_about(result) == ["photos/0.png", "none*.png"]
    assert sorted(os.listdir(tmp_path / "out")) == ["0_k2.png", "0_report.json"]


def test_if_a_worker_is_killed_only_its_image_fails(tmp_path, samples, clean_environment):
    (tmp_path / "photos").mkdir()
    for number in range(8):
        name = "rocket.jpg" if number == 4 else "flat.png"
        shutil.copy(samples / name, tmp_path / f"photos/{number}{Path(name).suffix}")
    process = start(clean_environment, tmp_path, "photos", "-k", "300", "-o", "out", "-j", "1", *ENDLESS)
    out = tmp_path / "out"
    errors = read_until(process.stderr, lambda text: "3.png: wrote" in text)
    (worker,) = pids_of_workers(process.pid)
    os.kill(worker, signal.SIGKILL)
    errors += process.communicate(timeout=GUARD_SECONDS)[1]
    assert process.returncode == 1
    failure = next(line for line in errors.splitlines() if "4.jpg" in line)
    assert failure.startswith("gmmquant: photos/4.jpg: its process was killed by SIGKILL, perhaps for lack of memory; ")
    assert "gmmquant: 7 done, 1 failed in " in errors
    assert sorted(os.listdir(out)) == sorted(
        f"{number}_{what}" for number in (0, 1, 2, 3, 5, 6, 7) for what in ("k300.png", "report.json")
    )


# --- exit codes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("folder", "n_sweeps"), [("out", 2), ("memory://sweeps/out", 1)])
def test_a_remote_output_folder_is_swept_once_and_a_local_one_also_at_the_end(
    samples, tmp_path, monkeypatch, folder, n_sweeps
):
    """Each sweep of a remote folder is a request, and would find the temporaries of this run too new."""
    monkeypatch.chdir(tmp_path)
    swept, target = [], parse_path(folder)
    monkeypatch.setattr("gmmquant.pipeline.batch.sweep_temporaries", swept.append)
    planned = plan([Source(samples / "flat.png"), Source(samples / "grey.png")], Task([2]), target)
    assert [type(outcome) for outcome in run_all(planned)] == [Done, Done]
    assert swept == n_sweeps * [target]


def test_exit_codes_for_good_bad_mixed_and_empty_folders(command, mixed, tmp_path, samples):
    for folder in ("good", "bad", "empty"):
        (tmp_path / folder).mkdir()
    for number in range(2):
        shutil.copy(samples / "flat.png", tmp_path / f"good/{number}.png")
        (tmp_path / f"bad/bad{number}.png").touch()
    codes = {
        name: command(*name.split(), "-k", "2", "-o", f"out {name}", "-q").returncode
        for name in ("good", "bad", "photos", "empty", "good empty", "good bad --fail-fast", "good --force --json")
    }
    assert codes == {
        "good": 0,
        "bad": 1,
        "photos": 1,
        "empty": 1,
        "good empty": 1,
        "good bad --fail-fast": 1,
        "good --force --json": 0,
    }
    assert command("good", "-k", "2", "-o", "out good", "--skip-existing").returncode == 0
    assert command("good", "-k", "2", "-o", "out good").returncode == 1
    assert command("good", "good/0.png", "-k", "0").returncode == 2
    assert command("good", "photos", "-k", "2", "-o", "some clash").returncode == 1
    assert command("good", "good/../good/0.png", "--shared", "photos", "-k", "2", "-o", "clash").returncode == 2
    assert not (tmp_path / "clash").exists()


# --- a dry run --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [[], ["--skip-existing"], ["--force"], ["--json-lines"], ["-q"], ["-r"]])
def test_a_dry_run_changes_nothing_and_predicts_what_is_done(command, photos, tmp_path, options):
    assert command("photos/3.png", "-k", "2", "-o", "out", "--save-model").returncode == 0
    (tmp_path / "out/3_report.json").unlink()
    before = {path: path.stat() for path in tmp_path.rglob("*")}
    arguments = ["photos", "-k", "2", "-o", "out", *options]
    predicted = command(*arguments, "--dry-run", "--json-lines", "-q")
    shown = command(*arguments, "--dry-run")
    after = {path: path.stat() for path in tmp_path.rglob("*")}
    assert {path: (s.st_mtime_ns, s.st_ino) for path, s in after.items()} == {
        path: (s.st_mtime_ns, s.st_ino) for path, s in before.items()
    }
    outcomes = {line["source"]: line for line in map(json.loads, predicted.stdout.splitlines())}
    assert len(outcomes) == 8
    done = command(*arguments)
    assert (
        predicted.returncode
        == shown.returncode
        == done.returncode
        == int(not {*options} & {"--skip-existing", "--force"})
    )
    made = {
        path
        for path in (tmp_path / "out").iterdir()
        if path not in before or path.stat().st_mtime_ns != before[path].st_mtime_ns
    }
    expected = {
        tmp_path / path
        for line in outcomes.values()
        for path, action in line.get("outputs", {}).items()
        if action in ("new", "replaced")
    }
    assert made == expected


def test_a_dry_run_shows_the_action_on_each_output(command, photos, tmp_path):
    assert command("photos/3.png", "photos/5.png", "-k", "2", "-o", "out").returncode == 0
    (tmp_path / "out/3_report.json").unlink()
    kept = command("photos", "-k", "2", "-o", "out", "-n", "--skip-existing")
    assert "  out/3_k2.png (kept)\n  out/3_report.json (new)\n" in kept.stdout
    assert kept.stderr == "gmmquant: dry run, nothing was done; would read 7 images; outputs: 13 new, 3 kept\n"
    replaced = command("photos", "-k", "2", "-o", "out", "-n", "--force")
    assert "  out/3_k2.png (replaced)\n  out/3_report.json (new)\n" in replaced.stdout
    refused = command("photos", "-k", "2", "-o", "out", "-n")
    assert refused.returncode == 1
    assert (
        "photos/3.png: 3_k2.png exists; use --force to replace it, --skip-existing to write what is missing, "
        "or another --name" in refused.stderr
    )


def test_a_dry_run_makes_no_records(command, photos):
    result = command("photos", "-n", "--json")
    assert (result.returncode, result.stdout) == (2, "")
    assert "--json" in result.stderr


# --- terminals --------------------------------------------------------------------------------------------------------


def rich_terminal(environment):
    return {**environment, "TERM": "xterm-256color", "COLORTERM": "truecolor"}


def test_on_a_terminal_a_bar_shows_progress_speed_and_remaining_time(tmp_path, mixed, clean_environment):
    shown, code = in_a_terminal(["photos", "-k", "60", "-o", "out"], tmp_path, rich_terminal(clean_environment))
    assert code == 1
    plain = re.sub(r"\x1b\[[^a-zA-Z]*[a-zA-Z]", "", shown)
    assert re.search(r"[1-7]/8 (\d+\.\d/s|\d+ s each)  \d+:\d\d:\d\d left", plain)
    assert "wrote" not in plain
    assert "photos/3.png: damaged or incomplete PNG image" in plain
    assert shown.rindex("\x1b[?25h") > shown.rindex("left")  # the cursor is shown again
    last = " ".join(plain.rpartition("gmmquant: ")[2].split())  # it may be in two lines
    assert re.fullmatch(r"5 done, 3 failed in \d+\.\d s, \d+\.\d \w+ an? \w+; .*", last)


def test_on_a_terminal_json_lines_are_separate_from_the_bar(tmp_path, photos, clean_environment):
    arguments = ["photos", "-k", "2", "-o", "out", "--json-lines"]
    shown, code = in_a_terminal(arguments, tmp_path, rich_terminal(clean_environment), columns=40_000)
    assert code == 0
    lines = [line for line in shown.split("\n") if '{"schema"' in line]
    sources = []
    for line in lines:
        before, brace, rest = line.partition('{"schema"')
        assert re.sub(r"\x1b\[[^a-zA-Z]*[a-zA-Z]|\r", "", before) == ""
        sources.append(json.loads((brace + rest).rstrip("\r"))["source"])
    assert sources == [f"photos/{number}.png" for number in range(8)]


@pytest.mark.parametrize(("variable", "value"), [("TERM", "dumb"), ("TERM", "unknown")])
def test_on_a_terminal_without_cursor_movement_there_are_messages(tmp_path, photos, clean_environment, variable, value):
    environment = {**clean_environment, variable: value}
    shown, code = in_a_terminal(["photos", "-k", "2", "-o", "out"], tmp_path, environment)
    assert code == 0
    assert "\x1b" not in shown
    assert " left" not in shown
    assert shown.count(": wrote ") == 8


def test_with_no_color_the_bar_has_no_colors(tmp_path, photos, clean_environment):
    environment = {**rich_terminal(clean_environment), "NO_COLOR": "1"}
    shown, code = in_a_terminal(["photos", "-k", "60", "-o", "out"], tmp_path, environment)
    assert code == 0
    assert " left" in shown
    for codes in re.findall(r"\x1b\[([\d;]*)m", shown):
        assert not re.search(r"\b(3[0-8]|4[0-8]|9[0-7]|10[0-7])\b", codes)


@pytest.mark.parametrize(
    "options", [["--json"], ["--json-lines"], ["--json-lines", "--shared"], ["--jobs", "1", "--json"]]
)
@pytest.mark.parametrize("image", ["photos", "photos/1.png"])
def test_records_can_be_redirected_while_a_bar_is_shown(tmp_path, photos, clean_environment, options, image):
    """As if a person at a terminal redirects them."""
    environment = {**clean_environment, "TERM": "xterm-256color"}
    arguments = [sys.executable, "-m", "gmmquant", image, "-k", "3", "40", "-o", "out", *options]
    main, side = os.openpty()
    with open(tmp_path / "records", "wb") as records:
        process = subprocess.Popen(arguments, cwd=tmp_path, env=environment, stdin=side, stdout=records, stderr=side)
    os.close(side)
    shown = b""
    with contextlib.suppress(OSError):  # the terminal is gone when the program that used it ends
        while part := os.read(main, 65536):
            shown += part
    os.close(main)
    assert process.wait() == 0, shown.decode()
    text = (tmp_path / "records").read_text()
    records = json.loads(text) if "--json" in options else [json.loads(line) for line in text.splitlines()]
    n_images = 8 if image == "photos" else 1
    assert len(records) == ({"--json-lines": n_images + 1}.get(options[0]) if "--shared" in options else n_images)
    assert "\x1b[?25l" in shown.decode()  # the bar hides the cursor


def test_a_new_report_does_not_list_kept_files_of_other_options(command, photos, tmp_path):
    command("photos", "-k", "3", "-o", "out")
    (tmp_path / "out/2_report.json").unlink()
    before = (tmp_path / "out/2_k3.png").read_bytes()
    result = command(
        "photos", "-k", "3", "-o", "out", "--skip-existing", "--method", "kmeans", "--dither", "blue-noise"
    )
    assert result.returncode == 1
    assert "photos/2.png: 2_k3.png exists, but was written for other images or options" in result.stderr
    assert not (tmp_path / "out/2_report.json").exists()
    assert (tmp_path / "out/2_k3.png").read_bytes() == before
    assert command("photos", "-k", "3", "-o", "out", "--skip-existing").returncode == 0
    assert (tmp_path / "out/2_report.json").exists()


@pytest.mark.parametrize("closed", ["a file", "a folder"])
@pytest.mark.parametrize("options", [[], ["--dry-run"], ["--shared"], ["--shared", "--dry-run"]])
def test_a_folder_that_cannot_be_written_to_is_reported_before_any_image_is_read(command, tmp_path, closed, options):
    names = ["a.png", "b.png"]
    for name in names:
        (tmp_path / name).write_text("not an image, but it is not read")
    if closed == "a file":
        (tmp_path / "closed").touch()
    else:
        (tmp_path / "closed").mkdir(mode=0o555)
    tmp_path.chmod(0o755)
    result = command(*names, "-k", "2", "-o", "closed/out", *options, preexec_fn=obey_permissions)
    reason = "not a directory" if closed == "a file" else "permission denied"
    assert result.returncode == 1
    lines = [line for line in result.stderr.splitlines() if "cannot write to closed/out: " + reason in line]
    assert len(lines) == (1 if "--shared" in options and "--dry-run" not in options else 2 + ("--shared" in options))
    assert "not a supported image" not in result.stderr
    if options == ["--shared"]:
        assert result.stderr.splitlines()[-1].startswith("gmmquant: 2 not tried in ")


@pytest.mark.parametrize("options", [[], ["--shared"]])
def test_a_finished_run_needs_no_write_permission(command, photos, tmp_path, options):
    arguments = ["photos", "-k", "2", "-o", "out", "--skip-existing", *options]
    assert command(*arguments).returncode == 0
    (tmp_path / "out").chmod(0o555)
    for dry in ([], ["--dry-run"]):
        assert command(*arguments, *dry, preexec_fn=obey_permissions).returncode == 0
    (tmp_path / "out").chmod(0o755)


def test_a_quiet_run_on_a_terminal_shows_nothing(tmp_path, photos, clean_environment):
    shown, code = in_a_terminal(["photos", "-k", "2", "-o", "out", "-q"], tmp_path, rich_terminal(clean_environment))
    assert (shown, code) == ("", 0)


@pytest.mark.parametrize("to", ["pipe", "log"])
@pytest.mark.parametrize("forced", [{}, {"FORCE_COLOR": "1", "TTY_COMPATIBLE": "1", "TTY_INTERACTIVE": "1"}])
def test_a_pipe_or_a_log_has_no_bar_even_with_forced_colors(command, photos, clean_environment, to, forced, tmp_path):
    environment = {**rich_terminal(clean_environment), **forced}
    if to == "pipe":
        errors = command("photos", "-k", "2", "-o", "out", env=environment).stderr
    else:
        with open(tmp_path / "log", "w+") as log:
            command("photos", "-k", "2", "-o", "out", env=environment, capture_output=False, stdout=log, stderr=log)
        errors = (tmp_path / "log").read_text()
    assert "\x1b" not in errors
    assert "\r" not in errors
    assert " left" not in errors
    assert errors.count(": wrote ") == 8


def test_the_bar_shows_no_control_characters_of_names(tmp_path, samples, clean_environment):
    for number in range(3):
        shutil.copy(samples / "flat.png", tmp_path / f"{number}\x1b]0;title\x07[bold].png")
    shown, code = in_a_terminal([".", "-k", "2", "-o", "out"], tmp_path, rich_terminal(clean_environment))
    assert code == 0
    assert "\x1b]0;" not in shown
    assert "\x07" not in shown


@pytest.mark.parametrize("options", [["-v"], ["--json"], ["--json-lines"]])
def test_a_program_that_replaces_the_standard_streams_gets_the_output(photos, tmp_path, options):
    code = (
        "import contextlib, io, sys\n"
        "from gmmquant.cli.app import run\n"
        "with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:\n"
        "    code = run(sys.argv[1:])\n"
        "print(code, len(out.getvalue()) > 1000, 'gmmquant: 8 done' in err.getvalue())\n"
    )
    arguments = [sys.executable, "-c", code, str(photos), "-k", "2", "-o", str(tmp_path / "out"), *options]
    assert subprocess.run(arguments, capture_output=True, text=True).stdout == "0 True True\n"
