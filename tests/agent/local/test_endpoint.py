"""The agent's own endpoint answers under its own address, and nobody else's."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Iterator

import pytest

from stonechat.catalog import metric_id
from stonechat.records import DEVICE, Series
from stonechat.values import counter, gauge, tally
from stonechat_agent.local import endpoint as module
from stonechat_agent.local.endpoint import Endpoint, Page, json_page
from stonechat_agent.local.prometheus import render


async def _ask(port: int, raw: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(raw)
    await writer.drain()
    answer = await asyncio.wait_for(reader.read(), 60)
    writer.close()
    return answer


async def _comes(condition: Callable[[], bool]) -> None:
    for _ in range(6_000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come to pass")


def ask(*requests: str) -> list[bytes]:
    """Each request to an endpoint of its own run; ``{port}`` stands for its port."""

    async def run() -> list[bytes]:
        endpoint = Endpoint({"/ok": lambda: json_page({"fine": True}), "/bad": lambda: json_page(1 / 0)})
        port = await endpoint.start("127.0.0.1", 0)
        try:
            return [
                await _ask(port, request.replace("{port}", str(port)).encode("latin-1"))
                for request in requests
            ]
        finally:
            await endpoint.stop()

    return asyncio.run(run())


GOOD = "GET /ok?x=1 HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize(
    ("request_text", "status"),
    [
        (GOOD, b"200"),
        (GOOD.replace("127.0.0.1:", "localhost:"), b"200"),
        (GOOD.replace("127.0.0.1:{port}", "evil.example"), b"403"),
        (GOOD.replace("127.0.0.1:{port}", "evil.example:{port}"), b"403"),
        (GOOD.replace("Connection", "Origin: http://evil.example\r\nConnection"), b"403"),
        (GOOD.replace("Connection", "Origin: http://127.0.0.1:{port}\r\nConnection"), b"200"),
        (GOOD.replace("/ok", "/nothing"), b"404"),
        (GOOD.replace("/ok", "/bad"), b"500"),
        (GOOD.replace("GET", "POST"), b"405"),
        ("nonsense\r\n\r\n", b"400"),
        ("GET /ok HTTP/1.1\r\nX: " + "y" * 20_000 + "\r\n\r\n", b"431"),
        ("GET /ok HTTP/1.0\r\n\r\n", b"403"),
    ],
)
def test_requests_and_their_status(request_text: str, status: bytes) -> None:
    assert ask(request_text)[0].split(b" ")[1] == status


def test_requests_on_one_connection_are_answered_in_their_order() -> None:
    kept = GOOD.replace("Connection: close\r\n", "")
    answer = ask(kept + kept + GOOD)[0]
    assert answer.count(b'{"fine":true}') == 3


def test_head_has_no_body() -> None:
    assert ask(GOOD.replace("GET", "HEAD"))[0].endswith(b"\r\n\r\n")


def test_prometheus_text_has_base_units_and_bounded_labels() -> None:
    text = render(
        {
            DEVICE: {
                metric_id("system.cpu.utilization"): gauge([2500, 5000], 1, 1),
                metric_id("system.disk.io.read"): counter(4096),
            },
            Series("engine", "m:3b", "chat"): {
                metric_id("stonechat.exchange.outcomes"): tally({"ok": 2}),
                metric_id("gen_ai.server.request.duration"): (3, 200, 0, 3_000_000, 347, 3),
            },
        }
    )
    assert "system_cpu_utilization 0.5\n" in text
    assert "system_disk_io_read_bytes_total 4096\n" in text
    labels = 'engine="engine",model="m:3b",operation="chat"'
    assert f'stonechat_exchange_outcomes_total{{{labels},value="ok"}} 2\n' in text
    assert f"gen_ai_server_request_duration_seconds_sum{{{labels}}} 3\n" in text
    assert f"gen_ai_server_request_duration_seconds_count{{{labels}}} 3\n" in text


GET = "GET /ok HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n"
POST = (
    "POST /take HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
    "Transfer-Encoding: chunked\r\n\r\n2\r\n{{}}\r\n0\r\n"
)


def test_pipelined_requests_are_answered_one_a_turn_of_the_loop() -> None:
    """Each page may take milliseconds: the relay, on the same loop, has its turn in between."""
    made: list[int] = []

    async def run() -> None:
        loop, turns = asyncio.get_running_loop(), 0

        def count_turns() -> None:
            nonlocal turns
            turns += 1
            loop.call_soon(count_turns)

        def page() -> Page:
            made.append(turns)
            return json_page({})

        endpoint = Endpoint({"/ok": page})
        port = await endpoint.start("127.0.0.1", 0)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        loop.call_soon(count_turns)
        writer.write(GET.format(port=port).encode() * 20)
        for _ in range(20):
            await reader.readuntil(b"{}\n")
        writer.close()
        await endpoint.stop()

    asyncio.run(asyncio.wait_for(run(), 60))
    assert len(set(made)) == 20


def test_who_does_not_read_is_answered_no_further_and_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers that nobody reads must not gather in memory, nor such a client hold a connection for ever."""
    monkeypatch.setattr(module, "IDLE_SECONDS", 0.5)
    made = 0

    def page() -> Page:
        nonlocal made
        made += 1
        return Page(200, "text/plain", b"x" * (1 << 20))

    async def run() -> None:
        endpoint = Endpoint({"/ok": page})
        port = await endpoint.start("127.0.0.1", 0)
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(("127.0.0.1", port))
            client.sendall(GET.format(port=port).encode() * 60)
            await _comes(lambda: bool(endpoint._connections))
            await _comes(lambda: not endpoint._connections)
        await endpoint.stop()

    asyncio.run(asyncio.wait_for(run(), 60))
    assert made < 20


def test_who_waits_while_much_is_worked_off_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "IDLE_SECONDS", 0.05)

    def work(kind: str, body: bytes) -> Iterator[Page | None]:
        for _ in range(30):
            time.sleep(0.01)
            yield None
        yield json_page("done")

    async def run() -> bytes:
        endpoint = Endpoint({}, takes={"/take": work})
        port = await endpoint.start("127.0.0.1", 0)
        try:
            head = POST.format(port=port).replace("HTTP/1.1\r\n", "HTTP/1.1\r\nConnection: close\r\n")
            return await _ask(port, head.encode() + b"\r\n")
        finally:
            await endpoint.stop()

    assert asyncio.run(run()).endswith(b'"done"\n')


def test_trailers_end_at_a_bound() -> None:
    async def run() -> tuple[bytes, int]:
        endpoint = Endpoint({}, takes={"/take": lambda kind, body: iter([json_page({})])})
        port = await endpoint.start("127.0.0.1", 0)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(POST.format(port=port).encode())
        writer.write(b"".join(b"X-%d: %s\r\n" % (n, b"y" * 1000) for n in range(100)))
        held = await asyncio.wait_for(reader.read(), 60)
        writer.close()
        await endpoint.stop()
        return held, endpoint._held

    answer, held = asyncio.run(run())
    assert answer.split(b" ")[1] == b"431"
    assert held == 0


def test_a_client_that_does_not_read_does_not_hold_up_the_end() -> None:
    async def run() -> None:
        endpoint = Endpoint({"/ok": lambda: Page(200, "text/plain", b"x" * (16 << 20))})
        port = await endpoint.start("127.0.0.1", 0)
        with socket.socket() as client:
            client.connect(("127.0.0.1", port))
            client.sendall(GET.format(port=port).encode())
            await _comes(lambda: bool(endpoint._connections))
            await asyncio.sleep(0.1)
            await endpoint.stop()
            await _comes(lambda: not endpoint._connections)

    asyncio.run(asyncio.wait_for(run(), 60))
