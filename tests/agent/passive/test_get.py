"""One question to an engine: bounded in time and size, whatever the other side does."""

from __future__ import annotations

import gzip
import socket
import time

import pytest
from tests.agent.passive import servers
from tests.ports import free_port

from stonechat_agent.passive.get import BODY_BYTES, Hung, NoAnswer, Unreached, Unusable, get

LONG = 20.0
"""Seconds that no answer takes, however busy this machine is, and that one which never ends takes all of."""


def test_an_answer_with_a_length_in_chunks_or_up_to_the_end_of_the_connection() -> None:
    for data in (
        b"HTTP/1.1 200 OK\r\nServer: Llama.cpp\r\nContent-Length: 7\r\n\r\n" + b'{"a":1}',
        b"HTTP/1.1 200 OK\r\nServer: llama.cpp\r\nTransfer-Encoding: chunked\r\n\r\n"
        b'3\r\n{"a\r\n4\r\n":1}\r\n0\r\n\r\n',
        b"HTTP/1.0 200 OK\r\nserver: llama.cpp\r\n\r\n" + b'{"a":1}',
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nServer: llama.cpp\r\nContent-Length: 7\r\n\r\n"
        + b'{"a":1}and what follows the answer',
    ):
        with servers.speaking(servers.says(data)) as (port, _):
            answer = get("127.0.0.1", port, "/props", timeout_seconds=LONG)
        assert answer == (200, "llama.cpp", b'{"a":1}')
        assert answer.content() == {"a": 1}


def test_the_request_asks_for_a_plain_answer_and_carries_the_key() -> None:
    seen = []

    def answer(connection: socket.socket) -> None:
        seen.append(connection.recv(65536))
        connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

    with servers.speaking(answer) as (port, _):
        assert get("127.0.0.1", port, "/props", key="secret", timeout_seconds=LONG).status == 204
        get("127.0.0.1", port, "/props", timeout_seconds=LONG)
    assert (
        seen[0]
        == (
            f"GET /props HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUser-Agent: stonechat\r\nAccept: application/json\r\n"
            "Connection: close\r\nAuthorization: Bearer secret\r\n\r\n"
        ).encode()
    )
    assert b"Authorization" not in seen[1]


def test_nobody_listens() -> None:
    with pytest.raises(Unreached):
        get("127.0.0.1", free_port(), "/props", timeout_seconds=LONG)


def test_a_listener_that_accepts_nothing_costs_no_more_than_the_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        filling = []
        for _ in range(4):
            one = socket.socket()
            one.setblocking(False)
            one.connect_ex(listener.getsockname())
            filling.append(one)
        began = time.monotonic()
        with pytest.raises(Hung):
            get("127.0.0.1", listener.getsockname()[1], "/props")
        assert time.monotonic() - began < LONG
        for one in filling:
            one.close()


@pytest.mark.parametrize("answer", [servers.hangs, servers.trickles], ids=["hangs", "trickles"])
def test_a_slow_server_costs_no_more_than_the_timeout(answer) -> None:  # type: ignore[no-untyped-def]
    with servers.speaking(answer) as (port, _):
        began = time.monotonic()
        with pytest.raises(Hung, match=r"no whole answer in 0\.25 s"):
            get("127.0.0.1", port, "/props")
        assert 0.2 < time.monotonic() - began < LONG


@pytest.mark.parametrize(
    "answer",
    [
        servers.never_ends,
        servers.never_ends_its_head,
        servers.says(b""),
        servers.says(b"\x16\x03\x01\x02\x00 a TLS server"),
        servers.says(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"),
        servers.says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n[1,2,"),
        servers.says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n"),
        servers.says(b"HTTP/1.1 200 OK\r\nContent-Le"),
        servers.says(
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + gzip.compress(b'{"build_info":"b1"}')
        ),
    ],
    ids=["body", "head", "nothing", "tls", "cut", "cut chunk", "bad chunk", "cut head", "gzip"],
)  # fmt: skip
def test_what_is_no_answer_is_unusable(answer) -> None:  # type: ignore[no-untyped-def]
    with servers.speaking(answer) as (port, _), pytest.raises(Unusable):
        get("127.0.0.1", port, "/props", timeout_seconds=LONG)


def test_the_largest_body_that_is_taken() -> None:
    body = b"x" * BODY_BYTES
    with servers.speaking(servers.says(b"HTTP/1.1 200 OK\r\n\r\n" + body)) as (port, _):
        assert get("127.0.0.1", port, "/props", timeout_seconds=LONG).body == body
    with (
        servers.speaking(servers.says(b"HTTP/1.1 200 OK\r\n\r\n" + body + b"x")) as (port, _),
        pytest.raises(Unusable),
    ):
        get("127.0.0.1", port, "/props", timeout_seconds=LONG)


def test_a_redirect_is_not_followed() -> None:
    with servers.Engine({"/there": {"build_info": "b1"}}) as there:
        data = f"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:{there.port}/there\r\nContent-Length: 0\r\n\r\n"
        with servers.speaking(servers.says(data.encode())) as (port, _):
            answer = get("127.0.0.1", port, "/props", timeout_seconds=LONG)
        assert answer.status == 302
        assert answer.mapping() == {}
        assert there.asked == []


def test_a_name_that_stands_for_nothing() -> None:
    with pytest.raises(NoAnswer):
        get("engine.invalid", 80, "/props", timeout_seconds=LONG)
