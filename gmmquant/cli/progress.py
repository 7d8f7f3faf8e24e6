"""Progress bars, shown only on an interactive terminal."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from time import monotonic
from typing import TYPE_CHECKING, TextIO

from gmmquant.system.printable import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import ProgressColumn

# The bar of a batch is redrawn at most once in this many seconds.
_REDRAW_SECONDS = 0.1

# Of fewer images a second, the bar shows the seconds of each.
_MIN_RATE = 0.1

# The bar; the elapsed time with the spaces beside it; a name with less room is not shown.
_BAR_COLUMNS, _TIME_COLUMNS, _MIN_NAME_COLUMNS = 20, 10, 8

# The spaces between the bar, the count, the pace and the name, and the column that an empty name takes.
_BATCH_SPACES = 4


class Bar:
    """A progress bar that shows nothing, for streams that cannot show one."""

    is_visible = False

    def show_fit(self, name: str, k: int | str, n_iter: int) -> None:
        """Show an iteration of the fit at `k`."""

    def show_phase(self, phase: str) -> None:
        """Show what is done between fits, such as "writing cat_k7.png"."""

    def show_image(self, name: str, n_finished: int, n_worked: int) -> None:
        """Show the last of `n_finished` images, of which `n_worked` were not skipped."""

    def refresh(self) -> None:
        """Update the time."""

    def hide(self) -> None:
        """Remove the bar until its next update."""


class _RichBar(Bar):
    """A bar of rich. It leaves the standard streams alone, because results may go to another stream than the bar."""

    is_visible = True

    def __init__(self, console: Console, *columns: ProgressColumn, total: int, auto_refresh: bool = True) -> None:
        from rich.progress import BarColumn, Progress, TextColumn

        self._console, self._drawing = console, BarColumn(_BAR_COLUMNS)
        self._bar = Progress(
            self._drawing,
            *columns,
            TextColumn("{task.description}", markup=False),
            console=console,
            auto_refresh=auto_refresh,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._task = self._bar.add_task("", total=total, pace="")

    def hide(self) -> None:
        """Remove the bar until its next update."""
        self._bar.stop()

    def _room_beside(self, columns: int) -> int:
        """Return the room that the bar and `columns` leave for a name. If they have none, the bar is narrower."""
        room = self._console.width - columns - _BAR_COLUMNS
        self._drawing.bar_width = _BAR_COLUMNS + min(room, 0)
        return room


class FitBar(_RichBar):
    """The progress of one image: a step for each choice of k and each fit, and its iteration or the phase after it."""

    def __init__(self, console: Console, ks: Sequence[int | str]) -> None:
        from rich.progress import TimeElapsedColumn

        super().__init__(console, TimeElapsedColumn(), total=len(ks) + sum(isinstance(k, str) for k in ks))
        self._started: list[int | str] = []

    def show_fit(self, name: str, k: int | str, n_iter: int) -> None:
        """Show an iteration of the fit at `k`, or that k is chosen for a text."""
        self._started += [k] * (k not in self._started)
        step = f"choosing k for {k}" if isinstance(k, str) else f"k = {k}  iteration {n_iter}"
        self._bar.update(self._task, completed=len(self._started) - 1, description=self._with_name(f"{step}  ", name))
        if n_iter == 0:
            self._redraw()

    def show_phase(self, phase: str) -> None:
        """Show what is done between fits, the name of a file after the first word."""
        word, space, name = phase.partition(" ")
        self._bar.update(self._task, description=self._with_name(word + space, name))
        self._redraw()

    def _redraw(self) -> None:
        self._bar.start()
        self._bar.refresh()

    def _with_name(self, text: str, name: str) -> str:
        """Return `text` followed by as much of a name as fits beside the bar, or by nothing if that is little."""
        room = self._room_beside(_TIME_COLUMNS + len(text))
        return text + _name_within(name, room)


class BatchBar(_RichBar):
    """The progress of a batch: finished images, images per second, and the remaining time.

    It has no thread, so that processes can be forked safely: `refresh` updates its time.
    """

    def __init__(self, console: Console, n_images: int) -> None:
        from rich.progress import MofNCompleteColumn, TextColumn

        columns = MofNCompleteColumn(), TextColumn("{task.fields[pace]}")
        super().__init__(console, *columns, total=n_images, auto_refresh=False)
        self._n_worked, self._name = 0, ""
        self._started = monotonic()
        self._drawn_at = 0.0

    def show_image(self, name: str, n_finished: int, n_worked: int) -> None:
        """Show the image that was finished last."""
        self._n_worked, self._name = n_worked, name
        self._bar.update(self._task, completed=n_finished)
        self.refresh()

    def refresh(self) -> None:
        """Redraw the bar, unless it was redrawn a moment ago."""
        now = monotonic()
        if now - self._drawn_at < _REDRAW_SECONDS:
            return
        self._drawn_at = now
        rate = self._n_worked / (now - self._started)
        n_left = max(self._bar.tasks[0].remaining or 0, 0)  # more images may be counted than were planned
        speed = f"{rate:.1f}/s" if rate >= _MIN_RATE else f"{1 / rate:.0f} s each" if rate else ""
        paces = [f"{speed}  {timedelta(seconds=round(n_left / rate))} left", speed] if rate else []
        count_columns = 2 * len(str(self._bar.tasks[0].total)) + 1 + _BATCH_SPACES
        pace = next((pace for pace in paces if count_columns + len(pace) < self._console.width), "")
        room = self._room_beside(count_columns + len(pace))
        self._bar.update(self._task, pace=pace, description=_name_within(self._name, room))
        self._bar.start()
        self._bar.refresh()

    def hide(self) -> None:
        """Remove the bar until its next update."""
        self._drawn_at = 0.0
        super().hide()


def _name_within(name: str, room: int) -> str:
    """Return as much of a name as fits, or nothing if that is little."""
    from gmmquant.cli.reporters.columns import shortened

    return shortened(printable(name), room, "…") if room >= _MIN_NAME_COLUMNS else ""


def bar_for(n_images: int, ks: Sequence[int | str], stream: TextIO) -> Bar:
    """Return a bar on `stream`, which shows nothing unless the stream is an interactive terminal."""
    if not stream.isatty():
        return Bar()
    from rich.console import Console

    console = Console(file=stream)
    if not console.is_interactive:
        return Bar()
    return FitBar(console, ks) if n_images == 1 else BatchBar(console, n_images)
