"""What ``stonechat status`` says of a status, for people."""

from __future__ import annotations

from typing import Any

import pytest

from stonechat_agent.status import render


def a_status(**recent: Any) -> dict[str, Any]:
    unknown = dict.fromkeys(
        ("tokens_per_second", "temperature_celsius", "cpu_utilization", "memory_utilization"), None
    )
    times = dict.fromkeys(
        ("ttft_p50_seconds", "ttft_p95_seconds", "duration_p50_seconds", "duration_p95_seconds"), None
    )
    own = {"agent_memory_bytes": None, "agent_cpu_utilization": None}
    counts = {"exchanges": 7, "errors": 1, "aborted": 0, "span_seconds": 170.0}
    return {
        "device": "kiosk-017",
        "fleet": "shops",
        "version": "0.1.0",
        "sentence": "all well",
        "uptime_seconds": 30.0,
        "engines": [
            {"name": "llama", "state": "up", "listen": "127.0.0.1:1", "upstream": "http://127.0.0.1:2"}
        ],
        "recent": {**unknown, **times, **own, **counts, **recent},
        "uplink": {"sentence": "none configured"},
        "spool": {"records": 1, "bytes": 2048, "path": "/var/lib/stonechat"},
        "journal": {"fault": "", "bytes": 4096, "path": "/var/lib/stonechat"},
        "scoring": {
            "enabled": True,
            "judged": 12,
            "judged_deeply": 3,
            "waiting": 0,
            "paused": "",
            "restarts": 0,
            "faults": [],
        },
        "untold": {},
        "losses": {},
        "sources": [],
    }


def test_figures_have_three_digits_and_a_unit() -> None:
    text = render(
        a_status(
            ttft_p50_seconds=0.00896,
            ttft_p95_seconds=1.5,
            tokens_per_second=1234.5,
            cpu_utilization=0.943,
            temperature_celsius=61.25,
            agent_memory_bytes=35 << 20,
        )
    )
    assert "  first token    8.96ms median, 1.50s p95\n" in text
    assert "  speed          1234 tokens/s\n" in text
    assert "  device         CPU 94.3%, memory unknown, 61.2 C\n" in text
    assert "  spool          1 record waits, 2.00KiB in /var/lib/stonechat\n" in text
    assert "35.0MiB, CPU unknown of a core" in text


def test_what_is_unknown_says_what_it_is() -> None:
    text = render(a_status())
    assert "CPU unknown, memory unknown, temperature unknown\n" in text
    assert "  first token    unknown\n" in text
    assert "  speed          unknown\n" in text


@pytest.mark.parametrize(
    ("scoring", "said"),
    [
        ({"enabled": False}, "off: [scoring] enabled"),
        ({}, "12 answers judged, 3 of them by the large model"),
        (
            {"waiting": 1, "paused": "decoding"},
            "12 answers judged, 3 of them by the large model; 1 waits while the engine answers",
        ),
        (
            {"waiting": 4, "paused": "", "restarts": 2},
            "12 answers judged, 3 of them by the large model; 4 wait for their turn; the worker failed 2 times",
        ),
    ],
)
def test_what_is_judged_and_what_waits_and_why(scoring: dict[str, Any], said: str) -> None:
    status = a_status()
    status["scoring"].update(scoring)
    assert f"  scoring        {said}\n" in render(status)


def test_a_model_that_cannot_be_used_says_why() -> None:
    status = a_status()
    status["scoring"]["faults"] = ["model judge: model.onnx: SHA-256 differs"]
    assert "  not judging    model judge: model.onnx: SHA-256 differs\n" in render(status)
