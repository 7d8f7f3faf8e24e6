"""Wall-clock seconds and peak memory of whole processes, several commands in turn."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Runs:
    """Seconds and peak memory (MB, the largest process) of each counted run of a command."""

    seconds: tuple[float, ...]
    peaks: tuple[float, ...]

    @property
    def median(self) -> float:
        """The median of the seconds."""
        return statistics.median(self.seconds)

    def __str__(self) -> str:
        """Return the median, the minimum and the maximum of the seconds."""
        return f"{self.median:.2f} ({min(self.seconds):.2f} to {max(self.seconds):.2f})"


def in_turn(commands: Mapping[str, Sequence[str]], rounds: int) -> dict[str, Runs]:
    """Run each command once uncounted, then all of them in turn `rounds` times: A B C A B C ..."""
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    for number in range(rounds + 1):
        for name, command in commands.items():
            figures = run(command)
            if number:
                taken[name].append(figures)
    return {name: Runs(*map(tuple, zip(*figures, strict=True))) for name, figures in taken.items()}


# The peak of a process includes that of the process it was forked from, so a small process starts the command.
_LAUNCHER = """
import os, subprocess, sys, time
started = time.perf_counter()
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, usage = os.wait4(process.pid, 0)
print(time.perf_counter() - started, usage.ru_maxrss * 1024 / 1e6, os.waitstatus_to_exitcode(status))
"""


def run(command: Sequence[str]) -> tuple[float, float]:
    """Run a command without its output; return seconds and peak megabytes."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    launcher = [sys.executable, "-S", "-c", _LAUNCHER, *command]
    done = subprocess.run(launcher, capture_output=True, text=True, env=environment, check=True)
    seconds, peak, code = map(float, done.stdout.split())
    if code:
        raise RuntimeError(f"{' '.join(command)} exited with {code:.0f}: {done.stderr}")
    return seconds, peak


def program(*names: str) -> str | None:
    """Return the path of the first installed program, of this environment or of the machine."""
    folders = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return next((path for name in names if (path := shutil.which(name, path=folders))), None)
