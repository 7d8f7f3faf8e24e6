"""Requests to an object store that fail: images are done, or one line each; nothing is torn, lost or left behind.

Each request of a run over an S3 server fails in turn, in each of the ways of `FAULTS`; and requests fail at random.
The default is a sample; `make sweep` tries every request (GMMQUANT_SWEEP=1).
"""

import json
import os
import random

import pytest

pytest.importorskip("moto")
pytest.importorskip("s3fs")

from command_server import CommandServer
from dask_cluster import without_seconds
from image_files import saved
from storage_servers import FAULTS

from gmmquant.cli.app import run
from gmmquant.pipeline.sources import sources_of
from gmmquant.system.filesystem import ask, files_below, open_path
from gmmquant.system.paths import parse_path

SWEEPS = bool(os.environ.get("GMMQUANT_SWEEP"))
N_SAMPLED = 3  # requests of each kind of fault, unless all are tried

# A store refuses what it refuses for good; everything else is tried again, by s3fs and by gmmquant.
TRANSIENT = tuple(fault for fault in FAULTS if fault != "403")

TABLES = {"report.csv", "components.csv"}

NAMES = ("a/p0.png", "b/p1.png", "b/p2.png")


def test_a_folder_that_may_not_be_looked_up_is_not_taken_for_a_file(s3, s3_faults):
    ask(parse_path(f"{s3}/known/a.png"), lambda system, name: system.pipe_file(name, b""))
    s3_faults.start(lambda number: "403" if number == 0 else None)
    (failure,) = sources_of([f"{s3}/known"])
    assert (str(failure.source), failure.reason) == (f"{s3}/known", "permission denied")


def test_a_run_that_may_not_look_for_its_outputs_names_them(s3, s3_faults, samples, capsys):
    s3_faults.start(lambda _: "403")
    assert run([str(samples / "cat.jpg"), "-o", f"{s3}/unknown/out"]) == 1
    assert capsys.readouterr().err == f"gmmquant: {s3}/unknown/out: permission denied; nothing more was done\n"


class Store:
    """A bucket with images, and runs of the command over them."""

    def __init__(self, url, faults, server, folder, environment):
        self.url, self._faults = url, faults
        self._server, self._folder, self.environment = server, folder, environment
        self.expected, self.n_requests = {}, 0

    def run(self, choose, output, *options):
        """Run the command while requests fail as `choose` says; return its exit code and its messages."""
        self._faults.start(choose)
        arguments = [f"{self.url}/in", "-r", "-k", "2", "--report", "json,csv", "-o", f"{self.url}/{output}"]
        result = self._server.run([*arguments, "-j", "1", *options], self._folder, self.environment)
        self.n_requests = len(self._faults.requests)
        self._faults.start(lambda _: None)
        return result.returncode, result.stderr

    def outputs(self, output):
        """Return the files by name; figures without seconds."""
        folder, found = parse_path(f"{self.url}/{output}"), {}
        try:
            paths = list(files_below(folder))
        except FileNotFoundError:
            return found
        for path in paths:
            data = open_path(path).read()
            if path.suffix == ".json":
                data = without_seconds(json.loads(data))
            elif path.suffix == ".csv":
                data = data.count(b"\n")
            found[str(path).removeprefix(f"{folder}/")] = data
        return found


@pytest.fixture(scope="module")
def store(s3, faults_of_s3, photo, tmp_path_factory, clean_environment):
    """A bucket with three images, and the outputs of an undisturbed run."""
    client = {"config_kwargs": {"read_timeout": 2, "connect_timeout": 2, "retries": {"max_attempts": 0}}}
    aws = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    environment = {**clean_environment, **aws, "FSSPEC_S3": json.dumps(client)}
    url = f"{s3}/requests"
    for number, name in enumerate(NAMES):
        part = saved(photo.crop((number, 0, number + 24, 20)), "PNG")
        ask(parse_path(f"{url}/in/{name}"), lambda system, name, part=part: system.pipe_file(name, part))
    server = CommandServer(environment, ["s3fs", "gmmquant.pipeline.batch", "gmmquant.report.csv_tables"])
    try:
        made = Store(url, faults_of_s3, server, tmp_path_factory.mktemp("requests"), environment)
        assert made.run(lambda _: None, "plain")[0] == 0
        made.expected, made.n_undisturbed = made.outputs("plain"), made.n_requests
        assert len(made.expected) == 2 * len(NAMES) + 2
        yield made
    finally:
        server.close()


def done_and_failed(store, code, errors):
    """Check the messages of a run; return the names of images that were done and of those that failed."""
    lines = [line.removeprefix("gmmquant: ") for line in errors.splitlines()]
    assert all(line.startswith("gmmquant: ") for line in errors.splitlines()), errors
    done, failed = set(), set()
    for name in NAMES:
        of_image = [line for line in lines if line.startswith(f"{store.url}/in/{name}: ")]
        assert len(of_image) <= 1, errors
        if of_image:
            (done if ": wrote " in of_image[0] else failed).add(name)
    assert code == (0 if done == set(NAMES) and "cannot" not in errors else 1), errors
    return done, failed


def outputs_of(name, files):
    start = f"{name.removesuffix('.png')}_"
    return {path for path in files if path.startswith(start)}


def check_run(store, output, code, errors, *, leaves_nothing):
    """Check what a disturbed run left, and that the next one completes it; return the images that were done."""
    done, failed = done_and_failed(store, code, errors)
    files = store.outputs(output)
    assert files.keys() <= store.expected.keys()
    for name in files.keys() - TABLES:  # these have the images that were done
        assert files[name] == store.expected[name]
    for name in done:
        assert outputs_of(name, files) == outputs_of(name, store.expected)
    if leaves_nothing:
        assert not any(outputs_of(name, files) for name in failed), errors
    if code:
        code, errors = store.run(lambda _: None, output, "--skip-existing")
        assert code == 0, errors
    assert store.outputs(output) == store.expected
    return done


def sampled(store, kind, n=N_SAMPLED):
    """Return the numbers of the requests that are to fail."""
    numbers = range(store.n_undisturbed)
    return numbers if SWEEPS else random.Random(kind).sample(numbers, n)


@pytest.mark.slow
@pytest.mark.parametrize("kind", FAULTS)
def test_a_request_that_fails_once_is_tried_again_or_fails_one_image(store, kind):
    for number in sampled(store, kind):
        output = f"once-{kind}-{number}"
        code, errors = store.run(lambda n, fails=number: kind if n == fails else None, output)
        done = check_run(store, output, code, errors, leaves_nothing=True)
        if kind in TRANSIENT:
            assert code == 0, (number, errors)
        elif done:  # listing has not failed
            assert len(done) >= len(NAMES) - 1, (number, errors)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [kind for kind in FAULTS if kind != "silence"])
def test_a_store_that_fails_from_some_request_on_ends_the_run_in_lines(store, kind):
    for number in sampled(store, f"{kind} for good", 1):
        output = f"from-{kind}-{number}"
        code, errors = store.run(lambda n, fails=number: kind if n >= fails else None, output)
        check_run(store, output, code, errors, leaves_nothing=False)
        assert code == 1 or kind == "cut"  # not all requests have an answer to be cut


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(40 if SWEEPS else 4))
def test_requests_that_fail_at_random_lose_tear_and_leave_nothing(store, seed):
    chance = random.Random(seed)
    share = chance.choice([0.03, 0.1, 0.3])
    kinds = [kind for kind in FAULTS if kind != "silence"]
    code, errors = store.run(lambda _: chance.choice(kinds) if chance.random() < share else None, f"random-{seed}")
    check_run(store, f"random-{seed}", code, errors, leaves_nothing=False)
