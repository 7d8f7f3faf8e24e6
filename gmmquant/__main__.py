"""The program: `gmmquant`, or `python -m gmmquant`."""

import contextlib
import gc
import os
import signal
import sys


def main() -> None:
    """Run the command and exit with its code."""
    # Until the command is loaded and handles signals itself, Ctrl-C ends the process at once: there is nothing to undo,
    # and an exception in the middle of an import could be lost or taken for a failed import.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    gc.disable()  # until the first job: imports leave no garbage, and looking for it takes a thirtieth of a short run
    try:
        from gmmquant.cli.app import run

        code = run(sys.argv[1:])
    except Exception as error:  # the command reports those that it expects
        code = 1
        _say(error)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    # All is written. An ordinary exit would flush again, and end with "Exception ignored" and code 120 on a full disk.
    os._exit(code)


def _say(error: Exception) -> None:
    """Write the reason of an error to standard error, in one line, as far as that can be done."""
    with contextlib.suppress(Exception):
        from gmmquant.system.printable import printable
        from gmmquant.system.process import unexpected_reason

        sys.stderr.write(f"gmmquant: {printable(unexpected_reason(error))}\n")


if __name__ == "__main__":
    main()
