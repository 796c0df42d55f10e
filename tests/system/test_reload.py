"""A reload keeps the model reachable, and neither it nor an end costs an exchange that was accepted."""

from __future__ import annotations

import json
import signal
import socket
import sqlite3
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest
from tests.system.agents import Agent

pytestmark = pytest.mark.system

JOURNAL = '[journal]\npath = "{}/journal"\n'


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    one = Agent(tmp_path)
    one.configure(more=JOURNAL.format(tmp_path))
    one.start()
    yield one
    if one.process is not None and one.process.poll() is None:
        one.process.kill()
        one.process.wait()


def tell(agent: Agent) -> int:
    """Tell of one exchange; returns how many were accepted."""
    connection = HTTPConnection("127.0.0.1", agent.local, timeout=60)
    try:
        body = json.dumps({"model": "m", "duration": 0.5})
        connection.request("POST", "/v1/exchanges", body, {"Content-Type": "application/json"})
        answer = json.loads(connection.getresponse().read())
    except OSError:
        return 0
    finally:
        connection.close()
    return int(answer["accepted"])


def test_what_is_accepted_while_the_configuration_is_reloaded_or_the_agent_ends_is_kept(agent: Agent) -> None:
    assert agent.process is not None
    accepted = 0
    for label in ("b", "c"):
        agent.configure(label=label, more=JOURNAL.format(agent.directory))
        before = agent.log().count("reloaded")
        agent.process.send_signal(signal.SIGHUP)
        until = time.monotonic() + 60
        while agent.log().count("reloaded") == before and time.monotonic() < until:
            accepted += tell(agent)
            time.sleep(0.002)  # the journal takes some hundreds a second
    accepted += tell(agent)
    agent.process.send_signal(signal.SIGTERM)
    while agent.process.poll() is None:
        accepted += tell(agent)
        time.sleep(0.002)
    with sqlite3.connect(agent.directory / "journal" / "journal.db") as journal:
        kept = journal.execute("SELECT count(*) FROM exchanges").fetchone()[0]
    assert accepted > 10
    assert kept == accepted


def test_a_changed_engine_is_relayed_at_once_while_an_answer_is_under_way(agent: Agent) -> None:
    assert agent.process is not None
    with socket.create_server(("127.0.0.1", agent.engine)) as engine:
        with socket.create_connection(("127.0.0.1", agent.relay)) as client:
            client.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}")
            serving, _ = engine.accept()
            while not serving.recv(1000).startswith(b"POST"):  # the agent asks too
                serving.close()
                serving, _ = engine.accept()
            agent.configure(label="d", passive=False, more=JOURNAL.format(agent.directory))
            agent.process.send_signal(signal.SIGHUP)
            agent.wait(lambda: agent.log().count(" relaying ") == 2)
            socket.create_connection(("127.0.0.1", agent.relay), 60).close()
            serving.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
            assert client.recv(100).endswith(b"{}")
            serving.close()
        agent.wait(lambda: "reloaded" in agent.log())


def test_an_address_of_the_local_endpoint_that_becomes_free_is_taken(tmp_path: Path) -> None:
    one = Agent(tmp_path)
    one.configure()
    with socket.create_server(("127.0.0.1", one.local)):
        one.start()
        assert "local endpoint not started" in one.log()
    try:
        one.wait(lambda: "local endpoint started" in one.log())
        assert one.get("/healthz")[0] == 200
        assert one.log().count("local endpoint not started") == 1
    finally:
        assert one.process is not None
        one.process.kill()
        one.process.wait()
