"""A small HTTP/1.1 server on the relay's event loop: GET only, no body read, one answer a request.

A kiosk's browser runs on the same machine as the agent, so a page from anywhere may try to read this endpoint. Only
requests whose Host is this endpoint's own are answered (a name that an attacker rebinds to 127.0.0.1 is not), and
those with an Origin only when it is the same.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import NamedTuple, cast

import httptools

MAX_HEADERS = 16 * 1024
IDLE_SECONDS = 15.0
MAX_CONNECTIONS = 32
_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


class Page(NamedTuple):
    """An answer: status, content type, body."""

    status: int
    content_type: str
    body: bytes


def json_page(value: object, status: int = 200) -> Page:
    """An answer in JSON."""
    return Page(status, "application/json", json.dumps(value, separators=(",", ":")).encode() + b"\n")


_REASONS = {
    200: "OK",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    503: "Service Unavailable",
}


class Endpoint:
    """Serves pages by path. ``pages`` are called on the event loop and must not wait for anything."""

    def __init__(
        self, pages: Mapping[str, Callable[[], Page]], allowed_hosts: frozenset[str] = frozenset()
    ) -> None:
        self._pages = pages
        self._allowed = allowed_hosts
        self._connections: set[_Connection] = set()
        self._server: asyncio.AbstractServer | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen; returns the port. Raises OSError when the address cannot be had."""
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: _Connection(self), host, port)
        self._server = server
        bound = cast("int", server.sockets[0].getsockname()[1])
        shown = f"[{host}]" if ":" in host else host
        self._allowed |= {f"{name}:{bound}" for name in (*_LOOPBACK, shown)}
        return bound

    async def stop(self) -> None:
        """Stop listening and close what is open."""
        if self._server is not None:
            self._server.close()
            for connection in tuple(self._connections):
                connection.close()
            await self._server.wait_closed()

    def answer(self, method: str, target: str, headers: Mapping[str, str]) -> Page:
        """The answer to a request; header names in lower case."""
        if headers.get("host", "") not in self._allowed:
            return json_page({"error": "this endpoint answers only under its own address"}, 403)
        if headers.get("origin", "http://" + headers["host"]) != "http://" + headers["host"]:
            return json_page({"error": "requests from other origins are not answered"}, 403)
        if method not in ("GET", "HEAD"):
            return json_page({"error": "only GET is answered here"}, 405)
        page = self._pages.get(target.partition("?")[0])
        if page is None:
            return json_page({"error": "no such path", "paths": sorted(self._pages)}, 404)
        return page()

    def opened(self, connection: _Connection) -> bool:
        """Count a connection; False when there are too many."""
        if len(self._connections) >= MAX_CONNECTIONS:
            return False
        self._connections.add(connection)
        return True

    def closed(self, connection: _Connection) -> None:
        """Forget a connection."""
        self._connections.discard(connection)


class _Connection(asyncio.Protocol):
    """One client. Requests are answered in their order as they come in."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._reset()

    def _reset(self) -> None:
        self._parser = httptools.HttpRequestParser(self)
        self._target = b""
        self._headers: dict[str, str] = {}
        self._size = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if not self._endpoint.opened(self):
            self._transport.abort()
            return
        self._timer = asyncio.get_running_loop().call_later(IDLE_SECONDS, self.close)

    def connection_lost(self, exc: Exception | None) -> None:
        self._endpoint.closed(self)
        if self._timer is not None:
            self._timer.cancel()

    def close(self) -> None:
        """Close after what was written."""
        if self._transport is not None:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > MAX_HEADERS:
            self._write(json_page({"error": f"requests end at {MAX_HEADERS} bytes here"}, 431), keep=False)
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self.close()
        except httptools.HttpParserError:
            self._write(json_page({"error": "not an HTTP request"}, 400), keep=False)

    # Called by the parser

    def on_message_begin(self) -> None:
        self._target, self._headers = b"", {}

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_message_complete(self) -> None:
        method = self._parser.get_method().decode("latin-1")
        try:
            page = self._endpoint.answer(method, self._target.decode("latin-1"), self._headers)
        except Exception as error:  # a page's fault must not end the relay's loop
            page = json_page({"error": f"{type(error).__name__} while the page was made"}, 500)
        self._size = 0
        self._write(page, keep=self._parser.should_keep_alive(), with_body=method != "HEAD")

    def _write(self, page: Page, *, keep: bool, with_body: bool = True) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        head = (
            f"HTTP/1.1 {page.status} {_REASONS.get(page.status, '')}\r\n"
            f"Content-Type: {page.content_type}\r\n"
            f"Content-Length: {len(page.body)}\r\n"
            "Cache-Control: no-store\r\n"
            "X-Content-Type-Options: nosniff\r\n"
            f"Connection: {'keep-alive' if keep else 'close'}\r\n\r\n"
        )
        self._transport.write(head.encode("latin-1") + (page.body if with_body else b""))
        if not keep:
            self._transport.close()
