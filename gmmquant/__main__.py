"""The program: `gmmquant`, or `python -m gmmquant`."""

import signal
import sys


def main() -> None:
    """Run the command and exit with its code."""
    # Until the command is loaded and looks after signals itself, Ctrl-C just ends the process: nothing is to be undone.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from gmmquant.cli import run

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
