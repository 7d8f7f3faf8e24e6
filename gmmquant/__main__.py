"""The program: `gmmquant`, or `python -m gmmquant`."""

import contextlib
import gc
import os
import signal
import sys


def main() -> None:
    """Run the command and exit with its code."""
    # Until the command is loaded and looks after signals itself, Ctrl-C just ends the process: nothing is to be undone,
    # and an exception in the midst of imports would be taken for a fault of theirs, or be lost.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    # Searching what the imports make for garbage takes 8 ms and finds none; the command turns it on when it is loaded.
    gc.disable()
    from gmmquant.cli.app import run

    code = run(sys.argv[1:])
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    # All is written. To take OpenCV and numpy apart in order would be 17 ms for nothing.
    os._exit(code)


if __name__ == "__main__":
    main()
