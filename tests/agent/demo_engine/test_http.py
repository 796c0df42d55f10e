"""The HTTP server at its edges, over raw sockets."""

from __future__ import annotations

import json
import socket

import pytest

from stonechat_agent.demo_engine.http import MAX_BODY_BYTES, MAX_HEAD_BYTES, MAX_PIPELINED

from .conftest import Engine

HEALTH = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
LAST = b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


def _exchange(engine: Engine, *parts: bytes) -> bytes:
    """Send parts one by one; return all that comes until the server closes."""
    with socket.create_connection(("127.0.0.1", engine.port), timeout=60) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for part in parts:
            connection.sendall(part)
        received = b""
        while data := connection.recv(65536):
            received += data
        return received


def test_pipelined_requests_are_answered_in_order(engine: Engine) -> None:
    paths = ["/health", "/props", "/nothing"]
    asked = b"".join(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode() for path in paths)
    received = _exchange(engine, asked)
    assert (
        received.index(b'"status":"ok"')
        < received.index(b'"total_slots"')
        < received.index(b"File Not Found")
    )


def test_a_long_pipeline_is_answered_whole(engine: Engine) -> None:
    count = 50 * MAX_PIPELINED
    # More than one read of the socket holds, so that reading has to pause and go on.
    padded = HEALTH.replace(b"Host: x", b"Host: x\r\nPadding: " + b"x" * 2000)
    assert _exchange(engine, padded * count + LAST).count(b"HTTP/1.1 200 OK") == count + 1


def test_a_request_may_come_byte_by_byte(engine: Engine) -> None:
    received = _exchange(engine, *(LAST[i : i + 1] for i in range(len(LAST))))
    assert received.startswith(b"HTTP/1.1 200 OK\r\n")


def test_a_chunked_body_is_read_and_its_announcement_answered(engine: Engine) -> None:
    body = json.dumps({"prompt": "Hi", "n_predict": 1}).encode()
    head = (
        b"POST /completion HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        b"Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n"
    )
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:5], body[5:])) + b"0\r\n\r\n"
    received = _exchange(engine, head, chunks)
    assert received.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")
    assert b'"tokens_predicted":1' in received


def test_http_1_0_is_answered_without_chunks(engine: Engine) -> None:
    body = json.dumps({"prompt": "Hi", "n_predict": 2, "stream": True}).encode()
    asked = b"POST /completion HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: %d\r\n\r\n" % len(body)
    received = _exchange(engine, asked + body)
    head, _, rest = received.partition(b"\r\n\r\n")
    assert b"Transfer-Encoding" not in head
    assert b"Connection: close" in head
    assert rest.startswith(b"data: ")


def test_head_has_a_length_and_no_body(engine: Engine) -> None:
    received = _exchange(engine, LAST.replace(b"GET", b"HEAD"))
    assert received.endswith(b"\r\n\r\n")
    assert b"Content-Length: 15\r\n" in received


def test_an_upgrade_is_declined_by_answering(engine: Engine) -> None:
    asked = b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
    assert _exchange(engine, asked).startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"this is not HTTP\r\n\r\n", b"400"),
        (b"GET /health HTTP/1.1\r\nHost: x\r\nA: " + b"a" * MAX_HEAD_BYTES, b"431"),
        (b"GET /" + b"a" * (8 * MAX_HEAD_BYTES), b"431"),
        (
            b"POST /completion HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (MAX_BODY_BYTES + 1)
            + b"a" * (MAX_BODY_BYTES + 1),
            b"413",
        ),
    ],
)
def test_what_is_malformed_or_too_large_is_refused(engine: Engine, sent: bytes, status: bytes) -> None:
    received = b""
    with socket.create_connection(("127.0.0.1", engine.port), timeout=60) as connection:
        try:
            connection.sendall(sent)
            while data := connection.recv(65536):
                received += data
        except ConnectionError:
            # The server closes while bytes are under way; what it said before may have been lost with them.
            return
    assert received.startswith(b"HTTP/1.1 " + status)
    assert json.loads(received.partition(b"\r\n\r\n")[2])["error"]["type"] == "invalid_request_error"
