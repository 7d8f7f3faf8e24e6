"""What runs on the workers of a cluster."""

from __future__ import annotations

import asyncio
import functools
import pickle
import sys
import zlib
from dataclasses import dataclass
from importlib import import_module
from signal import SIGTERM
from time import monotonic
from typing import Any

import distributed

from gmmquant.errors import ClusterError
from gmmquant.system import threads
from gmmquant.system.executors.base import Work
from gmmquant.system.process import Stopped
from gmmquant.version import __version__

# The packages that the bytes of an image depend on, apart from gmmquant.
_PACKAGES = {"numpy": "numpy", "scipy": "scipy", "OpenCV": "cv2", "Pillow": "PIL"}


@dataclass(frozen=True)
class TaskContext:
    """What all tasks of a group share."""

    work: Work[Any, Any]
    add: Any  # a function of two parts, or None
    versions: dict[str, str]


def run_item(context: TaskContext, packed: bytes) -> Any:
    """Return the result of the work on a pickled item."""
    if context.versions != versions():
        raise ClusterError(difference("a worker", versions(), context.versions))
    threads.use_at_most(1)
    return context.work(pickle.loads(packed), leave_if_cancelled)  # noqa: S301  from our client


def add_parts(context: TaskContext, *parts: Any) -> Any:
    """Return the sum of some parts."""
    return functools.reduce(context.add, parts)


def leave_if_cancelled(*_: object) -> None:
    """End the item of this thread if it was cancelled."""
    worker = distributed.get_worker()
    task = worker.state.tasks.get(worker.get_current_task())
    if task is None or task.state == "cancelled":
        raise Stopped(SIGTERM)


async def wait_until_left(name: str, seconds: float, dask_worker: distributed.Worker) -> bool:
    """Wait until a worker runs no task of a group; return whether that was within some seconds."""
    end = monotonic() + seconds
    while any(name in str(task.key) for task in dask_worker.state.executing):
        if monotonic() > end:
            return False
        await asyncio.sleep(0.02)
    return True


@functools.cache
def versions() -> dict[str, str]:
    """Return the versions of everything that the bytes of an image depend on."""
    found = {name: str(import_module(module).__version__) for name, module in _PACKAGES.items()}
    python = ".".join(map(str, sys.version_info[:2]))
    return {"gmmquant": __version__, **found, "zlib": zlib.ZLIB_RUNTIME_VERSION, "Python": python}


def difference(worker: str, theirs: dict[str, str], ours: dict[str, str]) -> str:
    """Return a message about the first version of a worker that differs from ours."""
    name = next(name for name in ours if theirs.get(name) != ours[name])
    return (
        f"{worker} has {name} {theirs.get(name)}, this machine has {ours[name]}, so its images could differ; "
        "install the same versions there"
    )
