"""A real llama-server, a real agent and a real collector: the fleet's figures of an exchange are the engine's own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from tests.engine.cases import BY_NAME
from tests.engine.conftest import Relays
from tests.engine.servers import LlamaServer, talk, until
from tests.engine.truth import differences, expected
from tests.ports import free_port

NAMES = (
    "chat",
    "chat_stream",
    "responses_stream",
    "messages_stream",
    "native_stream",
    "chat_left_in_decode_timings_per_token",
    "chat_overflow",
)


class Fleet:
    """A collector with a broker of its own."""

    def __init__(self, directory: Path) -> None:
        self.web, self.broker = free_port(), free_port()
        file = directory / "collector.toml"
        file.write_text(
            f'[web]\nlisten = "127.0.0.1:{self.web}"\n[store]\nurl = "sqlite:///{directory}/fleet.db"\n'
            f'[broker]\nembedded = true\nlisten = "127.0.0.1:{self.broker}"\n'
        )
        self.process = subprocess.Popen(
            [sys.executable, "-m", "stonechat_agent", "collector", "--config", str(file)],
            stderr=(directory / "collector.log").open("ab"),
        )
        until(lambda: self.get("/api/v1/devices") is not None, 60)

    def get(self, path: str) -> Any:
        """The JSON of a path; None where there is none."""
        connection = HTTPConnection("127.0.0.1", self.web, timeout=10)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return json.loads(answer.read()) if answer.status == 200 else None
        except OSError:
            return None
        finally:
            connection.close()

    def exchanges(self) -> list[dict[str, Any]]:
        """What it has of the device's exchanges, in their order."""
        page = self.get("/api/v1/devices/tested/exchanges?dir=up")
        return list(page["exchanges"]) if page else []


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    one = Fleet(tmp_path)
    yield one
    one.process.terminate()
    one.process.wait(20)


def test_the_collector_has_what_the_answers_said(
    servers: dict[str, LlamaServer], relays: Callable[..., Relays], fleet: Fleet
) -> None:
    link = f'[mqtt]\nurl = "mqtt://127.0.0.1:{fleet.broker}"\n[exchanges]\nsample = 1.0\n'
    agent = relays({"plain": servers["plain"].port}, link)
    wanted = []
    for name in NAMES:
        case = BY_NAME[name]
        response = talk(agent.ports["plain"], case.request, case.leave, case.after_seconds)
        wanted.append(expected(case.path, response, left=bool(case.leaves)))
    until(lambda: len(fleet.exchanges()) == len(NAMES), 60)
    for name, said, has in zip(NAMES, wanted, fleet.exchanges(), strict=True):
        if BY_NAME[name].leaves:
            # What the engine said while its client was leaving reached the relay and not the client.
            for figure in ("output_tokens", "decode"):
                assert has[figure] >= said.pop(figure)
        assert differences(has, said) == {}, name
