"""``stonechat log``: events in words."""

from __future__ import annotations

import json
import signal
import subprocess
from typing import Any

import pytest
from tests.agent.commands.conftest import NOW_MS, Device

from stonechat.event import EventKind, Severity
from stonechat.sentences import sentence

KINDS = [value for name, value in vars(EventKind).items() if name.isupper()]
ATTRIBUTES: dict[str, dict[str, Any]] = {
    EventKind.LOSS: {"stream": "window", "reason": "too_full", "lost": 3, "cover": [["0" * 16, 1, 3]]},
    EventKind.SPOOL_QUARANTINED: {"file": "spool.db.bad-1", "reason": "DatabaseError"},
    EventKind.SPOOL_UNWRITABLE: {"reason": "OperationalError"},
    EventKind.CLOCK_STEPPED: {"step_ms": 3_600_000},
    EventKind.RESUMED: {"suspended_ms": 7_200_000},
    EventKind.ENGINE_CHANGED: {"digest_before": "sha256:aa", "digest_after": "sha256:bb", "model": "qwen"},
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_a_sentence(kind: str) -> None:
    said = sentence(kind, "engine", ATTRIBUTES.get(kind, {}))
    assert not said.startswith(kind.replace("_", " "))  # what is said of kinds that nobody knows
    assert len(said.split()) > 2
    assert "{" not in said


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (EventKind.LOSS, "3 windows are lost before a collector had them: too full"),
        (EventKind.CLOCK_STEPPED, "the clock was set forward by 1h00m"),
        (EventKind.RESUMED, "the device woke after 2h00m of suspend"),
        (EventKind.ENGINE_CHANGED, "engine engine has changed, model qwen: digest sha256:aa -> sha256:bb"),
    ],
)
def test_sentences_with_figures(kind: str, said: str) -> None:
    assert sentence(kind, "engine", ATTRIBUTES[kind]) == said


def test_a_kind_that_is_not_known_and_attributes_that_are_damaged() -> None:
    assert (
        sentence("engine_flew_off", "engine", {"height": 3, "list": []}) == "engine flew off engine height=3"
    )
    assert sentence(EventKind.LOSS, "window.full", {}) == "loss window.full"
    assert sentence(EventKind.STARTED, "agent", {}, 3) == "the agent has started (3 times)"


def test_the_log_in_words(device: Device) -> None:
    lines = device.out("log").splitlines()
    assert [line[21:] for line in lines] == [
        "info      the agent has started",
        "critical  engine engine is down",
        "warning   the clock was set back by 1m30s",
    ]


def test_severity_last_and_limit(device: Device) -> None:
    assert len(device.out("log", "--severity", "warning").splitlines()) == 2
    assert len(device.out("log", "--severity", "critical", "--last", "5m").splitlines()) == 1
    done = device.run("log", "--last", "1s")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "no events that match\n")
    done = device.run("log", "--limit", "1")
    (line,) = done.stdout.splitlines()
    assert line.endswith("the clock was set back by 1m30s")
    assert done.stderr == "only the latest 1 shown: --limit 0 shows all\n"
    done = device.run("log", "--severity", "bad")
    assert done.returncode == 2


def test_json(device: Device) -> None:
    (event,) = map(json.loads, device.out("log", "--json", "--severity", "critical").splitlines())
    assert event == {
        "start": NOW_MS - 60_000,
        "severity": "critical",
        "kind": "engine_down",
        "key": "engine",
        "count": 1,
        "attributes": {},
    }


def test_follow(empty: Device) -> None:
    empty.write([], [(NOW_MS, EventKind.STARTED, "agent", Severity.INFO)])
    process = subprocess.Popen(
        empty.command("log", "--follow", "--severity", "warning"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=empty.environ(),
    )
    assert process.stdout is not None
    try:
        empty.write([], [(NOW_MS, EventKind.ENGINE_DOWN, "engine", Severity.CRITICAL)])
        assert process.stdout.readline().endswith("critical  engine engine is down\n")
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=10)
    finally:
        process.kill()
        process.wait()
    assert (process.returncode, "Traceback" in errors) == (130, False)
