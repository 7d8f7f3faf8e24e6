"""Fixtures shared by the tests: sample images, the command in a process, remote storages."""

import contextlib
import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

# One thread for BLAS, as in the command, and one for scikit-learn, set before they are loaded. With two in each of two
# processes of tests on two processors, they wait for each other: tests of models took 1.7 times the processor time, and
# KMeans of scikit-learn four times.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
from command_server import CommandServer
from helpers import read_sample
from hypothesis import settings
from PIL import Image
from storage_servers import Faults, s3_server, sftp_server
from waiting import GUARD_SECONDS

from gmmquant import ColorHistogram
from gmmquant.system.paths import parse_path

# Background jobs of a shell ignore SIGINT, nohup SIGHUP, and the programs that tests start and stop would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

# The same examples in every run, and no deadline, because machines may be busy.
settings.register_profile("gmmquant", deadline=None, derandomize=True)
settings.load_profile("gmmquant")

PROJECT = Path(__file__).parent.parent

Result = subprocess.CompletedProcess[str]


_TERMINAL_VARIABLES = (
    "COLORTERM",
    "COLUMNS",
    "FORCE_COLOR",
    "LINES",
    "NO_COLOR",
    "TERM_PROGRAM",
    "TMUX",
    "TTY_COMPATIBLE",
)


@pytest.fixture(autouse=True)
def signal_handlers():
    """Restore the handlers of signals after the test: a run of the command in this process leaves its own."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="session", autouse=True)
def plain_terminal() -> Iterator[None]:
    """Remove the variables that configure a terminal, which change what the command prints in this process."""
    with pytest.MonkeyPatch.context() as environment:
        for name in _TERMINAL_VARIABLES:
            environment.delenv(name, raising=False)
        environment.setenv("TERM", "xterm")
        yield


@pytest.fixture(scope="session")
def project() -> Path:
    """The folder of the project."""
    return PROJECT


@pytest.fixture(scope="session")
def samples() -> Path:
    """The folder of sample images."""
    return PROJECT / "sample_images"


@pytest.fixture(scope="session")
def clean_environment() -> dict[str, str]:
    """An environment with a path and a locale, without variables that configure Python or a terminal.

    The kernel of BLAS is kept: the last digits of a fit depend on it, and tests compare processes. So are the settings
    of coverage.py, by which `make coverage` measures processes.
    """
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    blas = {name: value for name, value in os.environ.items() if "BLAS" in name and "THREADS" not in name}
    coverage = {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")}
    return {**blas, **coverage, "PATH": path, "LC_ALL": "C.UTF-8", "TERM": "xterm"}


@pytest.fixture(scope="session")
def command_server(clean_environment: dict[str, str]) -> Iterator[CommandServer]:
    """A process that runs the command in copies of itself."""
    with contextlib.closing(CommandServer(clean_environment)) as server:
        yield server


@pytest.fixture
def command(tmp_path: Path, clean_environment: dict[str, str], command_server: CommandServer) -> Callable[..., Result]:
    """Return a function that runs `gmmquant` in `tmp_path` and returns the completed process.

    With `options` of `subprocess.run`, it is a new process, and otherwise a copy of the command server.
    """

    def run(*arguments: str | Path | bytes, **options: object) -> Result:
        if not options:
            return command_server.run(arguments, tmp_path, clean_environment)
        settings: dict[str, object] = {
            "cwd": tmp_path,
            "env": clean_environment,
            "stdin": subprocess.DEVNULL,
            "capture_output": True,
            "text": True,
            "timeout": GUARD_SECONDS,
            **options,
        }
        return subprocess.run([sys.executable, "-m", "gmmquant", *arguments], **settings)  # type: ignore[call-overload]

    return run


@pytest.fixture(scope="session")
def photograph():
    """The histogram of the cat at half its size."""
    return ColorHistogram.from_pixels(read_sample("cat.jpg")[::2, ::2].reshape(-1, 3))


@pytest.fixture(scope="session")
def levels(photograph):
    """Cells of the photograph, from the coarsest to its distinct colours."""
    cells = [photograph.cells()]
    for starts in photograph.octrees([photograph.n_pixels / share for share in (4000, 800, 150)]):
        cells.append(cells[-1].merged(starts))
    return cells[::-1]


@pytest.fixture(scope="session")
def photo():
    """A part of the cat, 40 x 60, as Pillow's RGB image."""
    return Image.fromarray(read_sample("cat.jpg")[60:100, 120:180])


@pytest.fixture(scope="session")
def veil():
    """An alpha channel, 40 x 60, with fully transparent and fully opaque parts, as Pillow's grey image."""
    return Image.fromarray(np.tile(np.clip(np.arange(60) * 6 - 30, 0, 255), (40, 1)).astype(np.uint8))


@pytest.fixture(scope="session")
def sftp(tmp_path_factory):
    """An SFTP server: its folder, the URL of the folder, and a function that cuts all connections."""
    pytest.importorskip("paramiko")
    folder = tmp_path_factory.mktemp("sftp")
    with sftp_server(folder) as (url, disconnect):
        yield folder, url, disconnect


@pytest.fixture(scope="session")
def faults_of_s3():
    """The faults of the S3 server of all tests."""
    return Faults()


@pytest.fixture
def s3_faults(faults_of_s3):
    """Which requests to the S3 server fail in this test; none, unless it chooses some."""
    yield faults_of_s3
    faults_of_s3.start(lambda _: None)


@pytest.fixture(scope="session")
def s3(faults_of_s3):
    """The URL of a bucket on an S3 server."""
    pytest.importorskip("moto")
    s3fs = pytest.importorskip("s3fs")
    with s3_server(faults_of_s3) as url, pytest.MonkeyPatch.context() as environment:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            environment.setenv(name, "testing")
        environment.setenv("AWS_DEFAULT_REGION", "us-east-1")
        environment.setenv("AWS_ENDPOINT_URL", url)
        s3fs.S3FileSystem().mkdir("bucket")
        yield "s3://bucket"


_numbers = itertools.count()


@pytest.fixture(params=["memory", "sftp", "s3"])
def remote_folder(request):
    """An empty folder in each kind of storage, in turn."""
    name = f"folder{next(_numbers)}"
    if request.param == "memory":
        return parse_path(f"memory://{name}")
    if request.param == "s3":
        return parse_path(f"{request.getfixturevalue('s3')}/{name}")
    folder, url, _ = request.getfixturevalue("sftp")
    (folder / name).mkdir()
    return parse_path(f"{url}/{name}")
