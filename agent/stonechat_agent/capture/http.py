"""HTTP/1 framing of both directions of a connection, by llhttp (``httptools``), from pieces of any size.

``Requests`` and ``Responses`` take bytes and call a listener: head, body, end of each message. What llhttp leaves to
its user is done here: answers without a body to HEAD, answers that end with the connection, requests that offer an
upgrade and have a body all the same (Java's HTTP client offers h2c so), bounded heads, and sizes.

Sizes count a message as it is usually written: one space after a header's colon, no chunk extensions, no trailers. So
they do not depend on how the bytes were cut, and differ from what was sent only for senders that write otherwise.
"""

from __future__ import annotations

from typing import Any, Protocol

import httptools

from .asked import CONVERSATION_HEADERS, USER_HEADERS

_NO_BODY = frozenset((204, 304))
_KEPT = frozenset(
    (
        b"content-type",
        b"content-encoding",
        b"content-length",
        b"transfer-encoding",
        b"server",
        *CONVERSATION_HEADERS,
        *USER_HEADERS,
    )
)  # nothing else is kept: headers hold credentials


class DropError(Exception):
    """The parser of this connection cannot go on. ``reason`` is one of ``DROP_REASONS``."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Head:
    """The head of a message: what is read of it, and its size in bytes."""

    __slots__ = ("headers", "method", "size", "status", "target")

    def __init__(self) -> None:
        self.method = ""
        self.target = b""
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.size = 0

    @property
    def chunked(self) -> bool:
        """Whether the body's end is told by its chunks."""
        return self.headers.get(b"transfer-encoding", b"").lower().rpartition(b",")[2].strip() == b"chunked"

    @property
    def content_length(self) -> int | None:
        """Bytes of the body as announced; None where they are not."""
        value = self.headers.get(b"content-length", b"")
        return int(value) if value.isdigit() and len(value) < 20 else None


class RequestListener(Protocol):
    """Hears of requests, in order."""

    def request_begun(self) -> None: ...
    def request_head(self, head: Head) -> None: ...
    def request_body(self, data: bytes, size: int) -> None: ...
    def request_end(self) -> None: ...


class ResponseListener(Protocol):
    """Hears of answers, in order."""

    def answers_head_request(self) -> bool:
        """Whether the next answer to come is to a HEAD request, and so has no body whatever its head says."""

    def awaits_head_request(self) -> bool:
        """Whether any answer that is still to come is to a HEAD request."""

    def response_begun(self) -> None: ...
    def response_head(self, head: Head) -> None: ...
    def response_body(self, data: bytes, size: int) -> None: ...
    def response_end(self) -> None: ...


class _Messages:
    """What both directions share: heads with their bound, and the sizes of chunks."""

    _parser: Any

    def __init__(self, head_bytes: int) -> None:
        self._head_bytes = head_bytes
        self._head = Head()
        self._in_head = False
        self._unfinished_head = 0
        self._chunk = 0
        self.done = False
        """No message follows: what still comes is not read."""

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._in_head:
            return  # a trailer
        head = self._head
        head.size += len(name) + len(value) + 4
        key = name.lower()
        if key in _KEPT:
            head.headers[key] = head.headers[key] + b"," + value if key in head.headers else value

    def on_chunk_header(self) -> None:
        self._chunk = 0

    def _begin(self) -> None:
        self._head = Head()
        self._in_head = True
        self._unfinished_head = 0

    def _feed(self, parser: Any, data: bytes, reason: str) -> None:
        """Feed llhttp. It holds the header it is in without a bound, so bytes of unfinished heads are counted here."""
        if self._in_head:
            self._unfinished_head += len(data)
        try:
            parser.feed_data(data)
        except httptools.HttpParserError as error:
            if isinstance(error.__context__, DropError):
                raise error.__context__ from None
            if isinstance(error, httptools.HttpParserCallbackError):
                raise DropError("internal") from error
            if not self.done:
                raise DropError(reason) from error
        if self._head.size > self._head_bytes or (
            self._in_head and self._unfinished_head > self._head_bytes + len(data)
        ):
            raise DropError("head_over_bound")


class Requests(_Messages):
    """The requests of one connection."""

    def __init__(self, listener: RequestListener, head_bytes: int) -> None:
        super().__init__(head_bytes)
        self._listener = listener
        self._parser = httptools.HttpRequestParser(self)
        self._upgrade_body = False
        self._mute = False

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the client.

        Raises:
            DropError: they are not requests, or over a bound.
        """
        while data and not self.done:
            try:
                self._feed(self._parser, data, "http_request")
            except httptools.HttpParserUpgrade as upgrade:
                data = data[upgrade.args[0] :]
                self._after_upgrade()
            else:
                return

    def on_message_begin(self) -> None:
        if not self._mute:
            self._begin()
            self._listener.request_begun()

    def on_url(self, piece: bytes) -> None:
        if not self._mute:
            self._head.target += piece
            if len(self._head.target) > self._head_bytes:
                raise DropError("head_over_bound")

    def on_headers_complete(self) -> None:
        if self._mute:
            return
        head = self._head
        self._in_head = False
        head.method = self._parser.get_method().decode("ascii")
        head.size += len(head.method) + len(head.target) + len("  HTTP/1.1\r\n\r\n")
        # llhttp takes the body of a request that offers an upgrade for the other protocol's bytes; but a server reads
        # the whole request before it switches (RFC 9110, section 7.8).
        self._upgrade_body = (
            self._parser.should_upgrade()
            and head.method != "CONNECT"
            and (head.chunked or bool(head.content_length))
        )
        self._listener.request_head(head)

    def on_body(self, data: bytes) -> None:
        self._chunk += len(data)
        self._listener.request_body(data, len(data))

    def on_chunk_complete(self) -> None:
        self._listener.request_body(b"", _chunk_overhead(self._chunk))

    def on_message_complete(self) -> None:
        if self._upgrade_body:
            return
        if self._head.method != "CONNECT" and not self._parser.should_upgrade():
            self.done = not self._parser.should_keep_alive()
        self._listener.request_end()

    def _after_upgrade(self) -> None:
        if self._head.method == "CONNECT":
            self.done = True
            return
        self._parser = httptools.HttpRequestParser(self)
        if self._upgrade_body:
            self._upgrade_body = False
            length = self._head.content_length
            framing = (
                b"Transfer-Encoding: chunked" if self._head.chunked else b"Content-Length: %d" % (length or 0)
            )
            self._mute = True
            self._parser.feed_data(b"POST / HTTP/1.1\r\n" + framing + b"\r\n\r\n")
            self._mute = False


class Responses(_Messages):
    """The answers of one connection."""

    def __init__(self, listener: ResponseListener, head_bytes: int) -> None:
        super().__init__(head_bytes)
        self._listener = listener
        self._parser = httptools.HttpResponseParser(self)
        self._in_message = False
        self._bodiless = False
        self._reason = 0
        self._bytewise_left = head_bytes

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the engine.

        Raises:
            DropError: they are not answers, or over a bound.
        """
        listener = self._listener
        if not listener.awaits_head_request():
            self._feed_piece(data)
            return
        # Where the head of an answer to HEAD ends, a new parser must begin, and llhttp does not tell the place.
        position = 0
        while position < len(data) and listener.awaits_head_request():
            self._bytewise_left -= 1
            if self._bytewise_left < 0:
                raise DropError("pipelined_head")
            self._feed_piece(data[position : position + 1])
            position += 1
        self._feed_piece(data[position:])

    def finish(self) -> bool:
        """Take the end of the engine's bytes; tell whether no answer was cut off by it."""
        if not self._in_message:
            return True
        if self._in_head or self._head.chunked or self._head.content_length is not None:
            return False
        self._end()
        return True

    def on_message_begin(self) -> None:
        self._begin()
        self._in_message = True
        self._reason = 0
        self._listener.response_begun()

    def on_status(self, reason: bytes) -> None:
        self._reason += len(reason)

    def on_headers_complete(self) -> None:
        head = self._head
        self._in_head = False
        head.status = self._parser.get_status_code()
        head.size += self._reason + len("HTTP/1.1 200 \r\n\r\n")
        self._bodiless = head.status >= 200 and self._listener.answers_head_request()
        self._listener.response_head(head)

    def on_body(self, data: bytes) -> None:
        if not self._bodiless:
            self._chunk += len(data)
            self._listener.response_body(data, len(data))

    def on_chunk_complete(self) -> None:
        self._listener.response_body(b"", _chunk_overhead(self._chunk))

    def on_message_complete(self) -> None:
        if not self._bodiless:
            self.done = self._head.status >= 200 and not self._parser.should_keep_alive()
            self._end()

    def _end(self) -> None:
        self._in_message = False
        self._listener.response_end()

    def _feed_piece(self, data: bytes) -> None:
        if self.done or not data:
            return
        try:
            self._feed(self._parser, data, "http_response")
        except httptools.HttpParserUpgrade:
            self.done = True
        if self._bodiless:
            self._bodiless = False
            self._parser = httptools.HttpResponseParser(self)
            self._end()


def _chunk_overhead(size: int) -> int:
    """Bytes of a chunk of this size beside its data."""
    return len(b"%x" % size) + 4
