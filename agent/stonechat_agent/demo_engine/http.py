"""A small HTTP/1.1 server: keep-alive, pipelining, chunked bodies in both directions, and bounds on everything.

A connection answers its requests one after the other, in order. A client that closes its connection, or its sending
half, cancels the answer that it waits for, as llama-server does.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from http import HTTPStatus

import httptools

MAX_BODY_BYTES = 4 << 20
MAX_HEAD_BYTES = 64 << 10
MAX_PIPELINED = 8
MAX_CONNECTIONS = 256
# Between requests, and for a request to come in whole.
IDLE_SECONDS = 75.0
REQUEST_SECONDS = 30.0

Headers = Iterable[tuple[str, str]]


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    query: str
    body: bytes


class Response:
    """What a handler answers with: either one `send`, or `start`, any number of `write`, and `end`."""

    def __init__(self, connection: _Connection, *, head: bool, chunked: bool, keep_alive: bool) -> None:
        self._connection = connection
        self._head = head
        self._chunked = chunked
        self._keep_alive = keep_alive
        self.started = False
        self.ended = False

    @property
    def keep_alive(self) -> bool:
        return self._keep_alive

    async def send(
        self, status: int, content_type: str, body: bytes, *, headers: Headers = (), close: bool = False
    ) -> None:
        """Answer in one piece; `close` ends the connection after it."""
        self._keep_alive = self._keep_alive and not close
        lines = [("Content-Type", content_type), ("Content-Length", str(len(body))), *headers]
        self.started = self.ended = True
        await self._connection.write(self._header(status, lines) + (b"" if self._head else body))

    async def start(self, status: int, content_type: str, *, headers: Headers = ()) -> None:
        """Send the header of an answer whose length is not known."""
        lines = [("Content-Type", content_type), *headers]
        if self._chunked:
            lines.append(("Transfer-Encoding", "chunked"))
        else:
            # HTTP/1.0 has no chunks: the end of the connection ends the body.
            self._keep_alive = False
        self.started = True
        await self._connection.write(self._header(status, lines))

    async def write(self, data: bytes) -> None:
        """Send a part of the body; waits while the client reads slower than the engine writes."""
        if data and not self._head:
            await self._connection.write(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)

    async def end(self) -> None:
        self.ended = True
        if self._chunked and not self._head:
            await self._connection.write(b"0\r\n\r\n")

    def _header(self, status: int, lines: Headers) -> bytes:
        connection = "keep-alive" if self._keep_alive else "close"
        text = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n"
        text += "".join(f"{name}: {value}\r\n" for name, value in (*lines, ("Connection", connection)))
        return text.encode("latin-1") + b"\r\n"


Handler = Callable[[Request, Response], Awaitable[None]]
Reject = Callable[[int, str], tuple[str, bytes]]


class HttpServer:
    """Serves `handler` on one address.

    Args:
        reject: gives the content type and body for a request that never reaches the handler, from status and reason.
    """

    def __init__(self, handler: Handler, reject: Reject) -> None:
        self.handler = handler
        self.reject = reject
        self.connections: set[_Connection] = set()
        self._server: asyncio.Server | None = None

    async def listen(self, host: str, port: int) -> tuple[str, int]:
        """Bind and return the address; port 0 takes a free one.

        Raises:
            OSError: the address is in use, or not this machine's.
        """
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self), host, port)
        bound = self._server.sockets[0].getsockname()
        return bound[0], bound[1]

    async def close(self) -> None:
        """Stop listening, cancel the answers under way and drop the connections."""
        if self._server is not None:
            self._server.close()
        tasks = [connection.drop() for connection in tuple(self.connections)]
        await asyncio.gather(*(task for task in tasks if task is not None), return_exceptions=True)


class _Connection(asyncio.Protocol):
    def __init__(self, server: HttpServer) -> None:
        self._server = server
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._task: asyncio.Task[None] | None = None
        self._pending: deque[tuple[Request, Response]] = deque()
        self._writable = asyncio.Event()
        self._writable.set()
        self._timer: asyncio.TimerHandle | None = None
        self._closing = False
        self._heads = 0
        self._head_bytes = 0
        self._new_message()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        if len(self._server.connections) >= MAX_CONNECTIONS:
            self._refuse(503, "too many connections")
            return
        self._server.connections.add(self)
        self._arm(REQUEST_SECONDS)

    def connection_lost(self, error: Exception | None) -> None:
        self._server.connections.discard(self)
        self._disarm()
        self._closing = True
        self._pending.clear()
        self._writable.set()
        if self._task is not None:
            self._task.cancel()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        if self._closing:
            return
        heads = self._heads
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # Answered as an ordinary request, as servers may; what follows is no HTTP/1.1 of ours.
            self._closing = True
        except httptools.HttpParserError as error:
            self._refuse(400, f"malformed request: {error}")
        # The parser keeps a header to itself until it is whole, so what came in without completing one is counted here.
        self._head_bytes = self._head_bytes + len(data) if self._in_head and heads == self._heads else 0
        if self._head_bytes > MAX_HEAD_BYTES:
            self._refuse(431, f"the request's header is larger than {MAX_HEAD_BYTES} bytes")

    # The parser's callbacks.

    def on_message_begin(self) -> None:
        self._new_message()

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"expect" and value.lower() == b"100-continue":
            self._expects = True

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._heads += 1
        if self._expects and self._transport is not None and not self._closing and self._task is None:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        self._body += body
        if len(self._body) > MAX_BODY_BYTES:
            self._refuse(413, f"the body is larger than {MAX_BODY_BYTES} bytes")

    def on_message_complete(self) -> None:
        if self._closing:
            return
        method = self._parser.get_method().decode("latin-1")
        path, _, query = self._url.decode("latin-1").partition("?")
        response = Response(
            self,
            head=method == "HEAD",
            chunked=self._parser.get_http_version() != "1.0",
            keep_alive=self._parser.should_keep_alive(),
        )
        self._pending.append((Request(method, path, query, bytes(self._body)), response))
        self._disarm()
        if len(self._pending) >= MAX_PIPELINED and self._transport is not None:
            self._transport.pause_reading()
        self._next()

    async def write(self, data: bytes) -> None:
        """Send `data`.

        Raises:
            ConnectionError: the client has gone.
        """
        await self._writable.wait()
        if self._transport is None or self._transport.is_closing():
            raise ConnectionResetError("the client has gone")
        self._transport.write(data)

    def drop(self) -> asyncio.Task[None] | None:
        """Close at once; return the task of the answer under way, which is being cancelled."""
        if self._transport is not None:
            self._transport.abort()
        if self._task is not None:
            self._task.cancel()
        return self._task

    def _new_message(self) -> None:
        self._url = b""
        self._body = bytearray()
        self._in_head = True
        self._expects = False

    def _next(self) -> None:
        if self._task is None and self._pending:
            request, response = self._pending.popleft()
            self._task = asyncio.get_running_loop().create_task(
                self._answer(request, response), name="demo-engine.answer"
            )

    async def _answer(self, request: Request, response: Response) -> None:
        try:
            with contextlib.suppress(ConnectionError):
                await self._server.handler(request, response)
        finally:
            self._task = None
            if not response.ended or not response.keep_alive or (self._closing and not self._pending):
                self._close()
            else:
                if self._transport is not None:
                    self._transport.resume_reading()
                if not self._pending:
                    self._arm(IDLE_SECONDS)
                self._next()

    def _refuse(self, status: int, reason: str) -> None:
        """Answer what cannot be handled and close, once what was asked before has been answered or dropped."""
        if self._closing or self._transport is None:
            return
        self._closing = True
        if self._task is None:
            content_type, body = self._server.reject(status, reason)
            head = (
                f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nContent-Type: {content_type}\r\n"
                f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
            )
            self._transport.write(head.encode("latin-1") + body)
            self._transport.close()

    def _close(self) -> None:
        self._closing = True
        self._pending.clear()
        if self._transport is not None:
            self._transport.close()

    def _arm(self, seconds: float) -> None:
        self._disarm()
        self._timer = asyncio.get_running_loop().call_later(seconds, self._close)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
