"""A process that runs the command in copies of itself: in each, Python and the libraries are already loaded.

Starting the command takes 0.4 s of a processor, and a copy 0.03 s.
"""

import contextlib
import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import traceback
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pkgutil import walk_packages

from waiting import GUARD_SECONDS

_MAX_REQUEST_BYTES = 1 << 20


class CommandServer:
    """A client of the process, which ends with it. It loads `modules` of the package, by default nearly all."""

    def __init__(self, environment, modules=()):
        self._connection, remote = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with remote:
            self._process = subprocess.Popen(
                [sys.executable, __file__, str(remote.fileno()), *modules],
                env=environment,
                stdin=subprocess.DEVNULL,
                pass_fds=[remote.fileno()],
            )

    def run(self, arguments, folder, environment, fault=None):
        """Run the command in a folder and return the completed process, with its output as text.

        `fault` are the arguments of `fail_calls` in failing_calls.c; `n_calls` is then the number of such calls.
        """
        arguments = [os.fsdecode(argument) for argument in arguments]
        request = json.dumps([arguments, os.fspath(folder), environment, fault]).encode()
        (out, its_out), (err, its_err) = os.pipe(), os.pipe()
        with open(out, errors="surrogateescape") as out, open(err) as err, ThreadPoolExecutor() as threads:
            try:
                socket.send_fds(self._connection, [request], [its_out, its_err])
            finally:
                os.close(its_out)
                os.close(its_err)
            texts = list(threads.map(lambda stream: stream.read(), [out, err]))
        code, self.n_calls = json.loads(self._connection.recv(100))
        return subprocess.CompletedProcess(arguments, code, *texts)

    def close(self):
        self._connection.close()
        self._process.wait()


def serve(connection, modules):
    """Run each command that is requested in a copy of this process, and answer with its exit code."""
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # as the command does before it loads numpy
    import gmmquant

    names = (module.name for module in walk_packages(gmmquant.__path__, "gmmquant."))
    for name in modules or (name for name in names if "dask" not in name):  # which few runs import
        import_module(name)

    while True:
        request, descriptors, _, _ = socket.recv_fds(connection, _MAX_REQUEST_BYTES, 2)
        if not request:
            return
        command = json.loads(request)
        pid = os.fork()
        if pid == 0:
            connection.close()
            be_the_command(descriptors, *command)
        for descriptor in descriptors:
            os.close(descriptor)
        _, status = os.waitpid(pid, 0)
        n_calls = ctypes.CDLL(None).counted_calls() if command[-1] else None
        connection.send(json.dumps([os.waitstatus_to_exitcode(status), n_calls]).encode())


def be_the_command(descriptors, arguments, folder, environment, fault):
    """Do what `python -m gmmquant` does, and end."""
    from gmmquant.__main__ import main

    signal.alarm(GUARD_SECONDS)
    with contextlib.suppress(BaseException):
        for stream, descriptor in zip((1, 2), descriptors, strict=True):
            os.dup2(descriptor, stream)
            os.close(descriptor)
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        sys.argv[1:] = arguments
        if fault is not None:
            ctypes.CDLL(None).fail_calls(*fault)
        try:
            main()
        except BaseException:
            traceback.print_exc()
    os._exit(1)


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])), sys.argv[2:])
