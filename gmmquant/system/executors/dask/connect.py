"""Joining a cluster: one that there is, or one begun for this alone; and leaving it."""

from __future__ import annotations

import contextlib
import gc
import logging
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import TimeoutError as PromiseTimeout

import dask
import distributed

from gmmquant.errors import ClusterError, ParameterError
from gmmquant.system import threads
from gmmquant.system.executors.dask.executor import DaskExecutor
from gmmquant.system.executors.dask.local import LocalCluster
from gmmquant.system.executors.dask.task_group import in_loop
from gmmquant.system.executors.dask.tasks import difference, versions
from gmmquant.version import __version__

LOCAL = "local"

# Seconds: until a scheduler must answer; between two calls of `idle`; until a client that leaves is let go.
_ANSWER, _BEAT, _GRACE = 5.0, 0.1, 1.0

# Whose log would end up on standard error.
_TALKERS = ("distributed", "tornado", "asyncio")


def check_versions(client: distributed.Client, idle: Callable[[], None] = lambda: None) -> None:
    """Raise a `ClusterError` that names the first worker whose versions are not ours."""
    asked = in_loop(client, lambda: client.run(versions, on_error="return"))
    while not asked.done():
        with contextlib.suppress(PromiseTimeout):
            asked.exception(_BEAT)
        idle()
    answers = asked.result()
    ours = versions()
    for worker, theirs in sorted(answers.items()):
        if isinstance(theirs, ImportError):
            raise ClusterError(f"worker {worker} lacks what is needed ({theirs}); install gmmquant {__version__} there")
        if isinstance(theirs, dict) and theirs != ours:  # one that has died meanwhile answers with an error
            raise ClusterError(difference(f"worker {worker}", theirs, ours))


@contextlib.contextmanager
def dask_executor(
    scheduler: str,
    n: int | None = None,
    *,
    idle: Callable[[], None] = lambda: None,
    note: Callable[[str], None] = lambda _: None,
) -> Iterator[DaskExecutor]:
    """Offer the workers of a scheduler, and leave it when all is done.

    Parameters
    ----------
    scheduler : str
        Its address, such as `tcp://host:8786`; or `local`, for a scheduler and `n` processes begun for this alone (by
        default one for each processor).
    n : int or None
    idle, note : callable
        See `DaskExecutor`.

    Raises
    ------
    ParameterError
        If `scheduler` is no address, or has `n` beside it.
    ClusterError
        If no scheduler answers there, or a worker has other versions than this process.
    """
    if scheduler != LOCAL and n is not None:
        raise ParameterError(f"--jobs is for --scheduler {LOCAL}: how many work at {scheduler} is said there")
    with _silence(), dask.config.set({"distributed.admin.large-graph-warning-threshold": "1TB"}):
        if scheduler != LOCAL:
            with _client(scheduler) as client:
                check_versions(client, idle)
                yield DaskExecutor(client, idle=idle, note=note)
            return
        with LocalCluster(n or threads.n_processors(), idle) as local, _client(local.address) as client:
            yield DaskExecutor(client, idle=idle, note=note, kill=local.kill)


@contextlib.contextmanager
def _client(address: str) -> Iterator[distributed.Client]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Dask's own about versions: `check_versions` knows better
            client = distributed.Client(address, timeout=_ANSWER, set_as_default=False, name="gmmquant")
    except (OSError, PromiseTimeout):
        fault: ClusterError | ParameterError = ClusterError(
            f"no Dask scheduler answers at {address} within {_ANSWER:g} s; start one with dask scheduler, "
            f"or give --scheduler {LOCAL}"
        )
    except (ValueError, TypeError):
        fault = ParameterError(f"scheduler = {address!r} is no address; give one as in tcp://host:8786, or {LOCAL}")
    else:
        try:
            yield client
        finally:
            with contextlib.suppress(Exception):
                client.close(timeout=_GRACE)
        return
    # What is left of the client is let go now, by this thread: by that of another client it would lock the two.
    gc.collect()
    raise fault


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Keep the logs of Dask from standard error."""
    talkers = [logging.getLogger(name) for name in list(logging.root.manager.loggerDict) if name.startswith(_TALKERS)]
    levels = [talker.level for talker in talkers]
    for talker in talkers:
        talker.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for talker, level in zip(talkers, levels, strict=True):
            talker.setLevel(level)
