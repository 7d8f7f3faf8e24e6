"""Work for the processes of test_executors.py. They import this module, so it imports little."""

import os
import signal
import time
from pathlib import Path

from waiting import wait_for

from gmmquant.errors import ImageError
from gmmquant.system import threads


def children():
    """Return the ids of the processes that are children of this one, dead ones included."""
    ours = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == os.getpid():
            ours.add(int(folder.name))
    return ours


def square(item, admit):
    return item * item


def longer_for_earlier(item, admit):
    time.sleep(0.02 * (5 - item % 6))
    return item, os.getpid()


def meet(item, admit, folder, n):
    """Wait until `n` items have started; return the process."""
    (folder / str(item)).touch()
    wait_for(lambda: len(os.listdir(folder)) >= n)
    return os.getpid()


def leave_a_mark(item, admit, folder):
    if item == 0:
        wait_for((folder / "go").exists)
    (folder / str(item)).touch()
    return item


def die(item, admit):
    if item == "by SIGKILL":
        os.kill(os.getpid(), signal.SIGKILL)
    if item == "by a signal without a name":
        os.kill(os.getpid(), signal.SIGRTMIN + 3)
    if item == "by os._exit":
        os._exit(7)
    return item


class PickyError(Exception):
    """An exception that can be pickled and not unpickled."""

    def __init__(self, one, other):
        super().__init__(f"{one} and {other}")

    def __reduce__(self):  # other libraries may register reducers for exceptions
        return refuse_to_unpickle, ()


def refuse_to_unpickle():
    raise TypeError("cannot be unpickled")


def fail(item, admit):
    time.sleep(0.1 * (item == 0))
    if item == 2:
        raise ImageError("no image")
    if item == "picky":
        raise PickyError(1, 2)
    if item == "system":
        raise FileNotFoundError(2, "No such file or directory")
    return (lambda: item) if item == "function" else item


def take_memory(sizes, admit, folder):
    number, size = sizes
    admit(size)
    with open(folder / "log", "a") as log:
        log.write(f"{number} +{size}\n")
        log.flush()
        time.sleep(0.02)
        log.write(f"{number} -{size}\n")
    return number


def take_memory_in_turn(sizes, admit, folder):
    """Request memory for the second item while the first holds some, and for the others after the second.

    The process that admits the requests notes them as "requested 1" and so on.
    """
    number, size = sizes
    if number > 0:
        wait_for((folder / ("log" if number == 1 else "requested 1")).exists)
    admit(size)
    with open(folder / "log", "a") as log:
        log.write(f"{number}\n")
    if number == 0:
        wait_for((folder / "requested 2").exists)
    return number


def wait_long(item, admit, folder):
    (folder / f"started {item} {os.getpid()}").touch()
    time.sleep(3600)


def ignore_sigterm(item, admit, folder):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    wait_long(item, admit, folder)


def clean_up(item, admit, folder):
    try:
        wait_long(item, admit, folder)
    finally:
        (folder / f"cleaned {item}").touch()


def large(item, admit):
    return b"x" * 3_000_000


def count_processors(item, admit):
    return threads.n_processors()


def take_and_die(sizes, admit, folder):
    admit(sizes[1])
    os.kill(os.getpid(), signal.SIGKILL)
