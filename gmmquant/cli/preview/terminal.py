"""The graphics of a terminal, from environment variables or from its answers to queries.

The queries are that of the kitty graphics protocol, then the size of a cell (XTWINOPS 16), then the primary device
attributes (DA1), in which 4 stands for sixels. Every terminal answers the last, so its answer ends the wait.
"""

from __future__ import annotations

import os
import re
import select
import termios
import tty
from collections.abc import Mapping
from contextlib import suppress
from enum import Enum
from time import monotonic
from typing import NamedTuple, TextIO

# Waiting for an answer. A local terminal takes milliseconds, one behind a slow network as long as a round trip.
_ANSWER_SECONDS = 0.5
_MAX_ANSWER_BYTES = 4096

_QUERY_ID = 31
_KITTY_QUERY = f"\x1b_Gi={_QUERY_ID},s=1,v=1,a=q,t=d,f=24;AAAA\x1b\\".encode()
_CELL_QUERY, _ATTRIBUTES_QUERY = b"\x1b[16t", b"\x1b[c"
_KITTY_ANSWER = re.compile(rb"\x1b_Gi=%d;OK\x1b\\" % _QUERY_ID)
_CELL_ANSWER = re.compile(rb"\x1b\[6;(\d{1,4});(\d{1,4})t")
_ATTRIBUTES_ANSWER = re.compile(rb"\x1b\[\?([\d;]*)c")
_SIXEL_ATTRIBUTE = b"4"

# Terminals that are known to have the kitty protocol, by the variables that they set.
_KITTY_TERMS = ("xterm-kitty", "xterm-ghostty")
_KITTY_PROGRAMS = ("wezterm", "ghostty", "kitty")

# Terminals that show neither, and may show the query of the kitty protocol as text.
_PLAIN_TERMS, _PLAIN_PROGRAMS = ("linux", "eterm"), ("apple_terminal",)


class Graphics(Enum):
    """How images are shown: by a protocol, as half blocks in true or in 256 colours, or not at all."""

    KITTY = "kitty"
    SIXEL = "sixel"
    TRUE_COLOR_BLOCKS = "truecolor"
    BLOCKS = "256"
    NONE = "none"


class Capabilities(NamedTuple):
    """The graphics of a terminal, and the size of its cells in pixels (width, height) if it is known."""

    graphics: Graphics
    cell_pixels: tuple[int, int] | None = None


def detect(stdin: TextIO, stdout: TextIO, environ: Mapping[str, str]) -> Capabilities:
    """Return the capabilities of the terminal of `stdout`; it is asked only if `stdin` is a terminal too.

    The mode of the terminal is restored in any case. Without colours nothing is shown, inside tmux and screen, which
    pass no graphics on, half blocks.
    """
    term = environ.get("TERM", "dumb")
    is_plain = environ.get("NO_COLOR") or term in ("dumb", "unknown", "")
    if is_plain or not stdout.isatty() or not stdout.encoding.lower().startswith("utf"):
        return Capabilities(Graphics.NONE)
    blocks = _blocks(term, environ)
    if "TMUX" in environ or term.startswith(("screen", "tmux")):
        return Capabilities(blocks)
    cell = _cell_of_window(stdout)
    program = environ.get("TERM_PROGRAM", "").lower()
    if term in _KITTY_TERMS or program in _KITTY_PROGRAMS:
        return Capabilities(Graphics.KITTY, cell)
    if program in _PLAIN_PROGRAMS or term.startswith(_PLAIN_TERMS):
        return Capabilities(blocks, cell)
    answer = _ask(stdin, stdout)
    if answered := _CELL_ANSWER.search(answer):
        height, width = map(int, answered.groups())
        cell = (width, height) if width and height else cell
    if _KITTY_ANSWER.search(answer):
        return Capabilities(Graphics.KITTY, cell)
    attributes = _ATTRIBUTES_ANSWER.search(answer)
    if attributes and _SIXEL_ATTRIBUTE in attributes[1].split(b";"):
        return Capabilities(Graphics.SIXEL, cell)
    return Capabilities(blocks, cell)


def _blocks(term: str, environ: Mapping[str, str]) -> Graphics:
    """Return how half blocks are coloured; not at all if the terminal has 16 colours, which are those of its theme."""
    if environ.get("COLORTERM", "").lower() in ("truecolor", "24bit"):
        return Graphics.TRUE_COLOR_BLOCKS
    return Graphics.BLOCKS if "256" in term or "TMUX" in environ else Graphics.NONE


def _cell_of_window(stdout: TextIO) -> tuple[int, int] | None:
    """Return the size of a cell in pixels, if the system knows that of the window."""
    import fcntl
    import struct

    with suppress(OSError):
        size = fcntl.ioctl(stdout.fileno(), termios.TIOCGWINSZ, bytes(8))
        rows, columns, width, height = struct.unpack("HHHH", size)
        if rows and columns and width >= columns and height >= rows:
            return width // columns, height // rows
    return None


def _ask(stdin: TextIO, stdout: TextIO) -> bytes:
    """Return the answers of the terminal, or nothing if it cannot be asked."""
    with suppress(OSError, ValueError, termios.error):
        source, target = stdin.fileno(), stdout.fileno()
        # A process in the background would be stopped by the terminal.
        if os.isatty(source) and os.tcgetpgrp(source) == os.getpgrp():
            mode = termios.tcgetattr(source)
            try:
                tty.setcbreak(source, termios.TCSADRAIN)  # keys still send signals
                stdout.flush()
                os.write(target, _KITTY_QUERY + _CELL_QUERY + _ATTRIBUTES_QUERY)
                return _read_answers(source)
            finally:
                # Flushing drops an answer that is late, which a shell would take for typed text.
                termios.tcsetattr(source, termios.TCSAFLUSH, mode)
    return b""


def _read_answers(source: int) -> bytes:
    """Return what the terminal sends until the last answer is complete, or the time is over."""
    answer, deadline = b"", monotonic() + _ANSWER_SECONDS
    while len(answer) < _MAX_ANSWER_BYTES and not _ATTRIBUTES_ANSWER.search(answer):
        left = deadline - monotonic()
        if left <= 0 or not select.select([source], [], [], left)[0]:
            break
        part = os.read(source, 256)
        if not part:
            break
        answer += part
    return answer
