"""From an application through a real agent to its journal, page and commands, and from an export through a replay."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.system.agents import Agent

from stonechat.client import Client, Recording

pytestmark = pytest.mark.system


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    one = Agent(tmp_path)
    one.configure(more='[privacy]\njournal = "all"\n')
    one.start()
    yield one
    if one.process is not None and one.process.poll() is None:
        one.process.kill()
        one.process.wait()


def command(*arguments: str, code: int = 0) -> str:
    program = [sys.executable, "-m", "stonechat_agent", *arguments]
    done = subprocess.run(program, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == code, done.stderr
    return done.stdout


def listed(config: str | Path, *arguments: str) -> list[dict[str, Any]]:
    lines = command("requests", "--json", "--limit", "0", "--config", str(config), *arguments).splitlines()
    return sorted((json.loads(line) for line in lines), key=lambda row: str(row["id"]))


def test_what_an_application_records_is_kept_shown_exported_and_replayed(
    agent: Agent, tmp_path: Path
) -> None:
    sender = Client(f"http://127.0.0.1:{agent.local}")
    for number in range(5):
        sender.record(
            model="mine:1b",
            prompt=f"Write to ann@example.org, number {number}.",
            response=f"I have written letter {number} to her, and she will read it tomorrow morning.",
            user="ann",
            duration=1.5,
            output_tokens=20,
        )
    with pytest.raises(TimeoutError), Recording(sender, {"model": "mine:1b"}):
        raise TimeoutError("the model took too long")
    assert sender.flush(60)
    assert sender.counts() == (6, 6, 0, 0)

    agent.wait(lambda: len(json.loads(agent.get("/v1/recent")[1])["exchanges"]) == 6)
    agent.wait(lambda: dict(agent.status()["recent"])["exchanges"] == 6)
    assert "is down" not in agent.status()["sentence"]
    status, page = agent.get("/")
    assert status == 200
    assert b"<title>This device - Stonechat</title>" in page
    assert b"example.org" not in agent.get("/v1/recent")[1]

    agent.wait(lambda: len(listed(agent.file)) == 6)
    rows = listed(agent.file, "--texts")
    assert {row["source"] for row in rows} == {"record"}
    assert len({row.get("user") for row in rows}) == 2
    assert [row["error_type"] for row in rows if row["outcome"] == "error"] == ["timeout"]
    assert "ann@example.org" not in json.dumps(rows)
    assert agent.stop() == 0

    export = tmp_path / "export.jsonl"
    command("export", "--texts", "-o", str(export), "--config", str(agent.file))
    into = tmp_path / "replayed"
    report = json.loads(
        command("replay", str(export), "--into", str(into), "--json", "--config", str(agent.file))
    )
    assert (report["exchanges"], report["errors"], report["errors_by_type"]) == (6, 1, {"timeout": 1})
    again = listed(report["config"], "--texts")
    assert [{**row, "source": "record"} for row in again] == rows
    # The agent's own journal and buffer are as they were.
    assert listed(agent.file, "--texts") == rows


def test_a_burst_of_records_leaves_the_agent_answering(agent: Agent) -> None:
    sender = Client(f"http://127.0.0.1:{agent.local}")
    slowest = 0.0
    for round_number in range(5):
        for number in range(2_000):
            sender.record(
                prompt=f"{round_number}.{number}", response="All is well here, thank you for asking."
            )
        began = time.monotonic()
        assert agent.get("/healthz")[0] == 200
        slowest = max(slowest, time.monotonic() - began)
    assert sender.flush(60)
    counts = sender.counts()
    assert counts.accepted + counts.dropped == 10_000
    assert slowest < 20

    def settled() -> bool:
        status = agent.status()
        lost = dict(status["losses"]).get("exchange.overflow", 0)
        return int(dict(status["recent"])["exchanges"]) + int(lost) == counts.accepted

    agent.wait(settled)
