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
from collections.abc import Callable
from pathlib import Path
from typing import Self

from gmmquant.errors import ClusterError
from gmmquant.system.executors.base import ignore
from gmmquant.system.process import signals_held

_IDLE_SECONDS = 0.1  # between two calls of `idle`


class LocalCluster:
    """A scheduler, at `address`, and `n` workers of one thread each, as a context manager."""

    def __init__(self, n: int, idle: Callable[[], None] = ignore) -> None:
        self._n, self._idle, self.address = n, idle, ""
        self._process: subprocess.Popen[bytes] | None = None
        self._folder: str | None = None

    def __enter__(self) -> Self:
        """Start them; return when all workers are connected."""
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _start(self) -> None:
        home = str(Path(__file__).parents[3])
        path = os.pathsep.join(filter(None, [home, os.environ.get("PYTHONPATH")]))
        with signals_held():
            self._folder = tempfile.mkdtemp(prefix="gmmquant-cluster-")
            self._process = subprocess.Popen(  # noqa: S603  this module
                [sys.executable, "-m", __name__, str(self._n), self._folder],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": path},
                start_new_session=True,
            )
        out = self._process.stdout
        assert out is not None  # noqa: S101
        while not select.select([out], [], [], _IDLE_SECONDS)[0]:
            self._idle()
        self.address = out.readline().decode("ascii", "replace").strip()
        if not self.address:
            raise ClusterError(f"{self._n} workers could not be started on this machine; give a smaller --jobs")

    def kill(self) -> None:
        """Kill all processes at once."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def __exit__(self, *_: object) -> None:
        """End all processes and remove their files."""
        with signals_held():
            self.kill()
            for stream in (self._process.stdin, self._process.stdout) if self._process is not None else ():
                if stream is not None:
                    stream.close()
            if self._folder is not None:
                shutil.rmtree(self._folder, ignore_errors=True)


def serve(n: int, folder: str) -> None:
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


if __name__ == "__main__":
    serve(int(sys.argv[1]), sys.argv[2])
