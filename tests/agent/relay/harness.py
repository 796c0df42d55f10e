"""A real relay in a thread of its own, and raw sockets on both sides of it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from stonechat.exchange import Exchange
from stonechat_agent.relay import Relay, listen_sockets

T = TypeVar("T")
PATIENCE = 60.0


class RunningRelay:
    """A relay that runs, and what it has seen."""

    def __init__(self, upstream: str, listen: str = "127.0.0.1:0", **settings: Any) -> None:
        self.exchanges: list[Exchange] = []
        self.listening = listen_sockets(listen)
        self.address = self.listening[0].getsockname()
        settings.setdefault("on_exchange", self.exchanges.append)
        self.relay = Relay(engine="engine", listening=self.listening, upstream=upstream, **settings)
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="relay", daemon=True)

    def __enter__(self) -> RunningRelay:
        self._thread.start()
        assert self._ready.wait(PATIENCE)
        if self._failure is not None:
            raise self._failure
        return self

    def __exit__(self, *_: object) -> None:
        self.call(self._stop.set)
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except BaseException as error:
            self._failure = error
            self._ready.set()

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        # What the loop reports would only be logged otherwise.
        self._loop.set_exception_handler(self._report)
        self._stop = asyncio.Event()
        await self.relay.start()
        self._ready.set()
        await self._stop.wait()
        await self.relay.stop(0.2)

    def _report(self, _: object, context: dict[str, Any]) -> None:
        self._failure = context.get("exception") or RuntimeError(context["message"])

    def call(self, act: Callable[[], T]) -> T:
        """Call act in the relay's thread; return what it returns."""

        async def run() -> T:
            return act()

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(PATIENCE)

    def stop(self, deadline_seconds: float) -> Any:
        """Begin to stop the relay; return the future of it."""
        return asyncio.run_coroutine_threadsafe(self.relay.stop(deadline_seconds), self._loop)

    def connect(self) -> socket.socket:
        """Return a client's socket."""
        family = socket.AF_UNIX if isinstance(self.address, str | bytes) else socket.AF_INET
        client = socket.socket(family, socket.SOCK_STREAM)
        client.settimeout(PATIENCE)
        client.connect(self.address)
        return client

    def exchange(self, number: int = 1) -> Exchange:
        """Wait for so many exchanges; return the last of them."""
        wait_for(lambda: len(self.exchanges) >= number)
        return self.exchanges[number - 1]


class RawEngine:
    """A listening socket in the engine's place."""

    def __init__(self, path: str | None = None, receive_buffer: int | None = None) -> None:
        self.listener = socket.socket(socket.AF_UNIX if path else socket.AF_INET, socket.SOCK_STREAM)
        if receive_buffer is not None:
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.listener.bind(path or ("127.0.0.1", 0))
        self.listener.listen(64)
        self.listener.settimeout(PATIENCE)
        self.url = f"unix:{path}" if path else f"http://127.0.0.1:{self.listener.getsockname()[1]}"

    def accept(self) -> socket.socket:
        sock, _ = self.listener.accept()
        sock.settimeout(PATIENCE)
        return sock

    def __enter__(self) -> RawEngine:
        return self

    def __exit__(self, *_: object) -> None:
        self.listener.close()


@contextlib.contextmanager
def relayed(**settings: Any) -> Iterator[tuple[RunningRelay, socket.socket, socket.socket]]:
    """Give a relay with one connection through it: the relay, the client's socket and the engine's."""
    with (
        RawEngine() as engine,
        RunningRelay(engine.url, **settings) as relay,
        relay.connect() as client,
        engine.accept() as upstream,
    ):
        yield relay, client, upstream


def receive(sock: socket.socket, size: int) -> bytes:
    """Return the next size bytes; fewer where the peer ends before."""
    pieces = []
    while size > 0 and (piece := sock.recv(min(size, 1 << 20))):
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)


def receive_all(sock: socket.socket) -> bytes:
    """Return what comes until the peer ends."""
    return receive(sock, 1 << 40)


def reset(sock: socket.socket) -> None:
    """Close a socket so that its peer sees a reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def wait_for(condition: Callable[[], bool], seconds: float = PATIENCE) -> None:
    """Wait until condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to hold in time"
        time.sleep(0.002)
