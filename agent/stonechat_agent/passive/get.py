"""One GET of HTTP/1.1 on a socket of its own, bounded in time and size whatever the other side does.

Nothing is followed, decompressed or kept open: an idle kept connection costs llama-server 100 wake-ups a second.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import Any

import httptools

from .parsers import Answer

TIMEOUT_SECONDS = 0.25
"""For all of it, from dialling to the last byte."""
BODY_BYTES = 256 * 1024
"""The largest answers that are asked for (a chat template, a list of models) have some ten thousand."""
HEAD_BYTES = 16 * 1024
_PIECE = 64 * 1024


class NoAnswer(Exception):
    """There was no answer. ``hung``: the engine took the question, or may have; asking more would pile up."""

    hung = False


class Unreached(NoAnswer):
    """Nobody listens there."""


class Hung(NoAnswer):
    """No whole answer in time."""

    hung = True


class Unusable(NoAnswer):
    """What came is no answer that can be read: no HTTP, cut off, over a bound, encoded."""


def get(
    host: str,
    port: int,
    path: str,
    *,
    key: str = "",
    timeout_seconds: float = TIMEOUT_SECONDS,
    monotonic: Callable[[], float] = time.monotonic,
) -> Answer:
    """Return the answer to ``GET path``, whatever its status.

    Args:
        key: sent as a bearer token, unless empty.

    Raises:
        NoAnswer: one of its children.
    """
    deadline = monotonic() + timeout_seconds
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    lines = [
        f"GET {path} HTTP/1.1",
        f"Host: {address}",
        "User-Agent: stonechat",
        "Accept: application/json",
        "Connection: close",
        *([f"Authorization: Bearer {key}"] if key else []),
    ]
    request = ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")
    reader = _Reader()

    def left() -> float:
        seconds = deadline - monotonic()
        if seconds <= 0:
            raise Hung(f"no whole answer in {timeout_seconds:g} s")
        return seconds

    connection = _connect(host, port, left)
    try:
        with connection:
            connection.settimeout(left())
            connection.sendall(request)
            while not reader.done:
                connection.settimeout(left())
                data = connection.recv(_PIECE)
                if not data:
                    reader.end()
                    break
                reader.feed(data)
    except TimeoutError as error:
        raise Hung(f"no whole answer in {timeout_seconds:g} s") from error
    except OSError as error:
        raise Unusable(error.strerror or "connection lost") from error
    return reader.answer()


def _connect(host: str, port: int, left: Callable[[], float]) -> socket.socket:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise Unreached(f"{host} is not known") from error
    reason = "no address"
    for family, kind, protocol, _, address in found:
        one = socket.socket(family, kind, protocol)
        try:
            one.settimeout(left())
            one.connect(address)
        except TimeoutError as error:
            # On loopback only a listener whose queue is full lets one wait: it is there, and does not answer.
            one.close()
            raise Hung("does not accept the connection") from error
        except OSError as error:
            one.close()
            reason = error.strerror or "refused"
        except Hung:
            one.close()
            raise
        else:
            return one
    raise Unreached(reason)


class _Reader:
    """An answer as it comes, by llhttp (``httptools``)."""

    def __init__(self) -> None:
        self._parser: Any = httptools.HttpResponseParser(self)
        self._head = 0
        self._status = 0
        self._server = ""
        self._announced = False
        self._encoded = False
        self._in_body = False
        self._body = bytearray()
        self.done = False

    def feed(self, data: bytes) -> None:
        if not self._in_body:
            self._head += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            if self.done:
                return  # what follows the answer is of no interest
            raise Unusable("no HTTP") from error
        if not self._in_body and self._head > HEAD_BYTES:
            raise Unusable(f"a head of more than {HEAD_BYTES} bytes")
        if len(self._body) > BODY_BYTES:
            raise Unusable(f"a body of more than {BODY_BYTES} bytes")

    def end(self) -> None:
        """The connection was closed, which ends a body whose length nothing else tells."""
        if not self.done and (not self._in_body or self._announced):
            raise Unusable("cut off")
        self.done = True

    def answer(self) -> Answer:
        if self._encoded:
            raise Unusable("an encoded body, which was not asked for")
        return Answer(self._status, self._server, bytes(self._body))

    # httptools

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_body:
            return  # a trailer
        key = name.lower()
        if key == b"server":
            self._server = value.decode("latin-1").lower()
        elif key in {b"content-length", b"transfer-encoding"}:
            self._announced = True
        elif key == b"content-encoding":
            self._encoded = value.strip().lower() not in {b"", b"identity"}

    def on_headers_complete(self) -> None:
        self._status = self._parser.get_status_code()
        self._in_body = self._status >= 200

    def on_body(self, data: bytes) -> None:
        if len(self._body) <= BODY_BYTES:
            self._body += data

    def on_message_complete(self) -> None:
        if self._in_body:
            self.done = True
