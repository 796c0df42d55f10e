"""The agent as a process: what it loads and weighs, and that it goes on where something is missing."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tests.ports import free_port
from tests.system.agents import Agent

pytestmark = pytest.mark.system

FORBIDDEN = (
    "numpy",
    "onnxruntime",
    "fastapi",
    "uvicorn",
    "sqlalchemy",
    "multiprocessing",
    "http.client",
    "urllib.request",
)


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    one = Agent(tmp_path)
    one.configure()
    yield one
    if one.process is not None and one.process.poll() is None:
        one.process.kill()
        one.process.wait()


def ask(port: int) -> int:
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(
            "POST", "/v1/chat/completions", b'{"messages": []}', {"Content-Type": "application/json"}
        )
        answer = connection.getresponse()
        answer.read()
        return answer.status
    finally:
        connection.close()


def test_the_main_process_loads_no_numpy_no_onnxruntime_and_no_web_framework() -> None:
    code = (
        "import sys, stonechat_agent.daemon, stonechat_agent.uplink.mqtt\n"
        "from stonechat_agent.sampling import build\n"
        "build(engines=[], spool_path='/').sample()\n"
        f"print([name for name in {FORBIDDEN!r} if name in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"


def test_a_running_agent_is_small_and_maps_no_scorer(agent: Agent) -> None:
    agent.configure(broker=free_port())
    agent.start()
    assert agent.process is not None
    agent.wait(lambda: "uplink failed" in agent.log())
    for _ in range(50):
        assert ask(agent.relay) == 502
    time.sleep(2.5)
    proc = Path(f"/proc/{agent.process.pid}")
    maps = (proc / "maps").read_text()
    assert "numpy" not in maps
    assert "onnxruntime" not in maps
    pss = next(line for line in (proc / "smaps_rollup").read_text().splitlines() if line.startswith("Pss:"))
    # Less than the agent's own, for other Pythons run beside it here: the bound catches what doubles it.
    assert int(pss.split()[1]) / 1024 <= 32


def test_exchanges_are_counted_kept_and_shown(agent: Agent) -> None:
    agent.start()
    for _ in range(3):
        assert ask(agent.relay) == 502
    agent.wait(lambda: dict(agent.status()["recent"])["errors"] == 3)
    status = agent.status()
    assert dict(status["recent"])["exchanges"] == 3
    agent.wait(lambda: "is down" in str(agent.status()["sentence"]))
    assert (
        b'error_type_total{engine="engine",operation="chat",value="engine_refused"} 3'
        in agent.get("/metrics")[1]
    )
    command = [sys.executable, "-m", "stonechat_agent", "status", "--config", str(agent.file)]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "tested (default): engine is down" in shown
    assert "3 in" in shown
    assert agent.stop() == 0
    left = subprocess.run(command, capture_output=True, text=True, check=False)
    assert left.returncode == 1
    assert "no agent answers there" in left.stderr


def test_status_shows_the_open_window_before_a_whole_one_has_closed(agent: Agent) -> None:
    agent.file.write_text(agent.file.read_text().replace('length = "1s"', 'length = "1h"'))
    with ThreadingHTTPServer(("127.0.0.1", agent.engine), _Lists) as engine:
        threading.Thread(target=engine.serve_forever, daemon=True).start()
        agent.start()
        # What the engine says of itself ends the first window after a moment.
        agent.wait(lambda: agent.status()["recent"]["span_seconds"] > 1.5)
        assert ask(agent.relay) == 404
        agent.wait(lambda: agent.status()["recent"]["exchanges"] == 1)
        assert agent.status()["recent"]["span_seconds"] < 600
        assert agent.status()["recent"]["cpu_utilization"] is not None
        assert b"stonechat_exchanges_total{" in agent.get("/metrics")[1]
        engine.shutdown()


class _Lists(BaseHTTPRequestHandler):
    """An engine that lists a model and knows nothing else."""

    def do_GET(self) -> None:
        self._answer(*((200, b'{"data": [{"id": "m"}]}') if self.path == "/v1/models" else (404, b"{}")))

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(404, b"{}")

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


def test_a_second_agent_on_the_same_spool_ends_with_a_clear_line(agent: Agent, tmp_path: Path) -> None:
    agent.start()
    other = Agent(tmp_path)
    other.file = tmp_path / "other.toml"
    other.configure()
    said = subprocess.run(
        [sys.executable, "-m", "stonechat_agent", "agent", "--config", str(other.file)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert said.returncode == 1
    assert "one agent at a time" in said.stderr


def test_a_port_that_is_taken_is_named_and_had_once_it_is_free(agent: Agent) -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", agent.relay))
        taken.listen()
        agent.start()
        assert f"engine.listen = 127.0.0.1:{agent.relay}" in agent.log()
        agent.wait(lambda: "cannot be relayed" in str(agent.status()["sentence"]))
    agent.wait(lambda: "relaying" in agent.log().split("relay not started")[-1])
    assert ask(agent.relay) == 502


def test_a_reload_that_is_wrong_changes_nothing_and_one_that_is_right_does(agent: Agent) -> None:
    agent.start()
    assert agent.process is not None
    agent.file.write_text(agent.file.read_text().replace("length", "lenght"))
    os.kill(agent.process.pid, signal.SIGHUP)
    agent.wait(lambda: "reload refused" in agent.log())
    assert "did you mean length?" in agent.log()
    assert ask(agent.relay) == 502
    agent.configure(label="b")
    os.kill(agent.process.pid, signal.SIGHUP)
    agent.wait(lambda: " reloaded file=" in agent.log())
    assert ask(agent.relay) == 502
    agent.wait(lambda: dict(agent.status()["recent"])["errors"] == 1)


def test_a_reload_keeps_the_streams_of_engines_that_did_not_change(agent: Agent) -> None:
    with socket.socket() as engine:
        engine.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        engine.bind(("127.0.0.1", agent.engine))
        engine.listen()
        agent.configure(passive=False)  # the one connection is the client's
        agent.start()
        assert agent.process is not None
        go_on = threading.Event()

        def answer() -> None:
            connection, _ = engine.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab")
                go_on.wait(60)
                connection.sendall(b"cd")

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        with socket.create_connection(("127.0.0.1", agent.relay), 60) as client:
            client.sendall(b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n")
            received = b""
            while not received.endswith(b"ab"):
                received += client.recv(65536)
            agent.configure(label="b", passive=False)
            os.kill(agent.process.pid, signal.SIGHUP)
            agent.wait(lambda: " reloaded file=" in agent.log())
            go_on.set()
            assert client.recv(65536) == b"cd"
        thread.join(60)


def test_a_directory_that_cannot_be_written_is_said_and_does_not_stop_the_relay(agent: Agent) -> None:
    blocked = agent.directory / "spool"
    blocked.write_text("a file where the directory should be")
    agent.start()
    agent.wait(lambda: "kept in memory" in str(agent.status()["sentence"]))
    assert ask(agent.relay) == 502


def test_a_sensor_that_never_answers_delays_neither_the_relay_nor_the_other_sources(
    agent: Agent, tmp_path: Path
) -> None:
    board = Path(__file__).parent.parent / "fixtures" / "boards" / "raspberry-pi-5"
    sys_root = tmp_path / "sys"
    shutil.copytree(board / "sys", sys_root, symlinks=True)
    hung = sys_root / "class" / "hwmon" / "hwmon0" / "temp1_input"
    hung.unlink()
    os.mkfifo(hung)  # who opens it for reading waits until somebody writes, and nobody does
    agent.configure(more=f'[sampling]\nsys_root = "{sys_root}"', passive=False)
    agent.start()
    waits: list[float] = []

    def cpu_seconds() -> int:
        seconds = json.loads(agent.get("/v1/recent?after=-1")[1])["series"]
        return sum(value is not None for value in seconds["cpu"])

    ends = time.monotonic() + 60
    while len(waits) < 60 or cpu_seconds() < 4:
        assert time.monotonic() < ends
        began = time.monotonic()
        assert ask(agent.relay) == 502
        waits.append(time.monotonic() - began)
        time.sleep(0.05)
    # Each sample waits for the sensor; a relay that did too would be slow at each.
    assert sorted(waits)[len(waits) // 2] < 1.0, waits
    assert agent.status()["recent"]["temperature_celsius"] is None
    assert agent.status()["recent"]["memory_utilization"] is not None
