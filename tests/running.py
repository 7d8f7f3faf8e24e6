"""Running the command as a process, also on a terminal, and observing it."""

import contextlib
import ctypes
import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
from pathlib import Path

from waiting import wait_for

# With these options, a fit of rocket.jpg with 256 colours or more takes a minute at least, that of flat.png a moment.
ENDLESS = ("--max-iter", "1000000", "--tol", "0")


def start(clean_environment, cwd, *arguments, **options):
    settings = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    return subprocess.Popen(
        [sys.executable, "-m", "gmmquant", *arguments], cwd=cwd, env=clean_environment, text=True, **settings
    )


def in_a_terminal(arguments, cwd, environment, columns=100):
    """Run the command with all its streams on a terminal; return what it shows and its exit code."""
    main, side = pty.openpty()
    termios.tcsetwinsize(side, (40, columns))
    command = [sys.executable, "-m", "gmmquant", *arguments]
    process = subprocess.Popen(command, cwd=cwd, env=environment, stdin=side, stdout=side, stderr=side)
    os.close(side)
    shown = b""
    with contextlib.suppress(OSError):  # reading fails once the last program on the terminal has ended
        while part := os.read(main, 65536):
            shown += part
    os.close(main)
    return shown.decode(), process.wait()


def read_until(stream, is_enough):
    """Return what a process writes to a pipe until `is_enough(text)`; the rest is left for `communicate`."""
    text = b""
    while not is_enough(text.decode(errors="ignore")):
        part = os.read(stream.fileno(), 65536)
        assert part, "the process ended before"
        text += part
    return text.decode()


def wait_for_a_full_pipe(stream):
    """Wait until a pipe that nobody reads has no room for another block."""
    n_bytes = fcntl.fcntl(stream.fileno(), fcntl.F_GETPIPE_SZ)

    def is_full():
        (waiting,) = struct.unpack("i", fcntl.ioctl(stream.fileno(), termios.FIONREAD, bytes(4)))
        return waiting > n_bytes - select.PIPE_BUF

    wait_for(is_full)


def pids_of_workers(parent):
    """Return the ids of the child processes of `parent`, oldest first."""
    path = Path(f"/proc/{parent}/task/{parent}/children")
    return [int(pid) for pid in path.read_text().split()]


def obey_permissions():
    """Drop root's capabilities 1 and 2, so that the next program obeys permissions (Linux)."""
    if os.geteuid() == 0:
        for capability in (1, 2):
            ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)
