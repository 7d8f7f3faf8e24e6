"""A Dask cluster writes the same bytes as this machine alone, even if workers die."""

import errno
import multiprocessing
import operator
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib import import_module
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from dask_cluster import Dask, contents
from PIL import Image
from waiting import GUARD_SECONDS, wait_for

from gmmquant import ColorHistogram, ParameterError
from gmmquant.cli.app import run as run_command
from gmmquant.errors import ClusterError
from gmmquant.pipeline import batch, continued
from gmmquant.pipeline.batch import run_all
from gmmquant.pipeline.image_job import run
from gmmquant.pipeline.plan import Existing, Products, Task, plan
from gmmquant.pipeline.sources import Source
from gmmquant.report.outcome import Done, Failure, PlannedOutcome, Skipped
from gmmquant.system import threads
from gmmquant.system.executors.base import WorkerDied
from gmmquant.system.executors.serial import SerialExecutor
from gmmquant.system.filesystem import exists

pytest.importorskip("distributed")

from gmmquant.system.executors.dask import connect, pool, tasks
from gmmquant.system.executors.dask.connect import dask_executor

HERE = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def clean_environment(clean_environment):
    """Make the processes of a local cluster import this package."""
    return {**clean_environment, "PYTHONPATH": str(HERE.parent)}


@pytest.fixture(scope="module")
def processes(tmp_path_factory):
    dask = Dask(tmp_path_factory.mktemp("dask"))
    try:
        yield dask
    finally:
        dask.stop()


@pytest.fixture(autouse=True)
def patient(monkeypatch):
    """Wait long for an answer: on a busy machine, a scheduler that runs may answer late."""
    monkeypatch.setattr(connect, "_ANSWER_SECONDS", GUARD_SECONDS)


@pytest.fixture
def dask(processes):
    processes.complete()
    return processes


@pytest.fixture
def images(tmp_path, photo):
    """A folder of 8 small images, each brighter than the last."""
    folder = tmp_path / "images"
    folder.mkdir()
    pixels = np.asarray(photo)
    for number in range(8):
        Image.fromarray(np.clip(pixels + np.uint8(number), number, 255)).save(folder / f"p{number}.png")
    return folder


def square(x, admit):
    return x * x


def nap(x, admit):
    time.sleep(0.02)
    return x


def count_threads(x, admit):
    return threads.n_processors(), os.environ.get("OPENBLAS_NUM_THREADS")


def linger(x, admit):
    """Work for long, and check regularly whether the item is cancelled."""
    for _ in range(100 * GUARD_SECONDS):
        time.sleep(0.01)
        admit(0)
    return x


def die_at_5(x, admit):
    if x == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return x


def add_deadly(a, b):
    os.kill(os.getpid(), signal.SIGKILL)


def wait_for_a_file(folder, x, admit):
    """Wait for a file in a folder, without a look at whether the item is cancelled."""
    wait_for((folder / str(x)).exists)
    return x


def fail(x, admit):
    raise ValueError(f"{x} is not wanted")


def import_what_is_missing(x, admit):
    import_module("gmmquant.missing")


def versions_of_a_worker_without_numpy():
    if multiprocessing.parent_process() is not None:  # in a worker
        raise ModuleNotFoundError("No module named 'numpy'")
    return tasks.versions()


def histogram(x, admit):
    time.sleep(0.02)
    return ColorHistogram.from_pixels(np.random.default_rng(x).integers(0, 9, size=(50, 3), dtype=np.uint8))


def merged(a, b):
    return a.merged(b)


def all_of(folder, output, executor, **settings):
    return list(run_all(planned(folder, output, **settings), executor=executor))


def planned(folder, output, **settings):
    return plan([Source(path) for path in sorted(folder.iterdir())], Task([2, 3], **settings), output)


def test_serial_process_and_dask_executors_write_the_same_bytes(dask, images, tmp_path, command):
    for name, options in {
        "alone": ["--jobs", "1"],
        "two": ["--jobs", "2"],
        "dask": ["--scheduler", dask.address],
    }.items():
        result = command("images", "-k", "2", "3", "-o", name, "--palette-out", "gpl", *options)
        assert result.returncode == 0, result.stderr
        assert result.stderr.count("\n") == 9  # a line each and the sum, nothing of Dask's
    assert len(contents(tmp_path / "alone")) == 8 * 5
    alone = contents(tmp_path / "alone")
    for other in ("two", "dask"):
        found = contents(tmp_path / other)
        assert found.keys() == alone.keys()
        for name in found:
            assert found[name] == alone[name]


def test_a_shared_mixture_has_the_same_bytes_with_dask(dask, images, tmp_path, command):
    (images / "damaged.png").write_bytes((images / "p1.png").read_bytes()[:200])
    for name, options in {"alone": ["--jobs", "1"], "dask": ["--scheduler", dask.address]}.items():
        result = command("images", "-k", "3", "-o", name, "--shared", "--save-model", *options)
        assert result.returncode == 1, result.stderr
        assert "damaged.png: " in result.stderr
    assert {"shared_report.json", "shared_k3.gmm.json", "p0_k3.png"} < contents(tmp_path / "alone").keys()
    assert contents(tmp_path / "alone") == contents(tmp_path / "dask")


def test_images_and_outputs_may_be_remote(dask, sftp, images, tmp_path, command):
    folder, url, _ = sftp
    shutil.copytree(images, folder / tmp_path.name / "images")
    url = f"{url}/{tmp_path.name}"
    result = command(f"{url}/images", "-k", "2", "3", "-o", f"{url}/out", "--scheduler", dask.address)
    assert result.returncode == 0, result.stderr
    all_of(images, tmp_path / "out", SerialExecutor())
    assert contents(tmp_path / "out") == contents(folder / tmp_path.name / "out")


def test_a_worker_that_is_killed_changes_no_byte(dask, images, tmp_path):
    with dask_executor(dask.address) as cluster:
        outcomes = run_all(planned(images, tmp_path / "a"), executor=cluster)
        names = [outcome.source.name for outcome in islice(outcomes, 3)]
        dask.kill_a_worker()
        names += [outcome.source.name for outcome in outcomes]
    assert names == [path.name for path in sorted(images.iterdir())]
    all_of(images, tmp_path / "b", SerialExecutor())
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


@pytest.mark.slow
def test_a_total_is_right_although_a_worker_with_parts_of_it_is_killed(dask):
    counted = []

    def count(_):
        counted.append(1)
        if len(counted) == 30:
            dask.kill_a_worker()

    with dask_executor(dask.address) as cluster:
        total = cluster.total(histogram, range(60), merged, on_death=None, on_result=count)
    plain = SerialExecutor().total(histogram, range(60), merged, on_death=None)
    assert len(counted) == 60
    assert np.array_equal(total.codes, plain.codes)
    assert np.array_equal(total.counts, plain.counts)


def test_a_total_has_each_part_once_for_any_number_of_parts(dask, monkeypatch):
    with dask_executor(dask.address) as cluster:
        for level in (5, 2, 1):
            monkeypatch.setattr("gmmquant.system.executors.dask.pool._FETCHED_LEVEL", level)
            for n in (0, 1, 8, 9, 40, 100):
                total = cluster.total(square, range(n), operator.add, on_death=None)
                assert total == (sum(x * x for x in range(n)) if n else None)


def test_workers_compute_in_one_thread_and_so_does_their_numpy(dask):
    with dask_executor(dask.address) as cluster:
        assert set(cluster.map(count_threads, range(8))) == {(1, "1")}


@pytest.mark.slow
def test_a_sum_that_kills_its_workers_ends_the_run(dask):
    with dask_executor(dask.address) as cluster, pytest.raises(ClusterError, match=r"cannot be added up: \d+ workers"):
        cluster.total(square, range(9), add_deadly, on_death=None)


@pytest.mark.slow
def test_only_the_item_that_kills_its_workers_fails(dask):
    with dask_executor(dask.address) as cluster:
        results = list(cluster.map(die_at_5, range(10)))
        assert [result for result in results if not isinstance(result, WorkerDied)] == [0, 1, 2, 3, 4, 6, 7, 8, 9]
        assert isinstance(results[5], WorkerDied)


def test_results_are_in_order_and_items_are_taken_when_there_is_room(dask):
    taken = []

    def items():
        for x in range(1000):
            taken.append(x)
            yield x

    with dask_executor(dask.address) as cluster:
        results = cluster.map(nap, items())
        assert list(islice(results, 20)) == list(range(20))
        assert len(taken) < 100
        results.close()
        assert list(cluster.map(square, iter(range(50)))) == [x * x for x in range(50)]


def test_a_run_without_workers_notifies_the_user_and_waits(dask, monkeypatch):
    monkeypatch.setattr("gmmquant.system.executors.dask.pool._PATIENCE_SECONDS", 1)
    monkeypatch.setattr("gmmquant.system.executors.dask.pool._COUNT_SECONDS", 0.1)
    messages = []

    def note(text):
        messages.append(text)
        dask.complete()

    with dask_executor(dask.address, note=note) as cluster:
        results = cluster.map(nap, range(30))
        assert next(results) == 0
        dask.kill_a_worker()
        dask.kill_a_worker()
        assert list(results) == list(range(1, 30))
    assert messages[:1] == ["no worker is connected to the scheduler; waiting for one"]


@pytest.mark.slow
def test_a_scheduler_that_dies_ends_the_run_with_a_message(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(map(str, (HERE, HERE / "system"))))
    with dask_executor("local", 1) as cluster:
        results = cluster.map(nap, range(1000))
        next(results)
        cluster._kill()
        with pytest.raises(ClusterError, match="connection to the scheduler was lost; run again with --skip-existing"):
            list(results)


@pytest.mark.slow
def test_a_local_cluster_ends_when_its_parent_is_killed(tmp_path, clean_environment):
    script = (
        "import os, sys, time\n"
        "from gmmquant.system.executors.dask.local import local_cluster\n"
        "with local_cluster(1) as (address, kill):\n"
        "    print(kill.args[0].pid, flush=True)\n"
        "    time.sleep(60)\n"
    )
    environment = {**clean_environment, "TMPDIR": str(tmp_path)}
    with subprocess.Popen([sys.executable, "-c", script], env=environment, stdout=subprocess.PIPE) as process:
        group = int(process.stdout.readline())
        os.killpg(group, 0)
        process.kill()
    for _ in range(1200):  # a minute, on a busy machine
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            break
        time.sleep(0.05)
    else:
        pytest.fail("its processes live on")
    assert not list(tmp_path.iterdir())


def test_an_exception_of_the_work_is_raised(dask):
    with dask_executor(dask.address) as cluster, pytest.raises(ValueError, match="0 is not wanted"):
        list(cluster.map(fail, range(3)))


def test_existing_outputs_are_refused_or_kept_as_without_dask(dask, images, tmp_path):
    output = tmp_path / "out"
    with dask_executor(dask.address) as cluster:
        output.mkdir()
        (output / "p3_k2.png").write_bytes(b"mine")
        outcomes = all_of(images, output, cluster)
        (refused,) = (outcome for outcome in outcomes if isinstance(outcome, Failure))
        assert refused.reason.startswith(
            "p3_k2.png exists; use --force to replace it, --skip-existing to write what is missing"
        )
        outcomes = all_of(images, output, cluster, existing=Existing.KEEP)
        assert sum(isinstance(outcome, Skipped) for outcome in outcomes) == 7
        assert (output / "p3_k2.png").read_bytes() == b"mine"
        all_of(images, output, cluster, existing=Existing.REPLACE)
    all_of(images, tmp_path / "plain", SerialExecutor())
    assert contents(output) == contents(tmp_path / "plain")


class Twice(SerialExecutor):
    """Runs every item twice, as if the first worker had died before its result arrived."""

    def repeatable(self, items, prepare):
        return map(prepare, items)

    def _pool(self, work, add):
        def twice(item, admit):
            work(item, admit)
            return work(item, admit)

        return super()._pool(twice, add)


def test_a_job_that_runs_twice_and_keeps_outputs_has_the_same_outcome(images, tmp_path):
    results = []
    for name, executor in {"once": SerialExecutor(), "twice": Twice()}.items():
        output = tmp_path / name
        all_of(images, output, SerialExecutor())
        (output / "p1_k2.png").unlink()
        (output / "p2_report.json").unlink()
        outcomes = all_of(images, output, executor, existing=Existing.KEEP)
        written = [[path.name for path in getattr(outcome, "written", [])] for outcome in outcomes]
        results.append(([type(outcome) for outcome in outcomes], written, contents(output)))
    assert results[0] == results[1]
    assert results[0][1][1:3] == [["p1_k2.png"], ["p2_report.json"]]


@pytest.mark.parametrize("fail_fast", [False, True])
def test_temporaries_of_dead_workers_are_removed_however_the_run_ends(images, tmp_path, monkeypatch, fail_fast):
    """The temporary of a dead worker is simulated by a file that appears when the second image is checked."""
    work = batch.run

    def die_and_fail(job, admit, **options):
        (tmp_path / "out").mkdir(exist_ok=True)
        (tmp_path / "out/.gmmquant-dead-0.tmp").touch()
        return Failure(job.source, "lost") if job.source.name == "p1.png" else work(job, admit, **options)

    monkeypatch.setattr(batch, "run", die_and_fail)
    plans = planned(images, tmp_path / "out")
    outcomes = list(run_all(plans, executor=Twice(), fail_fast=fail_fast))
    assert len(outcomes) == (2 if fail_fast else len(plans.jobs))
    assert not list((tmp_path / "out").glob(".gmmquant-*"))


def test_an_output_that_cannot_be_checked_fails_its_image_only(images, tmp_path, monkeypatch):
    def look(path):
        if path.name.startswith("p1_"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return exists(path)

    for module in (continued, batch):
        monkeypatch.setattr(module, "exists", look)
    for executor in (SerialExecutor(), Twice()):
        outcomes = all_of(images, tmp_path / type(executor).__name__, executor)
        assert [type(outcome) for outcome in outcomes[:3]] == [Done, Failure, Done]
        assert outcomes[1].reason.endswith("permission denied")
    foreseen = list(batch.planned_outcomes(planned(images, tmp_path / "out")))
    assert [type(outcome) for outcome in foreseen[:3]] == [PlannedOutcome, Failure, PlannedOutcome]


def test_a_job_that_runs_twice_replaces_its_first_outputs(images, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    outcomes = all_of(Path("images"), Path("out"), Twice())
    assert [outcome.source for outcome in outcomes] == sorted(Path("images").iterdir())
    assert {path.parent for outcome in outcomes for path in outcome.written} == {Path("out")}
    all_of(images, tmp_path / "plain", SerialExecutor())
    assert contents(tmp_path / "out") == contents(tmp_path / "plain")


def test_several_threads_in_one_process_write_the_same_bytes(images, tmp_path):
    products = Products(maps=("entropy",))
    threaded = planned(images, tmp_path / "threads", products=products)
    with ThreadPoolExecutor(4) as executor:
        list(executor.map(lambda job: run(job, lambda _: None, task=threaded.task), threaded.jobs))
    all_of(images, tmp_path / "plain", SerialExecutor(), products=products)
    assert contents(tmp_path / "threads") == contents(tmp_path / "plain")


@pytest.mark.slow
def test_a_local_cluster_leaves_nothing_behind(images, tmp_path, command, clean_environment):
    folders = [tmp_path, tmp_path / "temporary"]
    folders[1].mkdir()
    before = {path.name for path in tmp_path.iterdir()}
    environment = {**clean_environment, "TMPDIR": str(folders[1])}
    result = command("images", "-k", "2", "3", "-o", "local", "--scheduler", "local", "-j", "2", env=environment)
    assert result.returncode == 0, result.stderr
    assert result.stderr.count("\n") == 9
    assert {path.name for path in tmp_path.iterdir()} == before | {"local"}
    assert not list(folders[1].iterdir())
    all_of(images, tmp_path / "plain", SerialExecutor())
    assert contents(tmp_path / "local") == contents(tmp_path / "plain")


@pytest.mark.slow
@pytest.mark.parametrize("where", ["local", "cluster"])
def test_ctrl_c_leaves_complete_outputs_and_nothing_else(where, request, tmp_path, samples, clean_environment):
    dask = request.getfixturevalue("dask") if where == "cluster" else None
    (tmp_path / "in").mkdir()
    for number in range(300):
        shutil.copy(samples / "cat.jpg", tmp_path / "in" / f"{number}.jpg")
    process = subprocess.Popen(
        [sys.executable, "-m", "gmmquant", "in", "-o", "out", "-k", "7", "20", "--scheduler"]
        + ([dask.address] if dask else ["local", "--jobs", "2"]),
        cwd=tmp_path,
        env=clean_environment,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert "wrote" in process.stderr.readline()
    os.killpg(process.pid, signal.SIGINT)
    messages = process.stderr.read()
    assert process.wait(timeout=GUARD_SECONDS) == 130
    process.stderr.close()
    assert all(line.startswith("gmmquant: ") for line in messages.splitlines())
    assert "stopped by SIGINT" in messages
    time.sleep(0.2)
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert 0 < len(names) < 900
    stems = {name.partition("_")[0] for name in names}
    assert names == {f"{stem}_{end}" for stem in stems for end in ("k7.png", "k20.png", "report.json")}


def test_cancelled_items_end_on_their_workers(dask, monkeypatch):
    monkeypatch.setattr(pool, "_GRACE_SECONDS", GUARD_SECONDS / 10)
    with dask_executor(dask.address) as cluster:
        beats, killed = iter(range(5)), []

        def stop():
            if next(beats, None) is None:
                raise KeyboardInterrupt

        cluster._idle, cluster._kill = stop, lambda: killed.append("all")
        with pytest.raises(KeyboardInterrupt):
            next(cluster.map(linger, range(10)))
        assert not killed


def test_workers_are_killed_if_cancelled_items_do_not_end(dask, monkeypatch, tmp_path):
    monkeypatch.setattr(pool, "_GRACE_SECONDS", 0.2)
    with dask_executor(dask.address) as cluster:
        killed = []
        cluster._kill = lambda: killed.append("all")
        results = cluster.map(partial(wait_for_a_file, tmp_path), range(3))
        (tmp_path / "0").touch()
        assert next(results) == 0
        results.close()
        assert killed == ["all"]
        for number in (1, 2):
            (tmp_path / str(number)).touch()


def test_a_local_cluster_whose_workers_cannot_load_dask_is_reported(monkeypatch, tmp_path):
    (tmp_path / "distributed.py").write_text("raise ImportError('broken')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with (
        pytest.raises(ClusterError, match="3 workers could not be started on this machine; use a smaller --jobs"),
        dask_executor("local", 3),
    ):
        pytest.fail("work was started")


def test_a_missing_scheduler_is_reported_in_one_line(images, monkeypatch, capsys):
    monkeypatch.setattr(connect, "_ANSWER_SECONDS", 0.3)
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{held.getsockname()[1]}"
        assert run_command([str(images), "--scheduler", address]) == 1
    remedy = "start one with dask scheduler, or use --scheduler local"
    assert capsys.readouterr().err == f"gmmquant: no Dask scheduler answers at {address} within 0.3 s; {remedy}\n"
    assert len(list(images.iterdir())) == 8


@pytest.mark.parametrize("address", ["nowhere://x:1", "tcp://", "tcp://host:port", ""])
def test_an_invalid_address_is_refused(address):
    with pytest.raises(ParameterError, match="not an address"), dask_executor(address):
        pass


def test_a_number_of_workers_is_for_a_local_cluster_only():
    with (
        pytest.raises(ParameterError, match="--jobs has an effect only with --scheduler local"),
        dask_executor("tcp://127.0.0.1:1", 2),
    ):
        pass


@pytest.fixture
def another_numpy(monkeypatch):
    """Make this process have another version of numpy than the workers."""
    tasks.versions.cache_clear()
    monkeypatch.setattr(np, "__version__", "0.1")
    yield
    tasks.versions.cache_clear()


def test_workers_of_another_version_are_refused_before_any_work(dask, another_numpy):
    with (
        pytest.raises(ClusterError, match=r"worker tcp://\S+ has numpy .*, this machine has 0\.1"),
        dask_executor(dask.address),
    ):
        pytest.fail("work was started")


def test_workers_of_another_version_that_join_later_are_refused(dask, another_numpy, monkeypatch):
    monkeypatch.setattr(connect, "check_versions", lambda *_: None)
    with dask_executor(dask.address) as cluster, pytest.raises(ClusterError, match=r"numpy .*, this machine has 0\.1"):
        list(cluster.map(square, range(3)))


def test_a_worker_that_lacks_a_package_is_reported_with_the_remedy(dask, monkeypatch):
    with dask_executor(dask.address) as cluster:
        with pytest.raises(ClusterError, match=r"a worker lacks a package \(.*gmmquant.missing.*\); install the same"):
            list(cluster.map(import_what_is_missing, range(2)))
        monkeypatch.setattr(connect, "versions", versions_of_a_worker_without_numpy)
        with pytest.raises(
            ClusterError, match=r"worker tcp://\S+ lacks a package \(No module named 'numpy'\); install"
        ):
            connect.check_versions(cluster._client)


def test_without_dask_the_error_says_what_to_install(command, images, tmp_path, clean_environment):
    (tmp_path / "without").mkdir()
    (tmp_path / "without" / "distributed.py").write_text("raise ModuleNotFoundError('gone', name='distributed')")
    path = f"{HERE.parent}{os.pathsep}{tmp_path / 'without'}"
    result = command("images", "--scheduler", "local", env={**clean_environment, "PYTHONPATH": path})
    assert result.returncode == 2
    assert result.stderr == ("gmmquant: a cluster needs the package distributed: pip install 'gmmquant[cluster]'\n")
