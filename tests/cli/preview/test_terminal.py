"""How a terminal is asked what it shows, and how its variables answer without."""

import fcntl
import io
import os
import pty
import struct
import termios
import threading
from contextlib import contextmanager

import pytest
from cli_outcomes import Screen

from gmmquant.cli.preview import terminal as module
from gmmquant.cli.preview.terminal import Capabilities, Graphics, detect

XTERM = {"TERM": "xterm-256color"}


@pytest.mark.parametrize(
    ("environ", "graphics"),
    [
        ({"TERM": "xterm-kitty"}, Graphics.KITTY),
        ({"TERM": "xterm-ghostty"}, Graphics.KITTY),
        ({**XTERM, "TERM_PROGRAM": "WezTerm"}, Graphics.KITTY),
        ({**XTERM, "TERM_PROGRAM": "ghostty"}, Graphics.KITTY),
        ({"TERM": "tmux-256color", "TERM_PROGRAM": "WezTerm"}, Graphics.BLOCKS),
        ({"TERM": "screen-256color", "COLORTERM": "truecolor"}, Graphics.TRUE_COLOR_BLOCKS),
        ({"TERM": "xterm-kitty", "TMUX": "/tmp/tmux"}, Graphics.BLOCKS),
        (XTERM, Graphics.BLOCKS),
        ({**XTERM, "COLORTERM": "truecolor"}, Graphics.TRUE_COLOR_BLOCKS),
        ({"TERM": "linux"}, Graphics.NONE),
        ({"TERM": "dumb"}, Graphics.NONE),
        ({}, Graphics.NONE),
        ({**XTERM, "NO_COLOR": "1"}, Graphics.NONE),
    ],
)
def test_a_terminal_that_cannot_be_asked_is_known_by_its_variables(environ, graphics):
    assert detect(io.StringIO(), Screen(), environ).graphics is graphics


def test_a_stream_that_is_no_terminal_or_not_unicode_shows_nothing():
    assert detect(Screen(), io.StringIO(), {"TERM": "xterm-kitty"}).graphics is Graphics.NONE
    screen = Screen()
    screen.encoding = "ascii"
    assert detect(Screen(), screen, {"TERM": "xterm-kitty"}).graphics is Graphics.NONE


@contextmanager
def new_terminal():
    """A terminal of its own: the other end, and its two streams."""
    main, side = pty.openpty()
    text = {"closefd": False, "encoding": "utf-8"}
    with open(side, **text) as reading, open(side, "w", **text) as writing:
        yield main, reading, writing
    os.close(main)
    os.close(side)


@pytest.fixture
def terminal(monkeypatch):
    """A terminal that is asked, and gives an answer in parts; returns what is found, and what was asked."""
    monkeypatch.setattr(os, "tcgetpgrp", lambda _: os.getpgrp())
    with new_terminal() as (main, reading, writing):

        def ask(answer):
            asked = []

            def respond():
                asked.append(os.read(main, 1000))
                for part in answer:
                    os.write(main, part)

            before = termios.tcgetattr(reading)
            thread = threading.Thread(target=respond, daemon=True)
            thread.start()
            found = detect(reading, writing, XTERM)
            assert termios.tcgetattr(reading) == before
            thread.join(5)
            return found, asked

        yield ask


KITTY_OK = b"\x1b_Gi=31;OK\x1b\\"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ([b"\x1b[?62;4;6c"], Capabilities(Graphics.SIXEL)),
        ([b"\x1b[?62;4c"], Capabilities(Graphics.SIXEL)),
        ([b"\x1b[?62;22;44c"], Capabilities(Graphics.BLOCKS)),
        ([b"\x1b[?6c"], Capabilities(Graphics.BLOCKS)),
        ([KITTY_OK, b"\x1b[?62;4c"], Capabilities(Graphics.KITTY)),
        ([b"\x1b_Gi=31;EN", b"OENT:no\x1b\\", b"\x1b[?62;4c"], Capabilities(Graphics.SIXEL)),
        ([b"\x1b_Gi=3", b"1;OK\x1b\\\x1b[6;20;1", b"0t\x1b[?6", b"2c"], Capabilities(Graphics.KITTY, (10, 20))),
        ([b"\x1b[6;0;0t\x1b[?4c"], Capabilities(Graphics.SIXEL)),
        ([b"typed\x1b[?64;4c"], Capabilities(Graphics.SIXEL)),
    ],
)
def test_a_terminal_is_asked_and_its_mode_restored(terminal, answer, expected):
    found, (asked,) = terminal(answer)
    assert found == expected
    assert asked.endswith(b"\x1b[c")
    assert b"a=q" in asked


def test_a_terminal_that_does_not_answer_shows_half_blocks_after_a_short_wait(terminal, monkeypatch):
    monkeypatch.setattr(module, "_ANSWER_SECONDS", 0.05)
    assert terminal([])[0].graphics is Graphics.BLOCKS
    assert terminal([b"x" * 100])[0].graphics is Graphics.BLOCKS


def test_an_endless_answer_is_cut(terminal, monkeypatch):
    monkeypatch.setattr(module, "_MAX_ANSWER_BYTES", 256)
    found, _ = terminal([b"1" * 256 + b"\x1b[?4c"])  # what the attributes say is beyond the limit
    assert found.graphics is Graphics.BLOCKS


def test_the_mode_is_restored_after_an_interrupt(monkeypatch):
    def interrupt(source):
        assert not termios.tcgetattr(source)[3] & termios.ECHO
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "tcgetpgrp", lambda _: os.getpgrp())
    monkeypatch.setattr(module, "_read_answers", interrupt)
    with new_terminal() as (_, reading, writing):
        before = termios.tcgetattr(reading)
        with pytest.raises(KeyboardInterrupt):
            detect(reading, writing, XTERM)
        assert termios.tcgetattr(reading) == before


@pytest.mark.parametrize(
    ("environ", "is_in_foreground"),
    [(XTERM, False), ({**XTERM, "TERM_PROGRAM": "Apple_Terminal"}, True), ({**XTERM, "TMUX": "/tmp/tmux"}, True)],
)
def test_a_process_in_the_background_and_terminals_that_would_show_the_query_do_not_ask(
    monkeypatch, environ, is_in_foreground
):
    monkeypatch.setattr(os, "tcgetpgrp", lambda _: os.getpgrp() + (not is_in_foreground))
    with new_terminal() as (main, reading, writing):
        assert detect(reading, writing, environ).graphics is Graphics.BLOCKS
        os.set_blocking(main, False)
        with pytest.raises(BlockingIOError):
            os.read(main, 1)


def test_the_size_of_a_cell_is_that_of_the_window():
    with new_terminal() as (_, _, writing):
        fcntl.ioctl(writing, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 800, 480))
        assert detect(io.StringIO(), writing, {"TERM": "xterm-kitty"}) == Capabilities(Graphics.KITTY, (10, 20))


def test_a_terminal_that_closes_has_answered_with_all_that_was_read(monkeypatch):
    monkeypatch.setattr(module, "_ANSWER_SECONDS", 60.0)
    source, target = os.pipe()
    os.write(target, b"\x1b[6;20")
    os.close(target)
    assert module._read_answers(source) == b"\x1b[6;20"
    os.close(source)
