"""Signals, standard streams and memory of this process."""

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

# Constants of malloc.h for `mallopt`.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3

# The largest threshold that every version accepts.
_SMALL_BYTES = 1 << 25

# Constant of sys/prctl.h: the signal at the parent's death.
_PR_SET_PDEATHSIG = 1

# Signals that ask a program to stop.
_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

# Number of `signals_held` blocks that the main thread is in, and the signals that arrived meanwhile.
_held = [0]
_pending: list[int] = []


class Stopped(BaseException):
    """A signal asks the program to stop."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number

    @property
    def name(self) -> str:
        """Name of the signal, such as SIGINT."""
        return signal.Signals(self.number).name

    @property
    def exit_code(self) -> int:
        """Exit code of a program that the signal ended: 130, 143 or 129."""
        return 128 + self.number


@contextmanager
def signals_held() -> Iterator[None]:
    """Hold signals that ask the program to stop until the block is left; then raise `Stopped`.

    A process started inside holds them too, until it calls `release_signals`. Masking is not enough: the system may
    deliver a signal to another thread, and Python then calls the handler in the main thread.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _STOPPING)
    in_main = threading.current_thread() is threading.main_thread()
    _held[0] += in_main
    try:
        yield
    finally:
        _held[0] -= in_main
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if in_main and not _held[0] and _pending:
            raise Stopped(_pending.pop())


def release_signals() -> None:
    """Release the signals that `signals_held` held when this process was started."""
    _held[0] = 0
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPPING)


def end_by_signals() -> None:
    """Let signals that ask this process, a fork, to stop end it at once; those that are ignored stay so."""
    for number in _STOPPING:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    release_signals()


@contextmanager
def stopped_by_signals() -> Iterator[Callable[[], None]]:
    """Turn the first signal that asks the program to stop into `Stopped`; ignored signals stay ignored.

    If the signal arrives in a callback whose exceptions Python ignores (a destructor, the import of a module),
    `Stopped` is lost, silently. The function that this yields raises it again; it is to be called regularly. An error
    of the system in such a callback is lost too: nobody waits for what is closed there.
    """
    received: list[int] = []
    listening = True
    hook = sys.unraisablehook

    def report_others(ignored: sys.UnraisableHookArgs) -> None:
        if not isinstance(ignored.exc_value, (Stopped, OSError)):
            hook(ignored)

    def stop(number: int, _frame: FrameType | None) -> None:
        if listening:
            received.append(number)
            if len(received) == 1:
                if _held[0]:
                    _pending.append(number)
                    return
                raise Stopped(number)

    def stop_if_asked() -> None:
        if received:
            raise Stopped(received[0])

    for number in _STOPPING:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, stop)
    sys.unraisablehook = report_others
    try:
        yield stop_if_asked
        stop_if_asked()
    finally:
        listening = False
        sys.unraisablehook = hook


def die_with_parent(parent: int) -> None:
    """Send this process SIGTERM when its parent, given by its id, dies or has died; on Linux only."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            signal.raise_signal(signal.SIGTERM)


def available_memory() -> int | None:
    """Return the bytes of available memory, or None if unknown (other systems than Linux).

    In a container, at most its limit: much of what counts as used there is cache.
    """
    figures: list[int] = []
    with contextlib.suppress(OSError, ValueError), open("/proc/meminfo") as lines:
        figures += [int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:")]
    for limit in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with contextlib.suppress(OSError, ValueError), open(limit) as line:  # "max": no limit
            figures.append(int(line.read()))
    return min(figures, default=None)


def hold_standard_streams() -> None:
    """Open standard streams that are closed, so that no image file gets their descriptors.

    Writing to a standard output that was closed stays an error.
    """
    for descriptor, access in enumerate((os.O_RDWR, os.O_RDONLY, os.O_RDWR)):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, access)
    sys.stdin = sys.stdin or open(os.devnull)  # noqa: SIM115
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def keep_freed_memory(*, large_arrays: bool = True) -> None:
    """Make the C library keep the memory of freed arrays for the next ones (glibc only).

    Otherwise the system provides and clears the pages of each array over 128 KiB again: 0.2 s of the 1.9 s that 12
    megapixels took on a virtual machine. Without `large_arrays`, those above 32 MiB are returned to the system: where
    the next array is larger than the freed ones, it cannot use them, and 150 megapixels took 1.6 GB instead of 1.1.
    """
    largest = 1 << 30 if large_arrays else _SMALL_BYTES
    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        # Older versions refuse a threshold above 32 MiB. Setting only the other threshold would be slower.
        if library.mallopt(_M_MMAP_THRESHOLD, largest) or library.mallopt(_M_MMAP_THRESHOLD, _SMALL_BYTES):
            library.mallopt(_M_TRIM_THRESHOLD, largest)


def system_reason(error: OSError | MemoryError) -> str:
    """Return the system's message for an error, in lower case."""
    if isinstance(error, MemoryError):
        return "not enough memory"
    return (error.strerror or str(error) or type(error).__name__).lower()


def unexpected_reason(error: Exception) -> str:
    """Return the reason of an exception that no code expects, in one line: a failed import, or a bug.

    A library may be unreadable, or not fit into the memory; the first of its errors tells.
    """
    first: BaseException = error
    while isinstance(error, ImportError) and (cause := first.__cause__ or first.__context__) is not None:
        first = cause
    reason = " ".join(f"{type(first).__name__}: {first}".split())
    if isinstance(error, (ImportError, OSError, MemoryError)):
        return (
            f"a part of the program cannot be loaded ({reason}); check the disk and memory, or install gmmquant again"
        )
    return f"{reason}; this is a bug in gmmquant, please report it"
