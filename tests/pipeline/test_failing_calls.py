"""Calls of the system and of the allocator fail one after the other, and no run loses, tears or leaves a file.

A run is repeated: its first call of a kind fails, then its second, and so forth, until the run has no such call left;
once that call alone, and once all later ones too. `make sweep` does all of it (GMMQUANT_SWEEP), `make test` a part.
"""

import contextlib
import errno
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from command_server import CommandServer
from PIL import Image

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="libraries are preloaded as on Linux")

IS_WHOLE = "GMMQUANT_SWEEP" in os.environ

# The kinds of calls in the order of `enum kind` in failing_calls.c, each with the error that it fails with.
ERRORS = {
    "open": errno.EMFILE,
    "read": errno.EIO,
    "write": errno.ENOSPC,
    "sync": errno.EIO,
    "close": errno.EIO,
    "unlink": errno.EIO,
    "name": errno.EIO,
    "status": errno.EIO,
    "make folder": errno.ENOSPC,
    "list": errno.EIO,
    "lock": errno.EIO,
    "memory": errno.ENOMEM,
}

# Failures after the files of an image have their names: of results, and of a process that cannot say that it is done.
AFTER_THE_FILES = ["cannot write to standard output: ", ": its process "]


class Scenario(NamedTuple):
    """A command, the command that ran before it, and the option with which it is repeated.

    If not `independent`, an image that fails changes the results of the others.
    """

    arguments: str
    earlier: str | None = None
    repeat: str = "--skip-existing"
    independent: bool = True


SCENARIOS = {
    "one image": Scenario("flat.png -k 2 3 -o out"),
    "all reports": Scenario(
        "flat.png -k 2 -o out --report json html csv md --sheet png --palette-out hex --save-model"
    ),
    "replaced": Scenario("flat.png -k 2 3 -o out --force", "flat.png -k 2 3 -o out --seed 7", "--force"),
    "continued": Scenario("flat.png -k 2 -o out", "flat.png -k 3 -o out"),
    "batch": Scenario("flat.png grey.png -k 2 -o out -q --jobs 2"),
    "shared": Scenario("flat.png grey.png -k 2 -o out --shared --jobs 2", None, "--force", independent=False),
    "records": Scenario("flat.png -k 2 --json -o -", repeat=""),
    "standard output": Scenario("flat.png -k 2 -o -", repeat=""),
}


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """The library of failing_calls.c, compiled."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    path = tmp_path_factory.mktemp("library") / "failing_calls.so"
    source = Path(__file__).parents[1] / "failing_calls.c"
    subprocess.run([compiler, "-O1", "-shared", "-fPIC", source, "-o", path, "-ldl"], check=True)
    return path


@pytest.fixture(scope="module")
def server(clean_environment, library):
    """The command, with all of its modules loaded."""
    with contextlib.closing(CommandServer({**clean_environment, "LD_PRELOAD": str(library)})) as server:
        yield server


@pytest.fixture(scope="module")
def starting_server(clean_environment, library):
    """The command, with the modules that it loads first; a run imports the others."""
    modules = ["gmmquant.cli.app", "gmmquant.pipeline.batch"]
    with contextlib.closing(CommandServer({**clean_environment, "LD_PRELOAD": str(library)}, modules)) as server:
        yield server


class Sweep:
    """Runs of a scenario in a folder."""

    def __init__(self, server, scenario, folder, samples, environment):
        self._server, self._scenario, self._folder = server, scenario, folder
        self._environment = {**environment, "PYTHONDONTWRITEBYTECODE": "1"}
        folder.mkdir()
        for name in ("flat.png", "grey.png"):
            shutil.copy(samples / name, folder)
        if scenario.earlier is not None:
            assert self._run(scenario.earlier).returncode == 0
        self._before, self._saved = contents(folder), folder.with_name("saved")
        shutil.copytree(folder, self._saved)
        undisturbed = self._run(scenario.arguments)
        assert undisturbed.returncode == 0
        self._complete, self._shown = contents(folder), without_seconds(undisturbed.stdout)

    def _run(self, arguments, fault=None):
        return self._server.run(arguments.split(), self._folder, self._environment, fault)

    def faults(self, kind, nth, *, again):
        """Let the n-th call of a kind fail; return what is wrong with the files, the messages and the next run.

        `n_calls` is then the number of calls of this kind that the run had.
        """
        shutil.rmtree(self._folder)
        shutil.copytree(self._saved, self._folder)
        result = self._run(self._scenario.arguments, [list(ERRORS).index(kind), nth, ERRORS[kind], again])
        self.n_calls = self._server.n_calls
        present, told = contents(self._folder), result.stderr.splitlines()
        left = {path for path in present if Path(path).name.startswith(".gmmquant-")}
        is_complete = present.items() >= self._complete.items()
        faults = [
            f"{path} is torn"
            for path in present.keys() - left
            if present[path] not in (self._before.get(path), self._complete.get(path))
            and (self._scenario.independent or not is_whole(self._folder / path))
        ]
        faults += [f"{path} is lost" for path in self._before.keys() - present.keys()]
        new = present.keys() - left - self._before.keys()
        faults += [
            f"{path} of {name} is left" for name in failed_images(told) for path in new if Path(name).stem in path
        ]
        is_told = all(line.startswith("gmmquant: ") for line in told)
        is_bug = "this is a bug" in result.stderr and "AttributeError" not in result.stderr  # of a half-loaded library
        if result.returncode not in (0, 1) or not is_told or is_bug:
            faults.append(f"it ends with {result.returncode} and {result.stderr}")
        elif result.returncode == 0:
            faults += [f"{path} is missing" for path in self._complete.keys() - present.keys()]
            faults += ["results are missing"] * (without_seconds(result.stdout) != self._shown)
        elif not told:
            faults.append("a failure is silent")
        elif (
            is_complete
            and self._complete != self._before
            and not any(reason in line for line in told for reason in AFTER_THE_FILES)
        ):
            faults.append(f"a complete run fails with {result.stderr}")
        if result.returncode or left:
            repeated = self._run(f"{self._scenario.arguments} {self._scenario.repeat}")
            if repeated.returncode != 0 or contents(self._folder) != self._complete:
                faults.append(f"then the next run ends with {repeated.returncode} and {repeated.stderr}")
        return faults


def failed_images(told):
    """Return the names of the images that failed, but not because of their processes."""
    found = (re.match(r"gmmquant: (\w+\.png): (?!wrote |its process |skipped)", line) for line in told)
    return [match[1] for match in found if match]


def contents(folder):
    """Return the contents of the files below a folder, without the times in records."""
    return {
        str(path.relative_to(folder)): without_seconds(path.read_bytes())
        for path in folder.rglob("*")
        if path.is_file()
    }


def is_whole(path):
    """Return whether an image or a record can be read."""
    try:
        if path.suffix == ".json":
            json.loads(path.read_text())
        else:
            with Image.open(path) as image:
                image.load()
    except (OSError, ValueError):
        return False
    return True


def without_seconds(content):
    """Return text without digits, some of which are times, and without an option that repeated runs have."""
    text = content if isinstance(content, str) else content.decode("utf-8", "surrogateescape")
    return text if "PNG" in text[:4] else re.sub(r"[\d.]+(e-\d+)?|--skip-existing ", "", text)


def check(sweep, kinds, positions):
    """Let calls of each kind fail, those at `positions`, until a run has no such call."""
    for index, kind in enumerate(kinds):
        for nth in positions:
            for again in (False, True) if IS_WHOLE else (index % 2 == 0,):
                assert sweep.faults(kind, nth, again=again) == [], f"{kind} {nth}, {again = }"
            if sweep.n_calls < nth:
                break


KINDS = [[kind] for kind in ERRORS] if IS_WHOLE else [list(ERRORS)]


@pytest.mark.parametrize("kinds", KINDS, ids=lambda kinds: kinds[0] if IS_WHOLE else "all kinds")
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_no_call_that_fails_loses_tears_or_leaves_a_file(server, scenario, kinds, tmp_path, samples, clean_environment):
    sweep = Sweep(server, SCENARIOS[scenario], tmp_path / "work", samples, clean_environment)
    one = 1 + list(SCENARIOS).index(scenario) % 4
    check(sweep, kinds, itertools.count(1) if IS_WHOLE else [one])


@pytest.mark.parametrize("kinds", KINDS, ids=lambda kinds: kinds[0] if IS_WHOLE else "all kinds")
@pytest.mark.parametrize("scenario", ["one image", "all reports"] if IS_WHOLE else ["one image"])
def test_no_import_that_fails_loses_tears_or_leaves_a_file(
    starting_server, scenario, kinds, tmp_path, samples, clean_environment
):
    sweep = Sweep(starting_server, SCENARIOS[scenario], tmp_path / "work", samples, clean_environment)
    check(sweep, kinds, itertools.count(1) if IS_WHOLE else [20, 60])
