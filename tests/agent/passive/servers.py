"""Small real servers: engines that answer by a table, and such that misbehave on the wire."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Engine:
    """A server that answers GET by a table of paths, and remembers what it was asked."""

    def __init__(self, pages: dict[str, Any], server: str = "llama.cpp", port: int = 0) -> None:
        """A page is what is sent as JSON, or (status, that)."""
        self.pages = pages
        self.asked: list[str] = []
        self.keys: list[str | None] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append(self.path)
                outer.keys.append(self.headers.get("Authorization"))
                page = outer.pages.get(self.path, (404, {"error": "not found"}))
                status, content = page if isinstance(page, tuple) else (200, page)
                body = json.dumps(content).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def version_string(self) -> str:
                return server

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.port = int(self._http.server_address[1])
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@contextmanager
def speaking(answer: Callable[[socket.socket], None]) -> Iterator[tuple[int, list[float]]]:
    """A server that does to each connection what it is told; gives its port and the instants of its connections."""
    accepted: list[float] = []
    listener = socket.create_server(("127.0.0.1", 0))
    open_: list[socket.socket] = []

    def serve_one(connection: socket.socket) -> None:
        try:
            answer(connection)
        except OSError:
            pass  # the other side has had enough
        finally:
            connection.close()

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            accepted.append(time.monotonic())
            open_.append(connection)
            threading.Thread(target=serve_one, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1], accepted
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for connection in open_:
            connection.close()
        thread.join()


def says(data: bytes) -> Callable[[socket.socket], None]:
    """Reads a request, sends these bytes and closes."""

    def answer(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(data)

    return answer


def hangs(connection: socket.socket) -> None:
    """Reads and never answers, until the other side goes."""
    while connection.recv(65536):
        pass


def trickles(connection: socket.socket) -> None:
    """Sends a valid answer, one byte each 20 ms."""
    connection.recv(65536)
    for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + b"x" * 5000:
        connection.sendall(bytes([byte]))
        time.sleep(0.02)


def never_ends(connection: socket.socket) -> None:
    """Sends a body without an end, as fast as it goes."""
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
    while True:
        connection.sendall(b"[" * 65536)


def never_ends_its_head(connection: socket.socket) -> None:
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        connection.sendall(b"X-More: yes\r\n" * 1000)
