"""Connect to a cluster, an existing one or one started for this run alone, and leave it."""

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
from gmmquant.system.executors.base import ignore
from gmmquant.system.executors.dask.executor import DaskExecutor
from gmmquant.system.executors.dask.local import LocalCluster
from gmmquant.system.executors.dask.task_group import in_loop
from gmmquant.system.executors.dask.tasks import difference, versions
from gmmquant.version import __version__

LOCAL = "local"

_ANSWER_SECONDS = 5.0  # for a scheduler to answer
_IDLE_SECONDS = 0.1  # between two calls of `idle`
_GRACE_SECONDS = 1.0  # for a client to leave

# Loggers that would write to standard error.
_LOGGERS = ("distributed", "tornado", "asyncio")


def check_versions(client: distributed.Client, idle: Callable[[], None] = ignore) -> None:
    """Raise a `ClusterError` that names the first worker whose versions differ from ours."""
    asked = in_loop(client, lambda: client.run(versions, on_error="return"))
    while not asked.done():
        with contextlib.suppress(PromiseTimeout):
            asked.exception(_IDLE_SECONDS)
        idle()
    ours = versions()
    for worker, theirs in sorted(asked.result().items()):
        if isinstance(theirs, ImportError):
            raise ClusterError(f"worker {worker} lacks what is needed ({theirs}); install gmmquant {__version__} there")
        if isinstance(theirs, dict) and theirs != ours:  # a worker that has died answers with an error
            raise ClusterError(difference(f"worker {worker}", theirs, ours))


@contextlib.contextmanager
def dask_executor(
    scheduler: str, n: int | None = None, *, idle: Callable[[], None] = ignore, note: Callable[[str], None] = ignore
) -> Iterator[DaskExecutor]:
    """Provide an executor for the cluster of a scheduler, and disconnect in the end.

    Parameters
    ----------
    scheduler : str
        Its address, such as `tcp://host:8786`; or `local`: a scheduler and `n` processes are started for this run alone
        (by default one for each processor).
    n : int or None
    idle, note : callable
        See `DaskExecutor`.

    Raises
    ------
    ParameterError
        If `scheduler` is not an address, or if `n` is given for a scheduler that is not local.
    ClusterError
        If no scheduler answers at the address, or a worker has other versions than this process.
    """
    if scheduler != LOCAL and n is not None:
        raise ParameterError(f"--jobs is for --scheduler {LOCAL}; start as many workers at {scheduler} as you want")
    with _silenced(), dask.config.set({"distributed.admin.large-graph-warning-threshold": "1TB"}):
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
            warnings.simplefilter("ignore")  # those of Dask about versions; `check_versions` is stricter
            client = distributed.Client(address, timeout=_ANSWER_SECONDS, set_as_default=False, name="gmmquant")
    except (OSError, PromiseTimeout):
        fault: ClusterError | ParameterError = ClusterError(
            f"no Dask scheduler answers at {address} within {_ANSWER_SECONDS:g} s; start one with dask scheduler, "
            f"or give --scheduler {LOCAL}"
        )
    except (ValueError, TypeError):
        fault = ParameterError(f"scheduler = {address!r} is not an address; give one as in tcp://host:8786, or {LOCAL}")
    else:
        try:
            yield client
        finally:
            with contextlib.suppress(Exception):
                client.close(timeout=_GRACE_SECONDS)
        return
    # The rest of the client is collected now, in this thread: collected in the thread of another client it deadlocks.
    gc.collect()
    raise fault


@contextlib.contextmanager
def _silenced() -> Iterator[None]:
    """Keep the logs of Dask from standard error."""
    loggers = [logging.getLogger(name) for name in list(logging.root.manager.loggerDict) if name.startswith(_LOGGERS)]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
