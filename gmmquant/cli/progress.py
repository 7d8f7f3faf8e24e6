"""Progress bars: on a terminal that can show one; nowhere else does anything of them appear."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from time import monotonic
from typing import TYPE_CHECKING

from gmmquant.cli.printable import printable
from gmmquant.settings import AUTO

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, ProgressColumn


# Seconds between two images of a bar that is drawn whenever there is news.
_BEAT = 0.1


class Bar:
    """A bar that is not seen: what there is where none can be."""

    is_seen = False

    def move_to_fit(self, name: str, k: int | str, n_iter: int) -> None:
        """Show an iteration of a fit."""

    def move_to_image(self, name: str, told: int, worked: int) -> None:
        """Show the last image of those `told` of, `worked` of which took work."""

    def refresh(self) -> None:
        """Let the time go on."""

    def hide(self) -> None:
        """Take the bar away, until it is moved or refreshed again."""


class FitBar(Bar):
    """How far one image has come: a step for each k, and the iterations of its fit."""

    is_seen = True

    def __init__(self, console: Console, ks: Sequence[int | str]) -> None:
        from rich.progress import BarColumn, TextColumn, TimeElapsedColumn

        columns = BarColumn(20), TimeElapsedColumn(), TextColumn("{task.description}")
        self._bar = _progress(*columns, console=console)
        self._ks = list(ks)
        self._task = self._bar.add_task("", total=len(ks))

    def move_to_fit(self, name: str, k: int | str, n_iter: int) -> None:
        """Show an iteration of the fit at `k`."""
        from rich.markup import escape

        if n_iter == 0:
            self._bar.start()
        position = self._ks.index(k) if k in self._ks else self._ks.index(AUTO)
        text = f"{printable(name)}  k = {k}  iteration {n_iter}"
        self._bar.update(self._task, completed=position, description=escape(text))

    def hide(self) -> None:
        """Take the bar away."""
        self._bar.stop()


class BatchBar(Bar):
    """How many images are done, how many are done a second, and how long the others will take.

    It has no thread of its own, so that processes can be forked beside it: `refresh` lets its time go on.
    """

    is_seen = True

    def __init__(self, console: Console, n_images: int) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn

        columns = (
            BarColumn(20),
            MofNCompleteColumn(),
            TextColumn("{task.fields[pace]}"),
            TextColumn("{task.description}"),
        )
        self._bar = _progress(*columns, console=console, auto_refresh=False)
        self._task = self._bar.add_task("", total=n_images, pace="")
        self._n_images = n_images
        self._started = monotonic()
        self._told = self._worked = 0
        self._name = ""
        self._drawn = 0.0  # when

    def move_to_image(self, name: str, told: int, worked: int) -> None:
        """Count an image."""
        self._told, self._worked, self._name = told, worked, name
        self.refresh()

    def refresh(self) -> None:
        """Show the bar as it is now, if it was not just shown."""
        from rich.markup import escape

        now = monotonic()
        if now - self._drawn < _BEAT:
            return
        self._drawn = now
        pace = self._worked / (now - self._started)
        left = max(self._n_images - self._told, 0)  # of a sample, more may be counted than were meant to be
        text = f"{pace:.1f}/s  {duration(round(left / pace))} left" if pace else ""
        self._bar.update(self._task, completed=self._told, pace=text, description=escape(printable(self._name)))
        self._bar.start()
        self._bar.refresh()

    def hide(self) -> None:
        """Take the bar away."""
        self._drawn = 0.0
        self._bar.stop()


def _progress(*columns: ProgressColumn, console: Console, auto_refresh: bool = True) -> Progress:
    """Return rich's bar. The streams of the program stay as they are: results may go elsewhere than the bar does."""
    from rich.progress import Progress

    return Progress(
        *columns,
        console=console,
        transient=True,
        auto_refresh=auto_refresh,
        redirect_stdout=False,
        redirect_stderr=False,
    )


def duration(seconds: int) -> str:
    """Write a duration as 0:07, 12:05 or 3:00:00."""
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def bar_for(n_images: int, ks: Sequence[int | str]) -> Bar:
    """Return a bar on standard error, one that is not seen where that is no terminal."""
    if not sys.stderr.isatty():
        return Bar()
    from rich.console import Console

    console = Console(file=sys.stderr)
    if not console.is_interactive:
        return Bar()
    return FitBar(console, ks) if n_images == 1 else BatchBar(console, n_images)
