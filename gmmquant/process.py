"""What a program owes the system it runs on: open standard streams, and an orderly end when a signal asks for it."""

from __future__ import annotations

import contextlib
import ctypes
import io
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

# The names that malloc.h gives to what `mallopt` sets.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


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


@contextmanager
def stopped_by_signals() -> Iterator[Callable[[], None]]:
    """Turn the first signal that asks a program to stop into `Stopped`; those the caller ignores stay ignored.

    Where the signal finds the program in a callback whose exceptions Python ignores (a destructor, the import of a
    module), `Stopped` is lost. What this gives raises it again: to be called now and then, as it is at the end.
    """
    received: list[int] = []
    listening = True

    def stop(number: int, _frame: FrameType | None) -> None:
        if listening:
            received.append(number)
            if len(received) == 1:
                raise Stopped(number)

    def stop_if_asked() -> None:
        if received:
            raise Stopped(received[0])

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, stop)
    try:
        yield stop_if_asked
        stop_if_asked()
    finally:
        listening = False


def hold_standard_streams() -> None:
    """Open what is closed of standard input, output and error, lest a picture be opened in its place."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115  lives as long as the process
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
