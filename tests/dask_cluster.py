"""A Dask cluster in processes of its own, whose workers can be killed, and the outputs of a run for comparison."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from waiting import GUARD_SECONDS

from gmmquant.system.executors.dask.connect import dask_executor

TESTS = Path(__file__).parent


class Dask:
    """A scheduler and workers in separate processes, each worker with a nanny that restarts it."""

    def __init__(self, folder):
        self.folder = folder
        self.address = None
        self.processes = []
        self.workers = []

    def start(self, module, *arguments):
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(map(str, [TESTS.parent, TESTS, TESTS / "system"])),
            "PYTHONDONTWRITEBYTECODE": "1",
            "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1",
        }
        environment.pop("OPENBLAS_NUM_THREADS", None)
        process = subprocess.Popen(
            [sys.executable, "-m", f"distributed.cli.{module}", "--no-dashboard", *arguments],
            cwd=self.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self.processes.append(process)
        return process

    def complete(self, n_workers=2):
        """Start the missing processes and wait for them."""
        if self.address is None:
            file = self.folder / "scheduler.json"
            self.start("dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--scheduler-file", file)
            while self.address is None:
                time.sleep(0.05)
                with contextlib.suppress(OSError, ValueError):  # missing or incomplete
                    self.address = json.loads(file.read_text())["address"]
        self.workers = [process for process in self.workers if process.poll() is None]
        while len(self.workers) < n_workers:
            self.start_a_worker()
        with dask_executor(self.address) as cluster:
            cluster._client.wait_for_workers(n_workers, timeout=GUARD_SECONDS)

    def start_a_worker(self):
        """Start a worker, which joins when it is ready."""
        self.workers.append(
            self.start("dask_worker", self.address, "--nthreads", "1", "--local-directory", self.folder)
        )

    def kill_a_worker(self, number=-1):
        """Kill a worker and its nanny."""
        os.killpg(self.workers.pop(number).pid, signal.SIGKILL)

    def stop(self):
        """Let the workers end by themselves, so that coverage.py can save what it measured, and then kill all."""
        for process in self.workers:
            process.terminate()
        for process in self.workers:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=10)
        for process in self.processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def contents(folder):
    """The files of a folder by name; reports without the seconds."""
    found = {}
    for path in folder.iterdir():
        found[path.name] = path.read_bytes()
        if path.suffix == ".json":
            found[path.name] = without_seconds(json.loads(found[path.name]))
    return found


def without_seconds(record):
    if isinstance(record, list):
        return [without_seconds(entry) for entry in record]
    if isinstance(record, dict):
        return {name: without_seconds(value) for name, value in record.items() if name != "seconds"}
    return record
