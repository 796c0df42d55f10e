"""``./dev demo`` shows what it promises: a healthy device, a starved one, an erring one, and one that goes offline."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

pytestmark = pytest.mark.system

DEMO = [sys.executable, "-m", "stonechat_collector.demo", "--port", "0"]


def by_id(overview: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {device["id"]: device for device in overview["devices"]}


def test_the_headless_demo_prints_a_fleet_with_three_characters() -> None:
    run = subprocess.run(
        [*DEMO, "--headless", "--seconds", "45", "--json"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    devices = by_id(json.loads(run.stdout))
    assert set(devices) == {"lobby-kiosk", "floor-robot", "till-assistant"}
    metrics = {name: device["metrics"] for name, device in devices.items()}
    for name, of in metrics.items():
        assert of["exchanges"] > 0, name
        assert of["tokens_per_second"] > 0, name
        assert of["ttft_p50_seconds"] > 0, name
        assert 0 < of["cpu_utilization"] <= 1, name
        assert of["output_tokens"] > 0, name
    healthy, starved, erring = (metrics[n] for n in ("lobby-kiosk", "floor-robot", "till-assistant"))
    assert starved["tokens_per_second"] <= 0.5 * healthy["tokens_per_second"]
    assert erring["errors"] > 0
    assert healthy["errors"] == starved["errors"] == 0
    assert devices["till-assistant"]["status"] == "failing"
    assert devices["floor-robot"]["status"] == "slow"


@pytest.fixture
def demo() -> Iterator[tuple[subprocess.Popen[str], str, dict[str, int]]]:
    """A demo for people: its process, its page's address, and the agents' process ids."""
    process = subprocess.Popen(
        DEMO, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, start_new_session=True
    )
    assert process.stdout is not None
    try:
        said = ""
        for line in process.stdout:
            said += line
            if "Ctrl-C" in line:
                break
        page = re.search(r"http://127\.0\.0\.1:\d+/", said)
        assert page is not None, said
        agents = {name: int(pid) for name, pid in re.findall(r"^  (\S+) .*\n +agent pid (\d+)", said, re.M)}
        yield process, page.group(), agents
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def status(page: str) -> dict[str, str]:
    with urlopen(f"{page}api/v1/devices", timeout=60) as answer:
        return {name: device["status"] for name, device in by_id(json.load(answer)).items()}


def wait_for(page: str, device: str, wanted: bool, seconds: float) -> float:
    """Seconds until a device is (not) offline."""
    begun = time.monotonic()
    while time.monotonic() - begun < seconds:
        if (status(page).get(device, "offline") == "offline") is wanted:
            return time.monotonic() - begun
        time.sleep(0.5)
    raise AssertionError(f"{device} is {status(page)} after {seconds} s")


def children_of(pid: int) -> set[int]:
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == pid:
                found.add(int(entry.name))
    return found


def exchanges(page: str, device: str) -> list[dict[str, Any]]:
    with urlopen(f"{page}api/v1/devices/{device}/exchanges?limit=500", timeout=60) as answer:
        found: list[dict[str, Any]] = json.load(answer)["exchanges"]
        return found


def test_devices_tell_of_exchanges_and_why_texts_are_not_there(
    demo: tuple[subprocess.Popen[str], str, dict[str, int]],
) -> None:
    _, page, agents = demo
    deadline = time.monotonic() + 180
    told: dict[str, list[dict[str, Any]]] = {name: [] for name in agents}
    while not (
        all(told.values())
        and any(x["outcome"] == "error" for x in told["till-assistant"])
        and any(x["source"] == "relay" for x in told["lobby-kiosk"])
    ):
        assert time.monotonic() < deadline, {name: len(found) for name, found in told.items()}
        time.sleep(1)
        told = {name: exchanges(page, name) for name in agents}
    assert any(found["has_texts"] for found in told["lobby-kiosk"])
    for name in ("floor-robot", "till-assistant"):
        assert {found["has_texts"] for found in told[name]} == {False}
        assert {found["no_texts"] for found in told[name]} <= {"upload_none", "not_flagged", "no_texts"}
    answered = [f for f in told["lobby-kiosk"] if f["outcome"] == "ok" and f["source"] == "relay"]
    assert answered
    assert all(found["output_tokens_from"] == "engine" and found["decode"] for found in answered)


def test_an_answer_is_flagged_and_a_guideline_is_broken(
    demo: tuple[subprocess.Popen[str], str, dict[str, int]],
) -> None:
    _, page, _ = demo
    wanted = {"toxic", "guideline:no-dosage"}
    found: dict[str, dict[str, Any]] = {}
    deadline = time.monotonic() + 120
    while not wanted <= found.keys():
        assert time.monotonic() < deadline, sorted(found)
        time.sleep(1)
        found = {name: x for x in exchanges(page, "lobby-kiosk") for name in x["findings"] or []}
    assert found["toxic"]["scores"]["toxic"] > 0.5
    assert all(found[name]["has_texts"] and found[name]["source"] == "record" for name in wanted)
    with urlopen(f"{page}api/v1/events?device=lobby-kiosk&limit=500", timeout=60) as answer:
        happened = {(event["kind"], event["key"]) for event in json.load(answer)["events"]}
    assert {("flagged", "toxic"), ("guideline_broken", "no-dosage")} <= happened
    with urlopen(f"{page}devices/lobby-kiosk", timeout=30) as answer:
        html = answer.read().decode()
    assert "Judged by models" in html
    assert "broke the guideline no-dosage" in html


def test_a_killed_agent_is_offline_within_half_a_minute_and_ctrl_c_stops_everything(
    demo: tuple[subprocess.Popen[str], str, dict[str, int]],
) -> None:
    process, page, agents = demo
    wait_for(page, "lobby-kiosk", wanted=False, seconds=120)
    os.kill(agents["lobby-kiosk"], signal.SIGKILL)
    assert wait_for(page, "lobby-kiosk", wanted=True, seconds=30) <= 30
    started = children_of(process.pid)
    assert len(started) > 6
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0
    deadline = time.monotonic() + 60
    while any(Path(f"/proc/{pid}").exists() for pid in started) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not [pid for pid in started if Path(f"/proc/{pid}").exists()]
