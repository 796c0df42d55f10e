"""A store of its own for each test, and real brokers."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.ports import free_port

from stonechat_collector import broker as embedded
from stonechat_collector.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(f"sqlite:///{tmp_path}/fleet.db")
    yield opened
    opened.close()


def wait_until(true: Callable[[], object], seconds: float = 60.0) -> None:
    """Wait until something is true, and fail where it does not become so."""
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, "it did not come to pass"
        time.sleep(0.02)


@contextlib.contextmanager
def mosquitto(directory: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """A real mosquitto on a port of loopback; its sessions survive a restart."""
    program = shutil.which("mosquitto", path="/usr/sbin:/usr/bin:/usr/local/sbin:/opt/homebrew/sbin")
    if program is None:
        pytest.fail("mosquitto is not installed: apt-get install mosquitto")
    config = directory / "mosquitto.conf"
    config.write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence true\n"
        f"persistence_location {directory}/\nmax_queued_messages 0\n"
    )
    process = subprocess.Popen([program, "-c", str(config)], stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: _answers(port))
        yield process
    finally:
        process.terminate()
        process.wait(60)


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


@contextlib.contextmanager
def amqtt(port: int) -> Iterator[None]:
    """The embedded broker on a port of loopback."""
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()
    ready = threading.Event()

    def serve() -> None:
        asyncio.set_event_loop(loop)
        listener = socket.create_server(("127.0.0.1", port))
        loop.run_until_complete(embedded.serve(listener, stop, ready.set))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()

    thread = threading.Thread(target=serve, name="amqtt", daemon=True)
    thread.start()
    assert ready.wait(60)
    try:
        yield
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(60)
        assert not thread.is_alive()


@pytest.fixture(params=["mosquitto", "amqtt"])
def broker_port(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[int]:
    """The port of a real broker: mosquitto, then the embedded one."""
    port = free_port()
    with mosquitto(tmp_path, port) if request.param == "mosquitto" else amqtt(port):
        yield port
