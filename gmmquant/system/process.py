"""What a program owes the system it runs on: open standard streams, and an orderly end when a signal asks for it."""

from __future__ import annotations

import contextlib
import ctypes
import io
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

# The names that malloc.h gives to what `mallopt` sets.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3

# The name that sys/prctl.h gives to the signal at the parent's death.
_PR_SET_PDEATHSIG = 1


class Stopped(BaseException):
    """A signal asked the program to stop."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number

    @property
    def name(self) -> str:
        """Name of the signal, such as SIGINT."""
        return signal.Signals(self.number).name

    @property
    def exit_code(self) -> int:
        """What a shell reports of a program that the signal ended: 130, 143 or 129."""
        return 128 + self.number


# What asks a program to stop.
_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


# How many blocks of `signals_held` the main thread is in, and the signals that came meanwhile.
_held = [0]
_came: list[int] = []


@contextmanager
def signals_held() -> Iterator[None]:
    """Let signals that ask the program to stop wait until the block is left: then `Stopped` is raised.

    A process that is begun inside holds them too, until it calls `release_signals`. Where other threads run, the system
    may give a signal to one of them, and Python tells the main thread at once; so it is held here as well.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _STOPPING)
    in_main = threading.current_thread() is threading.main_thread()
    _held[0] += in_main
    try:
        yield
    finally:
        _held[0] -= in_main
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if in_main and not _held[0] and _came:
            raise Stopped(_came.pop())


def release_signals() -> None:
    """Let signals come that `signals_held` held when this process began."""
    _held[0] = 0
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPPING)


@contextmanager
def stopped_by_signals() -> Iterator[Callable[[], None]]:
    """Turn the first signal that asks a program to stop into `Stopped`; those the caller ignores stay ignored.

    Where the signal finds the program in a callback whose exceptions Python ignores (a destructor, the import of a
    module), `Stopped` is lost. What this gives raises it again: to be called now and then, as it is at the end. Nothing
    is told of the loss.
    """
    received: list[int] = []
    listening = True
    tell = sys.unraisablehook

    def tell_of_others(ignored: sys.UnraisableHookArgs) -> None:
        if not isinstance(ignored.exc_value, Stopped):
            tell(ignored)

    def stop(number: int, _frame: FrameType | None) -> None:
        if listening:
            received.append(number)
            if len(received) == 1:
                if _held[0]:
                    _came.append(number)
                    return
                raise Stopped(number)

    def stop_if_asked() -> None:
        if received:
            raise Stopped(received[0])

    for number in _STOPPING:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, stop)
    sys.unraisablehook = tell_of_others
    try:
        yield stop_if_asked
        stop_if_asked()
    finally:
        listening = False
        sys.unraisablehook = tell


def die_with_parent(parent: int) -> None:
    """Ask for SIGTERM when the parent of this process, whose id is given, dies, where the system can be asked (Linux).

    If it has died already, as it may while this process starts, the signal comes at once.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            signal.raise_signal(signal.SIGTERM)


def available_memory() -> int | None:
    """Return the bytes that the system has to give to programs, or None where it does not tell (other than Linux).

    Of a container, its limit, where that is less: of what counts as used there, much is files that can go.
    """
    figures: list[int] = []
    with contextlib.suppress(OSError, ValueError), open("/proc/meminfo") as lines:
        figures += [int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:")]
    for limit in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with contextlib.suppress(OSError, ValueError), open(limit) as line:  # "max": no limit
            figures.append(int(line.read()))
    return min(figures, default=None)


def hold_standard_streams() -> None:
    """Open what is closed of standard input, output and error, lest an image be opened in its path.

    What is then written to standard output is an error, as elsewhere, and not lost without a word.
    """
    for descriptor, access in enumerate((os.O_RDWR, os.O_RDONLY, os.O_RDWR)):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, access)
    sys.stdin = sys.stdin or open(os.devnull)  # noqa: SIM115  lives as long as the process
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def keep_freed_memory() -> None:
    """Let the C library keep the memory of freed arrays for the next ones, where it can be told so (glibc).

    Otherwise each array over 128 KiB is fresh from the system, which clears it page by page as it is first touched: on
    a virtual machine 0.2 s of the 1.9 s that 12 megapixels took. The most that is held at a time stays the same.
    """
    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        # Older versions refuse a threshold above 32 MiB. To set the other alone would do harm.
        if library.mallopt(_M_MMAP_THRESHOLD, 1 << 30) or library.mallopt(_M_MMAP_THRESHOLD, 1 << 25):
            library.mallopt(_M_TRIM_THRESHOLD, 1 << 30)


def system_reason(error: OSError | MemoryError) -> str:
    """Return the system's words for an error, in lower case as our own."""
    if isinstance(error, MemoryError):
        return "not enough memory"
    return (error.strerror or str(error) or type(error).__name__).lower()
