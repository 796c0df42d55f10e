"""What comes out of the relay is what went in, whatever it is, and when it went in."""

from __future__ import annotations

import hashlib
import os
import socket
import threading
import time
from collections.abc import Iterator
from random import Random

import psutil
import pytest
from tests.agent.capture.corpus import CORPUS, Recorded, cut, summary
from tests.agent.relay.harness import RawEngine, RunningRelay, receive, receive_all, relayed, wait_for


@pytest.fixture(scope="module")
def engine() -> Iterator[RawEngine]:
    with RawEngine() as engine:
        yield engine


@pytest.fixture(scope="module")
def relay(engine: RawEngine) -> Iterator[RunningRelay]:
    with RunningRelay(engine.url) as relay:
        yield relay


@pytest.mark.parametrize("recorded", CORPUS, ids=lambda recorded: recorded.name)
def test_recorded_connections_pass_unchanged_and_are_read(recorded: Recorded) -> None:
    with RawEngine() as engine, RunningRelay(engine.url, bounds=recorded.bounds) as relay:
        with relay.connect() as client, engine.accept() as upstream:
            for sent, got in recorded.turns:
                client.sendall(sent)
                assert receive(upstream, len(sent)) == sent
                upstream.sendall(got)
                assert receive(client, len(got)) == got
            if recorded.end in {"engine_eof", "engine_closed"}:
                upstream.close()
                assert client.recv(1) == b""
            else:
                client.close()
                assert upstream.recv(1) == b""
        wait_for(lambda: relay.relay.stats.connections_open == 0)
        assert [summary(exchange) for exchange in relay.exchanges] == recorded.exchanges
        assert relay.relay.stats.capture.in_flight == 0
        assert relay.relay.stats.bytes_to_engine == len(recorded.request)
        assert relay.relay.stats.bytes_to_client == len(recorded.response)


@pytest.mark.parametrize("seed", range(40))
def test_damaged_connections_and_noise_pass_unchanged(
    seed: int, relay: RunningRelay, engine: RawEngine
) -> None:
    random = Random(seed)
    spans = (
        random.choice(CORPUS).spans()
        if seed % 4
        else [(True, random.randbytes(5000)), (False, random.randbytes(70000))]
    )
    damaged = []
    for from_client, data in spans:
        changed = bytearray(data)
        for _ in range(random.randrange(6)):
            place = random.randrange(len(changed) + 1)
            changed[place : place + random.randrange(3)] = random.randbytes(random.randrange(5))
        if changed:
            damaged.append((from_client, bytes(changed)))
    pieces = cut(damaged, [random.randrange(100_000) for _ in range(10)])
    with relay.connect() as client, engine.accept() as upstream:
        for from_client, data in pieces:
            source, target = (client, upstream) if from_client else (upstream, client)
            source.sendall(data)
            assert receive(target, len(data)) == data
    assert "internal" not in relay.relay.stats.capture.dropped
    assert "body" not in relay.relay.stats.capture.dropped


def test_pieces_are_not_gathered() -> None:
    with relayed() as (_, client, upstream):
        for number in range(200):
            piece = b"data: %d\n\n" % number
            upstream.sendall(piece)
            assert client.recv(65536) == piece  # before the next one is sent


def test_two_small_writes_are_not_held_back_for_an_acknowledgement() -> None:
    """Nagle's algorithm would hold the second one for up to 40 ms, at each such request."""
    with relayed() as (_, client, upstream):
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        took = []
        for _ in range(40):
            began = time.monotonic()
            client.sendall(b"head")
            time.sleep(0.001)
            client.sendall(b"body")
            assert receive(upstream, 8) == b"headbody"
            upstream.sendall(b"ok")
            assert receive(client, 2) == b"ok"
            took.append(time.monotonic() - began)
        # All but the first would be held back; on a busy machine only some need be quick.
        assert sorted(took)[4] < 0.03


def test_the_client_ends_its_side_and_still_gets_the_answer() -> None:
    with relayed() as (_, client, upstream):
        client.sendall(b"question")
        client.shutdown(socket.SHUT_WR)
        assert receive_all(upstream) == b"question"
        for piece in (b"a", b"b" * 200_000, b"c"):
            upstream.sendall(piece)
            assert receive(client, len(piece)) == piece
        upstream.close()
        assert client.recv(1) == b""


def test_the_client_ends_its_side_before_the_engine_is_connected() -> None:
    with RawEngine() as engine, RunningRelay(engine.url) as relay, relay.connect() as client:
        client.sendall(b"question")
        client.shutdown(socket.SHUT_WR)
        with engine.accept() as upstream:
            assert receive_all(upstream) == b"question"
            upstream.sendall(b"answer")
        assert receive_all(client) == b"answer"


def test_the_engine_ends_its_side_and_still_gets_what_the_client_says() -> None:
    with relayed() as (_, client, upstream):
        upstream.sendall(b"greeting")
        upstream.shutdown(socket.SHUT_WR)
        assert receive_all(client) == b"greeting"
        for piece in (b"a", b"b" * 200_000):
            client.sendall(piece)
            assert receive(upstream, len(piece)) == piece
        client.close()
        assert upstream.recv(1) == b""


def test_the_engine_may_be_the_first_to_speak() -> None:
    with relayed() as (_, client, upstream):
        upstream.sendall(b"220 hello\r\n")
        assert receive(client, 11) == b"220 hello\r\n"


MEGABYTES = 50
BLOCK = os.urandom(1 << 20)


def send_much(sock: socket.socket, sent: list[int]) -> None:
    for _ in range(MEGABYTES):
        for start in range(0, len(BLOCK), 65536):
            sock.sendall(BLOCK[start : start + 65536])
            sent[0] += 65536
    sock.shutdown(socket.SHUT_WR)


@pytest.mark.parametrize("to_client", [True, False])
def test_a_side_that_does_not_read_makes_the_other_wait(to_client: bool) -> None:
    """Fifty megabytes towards a reader that sleeps first: the sender waits, and the relay holds next to nothing."""
    process = psutil.Process()
    with RawEngine(receive_buffer=65536) as engine, RunningRelay(engine.url) as relay:
        client = relay.connect()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        with client, engine.accept() as upstream:
            source, target = (upstream, client) if to_client else (client, upstream)
            source.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
            sent = [0]
            sender = threading.Thread(target=send_much, args=(source, sent), daemon=True)
            before = process.memory_info().rss
            sender.start()
            last = -1
            while sent[0] != last:
                last = sent[0]
                time.sleep(0.3)
            assert sent[0] < 20 << 20, "nothing held the sender back"
            digest, size = hashlib.sha256(), 0
            while piece := target.recv(1 << 20):
                digest.update(piece)
                size += len(piece)
            sender.join(60)
            assert size == MEGABYTES << 20
            assert digest.digest() == hashlib.sha256(BLOCK * MEGABYTES).digest()
            assert process.memory_info().rss - before < 12 << 20


def test_a_large_body_passes_and_is_counted_beyond_the_bound() -> None:
    body = b'{"model":"m","messages":["' + b"x" * (5 << 20) + b'"]}'
    head = b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body)
    reply = (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    )
    with relayed() as (relay, client, upstream):
        sender = threading.Thread(target=client.sendall, args=(head + body,))
        sender.start()
        assert receive(upstream, len(head + body)) == head + body
        sender.join()
        sender = threading.Thread(target=upstream.sendall, args=(reply,))
        sender.start()
        assert receive(client, len(reply)) == reply
        sender.join()
        exchange = relay.exchange()
    assert exchange.request_bytes == len(head + body)
    assert exchange.response_bytes == len(reply)
    assert exchange.notes == {"body_over_bound", "request_body_over_bound"}
    assert exchange.duration_ns is not None


def test_unix_sockets_on_both_sides(tmp_path: object) -> None:
    listen = f"unix:{tmp_path}/relay.sock"
    with (
        RawEngine(path=f"{tmp_path}/engine.sock") as engine,
        RunningRelay(engine.url, listen=listen) as relay,
    ):
        client, upstream = relay.connect(), engine.accept()
        client.sendall(b"question")
        assert receive(upstream, 8) == b"question"
        upstream.sendall(b"answer")
        client.shutdown(socket.SHUT_WR)
        assert upstream.recv(1) == b""
        upstream.close()
        assert receive_all(client) == b"answer"
        client.close()
