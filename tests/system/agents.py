"""A real agent as a process, with a directory and ports of its own, for tests to configure and to ask."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from tests.ports import free_port


class Agent:
    """A real agent with its own directory and ports, and no engine behind it until a test makes one."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.file = directory / "agent.toml"
        self.engine, self.relay, self.local = free_port(), free_port(), free_port()
        self.process: subprocess.Popen[bytes] | None = None

    def configure(self, *, label: str = "a", more: str = "", broker: int = 0, passive: bool = True) -> None:
        """Write the configuration. ``passive``: whether the engine is asked about itself."""
        self.file.write_text(
            f"""\
[device]
id = "tested"
labels = {{ ring = "{label}" }}
[engine]
upstream = "http://127.0.0.1:{self.engine}"
listen = "127.0.0.1:{self.relay}"
passive = {"true" if passive else "false"}
[window]
length = "1s"
[spool]
path = "{self.directory / "spool"}"
min_free = "0B"
[local]
listen = "127.0.0.1:{self.local}"
[mqtt]
url = "{f"mqtt://127.0.0.1:{broker}" if broker else ""}"
{more}
"""
        )

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "stonechat_agent", "agent", "--config", str(self.file)],
            stderr=(self.directory / "log").open("ab"),
        )
        self.wait(lambda: "agent started" in self.log())

    def log(self) -> str:
        return (self.directory / "log").read_text()

    def wait(self, until: Callable[[], bool], seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while not until():
            assert time.monotonic() < deadline, self.log()
            assert self.process is None or self.process.poll() is None, self.log()
            time.sleep(0.05)

    def get(self, path: str) -> tuple[int, bytes]:
        connection = HTTPConnection("127.0.0.1", self.local, timeout=30)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def status(self) -> dict[str, Any]:
        return dict(json.loads(self.get("/v1/status")[1]))

    def stop(self) -> int:
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(60)


class Collector:
    """A real collector on a broker of somebody else's."""

    def __init__(self, directory: Path, broker: int) -> None:
        self.directory = directory / "collector"
        self.directory.mkdir()
        self.web = free_port()
        self.file = self.directory / "collector.toml"
        self.file.write_text(
            f'[web]\nlisten = "127.0.0.1:{self.web}"\n'
            f'[store]\nurl = "sqlite:///{self.directory}/fleet.db"\n'
            f'[broker]\nembedded = false\nurl = "mqtt://127.0.0.1:{broker}"\n'
        )
        self.process = subprocess.Popen(
            [sys.executable, "-m", "stonechat_agent", "collector", "--config", str(self.file)],
            stderr=(self.directory / "log").open("ab"),
        )
        deadline = time.monotonic() + 60
        while socket.socket().connect_ex(("127.0.0.1", self.web)) != 0:
            assert time.monotonic() < deadline, self.log()
            assert self.process.poll() is None, self.log()
            time.sleep(0.1)

    def log(self) -> str:
        """What it wrote so far."""
        return (self.directory / "log").read_text()

    def get(self, path: str) -> Any:
        """The JSON of a path."""
        connection = HTTPConnection("127.0.0.1", self.web, timeout=30)
        try:
            connection.request("GET", path)
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()

    def stop(self) -> int:
        """End it; returns the exit code."""
        self.process.terminate()
        return self.process.wait(60)
