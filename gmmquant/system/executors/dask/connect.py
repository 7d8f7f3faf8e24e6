"""Work on many items in a cluster of computers: connect to it, or start one for this run alone, and leave it."""

from __future__ import annotations

import contextlib
import gc
import logging
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import wait
from typing import Any

import dask
import distributed

from gmmquant.errors import ClusterError, ParameterError
from gmmquant.system import threads
from gmmquant.system.executors.base import Add, Callback, Executor, Item, Prepared, Work, ignore
from gmmquant.system.executors.dask.local import local_cluster
from gmmquant.system.executors.dask.pool import DaskPool, WorkerCount, in_loop
from gmmquant.system.executors.dask.tasks import difference, leave_if_cancelled, versions
from gmmquant.version import __version__

LOCAL = "local"

_ANSWER_SECONDS = 5.0  # for a scheduler to answer
_IDLE_SECONDS = 0.1  # between two calls of `idle`
_GRACE_SECONDS = 1.0  # for a client to leave


class DaskExecutor(Executor):
    """Works in the cluster of a Dask scheduler.

    `note` is called with a message if no worker is connected. `kill` ends all workers at once, if they belong to this
    executor.
    """

    def __init__(
        self,
        client: distributed.Client,
        *,
        idle: Callable[[], None] = ignore,
        note: Callable[[str], None] = ignore,
        kill: Callable[[], None] = ignore,
    ) -> None:
        super().__init__(idle)
        self._client, self._kill, self._workers = client, kill, WorkerCount(client, note)

    def worker_callback(self, call: Callback) -> Callback:
        """Return a function that ends cancelled items: `call` stays in this process."""
        return leave_if_cancelled  # type: ignore[return-value]  # it takes any arguments

    def repeatable(self, items: Iterable[Item], prepare: Callable[[Item], Prepared]) -> Iterator[Prepared]:
        """Yield `prepare(item)` for each item: if a worker dies, another one repeats its work."""
        return map(prepare, items)

    def _pool(self, work: Work[Any, Any], add: Add[Any] | None) -> DaskPool:
        return DaskPool(self._workers, work, add, self._kill)


def check_versions(client: distributed.Client, idle: Callable[[], None] = ignore) -> None:
    """Raise a `ClusterError` that names the first worker whose versions differ from ours."""
    asked = in_loop(client, lambda: client.run(versions, on_error="return"))
    while wait([asked], _IDLE_SECONDS).not_done:
        idle()
    ours = versions()
    for worker, theirs in sorted(asked.result().items()):
        if isinstance(theirs, ImportError):
            raise ClusterError(f"worker {worker} lacks a package ({theirs}); install gmmquant {__version__} there")
        if isinstance(theirs, dict) and theirs != ours:  # a worker that has died answers with an error
            raise ClusterError(difference(f"worker {worker}", theirs, ours))


@contextlib.contextmanager
def dask_executor(
    scheduler: str, n: int | None = None, *, idle: Callable[[], None] = ignore, note: Callable[[str], None] = ignore
) -> Iterator[DaskExecutor]:
    """Provide an executor for the cluster of a scheduler, and disconnect in the end.

    The scheduler is an address, such as `tcp://host:8786`, or `local`: a scheduler and `n` workers are started for this
    run alone (by default one for each processor). A `ParameterError` is raised if it is not an address, or if `n` is
    for another scheduler; a `ClusterError` if none answers, or a worker has other versions than this process.
    """
    if scheduler != LOCAL and n is not None:
        raise ParameterError(f"--jobs has an effect only with --scheduler {LOCAL}; start more workers at {scheduler}")
    with _silenced(), dask.config.set({"distributed.admin.large-graph-warning-threshold": "1TB"}):
        if scheduler != LOCAL:
            with _client(scheduler) as client:
                check_versions(client, idle)
                yield DaskExecutor(client, idle=idle, note=note)
            return
        with local_cluster(n or threads.n_processors(), idle) as (address, kill), _client(address) as client:
            yield DaskExecutor(client, idle=idle, note=note, kill=kill)


@contextlib.contextmanager
def _client(address: str) -> Iterator[distributed.Client]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # those of Dask about versions; `check_versions` is stricter
            client = distributed.Client(address, timeout=_ANSWER_SECONDS, set_as_default=False, name="gmmquant")
    except OSError:
        fault: ClusterError | ParameterError = ClusterError(
            f"no Dask scheduler answers at {address} within {_ANSWER_SECONDS:g} s; start one with dask scheduler, "
            f"or use --scheduler {LOCAL}"
        )
    except (ValueError, TypeError):
        fault = ParameterError(
            f"scheduler = {address!r} is not an address; use {LOCAL}, or one such as tcp://host:8786"
        )
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
    """Keep the logs of Dask, tornado and asyncio from standard error."""
    level = logging.root.manager.disable
    logging.disable()
    try:
        yield
    finally:
        logging.disable(level)
