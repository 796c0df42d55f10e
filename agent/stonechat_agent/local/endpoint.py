"""A small HTTP/1.1 server on the relay's event loop: pages by GET, and bodies by POST within bounds.

A kiosk's browser runs on the same machine as the agent, so a page from anywhere may try to read this endpoint or to
write to it. Only requests whose Host is this endpoint's own are answered (a name that an attacker rebinds to 127.0.0.1
is not), those with an Origin only when it is the same, and what a browser says comes from another site only where
somebody follows a link. A body must be JSON, which no form of another site can send without asking first.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple, cast
from urllib.parse import parse_qsl

import httptools

MAX_HEADERS = 16 * 1024
MAX_BODY = 1 << 20
MAX_BODIES = 4 << 20
"""Bytes of bodies that all connections together may hold."""
IDLE_SECONDS = 15.0
"""Time without a whole request after which a connection is closed."""
LINGER_SECONDS = 2.0
"""Time for which a client may go on sending what is not read any more, so that it sees the answer that says why."""
STOP_SECONDS = 0.2
"""Time that those who are still answered have at the end."""
MAX_CONNECTIONS = 32
MAX_WAITING = 64
"""Requests of one connection that may wait for those before them."""
BODY_TYPES = ("application/json", "application/x-ndjson")
_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
_NO_QUERY: Mapping[str, str] = {}


class Page(NamedTuple):
    """An answer: status, content type, body, and headers beyond those of every answer."""

    status: int
    content_type: str
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()


def json_page(value: object, status: int = 200, headers: tuple[tuple[str, str], ...] = ()) -> Page:
    """An answer in JSON."""
    return Page(
        status, "application/json", json.dumps(value, separators=(",", ":")).encode() + b"\n", headers
    )


Show = Callable[[Mapping[str, str]], Page]
"""Makes a page; gets the query of the address, of a key that stands twice the last."""
Take = Callable[[str, bytes], Iterator[Page | None]]
"""Takes a body of a content type: yields None after each slice of work, and the answer at last."""

_REASONS = {
    200: "OK",
    202: "Accepted",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    413: "Content Too Large",
    415: "Unsupported Media Type",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    503: "Service Unavailable",
}


class Endpoint:
    """Serves pages by path, and takes bodies by path.

    ``pages`` and ``lookups`` are called on the event loop and must not wait for anything; nor must ``takes``, whose
    slices other work runs between.
    """

    def __init__(
        self,
        pages: Mapping[str, Callable[[], Page]],
        allowed_hosts: frozenset[str] = frozenset(),
        *,
        lookups: Mapping[str, Show] | None = None,
        takes: Mapping[str, Take] | None = None,
    ) -> None:
        self._pages = pages
        self._lookups: Mapping[str, Show] = lookups or {}
        self._takes: Mapping[str, Take] = takes or {}
        self._allowed = allowed_hosts
        self._connections: set[_Connection] = set()
        self._server: asyncio.AbstractServer | None = None
        self._held = 0

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
            if self._connections:
                # Since Python 3.12 a server waits for its connections, and one who does not read never lets go.
                await asyncio.sleep(STOP_SECONDS)
                for connection in tuple(self._connections):
                    connection.abort()
            await self._server.wait_closed()

    def refusal(self, method: str, target: str, headers: Mapping[str, str]) -> Page | None:
        """Why a request is not answered, as far as its head tells; None where it is. Header names in lower case."""
        if headers.get("host", "") not in self._allowed:
            return json_page({"error": "this endpoint answers only under its own address"}, 403)
        if headers.get("origin", "http://" + headers["host"]) != "http://" + headers["host"]:
            return json_page({"error": "requests from other origins are not answered"}, 403)
        follows_link = method == "GET" and headers.get("sec-fetch-dest") == "document"
        if headers.get("sec-fetch-site") in ("cross-site", "same-site") and not follows_link:
            return json_page({"error": "requests from other sites are not answered"}, 403)
        path = target.partition("?")[0]
        if path in self._takes:
            return self._refusal_of_body(method, headers)
        if path not in self._pages and path not in self._lookups:
            return json_page({"error": "no such path", "paths": self._paths()}, 404)
        if method not in ("GET", "HEAD"):
            return json_page({"error": "only GET is answered here"}, 405, (("Allow", "GET, HEAD"),))
        return None

    def _refusal_of_body(self, method: str, headers: Mapping[str, str]) -> Page | None:
        if method != "POST":
            return json_page({"error": "only POST is answered here"}, 405, (("Allow", "POST"),))
        if _content_type(headers) not in BODY_TYPES:
            return json_page({"error": f"Content-Type must be {' or '.join(BODY_TYPES)}"}, 415)
        if headers.get("content-encoding", "identity").lower() != "identity":
            return json_page({"error": "the body must not be compressed"}, 415)
        length = headers.get("content-length", "0")
        if length.isascii() and length.isdigit() and (len(length) > 9 or int(length) > MAX_BODY):
            return too_large()
        return None

    def _paths(self) -> list[str]:
        return sorted({*self._pages, *self._lookups, *self._takes})

    def answer(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes = b""
    ) -> Iterator[Page | None]:
        """The answer to a request that ``refusal`` lets through: None after each slice of work, the page at last."""
        path, _, query = target.partition("?")
        if (take := self._takes.get(path)) is not None:
            yield from take(_content_type(headers), body)
        elif (page := self._pages.get(path)) is not None:
            yield page()
        else:
            try:
                asked = dict(parse_qsl(query, max_num_fields=16))
            except ValueError:
                yield json_page({"error": "more than 16 parameters"}, 400)
                return
            yield self._lookups[path](asked or _NO_QUERY)

    def hold(self, size: int) -> bool:
        """Reserve room for bytes of a body (negative gives it back); False where all of it is taken."""
        if size > 0 and self._held + size > MAX_BODIES:
            return False
        self._held += size
        return True

    def opened(self, connection: _Connection) -> bool:
        """Count a connection; False when there are too many."""
        if len(self._connections) >= MAX_CONNECTIONS:
            return False
        self._connections.add(connection)
        return True

    def closed(self, connection: _Connection) -> None:
        """Forget a connection."""
        self._connections.discard(connection)


def too_large() -> Page:
    """The answer to a body beyond the bound."""
    return json_page({"error": f"a body ends at {MAX_BODY} bytes here: send it in parts"}, 413)


def _content_type(headers: Mapping[str, str]) -> str:
    return headers.get("content-type", "").partition(";")[0].strip().lower()


class _Request(NamedTuple):
    """A request that waits for its turn. ``page`` is the answer where it is known already."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes
    keep: bool
    page: Page | None


class _Connection(asyncio.Protocol):
    """One client. Requests are answered in their order as they come in."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._target = b""
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []
        self._body_size = 0
        self._head_size = 0  # of the head that is being read, roughly
        self._trailers_size = 0
        self._reading_body = False
        self._refused: Page | None = None  # the answer to the request that is being read
        self._deaf = False  # nothing is read any more: the last answer is on its way
        self._waiting: deque[_Request] = deque()
        self._held = 0  # bytes of bodies, read or waiting
        self._current: Iterator[Page | None] | None = None
        self._scheduled = False
        self._clogged = False  # the client does not read what it was answered

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if not self._endpoint.opened(self):
            self._transport.abort()
            return
        self._arm(IDLE_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        self._deaf = True
        self._endpoint.closed(self)
        self._waiting.clear()
        self._current = None
        self._release(self._held)
        if self._timer is not None:
            self._timer.cancel()

    def close(self) -> None:
        """Close after what was written."""
        self._deaf = True
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close now."""
        self._deaf = True
        if self._transport is not None:
            self._transport.abort()

    def pause_writing(self) -> None:
        self._clogged = True

    def resume_writing(self) -> None:
        self._clogged = False
        if self._waiting:
            self._schedule()

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        if not self._reading_body:
            self._head_size += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self.close()
        except httptools.HttpParserError:
            if not self._deaf:
                self._refuse(json_page({"error": "not an HTTP request"}, 400))
        if not self._deaf and not self._reading_body and self._head_size > MAX_HEADERS:
            self._refuse(_headers_too_large())

    # Called by the parser. After _refuse it may go on with the rest of what it was fed: it is not heard.

    def on_message_begin(self) -> None:
        self._target, self._headers = b"", {}
        self._body, self._body_size = [], 0
        self._trailers_size = 0
        self._refused = None

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._reading_body:  # a trailer, which nobody asked for
            self._trailers_size += len(name) + len(value) + 4
            if not self._deaf and self._trailers_size > MAX_HEADERS:
                self._refuse(_headers_too_large())
            return
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        if self._deaf:
            return
        self._reading_body = True
        sizes = (len(name) + len(value) + 4 for name, value in self._headers.items())
        if len(self._target) + sum(sizes) > MAX_HEADERS:
            self._refuse(_headers_too_large())
            return
        method = self._parser.get_method().decode("latin-1")
        self._refused = self._endpoint.refusal(method, self._target.decode("latin-1"), self._headers)
        has_body = "content-length" in self._headers or "transfer-encoding" in self._headers
        if self._refused is not None and has_body:
            self._refuse(self._refused)
        elif self._headers.get("expect", "").lower() == "100-continue" and not self._busy:
            self._send(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, data: bytes) -> None:
        if self._deaf:
            return
        self._body_size += len(data)
        if self._body_size > MAX_BODY:
            self._refuse(too_large())
        elif not self._endpoint.hold(len(data)):
            text = "too many bodies at once: try again in a moment"
            self._refuse(json_page({"error": text}, 503, (("Retry-After", "1"),)))
        else:
            self._held += len(data)
            self._body.append(data)

    def on_message_complete(self) -> None:
        if self._deaf:
            return
        self._reading_body, self._head_size = False, 0
        request = _Request(
            self._parser.get_method().decode("latin-1"),
            self._target.decode("latin-1"),
            self._headers,
            b"".join(self._body),
            self._parser.should_keep_alive(),
            self._refused,
        )
        self._body = []
        self._enqueue(request)

    # Answering

    @property
    def _busy(self) -> bool:
        return bool(self._waiting)

    def _refuse(self, page: Page) -> None:
        """Answer with the page after what waits, and read no more of this connection."""
        self._deaf = True
        self._body = []
        self._enqueue(_Request("GET", "", {}, b"", False, page))

    def _enqueue(self, request: _Request) -> None:
        self._waiting.append(request)
        if len(self._waiting) > MAX_WAITING:
            self.close()
        elif len(self._waiting) > 1:
            if self._transport is not None:
                self._transport.pause_reading()
        elif not self._clogged:
            self._schedule()

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._answer)

    def _answer(self) -> None:
        """Work for a slice, or answer one request; what else waits has its turn when others had theirs."""
        self._scheduled = False
        if not self._waiting or self._clogged:
            return
        request = self._waiting[0]
        page = request.page or self._slice(request)
        if page is None:
            self._schedule()
            return
        self._current = None
        self._waiting.popleft()
        self._release(len(request.body))
        self._write(page, keep=request.keep, with_body=request.method != "HEAD")
        if not request.keep:
            self._waiting.clear()
        elif self._waiting:
            self._schedule()
        elif self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def _slice(self, request: _Request) -> Page | None:
        try:
            if self._current is None:
                self._current = self._endpoint.answer(*request[:4])
            return next(self._current)
        except Exception as error:  # a page's fault must not end the relay's loop
            return json_page({"error": f"{type(error).__name__} while the page was made"}, 500)

    def _release(self, size: int) -> None:
        self._held -= size
        self._endpoint.hold(-size)

    def _write(self, page: Page, *, keep: bool, with_body: bool = True) -> None:
        extra = "".join(f"{name}: {value}\r\n" for name, value in page.headers)
        head = (
            f"HTTP/1.1 {page.status} {_REASONS.get(page.status, '')}\r\n"
            f"Content-Type: {page.content_type}\r\n"
            f"Content-Length: {len(page.body)}\r\n"
            "Cache-Control: no-store\r\n"
            "X-Content-Type-Options: nosniff\r\n"
            f"{extra}"
            f"Connection: {'keep-alive' if keep else 'close'}\r\n\r\n"
        )
        self._send(head.encode("latin-1") + (page.body if with_body else b""))
        if keep:
            self._arm(IDLE_SECONDS)
        else:
            self._end()

    def _arm(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(seconds, self._expired)

    def _expired(self) -> None:
        if self._waiting and not self._clogged:
            # The time went into work for this client, slowly where the processor has a model to run.
            self._arm(IDLE_SECONDS)
            return
        # Who has not read its answer by now would hold one of the few connections for ever.
        if self._transport is not None and self._transport.get_write_buffer_size():
            self.abort()
        else:
            self.close()

    def _send(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def _end(self) -> None:
        """Say that nothing more comes, and close when the client has seen it, or at the latest soon.

        Closing at once, while bytes that nobody reads are still coming, makes the kernel reset the connection, and the
        client may never see the answer.
        """
        self._deaf = True
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        self._release(self._held)
        transport.resume_reading()
        if transport.can_write_eof():
            transport.write_eof()
        self._arm(LINGER_SECONDS)

    def eof_received(self) -> bool:
        """The client sends nothing more: what waits is still answered, and then the transport closes."""
        if self._busy:
            self._deaf = True
            last = self._waiting[-1]
            self._waiting[-1] = last._replace(keep=False)
            return True
        return False


def _headers_too_large() -> Page:
    return json_page({"error": f"a request's head ends at {MAX_HEADERS} bytes here"}, 431)
