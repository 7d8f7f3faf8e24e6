"""A Dask cluster on this machine, which lives as long as the run that started it.

Scheduler and workers form a session: Ctrl-C in a terminal does not reach them, and they can be killed all at once. They
end by themselves when the process that started them dies, which closes their standard input.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from gmmquant.errors import ClusterError
from gmmquant.system.executors.base import ignore
from gmmquant.system.process import signals_held

_IDLE_SECONDS = 0.1  # between two calls of `idle`


@contextlib.contextmanager
def local_cluster(n: int, idle: Callable[[], None] = ignore) -> Iterator[tuple[str, Callable[[], None]]]:
    """Start a scheduler and `n` workers of one thread each; yield its address, and a function that kills all of them.

    The address is known when all workers are connected.
    """
    home = str(Path(__file__).parents[4])
    path = os.pathsep.join(filter(None, [home, os.environ.get("PYTHONPATH")]))
    with contextlib.ExitStack() as stack:
        with signals_held():
            folder = stack.enter_context(
                tempfile.TemporaryDirectory(prefix="gmmquant-cluster-", ignore_cleanup_errors=True)
            )
            process = subprocess.Popen(  # noqa: S603  this module
                [sys.executable, "-m", __name__, str(n), folder],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": path},
                start_new_session=True,
            )
            kill = partial(_kill, stack.enter_context(process))
            stack.callback(kill)
        try:
            assert process.stdout is not None  # noqa: S101
            while not select.select([process.stdout], [], [], _IDLE_SECONDS)[0]:
                idle()
            address = process.stdout.readline().decode("ascii", "replace").strip()
            if not address:
                raise ClusterError(f"{n} workers could not be started on this machine; use a smaller --jobs")
            yield address, kill
        finally:
            with signals_held():
                stack.close()


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and all that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def serve(n: int, folder: str) -> None:  # pragma: no cover  it ends by SIGKILL, after which no figures are saved
    """Run a scheduler and workers, write the address to standard output, and end when standard input does."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGINT, signal.SIGTERM, signal.SIGHUP))
    import dask
    import distributed

    dask.config.set({"temporary-directory": folder})
    with distributed.LocalCluster(
        n_workers=n, threads_per_worker=1, dashboard_address="127.0.0.1:0", local_directory=folder, silence_logs=False
    ) as cluster:
        print(cluster.scheduler_address, flush=True)  # noqa: T201  to the process that started this one
        sys.stdin.buffer.read()
        shutil.rmtree(folder, ignore_errors=True)
        os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":  # pragma: no cover  as above
    serve(int(sys.argv[1]), sys.argv[2])
