"""What the relay costs: time added to the first byte, and CPU, with the direct path beside it in the same run.

    ./dev bench relay [--requests N] [--json]

Three paths lead to one engine's stand-in, which answers each request with a first token at once and seven more after a
millisecond: straight to it; through the relay, which reads every exchange; and through a peer, two asyncio protocols
that pass bytes and read nothing. Requests go down the paths in turn, so that what else the machine does falls on all
alike. "Added" is a path's quantile less the direct path's. It is measured over kept connections, over new ones, and
once more over kept ones with every core kept busy at normal priority, as an engine that decodes on all cores does.

CPU is measured at a stand-in that streams without a pause. The stand-in decides nothing and measures nothing: it is the
load. All runs in less than a minute.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import psutil

BURST_TOKENS = 64
BODY = json.dumps(
    {"model": "m", "stream": True, "messages": [{"role": "user", "content": "x" * 400}]}
).encode()
REQUEST = (
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\n\r\n" % len(BODY)
) + BODY
END = b"0\r\n\r\n"
TARGET_P50_MS, TARGET_P99_MS = 0.25, 1.5


def token(number: int) -> bytes:
    piece = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "delta": {"content": f" {number}"}, "finish_reason": None}],
    }
    event = b"data: " + json.dumps(piece).encode() + b"\n\n"
    return b"%x\r\n%s\r\n" % (len(event), event)


HEAD = (
    b"HTTP/1.1 200 OK\r\nServer: llama.cpp\r\nContent-Type: text/event-stream\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)
FIRST = HEAD + token(0)
LAST = b"e\r\ndata: [DONE]\n\n\r\n" + END
REST = [*(token(number) for number in range(1, 8)), LAST]
BURST = [*(token(number) for number in range(1, BURST_TOKENS)), LAST]


class StandIn(asyncio.Protocol):
    """Answers each request with a stream: the first token at once, each other one as a write of its own."""

    def __init__(self, *, burst: bool) -> None:
        self.burst = burst

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.transport = transport
        self.missing = len(REQUEST)

    def data_received(self, data: bytes) -> None:
        self.missing -= len(data)
        if self.missing <= 0:
            self.missing += len(REQUEST)
            self.transport.write(FIRST)
            loop = asyncio.get_running_loop()
            if self.burst:
                loop.call_soon(self._more, BURST, 0)
            else:
                loop.call_later(0.001, self._more, REST, 0)

    def _more(self, rest: list[bytes], number: int) -> None:
        self.transport.write(rest[number])
        if number + 1 < len(rest):
            asyncio.get_running_loop().call_soon(self._more, rest, number + 1)


class PipeEnd(asyncio.Protocol):
    """The peer: passes bytes to its other end and reads none."""

    other: asyncio.Transport | None = None

    def __init__(self, upstream: int | None = None) -> None:
        self.upstream = upstream
        self.early: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.transport = transport
        if self.upstream is not None:
            self.dialling = asyncio.get_running_loop().create_task(self._dial(self.upstream))

    async def _dial(self, port: int) -> None:
        loop = asyncio.get_running_loop()
        transport, end = await loop.create_connection(PipeEnd, "127.0.0.1", port)
        end.other, self.other = self.transport, transport
        for data in self.early:
            transport.write(data)

    def data_received(self, data: bytes) -> None:
        if self.other is None:
            self.early.append(data)
        else:
            self.other.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.other is not None:
            self.other.close()


async def serve(role: str, upstream: int) -> None:
    """Run one of the processes: print the port, then serve until killed."""
    loop = asyncio.get_running_loop()
    if role == "relay":
        from stonechat_agent.relay import Relay, listen_sockets

        listening = listen_sockets("127.0.0.1:0")
        relay = Relay(
            engine="bench",
            listening=listening,
            upstream=f"127.0.0.1:{upstream}",
            on_exchange=lambda exchange: None,
        )
        await relay.start()
        port = listening[0].getsockname()[1]
    else:
        factories: dict[str, Callable[[], asyncio.Protocol]] = {
            "engine": lambda: StandIn(burst=False),
            "burst": lambda: StandIn(burst=True),
            "pipe": lambda: PipeEnd(upstream),
        }
        server = await loop.create_server(factories[role], "127.0.0.1", 0, backlog=512)
        port = server.sockets[0].getsockname()[1]
    print(port, flush=True)
    await loop.create_future()


@contextmanager
def process(role: str, upstream: int = 0) -> Iterator[tuple[int, psutil.Process]]:
    """Run a role in a process of its own; give its port."""
    child = subprocess.Popen(
        [sys.executable, __file__, "--serve", role, "--upstream", str(upstream)],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert child.stdout is not None
        yield int(child.stdout.readline()), psutil.Process(child.pid)
    finally:
        child.kill()
        child.wait()


@contextmanager
def every_core_busy() -> Iterator[None]:
    """Keep each core busy with a process of normal priority."""
    burners = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"])
        for _ in range(len(os.sched_getaffinity(0)))
    ]
    try:
        time.sleep(0.3)
        yield
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()


def connect(port: int) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", port))
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    client.settimeout(10)
    return client


def ask(client: socket.socket, began: int) -> tuple[float, float]:
    """Send one request; return milliseconds from ``began`` to the first byte and to the last."""
    client.sendall(REQUEST)
    data = client.recv(65536)
    first = time.perf_counter_ns()
    while not data.endswith(END):
        data = client.recv(65536)
    return (first - began) / 1e6, (time.perf_counter_ns() - began) / 1e6


def measure(ports: dict[str, int], requests: int, *, kept: bool) -> dict[str, dict[str, float]]:
    """Ask each path in turn; return for each the quantiles of its times, in milliseconds."""
    clients = {name: connect(port) for name, port in ports.items()} if kept else {}
    firsts: dict[str, list[float]] = {name: [] for name in ports}
    lasts: dict[str, list[float]] = {name: [] for name in ports}
    names = list(ports)
    for number in range(-20, requests):
        names.append(names.pop(0))  # so that none always follows the same other
        for name in names:
            began = time.perf_counter_ns()
            client = clients[name] if kept else connect(ports[name])
            if kept:
                began = time.perf_counter_ns()
            first, last = ask(client, began)
            if not kept:
                client.close()
            if number >= 0:  # the first ones warm up
                firsts[name].append(first)
                lasts[name].append(last)
            time.sleep(0.0005)
    for client in clients.values():
        client.close()
    return {
        name: {
            "first_byte_p50_ms": statistics.median(firsts[name]),
            "first_byte_p99_ms": sorted(firsts[name])[int(requests * 0.99)],
            "last_byte_p50_ms": statistics.median(lasts[name]),
        }
        for name in ports
    }


def cpu_microseconds_a_token(port: int, served: psutil.Process, requests: int) -> float:
    """Return the CPU time of a path's process for each token that it passed."""
    with connect(port) as client:
        ask(client, 0)
        before = served.cpu_times()
        for _ in range(requests):
            ask(client, 0)
        after = served.cpu_times()
    return (after.user + after.system - before.user - before.system) * 1e6 / (requests * BURST_TOKENS)


def show(title: str, figures: dict[str, dict[str, float]]) -> None:
    print(f"\n{title}\n{'path':<10}{'p50 ms':>9}{'p99 ms':>9}{'added p50':>11}{'added p99':>11}{'x direct':>10}"
          f"{'whole p50':>11}")  # fmt: skip
    direct = figures["direct"]
    for name, found in figures.items():
        p50, p99 = found["first_byte_p50_ms"], found["first_byte_p99_ms"]
        print(
            f"{name:<10}{p50:>9.3f}{p99:>9.3f}{p50 - direct['first_byte_p50_ms']:>11.3f}"
            f"{p99 - direct['first_byte_p99_ms']:>11.3f}{p50 / direct['first_byte_p50_ms']:>10.2f}"
            f"{found['last_byte_p50_ms']:>11.3f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--requests", type=int, default=1500, help="requests down each path, at most 3000")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON only")
    parser.add_argument("--serve", choices=["engine", "burst", "relay", "pipe"], help=argparse.SUPPRESS)
    parser.add_argument("--upstream", type=int, default=0, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        asyncio.run(serve(arguments.serve, arguments.upstream))
        return
    requests = max(200, min(arguments.requests, 3000))

    with ExitStack() as stack:
        engine, _ = stack.enter_context(process("engine"))
        ports = {
            "direct": engine,
            "relay": stack.enter_context(process("relay", engine))[0],
            "pipe": stack.enter_context(process("pipe", engine))[0],
        }
        kept = measure(ports, requests, kept=True)
        new = measure(ports, requests // 3, kept=False)
        with every_core_busy():
            busy = measure(ports, requests // 3, kept=True)
    with process("burst") as (engine, _):
        cpu = {}
        for name in ("relay", "pipe"):
            with process(name, engine) as (port, served):
                cpu[name] = cpu_microseconds_a_token(port, served, 300)

    added_p50 = kept["relay"]["first_byte_p50_ms"] - kept["direct"]["first_byte_p50_ms"]
    added_p99 = kept["relay"]["first_byte_p99_ms"] - kept["direct"]["first_byte_p99_ms"]
    if arguments.json:
        figures = {"kept": kept, "new": new, "busy": busy, "cpu_us_per_token": cpu}
        print(json.dumps(figures, indent=1))
        return
    cores = len(os.sched_getaffinity(0))
    print(
        f"relay: time to first byte; {cores} cores, {platform.machine()}, Python {platform.python_version()}"
    )
    show(f"kept connections, {requests} requests a path", kept)
    show(f"new connections, {requests // 3} requests a path", new)
    show(f"kept connections with {cores} busy processes, {requests // 3} requests a path", busy)
    print(
        f"\nCPU of the process for each streamed token: relay {cpu['relay']:.1f} us, pipe {cpu['pipe']:.1f} us"
    )
    for name, value, target in (("p50", added_p50, TARGET_P50_MS), ("p99", added_p99, TARGET_P99_MS)):
        verdict = "met" if value <= target else "missed"
        print(f"added to the first byte, kept, {name}: {value:.3f} ms (target <= {target} ms): {verdict}")


if __name__ == "__main__":
    main()
