"""An album, runs of the command on it that are made once, and trees of images and links."""

import functools
import shutil
from pathlib import Path

import pytest
from shared_album import draw_album


@pytest.fixture
def album(tmp_path):
    """Return a folder with ten images."""
    draw_album(tmp_path / "album")
    return tmp_path / "album"


@pytest.fixture(scope="module")
def runs(tmp_path_factory, command_server, clean_environment):
    """Return a function that returns the outputs of a run on the album with some options, which is made once."""

    @functools.cache
    def outputs_of(*options):
        folder = tmp_path_factory.mktemp("runs")
        draw_album(folder / "album")
        arguments = ["album", "-k", "3", "--shared", "-o", "out", *options]
        assert command_server.run(arguments, folder, clean_environment).returncode == 0
        return folder / "out"

    return outputs_of


@pytest.fixture
def finished(runs, tmp_path, album):
    """Return a function that leaves everything as after `gmmquant album -k 3 --shared -o out` and some options."""
    return lambda *options: shutil.copytree(runs(*options), tmp_path / "out")


@pytest.fixture
def tree(tmp_path, samples, monkeypatch):
    """Return a function that creates images and links in the working folder, which is empty before."""
    monkeypatch.chdir(tmp_path)

    def make(*names, link=()):
        for name in names:
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(samples / "flat.png", name)
        for name, target in dict(link).items():
            Path(name).symlink_to(target)

    return make
