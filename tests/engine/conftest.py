"""Real llama-servers and a real agent in front of them.

``./dev test engine`` builds the server and runs these tests. Without it there is nothing to run them with, so the
default run does not collect them.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.engine.servers import FORMS, LlamaServer, until
from tests.ports import free_port
from tests.system.agents import Agent

collect_ignore_glob = [] if os.environ.get("STONECHAT_ENGINE") else ["test_*.py"]


@pytest.fixture(scope="session")
def folder() -> Path:
    """Where the server and its model are."""
    built = os.environ.get("STONECHAT_ENGINE")
    assert built, "no server is built for these tests: run ./dev test engine"
    return Path(built)


@pytest.fixture
def started(folder: Path, tmp_path: Path) -> Iterator[Callable[..., LlamaServer]]:
    """Starts servers of a test's own."""
    running: list[LlamaServer] = []

    def start(form: str = "plain", *, wait: bool = True, port: int = 0) -> LlamaServer:
        server = LlamaServer(folder, form, tmp_path / "engine.log", port)
        running.append(server)
        server.start(wait=wait)
        return server

    yield start
    for server in running:
        server.kill()


class Journal:
    """The agent's journal, read as any other program could."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def rows(self, after: int = 0) -> list[dict[str, Any]]:
        """The exchanges after a place, in the order in which they ended; what is unknown is absent."""
        if not self.file.exists():
            return []
        with closing(sqlite3.connect(f"file:{self.file}?mode=ro", uri=True)) as db:
            db.row_factory = sqlite3.Row
            try:
                found = db.execute("SELECT * FROM exchanges WHERE seq > ? ORDER BY seq", (after,)).fetchall()
            except sqlite3.OperationalError:
                return []  # it is just being made
        rows = [{key: row[key] for key in row.keys() if row[key] is not None} for row in found]  # noqa: SIM118
        return [row | {"streamed": bool(row["streamed"])} if "streamed" in row else row for row in rows]

    def last(self) -> int:
        """The place of the latest exchange."""
        return max((row["seq"] for row in self.rows()), default=0)

    def next(self, after: int) -> dict[str, Any]:
        """The one exchange after a place, waited for."""
        until(lambda: bool(self.rows(after)))
        (row,) = self.rows(after)
        return row


class Relays(Agent):
    """A real agent with a relay before a server of each form; the servers need not be there."""

    def __init__(self, directory: Path, ports: dict[str, int], more: str = "") -> None:
        super().__init__(directory)
        self.ports = {form: free_port() for form in ports}
        self.journal = Journal(directory / "journal" / "journal.db")
        (directory / "key").write_text("sesame\n")
        engines = "".join(
            f'[[engine]]\nname = "{form}"\nupstream = "http://127.0.0.1:{port}"\n'
            f'listen = "127.0.0.1:{self.ports[form]}"\n'
            + (f'api_key_file = "{directory / "key"}"\n' if form == "locked" else "")
            for form, port in ports.items()
        )
        self.file.write_text(
            f"""\
[device]
id = "tested"
{engines}
[window]
length = "1s"
[privacy]
journal = "all"
[journal]
path = "{directory / "journal"}"
[spool]
path = "{directory / "spool"}"
min_free = "0B"
[local]
listen = "127.0.0.1:{self.local}"
{more}
"""
        )


@pytest.fixture(scope="session")
def servers(folder: Path) -> Iterator[dict[str, LlamaServer]]:
    """A server of each form but the one that sleeps."""
    running = {form: LlamaServer(folder, form) for form in FORMS if form != "sleepy"}
    try:
        for server in running.values():
            server.start()
        yield running
    finally:
        for server in running.values():
            server.kill()


@pytest.fixture(scope="session")
def agent(servers: dict[str, LlamaServer], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relays]:
    """An agent before all of them."""
    relays = Relays(tmp_path_factory.mktemp("agent"), {form: server.port for form, server in servers.items()})
    relays.start()
    yield relays
    assert relays.stop() == 0, relays.log()


@pytest.fixture
def relays(tmp_path: Path) -> Iterator[Callable[..., Relays]]:
    """Starts agents of a test's own."""
    running: list[Relays] = []

    def start(ports: dict[str, int], more: str = "") -> Relays:
        one = Relays(tmp_path, ports, more)
        running.append(one)
        one.start()
        # Each relay listens a moment after the agent says that it has started.
        time.sleep(0.2)
        return one

    yield start
    for one in running:
        one.stop()
