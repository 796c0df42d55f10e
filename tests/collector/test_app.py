"""``stonechat collector`` as a process: it starts, heals, stops, and says in one line why it cannot."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from tests.collector.conftest import wait_until
from tests.collector.making import state_message, window, windows_message
from tests.collector.test_link import Device
from tests.ports import free_port

from stonechat_collector.supervise import STOP_SECONDS, Notify

pytestmark = pytest.mark.system


class Collector:
    """A running collector, on ports and in a directory of its own."""

    def __init__(self, directory: Path, *, environ: dict[str, str] | None = None, broker: str = "") -> None:
        self.web, self.mqtt = free_port(), free_port()
        config = directory / "collector.toml"
        broker = broker or f'listen = "127.0.0.1:{self.mqtt}"'
        config.write_text(
            f'[web]\nlisten = "127.0.0.1:{self.web}"\n[store]\nurl = "sqlite:///{directory}/fleet.db"\n'
            f"[broker]\n{broker}\n"
        )
        self.process = subprocess.Popen(
            [sys.executable, "-m", "stonechat_agent", "collector", "--config", str(config)],
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **(environ or {})},
        )
        self.children: dict[str, psutil.Process] = {}

    def get(self, path: str) -> Any:
        with contextlib.suppress(httpx.HTTPError):
            return httpx.get(f"http://127.0.0.1:{self.web}{path}", timeout=60)
        return None

    def wait(self) -> None:
        wait_until(lambda: (answer := self.get("/healthz")) is not None and answer.status_code == 200, 60)
        self.children = {child.cmdline()[-1]: child for child in psutil.Process(self.process.pid).children()}

    def stop(self) -> tuple[int, str]:
        self.process.terminate()
        _, log = self.process.communicate(timeout=60)
        return self.process.returncode, log


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[Collector]:
    running = Collector(tmp_path)
    try:
        running.wait()
        yield running
    finally:
        if running.process.poll() is None:
            running.process.kill()
            running.process.communicate()


def devices(collector: Collector) -> dict[str, str]:
    answer = collector.get("/api/v1/devices")
    return {} if answer is None else {device["id"]: device["status"] for device in answer.json()["devices"]}


def test_a_devices_windows_reach_the_api_and_its_end_shows_at_once(collector: Collector) -> None:
    device = Device(collector.mqtt)
    now = time.time_ns() // 1_000_000
    device.send(state_message(True, 1, 1), retain=True)
    device.send(windows_message([window(seq, start=now - 60_000 * (10 - seq)) for seq in range(1, 10)]))
    wait_until(lambda: device.taken() == ((1, 9),))
    wait_until(lambda: devices(collector) == {"kiosk-1": "well"})
    wait_until(lambda: (collector.get("/api/v1/devices/kiosk-1").json()["metrics"]["exchanges"] or 0) > 0)
    device.die()
    wait_until(lambda: devices(collector) == {"kiosk-1": "offline"})


def test_a_killed_process_is_started_again_and_its_address_stays_open(collector: Collector) -> None:
    assert collector.children.keys() == {"broker", "ingest", "rollup", "web"}
    for name in ("web", "broker", "ingest"):
        collector.children[name].kill()
        collector.children[name].wait(60)
    # The listening sockets are the supervisor's: this waits, and is not refused.
    with (
        socket.create_connection(("127.0.0.1", collector.web), 60),
        socket.create_connection(("127.0.0.1", collector.mqtt), 60),
    ):
        pass
    wait_until(lambda: collector.get("/healthz") is not None)
    device = Device(collector.mqtt)
    device.send(windows_message([window(1)]))
    wait_until(lambda: device.taken() == ((1, 1),))
    device.leave()
    assert collector.process.poll() is None


def test_sigterm_ends_everything_soon_though_a_page_is_being_told(collector: Collector) -> None:
    with httpx.stream("GET", f"http://127.0.0.1:{collector.web}/api/v1/stream", timeout=60) as stream:
        next(stream.iter_lines())
        begun = time.monotonic()
        code, log = collector.stop()
        assert time.monotonic() - begun < STOP_SECONDS + 15  # on a busy machine
    assert code == 0
    assert " ready " in log
    assert "trace=" not in log
    assert not any(child.is_running() for child in collector.children.values())


def test_the_processes_die_with_their_supervisor(collector: Collector) -> None:
    collector.process.send_signal(signal.SIGKILL)
    collector.process.communicate()
    _, alive = psutil.wait_procs(list(collector.children.values()), timeout=60)
    assert alive == []


def test_a_taken_address_is_one_clear_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        collector = Collector(tmp_path, broker=f'listen = "{address}"')
        _, log = collector.process.communicate(timeout=60)
    assert collector.process.returncode == 1
    assert log.startswith(
        f"stonechat: broker.listen = {address}: cannot listen: Address already in use\n  hint: "
    )
    assert len(log.splitlines()) == 2


def test_an_unreachable_broker_is_said_and_the_pages_are_served(tmp_path: Path) -> None:
    collector = Collector(tmp_path, broker=f'url = "mqtt://127.0.0.1:{free_port()}"')
    collector.wait()
    code, log = collector.stop()
    assert code == 0
    assert "broker unreachable broker=127.0.0.1:" in log
    assert "Connection refused" in log


def test_systemd_is_told_when_all_is_ready_and_that_it_lives(tmp_path: Path) -> None:
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(path)
        manager.settimeout(60)
        collector = Collector(tmp_path, environ={"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "1000000"})
        assert manager.recv(100) == b"READY=1"
        assert collector.get("/healthz").status_code == 200
        assert [manager.recv(100) for _ in range(2)] == [b"WATCHDOG=1", b"WATCHDOG=1"]
        collector.stop()
        rest: list[bytes] = []
        while not rest or rest[-1] != b"STOPPING=1":
            rest.append(manager.recv(100))


def test_outside_of_systemd_nobody_is_told() -> None:
    notify = Notify({})
    notify.send("READY=1")
    notify.beat()
