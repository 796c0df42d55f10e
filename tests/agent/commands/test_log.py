"""``stonechat log``: events in words."""

from __future__ import annotations

import json
import signal
import subprocess

from tests.agent.commands.conftest import NOW_MS, Device

from stonechat.event import EventKind, Severity


def test_the_log_in_words(device: Device) -> None:
    lines = device.out("log").splitlines()
    assert [line[21:] for line in lines] == [
        "info      the agent has started",
        "critical  the engine is down",
        "warning   the clock was set back by 1m30s",
    ]


def test_severity_last_and_limit(device: Device) -> None:
    assert len(device.out("log", "--severity", "warning").splitlines()) == 2
    assert len(device.out("log", "--severity", "critical", "--last", "1d").splitlines()) == 1
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
        assert process.stdout.readline().endswith("critical  the engine is down\n")
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert (process.returncode, "Traceback" in errors) == (130, False)
