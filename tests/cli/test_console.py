"""The console, in process: results, messages, the summary, and progress bars."""

import io
import os
import re
from pathlib import Path

import pytest
from cli_outcomes import PLANNED, SHARED, Screen, done, fit_of, plain, record_of

from gmmquant.cli import console as module
from gmmquant.cli import progress
from gmmquant.cli.console import Console, emit, say
from gmmquant.cli.progress import Bar, BatchBar, FitBar, bar_for
from gmmquant.cli.reporters import reporter_class
from gmmquant.report.outcome import Failure, Phase, Skipped


@pytest.fixture
def terminal(monkeypatch):
    """A terminal of 100 columns."""
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("TERM", "xterm-256color")
    return Screen()


def run_console(outcomes, name="table", n_images=None, errors=None, **settings):
    """Show outcomes; return the results, the messages, and whether all images succeeded."""
    outcomes = list(outcomes)
    n_images = len(outcomes) if n_images is None else n_images
    results, errors = io.StringIO(), errors or io.StringIO()
    reporter = reporter_class(name)(results, n_images=n_images, shared=settings.pop("shared", False))
    with Console(reporter, [2], n_images, stream=errors, **settings) as console:
        for outcome in outcomes:
            console.show(outcome)
        succeeded = console.finish()
    return results.getvalue(), errors.getvalue(), succeeded


def of_shared(n_read, n_written):
    """Return the outcome of an image of a shared run, whose record is the entry of the shared one."""
    return done({"path": "cat.jpg", "bytes": n_read, "fits": [{"bytes": n_written, "files": {"image": "cat_k2.png"}}]})


FAILED = Failure(Path("c.png"), "damaged PNG image; get an undamaged copy")


def test_one_image_prints_a_table_and_no_summary():
    results, messages, succeeded = run_console([done(notes=["k is lowered"])])
    assert "150 distinct colours" in results
    assert messages == "gmmquant: cat.jpg: k is lowered\n"
    assert succeeded


def test_several_images_print_a_message_each_and_a_summary():
    outcomes = [done(seconds=1.5), Skipped(Path("b.png")), FAILED, done(source="d.png", kept=True)]
    results, messages, succeeded = run_console(outcomes)
    assert results == ""
    *lines, summary = messages.splitlines()
    assert lines == [
        "gmmquant: cat.jpg: wrote cat_k2.png, cat_report.json in out, 1.50 s",
        "gmmquant: b.png: skipped, its outputs exist",
        "gmmquant: c.png: damaged PNG image; get an undamaged copy",
        "gmmquant: d.png: kept, its outputs exist",
    ]
    counts, _, sizes = summary.partition("; ")
    assert counts == "gmmquant: 1 done, 2 skipped, 1 failed in 0.0 s"
    assert sizes == "5.00 kB read, 1.23 kB of images written (25 %) in out"
    assert not succeeded


def of_bytes(n_read, *n_written, source="cat.jpg", folder="out"):
    outcome = done(record_of(*(fit_of(k, bytes=n) for k, n in enumerate(n_written, start=2))), source)
    outcome.record["image"]["bytes"] = n_read
    names = [fit["files"]["image"] for fit in outcome.record["fits"]]
    return outcome._replace(written=[Path(folder) / name for name in names])


def with_earlier_fit(outcome):
    """Return an outcome whose record has one more fit, of an earlier run."""
    return outcome._replace(record={**outcome.record, "fits": [*outcome.record["fits"], fit_of(99, bytes=7777)]})


@pytest.mark.parametrize(
    ("outcomes", "end"),
    [
        ([of_bytes(1000, 300), of_bytes(3000, 500, 200)], "; 4.00 kB read, 1.00 kB of images written (25 %) in out"),
        ([with_earlier_fit(of_bytes(1000, 300)), FAILED], "; 1.00 kB read, 300 bytes of images written (30 %) in out"),
        ([of_bytes(1000, 300), of_bytes(None, 500)], "; 1.00 kB read, 300 bytes of images written (30 %) in out"),
        ([of_bytes(1000, 300), of_bytes(1000, None)], "; 1.00 kB read, 300 bytes of images written (30 %) in out"),
        (
            [of_bytes(1000, 300), of_bytes(1000, 200, folder="b")],
            "; 2.00 kB read, 500 bytes of images written (25 %) in 2 folders",
        ),
        ([of_bytes(1000, 300, folder="a\x1b"), FAILED], "; 1.00 kB read, 300 bytes of images written (30 %) in a\\x1b"),
        ([of_bytes(None, 300), FAILED], " s"),
        ([of_bytes(9, 9)._replace(kept=True), FAILED], " s"),
        ([of_shared(4000, 1000), of_shared(4000, 0)], "; 8.00 kB read, 1.00 kB of images written (12 %) in out"),
    ],
)
def test_the_summary_adds_up_the_sizes_of_the_images_that_are_done(outcomes, end):
    _, messages, _ = run_console(outcomes, shared="image" not in getattr(outcomes[0], "record", {}))
    assert messages.splitlines()[-1].endswith(end)


def test_images_not_tried_are_counted_and_fail_the_run():
    _, messages, succeeded = run_console([done()], n_images=3)
    assert "1 done, 2 not tried" in messages
    assert not succeeded


def test_a_shared_report_is_not_counted_as_an_image():
    results, messages, succeeded = run_console([done(), done(source="b.png"), SHARED], n_images=2, shared=True)
    assert "2 done in" in messages
    assert "wrote shared_report.json" in results
    assert succeeded
    failed = Failure(Path("album"), "disk full", is_image=False)
    _, messages, succeeded = run_console([done(), failed], n_images=1, shared=True)
    assert "gmmquant: album: disk full\n" in messages
    assert not succeeded


@pytest.mark.parametrize("name", ["quiet", "as_json"])
def test_quiet_prints_only_errors(name):
    results, messages, _ = run_console([done(notes=["note"]), Skipped(Path("b.png")), FAILED], name, quiet=True)
    assert messages == "gmmquant: c.png: damaged PNG image; get an undamaged copy\n"
    assert bool(results) == (name == "as_json")


def test_an_image_on_standard_output_is_written_without_other_text():
    stream = io.TextIOWrapper(io.BytesIO())
    with Console(reporter_class("table")(stream), [2], stream=io.StringIO()) as console:
        console.show(done(drawn=b"\x89PNG"))
        assert console.finish()
    assert stream.buffer.getvalue() == b"\x89PNG"


def test_the_array_is_closed_even_if_the_run_is_not_finished():
    results = io.StringIO()
    with (
        pytest.raises(RuntimeError),
        Console(reporter_class("as_json")(results, n_images=2), [2], 2, stream=io.StringIO()) as console,
    ):
        console.show(done())
        raise RuntimeError
    assert results.getvalue().count("]\n") >= 1
    assert results.getvalue().endswith("\n]\n")


def test_failures_that_scrolled_away_are_listed_again():
    n = module._SCREEN_LINES
    few = [FAILED, *[done(source=f"{i}.png") for i in range(n - 1)]]  # the summary is one more line
    _, messages, _ = run_console(few)
    assert messages.count("c.png") == 1
    _, messages, _ = run_console([*few, done(source="last.png")])
    assert messages.splitlines()[-1] == "gmmquant: failed: c.png: damaged PNG image; get an undamaged copy"
    many = [FAILED] * (n + 5) + [done(source=f"{i}.png") for i in range(n + 1)]
    _, messages, _ = run_console(many)
    assert messages.splitlines()[-1] == "gmmquant: failed: 5 more, listed above"


def test_a_dry_run_counts_images_to_read_and_outputs():
    results, errors = io.StringIO(), io.StringIO()
    console = Console(reporter_class("table")(results), stream=errors)
    assert console.show_plan([PLANNED])
    assert results.getvalue().startswith("cat.jpg\n")
    assert errors.getvalue() == "gmmquant: dry run, nothing was done; would read 1 image; outputs: 1 new, 1 kept\n"
    assert not Console(reporter_class("quiet")(results), stream=errors, quiet=True).show_plan([FAILED])
    assert errors.getvalue().endswith("gmmquant: c.png: damaged PNG image; get an undamaged copy\n")


def test_a_message_is_one_line_without_control_characters():
    stream = io.StringIO()
    say("a\nb\x1b[31m \udcff", stream=stream)
    assert stream.getvalue() == "gmmquant: a\\x0ab\\x1b[31m \\xff\n"


def test_a_full_disk_is_an_error_and_a_closed_pipe_is_not(capsys):
    with open("/dev/full", "w") as full:
        assert not emit("results", stream=full)
    assert "cannot write to standard output: no space left on device" in capsys.readouterr().err
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w") as closed:
        assert emit("results", stream=closed)
    assert capsys.readouterr().err == ""


def test_a_bar_is_shown_only_on_an_interactive_terminal(terminal, monkeypatch):
    assert isinstance(bar_for(1, [2], terminal), FitBar)
    assert isinstance(bar_for(2, [2], terminal), BatchBar)
    assert type(bar_for(1, [2], io.StringIO())) is Bar
    monkeypatch.setenv("TERM", "dumb")
    assert type(bar_for(1, [2], terminal)) is Bar


def test_the_bar_of_an_image_shows_k_and_the_iteration_and_is_removed(terminal):
    bar = bar_for(1, [2, 7, "auto"], terminal)
    bar.show_fit("[red]a\x07.png", 7, 0)
    bar.show_fit("[red]a\x07.png", 7, 12)
    bar.hide()
    assert re.search(r"k = 7  iteration \d+  \[red\]a\\x07\.png", plain(terminal.getvalue()))
    assert terminal.getvalue().endswith("\x1b[2K")  # the line of the bar is cleared


@pytest.mark.parametrize(
    ("ks", "steps"), [([2, 3, 20], [20, 3, 2]), ([5, "auto"], ["auto", 5, 4]), (["auto:2"], ["auto:2", 9])]
)
def test_the_bar_of_fits_rises_in_the_order_of_the_work(terminal, ks, steps):
    bar = bar_for(1, ks, terminal)
    done = []
    for step in steps:
        for n_iter in (0, 1):
            bar.show_fit("a.png", step, n_iter)
            done.append(bar._bar.tasks[0].completed)
    bar.hide()
    assert done == [number for number in range(len(steps)) for _ in range(2)]
    assert bar._bar.tasks[0].total == len(steps)


def test_the_bar_of_an_image_names_its_phases(terminal):
    with Console(reporter_class("quiet")(io.StringIO()), [2, "auto:3"], stream=terminal) as console:
        for k in (Phase("reading [b]a\x07.png"), "auto:3", 2, Phase("writing a_k2.png")):
            console.show_iteration(Path("a.png"), k, 0, 0.0)
    shown = plain(terminal.getvalue())
    phases = ["reading [b]a\\x07.png", "choosing k for auto:3  a.png", "k = 2  iteration 0  a.png", "writing a_k2.png"]
    found = [shown.find(phase) for phase in phases]
    assert -1 not in found
    assert found == sorted(found)


@pytest.mark.parametrize("columns", [50, 80, 120])
def test_a_long_name_leaves_room_for_the_bar_the_time_and_the_step(terminal, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    bar = bar_for(1, [2], terminal)
    bar.show_fit(f"{'n' * 200}.png", 2, 0)
    bar.show_phase(f"optimizing {'n' * 200}_k2.png")
    bar.hide()
    lines = [line for line in re.split(r"[\r\n]+", plain(terminal.getvalue())) if line.strip()]
    assert all(line.startswith("━" * 20 + " 0:00:0") for line in lines)
    assert "k = 2  iteration 0" in lines[0]
    assert re.search(r"optimizing …n*_k2\.png$", lines[-1].rstrip())
    assert max(map(len, lines)) <= columns


def test_a_name_is_left_out_where_there_is_only_room_for_the_step(terminal, monkeypatch):
    monkeypatch.setenv("COLUMNS", "54")
    bar = bar_for(1, [2], terminal)
    bar.show_fit("a_long_name.png", 2, 0)
    bar.hide()
    assert "k = 2  iteration 0" in plain(terminal.getvalue())
    assert "png" not in terminal.getvalue()


def test_the_bar_of_a_shared_run_names_the_fit_after_the_last_image_is_counted(terminal, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(progress, "monotonic", lambda: now[0])
    with Console(reporter_class("quiet")(io.StringIO()), [2], 2, n_to_count=2, stream=terminal) as console:
        for expected in ("counting colours", "fitting the mixture"):
            now[0] += 1
            console.count()
            assert expected in plain(terminal.getvalue()).splitlines()[-1]


def test_the_bar_of_a_batch_shows_the_rate_without_skipped_images(terminal, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(progress, "monotonic", lambda: now[0])
    bar = bar_for(10, [2], terminal)
    now[0] += 4
    bar.show_image("b.png", 6, 2)
    shown = plain(terminal.getvalue())
    assert "6/10" in shown
    assert "0.5/s  0:00:08 left b.png" in shown
    before = len(terminal.getvalue())
    bar.show_image("c.png", 7, 3)  # at the same moment, so not redrawn
    assert len(terminal.getvalue()) == before
    now[0] += 1
    bar.refresh()
    assert "7/10" in plain(terminal.getvalue()[before:])


def test_the_bar_of_a_slow_batch_shows_the_seconds_of_an_image(terminal, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(progress, "monotonic", lambda: now[0])
    bar = bar_for(10, [2], terminal)
    now[0] += 80
    bar.show_image("b.png", 2, 2)
    assert "2/10 40 s each  0:05:20 left" in plain(terminal.getvalue())


def test_a_bar_replaces_the_message_for_each_image(terminal):
    outcomes = [done(), Skipped(Path("b.png")), FAILED]
    _, messages, _ = run_console(outcomes, errors=terminal)
    lines = [line for line in re.split(r"[\r\n]+", plain(messages)) if line.startswith("gmmquant: ")]
    assert lines[0] == "gmmquant: c.png: damaged PNG image; get an undamaged copy"
    assert lines[1].startswith("gmmquant: 1 done, 1 skipped, 1 failed")
    assert len(lines) == 2


@pytest.mark.parametrize(("n", "counted"), [(1, None), (2, "1 more image has"), (1002, "1,001 more images have")])
def test_images_whose_outputs_exist_are_counted_after_the_first(n, counted):
    exists = Failure(Path("a.png"), "a_k2.png exists", outputs_exist=True)
    _, messages, succeeded = run_console([exists] * n)
    first, *others = messages.splitlines()
    assert (first, succeeded) == ("gmmquant: a.png: a_k2.png exists", False)
    assert [line for line in others if "exists" in line or "more image" in line] == (
        [f"gmmquant: {counted} outputs that exist; use --force, --skip-existing or another --name"] if counted else []
    )


def test_a_preview_that_fails_is_a_note_and_the_image_succeeds():
    class Failing:
        def show(self, outcome):
            raise ValueError("no such font")

    results, messages, succeeded = run_console([done()], preview=Failing())
    assert messages == "gmmquant: cannot draw a preview: ValueError: no such font\n"
    assert "150 distinct colours" in results
    assert succeeded


def test_lines_have_at_most_80_columns_on_a_terminal_that_does_not_tell_its_width(terminal, monkeypatch):
    monkeypatch.delenv("COLUMNS")
    say("a word " * 30, stream=terminal)
    lines = terminal.getvalue().splitlines()
    assert 70 < max(map(len, lines)) <= 80
    assert "".join(lines).split() == "".join(["gmmquant: ", "a word " * 30]).split()
