"""A local HTTP server for tests: any answers, sent well or badly, and the archive's own.

`LocalServer` is the shell: it calls a function for every request, remembers what was asked, and can
cut, reset or stall an answer. `ArchiveSite` is such a function: files of the official layout with
their CHECKSUM files, ranges and validators, and faults that are played once each.
"""

from __future__ import annotations

import fcntl
import hashlib
import socket
import struct
import sys
import termios
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qsl, unquote, urlsplit

from quantlab_pipeline.sources.archive import codec

CHUNK = 1 << 16


@dataclass(frozen=True)
class Request:
    """What a client asked for. Header names are lower-case."""

    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]


@dataclass(frozen=True)
class Answer:
    """What is sent back. Content-Length is that of `body`, however much of it is sent.

    `cut_after` closes the connection after so many bytes of the body, `reset_after` resets it,
    `stall_after` sends nothing more until the server stops. `pause_s` lies between chunks of
    `chunk` bytes.
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    cut_after: int | None = None
    reset_after: int | None = None
    stall_after: int | None = None
    pause_s: float = 0.0
    chunk: int = CHUNK


class _Quiet(ThreadingHTTPServer):
    """A client that goes away is no error of the server's, and no line on stderr.

    That line would come from another thread, at any moment, into whatever a test reads there.
    """

    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Tell of any exception but a client's leaving."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class LocalServer:
    """A server on 127.0.0.1 that gives each request's `answer`; `requests` is what was asked."""

    def __init__(self, answer: Callable[[Request], Answer]) -> None:
        self.requests: list[Request] = []
        self.most_at_once = 0
        self._answer, self._at_once = answer, 0
        self._lock = threading.Lock()
        self.stopping = threading.Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                server._serve(self)

            def log_message(self, *_: object) -> None:
                return

        self._httpd = _Quiet(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._httpd.server_address[1]}"
        self._thread = threading.Thread(target=self._httpd.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        self._httpd.shutdown()
        self._httpd.server_close()

    def asked(self, part: str = "") -> list[str]:
        """Paths that were asked for, in order, those with `part` in them."""
        return [r.path for r in self.requests if part in r.path]

    def _serve(self, handler: BaseHTTPRequestHandler) -> None:
        where = urlsplit(handler.path)
        request = Request(
            unquote(where.path),
            dict(parse_qsl(where.query)),
            {k.lower(): v for k, v in handler.headers.items()},
        )
        with self._lock:
            self.requests.append(request)
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            self._send(handler, self._answer(request))
        except (BrokenPipeError, ConnectionResetError):
            handler.close_connection = True
        finally:
            with self._lock:
                self._at_once -= 1

    def _send(self, handler: BaseHTTPRequestHandler, answer: Answer) -> None:
        handler.send_response_only(answer.status)
        if "Date" not in answer.headers:
            handler.send_header("Date", handler.date_time_string())
        for name, value in answer.headers.items():
            handler.send_header(name, value)
        if "Content-Length" not in answer.headers:
            handler.send_header("Content-Length", str(len(answer.body)))
        handler.end_headers()
        ends = (answer.cut_after, answer.reset_after, answer.stall_after)
        end = min((e for e in ends if e is not None), default=len(answer.body))
        for at in range(0, end, answer.chunk):
            handler.wfile.write(answer.body[at : min(at + answer.chunk, end)])
            if answer.pause_s:
                self.stopping.wait(answer.pause_s)
        if answer.stall_after is not None:
            self.stopping.wait(30)
        if answer.reset_after is not None:
            self._until_acknowledged(handler.connection)
            # Zero linger: the kernel sends RST instead of FIN.
            linger = struct.pack("ii", 1, 0)
            handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            handler.connection.close()
        handler.close_connection = end < len(answer.body)

    def _until_acknowledged(self, connection: socket.socket) -> None:
        """Wait until the client's kernel has what was sent: a reset would drop the rest."""
        while struct.unpack("i", fcntl.ioctl(connection, termios.TIOCOUTQ, bytes(4)))[0]:
            if self.stopping.wait(0.005):
                return


Fault = Callable[[Request, Answer], Answer]
"""Turns the right answer into the wrong one."""


def status(code: int, **headers: str) -> Fault:
    """Another status with no body; `retry_after="1"` becomes the header Retry-After."""
    named = {name.replace("_", "-").title(): value for name, value in headers.items()}
    return lambda _request, _answer: Answer(code, named)


def cut(after: int) -> Fault:
    """The body ends early, Content-Length promising more."""
    return lambda _, answer: replace(answer, cut_after=after)


def reset(after: int) -> Fault:
    """The connection is reset in the body."""
    return lambda _, answer: replace(answer, reset_after=after)


def stall(after: int) -> Fault:
    """Nothing more comes."""
    return lambda _, answer: replace(answer, stall_after=after)


def slow(pause_s: float, chunk: int = CHUNK) -> Fault:
    """A pause after every chunk."""
    return lambda _, answer: replace(answer, pause_s=pause_s, chunk=chunk)


def body(data: bytes) -> Fault:
    """Other bytes than the file's, with a status of 200."""
    return lambda _request, _answer: Answer(200, {}, data)


class ArchiveSite:
    """Files by name as the public archive serves them: CHECKSUM beside each zip, ETag, ranges."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self.files: dict[str, bytes] = {}
        self.faults: dict[str, list[Fault]] = {}
        self.always: list[Fault] = []
        for name, data in files.items():
            self.publish(name, data)

    def publish(self, name: str, data: bytes) -> None:
        """Put `data` at `name`, with its CHECKSUM file; replaces what was there."""
        self.files[name] = data
        self.files[f"{name}.CHECKSUM"] = codec.make_checksum(name.rpartition("/")[2], data)

    def withdraw(self, name: str) -> None:
        """Remove a file and its CHECKSUM file."""
        del self.files[name], self.files[f"{name}.CHECKSUM"]

    def fail(self, name: str, *faults: Fault) -> None:
        """Play each of `faults` once, in order, on the requests for `name`."""
        self.faults.setdefault(name, []).extend(faults)

    def __call__(self, request: Request) -> Answer:
        name = request.path.lstrip("/")
        answer = self._right(name, request)
        for fault in self.always:
            answer = fault(request, answer)
        waiting = self.faults.get(name)
        return waiting.pop(0)(request, answer) if waiting else answer

    def _right(self, name: str, request: Request) -> Answer:
        data = self.files.get(name)
        if data is None:
            return Answer(404, {"Content-Type": "application/xml"}, b"<Error>NoSuchKey</Error>")
        etag = f'"{hashlib.md5(data).hexdigest()}"'
        headers = {"ETag": etag, "Last-Modified": "Tue, 05 Mar 2024 06:00:00 GMT"}
        asked = request.headers.get("range", "")
        if not asked or request.headers.get("if-range", etag) != etag:
            return Answer(200, headers, data)
        first = int(asked.removeprefix("bytes=").rstrip("-"))
        if first >= len(data):
            return Answer(416, {"Content-Range": f"bytes */{len(data)}"})
        headers["Content-Range"] = f"bytes {first}-{len(data) - 1}/{len(data)}"
        return Answer(206, headers, data[first:])
