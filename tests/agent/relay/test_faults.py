"""Engines that are down, die or do not answer; clients that go away; readers that fail."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from typing import Any

import pytest
from tests.agent.capture.corpus import CORPUS, summary
from tests.agent.relay.harness import (
    PATIENCE,
    RawEngine,
    RunningRelay,
    receive,
    receive_all,
    relayed,
    reset,
    wait_for,
)
from tests.ports import free_port

from stonechat.exchange import Outcome
from stonechat_agent.capture import Connection
from stonechat_agent.relay import AddressError, feeder

BODY = b'{"model":"tiny","stream":true}'
STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
EVENT = b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n'
CHUNK = b"%x\r\n%s\r\n" % (len(EVENT), EVENT)


def ask(path: str = "/v1/chat/completions", body: bytes = BODY, method: str = "POST") -> bytes:
    return (
        b"%s %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
        % (
            method.encode(),
            path.encode(),
            len(body),
        )
        + body
    )


def nowhere() -> str:
    """Return an address where nothing listens."""
    return f"http://127.0.0.1:{free_port()}"


def split_answer(data: bytes) -> tuple[bytes, Any]:
    head, _, body = data.partition(b"\r\n\r\n")
    return head, json.loads(body) if body else None


@pytest.mark.parametrize(
    ("path", "shape"),
    [
        ("/v1/chat/completions", "openai"),
        ("/health", "openai"),
        ("/api/chat", "ollama"),
        ("/api/generate", "ollama"),
        ("/v1/messages", "anthropic"),
    ],
)
def test_an_engine_that_is_down_gives_an_error_in_the_dialects_shape(path: str, shape: str) -> None:
    with RunningRelay(nowhere()) as relay, relay.connect() as client:
        began = time.monotonic()
        client.sendall(ask(path))
        head, body = split_answer(receive_all(client))
        assert time.monotonic() - began < PATIENCE / 2
        assert head.startswith(b"HTTP/1.1 502 Bad Gateway\r\nContent-Type: application/json\r\n")
        message = body["error"] if shape == "ollama" else body["error"]["message"]
        assert "Connection refused" in message
        assert relay.relay.upstream in message
        if shape == "openai":
            assert body["error"] == {"message": message, "type": "engine_refused", "code": 502}
        if shape == "anthropic":
            assert body["type"] == "error"
        if path != "/health":
            exchange = relay.exchange()
            assert (exchange.outcome, exchange.error_type) == (Outcome.ERROR, "engine_refused")
            assert (exchange.status, exchange.request_model) == (502, "tiny")
        assert relay.relay.stats.connect_failures["engine_refused"] >= 1


def test_a_refused_head_request_gets_no_body() -> None:
    with RunningRelay(nowhere()) as relay, relay.connect() as client:
        client.sendall(ask("/", b"", "HEAD"))
        head, body = split_answer(receive_all(client))
        assert head.startswith(b"HTTP/1.1 502")
        assert body is None


def test_a_large_request_gets_the_error_whole_though_its_body_is_not_wanted() -> None:
    with RunningRelay(nowhere()) as relay, relay.connect() as client:
        sender = threading.Thread(target=client.sendall, args=(ask(body=b" " * (8 << 20)),), daemon=True)
        sender.start()
        head, body = split_answer(receive_all(client))
        assert head.startswith(b"HTTP/1.1 502")
        assert body["error"]["type"] == "engine_refused"
        sender.join(PATIENCE)


def test_a_request_whose_client_has_ended_its_side_is_refused_all_the_same() -> None:
    for _ in range(20):
        with RunningRelay(nowhere()) as relay, relay.connect() as client:
            client.sendall(ask())
            client.shutdown(socket.SHUT_WR)
            assert receive_all(client).startswith(b"HTTP/1.1 502")


def test_a_socket_that_cannot_be_opened_is_a_refusal_too() -> None:
    """As where the process is out of descriptors; a family that no kernel knows fails in the same call."""
    with RawEngine() as engine, RunningRelay(engine.url) as relay:
        addresses = relay.relay._addresses
        relay.relay._addresses = [(9999, ("127.0.0.1", 1))]
        with relay.connect() as client:
            client.sendall(ask())
            _, body = split_answer(receive_all(client))
            assert "Address family not supported" in body["error"]["message"]
        relay.relay._addresses = addresses
        with relay.connect() as client, engine.accept() as upstream:
            client.sendall(b"x")
            assert receive(upstream, 1) == b"x"


def test_an_engine_known_by_name_is_looked_up_again_when_it_is_not_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("stonechat_agent.relay.relay._RESOLVE_AGAIN_NS", 0)
    with RawEngine() as engine, RunningRelay(engine.url.replace("127.0.0.1", "localhost")) as relay:
        relay.relay._addresses = []
        with relay.connect() as client:
            wait_for(lambda: relay.relay.engine_unreachable)
            client.sendall(b"x")
            with engine.accept() as upstream:
                assert receive(upstream, 1) == b"x"
        assert not relay.relay.engine_unreachable


def test_noise_towards_an_engine_that_is_down_is_closed() -> None:
    with RunningRelay(nowhere()) as relay, relay.connect() as client:
        client.sendall(b"\x16\x03\x01\x00\x00")
        assert receive_all(client) == b""


def test_a_client_that_connected_ahead_finds_the_engine_once_it_is_up(tmp_path: object) -> None:
    path = f"{tmp_path}/engine.sock"
    with RunningRelay(f"unix:{path}") as relay, relay.connect() as client:
        wait_for(lambda: relay.relay.stats.connect_failures.get("engine_refused") == 1)
        with RawEngine(path=path) as engine:
            client.sendall(b"hello")
            with engine.accept() as upstream:
                assert receive(upstream, 5) == b"hello"


def test_an_engine_that_takes_no_connection_is_given_up_after_the_timeout() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        # Connections that nobody accepts fill the queue; the kernel then lets further ones wait.
        waiting = [socket.socket() for _ in range(3)]
        for sock in waiting:
            sock.setblocking(False)
            sock.connect_ex(address)
        url = f"http://{address[0]}:{address[1]}"
        with RunningRelay(url, connect_timeout_seconds=0.2) as relay, relay.connect() as client:
            client.sendall(ask("/api/chat"))
            head, body = split_answer(receive_all(client))
            assert head.startswith(b"HTTP/1.1 502")
            assert "no answer within 0.2 s" in body["error"]
            assert relay.exchange().error_type == "timeout"
        for sock in waiting:
            sock.close()


def test_a_reset_by_the_client_reaches_the_engine_at_once() -> None:
    with relayed() as (relay, client, upstream):
        client.sendall(ask())
        receive(upstream, len(ask()))
        upstream.sendall(STREAM_HEAD + CHUNK)
        receive(client, len(STREAM_HEAD + CHUNK))
        reset(client)
        with pytest.raises(ConnectionResetError):
            upstream.recv(1)  # though the engine says nothing more
        exchange = relay.exchange()
        assert exchange.outcome is Outcome.ABORTED
        assert exchange.error_type is None
        assert exchange.chunks == 1
        assert exchange.closed_ns is not None


def test_a_client_that_closes_in_the_middle_stops_the_engine_within_two_tokens() -> None:
    with relayed() as (relay, client, upstream):
        client.sendall(ask())
        receive(upstream, len(ask()))
        upstream.sendall(STREAM_HEAD)
        receive(client, len(STREAM_HEAD))
        client.close()
        assert upstream.recv(1) == b"", "the end of the client's side is passed on"
        stats = relay.relay.stats
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            for number in (1, 2):
                read = len(STREAM_HEAD) + number * len(CHUNK)
                upstream.sendall(CHUNK)
                wait_for(lambda read=read: stats.bytes_to_client == read or not stats.connections_open)  # type: ignore[misc]
        wait_for(lambda: stats.connections_open == 0)
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            upstream.sendall(CHUNK)
        assert relay.exchange().outcome is Outcome.ABORTED


def test_a_reset_by_the_engine_reaches_the_client_after_what_came_before() -> None:
    with relayed() as (relay, client, upstream):
        client.sendall(ask())
        receive(upstream, len(ask()))
        upstream.sendall(STREAM_HEAD + CHUNK)
        assert receive(client, len(STREAM_HEAD + CHUNK)) == STREAM_HEAD + CHUNK
        reset(upstream)
        with pytest.raises(ConnectionResetError):
            client.recv(1)
        exchange = relay.exchange()
        assert (exchange.outcome, exchange.error_type) == (Outcome.ERROR, "engine_reset")
        assert exchange.output_tokens is not None


def test_a_slow_client_sees_the_engines_reset_and_no_byte_out_of_order() -> None:
    much = bytes(range(256)) * 8192
    with relayed() as (_, client, upstream):
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        upstream.settimeout(0.3)
        with contextlib.suppress(TimeoutError):  # what does not fit the buffers of all four sockets
            upstream.sendall(much)
        reset(upstream)
        got = b""
        with pytest.raises(ConnectionResetError):
            while piece := client.recv(65536):
                got += piece
        assert got == much[: len(got)]


def test_an_engine_that_accepts_and_resets_at_once_resets_the_client() -> None:
    """Also where that happens before the relay hears that it is connected."""
    with RawEngine() as engine, RunningRelay(engine.url) as relay:
        for _ in range(50):
            with relay.connect() as client:
                reset(engine.accept())
                with pytest.raises(ConnectionResetError):
                    client.recv(1)


def test_an_early_refusal_by_the_engine_is_not_lost_in_its_reset() -> None:
    """An engine may answer and close while a large body is still being sent: the answer must get through."""
    refusal = b"HTTP/1.1 413 Payload Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    for _ in range(5):
        with relayed() as (relay, client, upstream):
            client.sendall(ask(body=b" " * 300_000)[:200_000])
            receive(upstream, 1000)
            upstream.sendall(refusal)
            upstream.close()  # with bytes unread, so it is a reset
            got = b""
            try:
                while piece := client.recv(65536):
                    got += piece
            except ConnectionResetError:
                pass
            assert got == refusal
            assert relay.exchange().status == 413


def test_an_engine_that_ends_in_the_middle_is_told_from_one_that_finishes() -> None:
    with relayed() as (relay, client, upstream):
        client.sendall(ask())
        receive(upstream, len(ask()))
        upstream.sendall(STREAM_HEAD + CHUNK)
        upstream.close()
        assert receive_all(client) == STREAM_HEAD + CHUNK
        assert relay.exchange().error_type == "engine_reset"


def test_connections_over_the_limit_are_told_so() -> None:
    with RawEngine() as engine, RunningRelay(engine.url, max_connections=2) as relay:
        first, second, third = relay.connect(), relay.connect(), relay.connect()
        third.sendall(ask())
        head, body = split_answer(receive_all(third))
        assert head.startswith(b"HTTP/1.1 503 Service Unavailable")
        assert body["error"]["type"] == "relay_full"
        assert relay.exchange().error_type == "relay_full"
        assert relay.relay.stats.refused == 1
        third.close()
        first_upstream, second_upstream = engine.accept(), engine.accept()
        first.close()
        first_upstream.close()
        wait_for(lambda: relay.relay.stats.connections_open == 1)
        with relay.connect() as fourth, engine.accept() as upstream:
            fourth.sendall(b"x")
            assert receive(upstream, 1) == b"x"
        second_upstream.close()
        second.close()


def test_a_relay_towards_itself_is_refused() -> None:
    port = free_port()
    for listen, upstream in (
        (f"127.0.0.1:{port}", f"http://127.0.0.1:{port}"),
        (f"127.0.0.1:{port}", f"http://localhost:{port}"),
        (f"0.0.0.0:{port}", f"127.0.0.1:{port}"),
        (f"0.0.0.0:{port}", f"127.7.7.7:{port}"),
    ):
        relay = RunningRelay(upstream, listen=listen)
        with pytest.raises(AddressError, match="the relay itself listens on"), relay:
            pass
        for listener in relay.listening:
            listener.close()


def test_an_exchange_under_way_ends_before_the_relay_stops() -> None:
    with RawEngine() as engine, RunningRelay(engine.url) as relay:
        with relay.connect() as idle, engine.accept(), relay.connect() as client, engine.accept() as upstream:
            client.sendall(ask())
            receive(upstream, len(ask()))
            stopped = relay.stop(PATIENCE)
            assert idle.recv(1) == b"", "an idle connection is closed"
            with pytest.raises(ConnectionRefusedError):
                relay.connect()
            upstream.sendall(STREAM_HEAD + CHUNK)
            receive(client, len(STREAM_HEAD + CHUNK))
            assert not stopped.done()
            upstream.sendall(b"0\r\n\r\n")
            assert receive_all(client) == b"0\r\n\r\n"
            stopped.result(PATIENCE)
        assert relay.exchange().status == 200


def test_a_request_that_is_no_exchange_ends_before_the_relay_stops_too() -> None:
    with relayed() as (relay, client, upstream):
        client.sendall(b"GET /health HTTP/1.1\r\n\r\n")
        receive(upstream, 24)
        stopped = relay.stop(PATIENCE)
        upstream.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        assert receive_all(client).endswith(b"ok")
        stopped.result(PATIENCE)


def test_what_has_not_ended_by_the_deadline_is_reset() -> None:
    with relayed() as (relay, client, upstream):
        client.sendall(ask())
        receive(upstream, len(ask()))
        relay.stop(0.1).result(PATIENCE)
        with pytest.raises(ConnectionResetError):
            client.recv(1)
        assert relay.exchange().outcome is Outcome.ABORTED


def pass_a_recorded_connection(relay: RunningRelay, engine: RawEngine, name: str) -> None:
    recorded = next(recorded for recorded in CORPUS if recorded.name == name)
    with relay.connect() as client, engine.accept() as upstream:
        for sent, got in recorded.turns:
            client.sendall(sent)
            assert receive(upstream, len(sent)) == sent
            upstream.sendall(got)
            assert receive(client, len(got)) == got
    wait_for(lambda: relay.relay.stats.connections_open == 0)


@pytest.mark.parametrize("method", ["client_bytes", "engine_bytes", "engine_connected", "client_closed"])
def test_a_capture_that_raises_costs_nothing_but_its_exchange(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with RawEngine() as engine, RunningRelay(engine.url) as relay:
        with monkeypatch.context() as patched:
            patched.setattr(Connection, method, lambda *_: 1 / 0)
            pass_a_recorded_connection(relay, engine, "openai_chat_stream_llamacpp")
            wait_for(lambda: relay.relay.stats.capture.dropped.get("internal", 0) >= 1)
        before = len(relay.exchanges)
        pass_a_recorded_connection(relay, engine, "ollama_chat_stream")
        assert relay.exchange(before + 1).dialect == "ollama.chat"


def test_a_consumer_that_raises_costs_nothing_but_its_exchange() -> None:
    taken = []

    def take(exchange: object) -> None:
        taken.append(exchange)
        raise ZeroDivisionError

    with RawEngine() as engine, RunningRelay(engine.url, on_exchange=take) as relay:
        for _ in range(2):
            pass_a_recorded_connection(relay, engine, "openai_chat_whole_llamacpp")
        assert len(taken) == 2
        assert relay.relay.stats.consumer_errors == 2


def test_a_reader_that_falls_behind_is_dropped_and_the_bytes_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeder, "LINK_BACKLOG", 100)
    with RawEngine() as engine, RunningRelay(engine.url) as relay:
        pass_a_recorded_connection(relay, engine, "openai_chat_stream_llamacpp")
        assert relay.relay.stats.capture.dropped == {"behind": 1}
        assert [summary(exchange) for exchange in relay.exchanges] == []
