"""Progress bars, shown only on a terminal that can show them."""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic
from typing import TYPE_CHECKING, TextIO

from gmmquant.cli.printable import printable
from gmmquant.settings import AUTO

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, ProgressColumn

# The bar of a batch is redrawn at most once in this many seconds.
_REDRAW_SECONDS = 0.1


class Bar:
    """A bar that is never visible, for where none can be shown."""

    is_visible = False

    def show_fit(self, name: str, k: int | str, n_iter: int) -> None:
        """Show an iteration of a fit."""

    def show_image(self, name: str, n_finished: int, n_worked: int) -> None:
        """Show the last of `n_finished` images, of which `n_worked` were not skipped."""

    def refresh(self) -> None:
        """Update the time."""

    def hide(self) -> None:
        """Remove the bar until it is next updated."""


class FitBar(Bar):
    """The progress of one image: a step for each k, and the iteration of its fit."""

    is_visible = True

    def __init__(self, console: Console, ks: Sequence[int | str]) -> None:
        from rich.progress import BarColumn, TextColumn, TimeElapsedColumn

        columns = BarColumn(20), TimeElapsedColumn(), TextColumn("{task.description}")
        self._bar = _progress(*columns, console=console)
        self._ks = list(ks)
        self._task = self._bar.add_task("", total=len(ks))

    def show_fit(self, name: str, k: int | str, n_iter: int) -> None:
        """Show an iteration of the fit at `k`."""
        from rich.markup import escape

        if n_iter == 0:
            self._bar.start()
        position = self._ks.index(k) if k in self._ks else self._ks.index(AUTO)
        text = f"{printable(name)}  k = {k}  iteration {n_iter}"
        self._bar.update(self._task, completed=position, description=escape(text))

    def hide(self) -> None:
        """Remove the bar."""
        self._bar.stop()


class BatchBar(Bar):
    """The progress of a batch: how many images are finished, their number a second, and the time left.

    The bar has no thread, so that processes can be forked safely: `refresh` updates its time.
    """

    is_visible = True

    def __init__(self, console: Console, n_images: int) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn

        pace, name = TextColumn("{task.fields[pace]}"), TextColumn("{task.description}")
        self._bar = _progress(BarColumn(20), MofNCompleteColumn(), pace, name, console=console, auto_refresh=False)
        self._task = self._bar.add_task("", total=n_images, pace="")
        self._n_images = n_images
        self._started = monotonic()
        self._n_finished = self._n_worked = 0
        self._name = ""
        self._drawn_at = 0.0

    def show_image(self, name: str, n_finished: int, n_worked: int) -> None:
        """Show the last image that is finished."""
        self._n_finished, self._n_worked, self._name = n_finished, n_worked, name
        self.refresh()

    def refresh(self) -> None:
        """Redraw the bar, unless that was just done."""
        from rich.markup import escape

        now = monotonic()
        if now - self._drawn_at < _REDRAW_SECONDS:
            return
        self._drawn_at = now
        pace = self._n_worked / (now - self._started)
        n_left = max(self._n_images - self._n_finished, 0)  # of a sample, more images may be counted than planned
        text = f"{pace:.1f}/s  {duration(round(n_left / pace))} left" if pace else ""
        name = escape(printable(self._name))
        self._bar.update(self._task, completed=self._n_finished, pace=text, description=name)
        self._bar.start()
        self._bar.refresh()

    def hide(self) -> None:
        """Remove the bar."""
        self._drawn_at = 0.0
        self._bar.stop()


def _progress(*columns: ProgressColumn, console: Console, auto_refresh: bool = True) -> Progress:
    """Return rich's bar, which leaves the standard streams alone: results may go elsewhere than the bar."""
    from rich.progress import Progress

    return Progress(
        *columns,
        console=console,
        auto_refresh=auto_refresh,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )


def duration(seconds: int) -> str:
    """Return a duration such as 0:07, 12:05 or 3:00:00."""
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def bar_for(n_images: int, ks: Sequence[int | str], stream: TextIO) -> Bar:
    """Return a bar on `stream`, which is invisible unless the stream is an interactive terminal."""
    if not stream.isatty():
        return Bar()
    from rich.console import Console

    console = Console(file=stream)
    if not console.is_interactive:
        return Bar()
    return FitBar(console, ks) if n_images == 1 else BatchBar(console, n_images)
