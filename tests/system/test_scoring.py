"""From an answer through the scoring worker to journal, windows, events and commands, with the models that ship."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.system.agents import Agent
from tests.system.test_record import command, listed

from stonechat.client import Client

pytestmark = pytest.mark.system

SETTINGS = """
[scoring]
when = "always"
sample = 1.0
exit_after = "1h"

[[guideline]]
name = "no-dosage"
severity = "critical"
forbidden = ['\\d+ ?mg\\b']
"""
INSULT = "You are a stupid, worthless idiot, and nobody will ever want to talk to you."
DOSAGE = "Take 400 mg in the morning and another 400 mg before you go to sleep."
HOURS = "It opens at nine in the morning and closes at six, every day but Sunday."


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    one = Agent(tmp_path)
    one.configure(more=SETTINGS)
    one.start()
    yield one
    if one.process is not None and one.process.poll() is None:
        one.process.kill()
        one.process.wait()


def say(agent: Agent, **answers: str) -> None:
    sender = Client(f"http://127.0.0.1:{agent.local}")
    for prompt, response in answers.items():
        sender.record(model="mine:1b", prompt=prompt.replace("_", " "), response=response)
    assert sender.flush(10)


def judged(agent: Agent) -> int:
    assert agent.process is not None
    for worker in children(agent.process.pid):
        hurry(worker)
    return int(agent.status()["scoring"]["judged"])


def hurry(pid: int) -> None:
    """Let a worker run beside others: beside busy tests one that takes what nobody wants might wait for minutes."""
    with contextlib.suppress(OSError):  # without the right to do so it takes its time
        os.sched_setscheduler(pid, os.SCHED_OTHER, os.sched_param(0))
        os.setpriority(os.PRIO_PROCESS, pid, 0)


def events(agent: Agent) -> list[dict[str, Any]]:
    found = command("log", "--json", "--config", str(agent.file))
    return [json.loads(line) for line in found.splitlines()]


def test_a_harmful_answer_and_a_broken_guideline_are_seen_wherever_answers_are(agent: Agent) -> None:
    say(agent, Can_you_help_me=INSULT, How_much_of_it=DOSAGE, When_does_the_library_open=HOURS)
    agent.wait(lambda: judged(agent) == 3, 240)
    wanted = {"toxic", "insult", "guideline:no-dosage"}
    agent.wait(lambda: wanted <= {name for row in listed(agent.file) for name in row.get("findings", [])}, 60)
    rows = listed(agent.file)
    assert len(rows) == 3
    insult = next(row for row in rows if "toxic" in row.get("findings", []))
    dosage = next(row for row in rows if "guideline:no-dosage" in row.get("findings", []))
    hours = next(row for row in rows if not row.get("findings"))
    assert insult["scores"]["toxic"] > 0.5 > hours["scores"]["toxic"]
    assert {"relevance", "coherence", "quality", "refusal"} <= hours["scores"].keys()
    assert dosage["scores"]["guideline:no-dosage"] >= 0.5
    # Flagged texts are kept though the verdict came later, the others are not.
    assert (insult["texts"], dosage["texts"], hours["texts"]) == ("kept", "kept", "not_flagged")
    told = {(event["kind"], event["key"]) for event in events(agent)}
    assert {("flagged", "toxic"), ("guideline_broken", "no-dosage")} <= told
    agent.wait(lambda: b"stonechat_flags" in agent.get("/metrics")[1])
    assert "3 answers judged, 3 of them by the large model" in command("status", "--config", str(agent.file))
    # Neither the log nor the metrics say what was said.
    for said in (agent.log(), agent.get("/metrics")[1].decode()):
        assert "idiot" not in said
        assert "400 mg" not in said


def test_a_worker_that_is_killed_is_started_again_and_none_outlives_the_agent(agent: Agent) -> None:
    say(agent, First=HOURS)
    agent.wait(lambda: judged(agent) == 1, 240)
    assert agent.process is not None
    (before,) = children(agent.process.pid)
    os.kill(before, signal.SIGKILL)
    say(agent, Second=HOURS.replace("nine", "ten"))
    agent.wait(lambda: judged(agent) == 2, 240)
    assert "the worker failed once" in command("status", "--config", str(agent.file))
    (after,) = children(agent.process.pid)
    assert after != before
    assert agent.stop() == 0
    agent.process = None
    agent.wait(lambda: not Path(f"/proc/{after}").exists())


def children(pid: int) -> list[int]:
    """The processes that a process started and that still run."""
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    for task in Path(f"/proc/{pid}/task").iterdir():
        found += (task / "children").read_text().split()
    return sorted(set(map(int, found)))
