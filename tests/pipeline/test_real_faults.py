"""Disks that are full or read-only, and limits of the system: real ones, in a namespace or by prlimit."""

import os
import resource
import shutil
import socket
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from PIL import Image
from running import start
from waiting import GUARD_SECONDS


@cache
def can_mount():
    """Return whether this user may mount file systems in a namespace of its own."""
    command = ["unshare", "--user", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"]
    return shutil.which("unshare") is not None and subprocess.run(command, capture_output=True).returncode == 0


@pytest.fixture
def mounted(tmp_path, samples, clean_environment):
    """Return a function that mounts a file system on `out`, runs shell commands, and returns the completed process.

    With the source named, `mount -o remount` does not take over the owner, which a namespace may have no number for.
    """
    if not can_mount():
        pytest.skip("no file systems can be mounted here")
    (tmp_path / "out").mkdir()
    for name in ("flat.png", "grey.png", "cat.jpg"):
        shutil.copy(samples / name, tmp_path)

    def run(mount, *commands):
        script = "\n".join((f"mount {mount} out", "g() { " + f'{sys.executable} -m gmmquant "$@"; }}', *commands))
        command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-euc", script]
        return subprocess.run(
            command,
            cwd=tmp_path,
            env=clean_environment,
            capture_output=True,
            text=True,
            timeout=GUARD_SECONDS,
            check=False,
        )

    return run


def test_a_full_disk_ends_a_batch_which_goes_on_once_there_is_room(mounted):
    result = mounted(
        "-t tmpfs -o size=16k none",
        "g flat.png cat.jpg grey.png -k 2 --jobs 1 -o out && exit 9 || echo $?",
        "ls -A out",
        "mount -o remount,size=1m none out",
        "g flat.png cat.jpg grey.png -k 2 --jobs 1 -q -o out --skip-existing",
        "ls -A out | wc -l",
    )
    assert result.returncode == 0, result
    assert result.stdout.split() == ["1", "flat_k2.png", "flat_report.json", "6"]
    done, failed, summary = result.stderr.splitlines()
    assert done.startswith("gmmquant: flat.png: wrote ")
    assert failed == "gmmquant: cat.jpg: cannot write to out: no space left on device"
    assert summary.startswith("gmmquant: 1 done, 1 failed, 1 not tried in ")


def test_a_disk_without_room_for_more_files_is_one_line(mounted):
    result = mounted("-t tmpfs -o size=1m,nr_inodes=3 none", "g flat.png -k 2 -o out && exit 9 || echo $?", "ls -A out")
    assert (result.returncode, result.stdout) == (0, "1\n")
    assert result.stderr == "gmmquant: flat.png: cannot write to out: no space left on device\n"


def test_a_read_only_disk_is_one_line_before_any_work(mounted):
    result = mounted(
        "-t tmpfs none",
        "cp flat.png cat.jpg out",
        "mount -o remount,ro none out",
        "g out/flat.png out/cat.jpg -k 2 --jobs 1 && exit 9 || echo $?",
        "g out/flat.png -k 2 -q -o other",
        "ls out other",
    )
    assert result.returncode == 0, result
    assert result.stdout.split() == ["1", "other:", "flat_k2.png", "flat_report.json", "out:", "cat.jpg", "flat.png"]
    first, summary = result.stderr.splitlines()
    assert first == "gmmquant: out/flat.png: cannot write to out: read-only file system"
    assert summary.startswith("gmmquant: 1 failed, 1 not tried")


def test_with_a_read_only_home_only_the_output_folder_is_written(mounted):
    result = mounted(
        "-t tmpfs none",
        "mkdir out/work && cp flat.png out/work && mkdir /tmp/results && mount --bind out/work /home",
        "mount -o remount,bind,ro /home && cd /home && export HOME=/home TMPDIR=/home",
        "g flat.png -k 2 -q -o /tmp/results && ls -A /tmp/results /home && rm -r /tmp/results",
    )
    assert result.returncode == 0, result
    assert result.stdout.split() == ["/home:", "flat.png", "/tmp/results:", "flat_k2.png", "flat_report.json"]


@pytest.mark.parametrize("n_files", [6, 8, 10, 12, 16, 20])
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_run_with_few_open_files_is_done_or_ends_in_lines(tmp_path, samples, clean_environment, n_files, jobs):
    for name in ("flat.png", "grey.png"):
        shutil.copy(samples / name, tmp_path)
    process = start(
        clean_environment,
        tmp_path,
        *("flat.png", "grey.png", "-k", "2", "-q", "-o", "out", "--jobs", jobs),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (n_files, n_files)),
    )
    _, errors = process.communicate(timeout=GUARD_SECONDS)
    check_end(process.returncode, errors, tmp_path / "out", 4)


@pytest.mark.parametrize("megabytes", [60, 150, 250, 330, 380, 500])
def test_a_run_in_little_memory_is_done_or_ends_in_one_line(tmp_path, samples, clean_environment, megabytes):
    shutil.copy(samples / "flat.png", tmp_path)
    n_bytes = megabytes * 1_000_000
    process = start(
        clean_environment,
        tmp_path,
        *("flat.png", "-k", "2", "-q", "-o", "out"),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (n_bytes, n_bytes)),
    )
    _, errors = process.communicate(timeout=GUARD_SECONDS)
    if errors.startswith("OpenBLAS error: "):  # it ends the process itself
        assert (process.returncode, errors.count("\n")) == (1, 1)
        return
    check_end(process.returncode, errors, tmp_path / "out", 2)
    assert errors.count("\n") <= 1


def check_end(code, errors, folder, n_files):
    """Check that a run is done, or has failed with messages and without files that are torn."""
    assert code in (0, 1), errors
    assert all(line.startswith("gmmquant: ") for line in errors.splitlines()), errors
    names = os.listdir(folder) if folder.exists() else []
    assert not [name for name in names if name.startswith(".")]
    assert len(names) == n_files if code == 0 else errors
    for path in folder.glob("*.png"):
        with Image.open(path) as image:
            image.load()


def test_devices_and_sockets_are_refused_at_once(command, tmp_path):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket.png"))
        result = command("/dev/zero", "socket.png", "-k", "2", "-o", "out")
    assert result.returncode == 1
    device, other, summary = result.stderr.splitlines()
    assert device == "gmmquant: /dev/zero: not a regular file; use an image file or a folder"
    assert other.startswith("gmmquant: socket.png: ")
    assert summary.startswith("gmmquant: 2 failed")


@pytest.mark.parametrize(
    "data", [b"%!PS-Adobe-3.0 EPSF-3.0\n", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"%PDF-1.7\n"]
)
def test_no_program_is_started_and_no_network_used_for_what_is_no_image(tmp_path, clean_environment, data):
    (tmp_path / "a.png").write_bytes(data + bytes(1000))
    code = (
        "import os, sys\n"
        "used = ('subprocess', 'os.exec', 'os.posix_spawn', 'os.system', 'os.fork', 'socket.')\n"
        "def refuse(event, _):\n"
        "    if event.startswith(used): os._exit(9)\n"
        "sys.addaudithook(refuse)\n"
        "from gmmquant.__main__ import main\n"
        "sys.argv[1:] = ['a.png', '-k', '2']\n"
        "main()\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=clean_environment, capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stderr.count("\n")) == (1, 1), result
    assert "not a supported image" in result.stderr


@pytest.mark.parametrize("seconds", [0, 1, 2**31, 2**32 + 5])
def test_a_clock_or_a_file_of_another_time_changes_no_result(command, tmp_path, samples, seconds):
    source = Path(shutil.copy(samples / "flat.png", tmp_path))
    os.utime(source, (seconds, seconds))
    arguments = ["flat.png", "-k", "2", "-o", "out", "-q"]
    assert command(*arguments, "--preserve-times").returncode == 0
    assert int((tmp_path / "out/flat_k2.png").stat().st_mtime) == seconds
    before = (tmp_path / "out/flat_k2.png").read_bytes()
    for option in ("--skip-existing", "--force"):
        result = command(*arguments, option)
        assert (result.returncode, result.stderr) == (0, "")
        assert (tmp_path / "out/flat_k2.png").read_bytes() == before


@pytest.mark.parametrize("locale", ["C", "POSIX", "tr_TR.UTF-8", "nowhere.ascii", ""])
def test_no_locale_changes_a_result(command, tmp_path, samples, clean_environment, locale):
    shutil.copy(samples / "flat.png", tmp_path / "Aü.png")
    environment = {**clean_environment, "LC_ALL": locale, "LANG": locale, "PYTHONUTF8": "0"}
    result = command("Aü.png", "-k", "2", "-o", "out", env=environment, encoding="utf-8", errors="surrogateescape")
    assert (result.returncode, result.stderr) == (0, "")
    assert sorted(os.listdir(tmp_path / "out")) == ["Aü_k2.png", "Aü_report.json"]
