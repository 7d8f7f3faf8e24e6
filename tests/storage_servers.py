"""Local servers for tests of remote storages: SFTP over a folder by paramiko, S3 in memory by moto.

Both implement only what the tests need, and listen on a free port of the loopback interface.
"""

import contextlib
import os
import socket
import socketserver
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

USER, PASSWORD = "someone", "geh-heim"


@contextlib.contextmanager
def sftp_server(folder):
    """Serve `folder` over SFTP; yield its URL, with a password, and a function that cuts the connections."""
    import paramiko

    key = paramiko.ECDSAKey.generate()

    class Server(paramiko.ServerInterface):
        def check_auth_password(self, username, password):
            return paramiko.AUTH_SUCCESSFUL if (username, password) == (USER, PASSWORD) else paramiko.AUTH_FAILED

        def check_channel_request(self, kind, chanid):
            return paramiko.OPEN_SUCCEEDED

    class Folder(paramiko.SFTPServerInterface):
        """A folder as a file system; OSErrors become status codes of the protocol."""

        def _local(self, path):
            return Path(folder) / self.canonicalize(path).lstrip("/")

        def _try(self, call, *arguments):
            try:
                call(*arguments)
            except OSError as error:
                return paramiko.SFTPServer.convert_errno(error.errno)
            return paramiko.SFTP_OK

        def _attributes(self, call, path):
            try:
                return paramiko.SFTPAttributes.from_stat(call(path), path.name)
            except OSError as error:
                return paramiko.SFTPServer.convert_errno(error.errno)

        def list_folder(self, path):
            try:
                return [self._attributes(os.lstat, entry) for entry in self._local(path).iterdir()]
            except OSError as error:
                return paramiko.SFTPServer.convert_errno(error.errno)

        def stat(self, path):
            return self._attributes(os.stat, self._local(path))

        def lstat(self, path):
            return self._attributes(os.lstat, self._local(path))

        def open(self, path, flags, attr):
            try:
                descriptor = os.open(self._local(path), flags, 0o666)
            except OSError as error:
                return paramiko.SFTPServer.convert_errno(error.errno)
            handle = paramiko.SFTPHandle(flags)
            handle.readfile = handle.writefile = os.fdopen(descriptor, "rb" if flags & 3 == os.O_RDONLY else "wb")
            return handle

        def remove(self, path):
            return self._try(os.remove, self._local(path))

        def posix_rename(self, oldpath, newpath):
            return self._try(os.replace, self._local(oldpath), self._local(newpath))

        def mkdir(self, path, attr):
            return self._try(os.mkdir, self._local(path))

        def rmdir(self, path):
            return self._try(os.rmdir, self._local(path))

    transports = []

    class Connection(socketserver.BaseRequestHandler):
        def handle(self):
            transport = paramiko.Transport(self.request)
            transports.append(transport)
            transport.add_server_key(key)
            transport.set_subsystem_handler("sftp", paramiko.SFTPServer, Folder)
            transport.start_server(server=Server())
            transport.join()

    class Listener(socketserver.ThreadingTCPServer):
        daemon_threads, block_on_close = True, False

    def disconnect():
        for transport in transports:
            transport.close()

    with _serving(Listener(("127.0.0.1", 0), Connection)) as port:
        yield f"sftp://{USER}:{PASSWORD}@127.0.0.1:{port}", disconnect
        disconnect()


ERRORS = {
    "500": (500, "InternalError", "We encountered an internal error. Please try again."),
    "503": (503, "SlowDown", "Please reduce your request rate."),
    "403": (403, "AccessDenied", "Access Denied"),
}

# What may happen to a request: an error for an answer; a connection that is cut before the request is done ("reset"),
# after it is done ("lost"), or within the answer ("cut"); no answer at all ("silence").
FAULTS = (*ERRORS, "reset", "lost", "cut", "silence")


class Faults:
    """Decides which requests to a server fail: `choose(number)` returns one of `FAULTS` or None."""

    def __init__(self):
        self.choose = lambda number: None
        self.requests = []
        self.release = threading.Event()  # ends all silences

    def start(self, choose):
        """Count requests from 0 again, and let them fail as `choose` says."""
        self.release.set()
        self.release, self.requests, self.choose = threading.Event(), [], choose

    def next(self, request):
        self.requests.append(request)
        return self.choose(len(self.requests) - 1)


@contextlib.contextmanager
def s3_server(faults=None):
    """Serve S3 in memory with the handlers of moto, whose server would need Flask; yield the URL."""
    from moto.core.request import Request
    from moto.moto_proxy.proxy3 import MotoRequestHandler

    faults = faults or Faults()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self):
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            fault = faults.next(f"{self.command} {self.path}")
            if fault == "silence":
                faults.release.wait(20)
            if fault in ("silence", "reset"):
                self._disconnect()
            elif fault in ERRORS:
                status, code, text = ERRORS[fault]
                content = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{text}</Message></Error>"
                self._send(status, {"Content-Type": "application/xml"}, content.encode())
            else:
                host = "http://s3.amazonaws.com"
                handler = moto.get_handler_for_host(host, self.path)
                request = Request.from_primitives(self.command, host + self.path, self.headers, body)
                status, headers, content = handler(request, request.raw_url, request.headers)
                content = content.encode() if isinstance(content, str) else content
                if fault == "lost":
                    self._disconnect()
                else:
                    self._send(status, headers, content, n_sent=len(content) // 2 if fault == "cut" else None)

        def _send(self, status, headers, content, n_sent=None):
            self.send_response(status)
            for name, value in headers.items():
                if name.lower() != "content-length" or self.command == "HEAD":
                    self.send_header(name, str(value))
            if self.command != "HEAD":
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content[:n_sent])
            if n_sent is not None:
                self._disconnect()

        def _disconnect(self):
            self.close_connection = True
            with contextlib.suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = answer  # noqa: N815  the names that BaseHTTPRequestHandler looks for

        def log_message(self, *_):
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_):  # a client that has left
            pass

    moto = MotoRequestHandler(0)
    with _serving(Server(("127.0.0.1", 0), Handler)) as port:
        yield f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def _serving(server):
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
