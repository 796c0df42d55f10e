"""What the page at the local endpoint is and reads: ``/`` and ``/v1/recent``.

Everything they show comes in as a parameter; nothing here has a state of its own.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import time
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from stonechat import judgements
from stonechat.event import Severity
from stonechat.sentences import sentence
from stonechat_agent.journal import WHY, JournalEvent, Recent
from stonechat_agent.local.endpoint import Page, Show
from stonechat_agent.local.series import SPAN_SECONDS, Series

EXCHANGES = 50
EVENTS = 30
FILE = Path(__file__).parent / "page.html"

_SEVERITIES = {int(severity): severity.name.lower() for severity in Severity}
_BLOCKS = re.compile(r"<(script|style)>(.*?)</\1>", re.DOTALL)


def page() -> Callable[[], Page]:
    """What shows the page, which is read from the disk once, now.

    Its policy lets nothing in but its own script and style, named by their hashes, and nothing out but requests to
    where it came from: whatever a model is called, it stays text.
    """
    body = FILE.read_bytes()
    hashes: dict[str, list[str]] = {"script": [], "style": []}
    for kind, content in _BLOCKS.findall(body.decode("utf-8")):
        digest = base64.b64encode(hashlib.sha256(content.encode("utf-8")).digest()).decode("ascii")
        hashes[kind].append(f"'sha256-{digest}'")
    policy = "; ".join(
        [
            "default-src 'none'",
            f"script-src {' '.join(hashes['script'])}",
            f"style-src {' '.join(hashes['style'])}",
            "connect-src 'self'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
        ]
    )
    headers = (
        ("Content-Security-Policy", policy),
        ("X-Frame-Options", "DENY"),
        ("Referrer-Policy", "no-referrer"),
        ("Cross-Origin-Opener-Policy", "same-origin"),
        ("Cross-Origin-Resource-Policy", "same-origin"),
    )
    answer = Page(200, "text/html; charset=utf-8", body, headers)
    return lambda: answer


def recent(
    latest: Callable[[int], Recent],
    series: Series,
    *,
    monotonic_ns: Callable[[], int] = time.monotonic_ns,
    wall_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
) -> Show:
    """What answers ``/v1/recent``: the latest exchanges and events, newest first, and ten minutes by the second.

    Its parameters spare what the asker has already: ``after``, the last second that it has (``series.t``), and
    ``seen``, the ``version`` of exchanges and events. What has not changed is left out.
    """

    def show(query: Mapping[str, str]) -> Page:
        after, seen = _whole(query.get("after")), query.get("seen")
        found = latest(max(EXCHANGES, EVENTS))
        told: dict[str, Any] = {
            "exchanges": found.exchanges[:EXCHANGES],
            "events": [_event(event) for event in found.events[:EVENTS]],
            "texts": WHY,
            "judgements": {"said": judgements.SAID, "low": sorted(judgements.LOW)},
        }
        latest_json = json.dumps(told, separators=(",", ":"))
        version = f"{zlib.crc32(latest_json.encode()):08x}"
        now_ns = monotonic_ns()
        now = {
            "now": wall_ms(),
            "second": now_ns // 1_000_000_000,
            "span_seconds": SPAN_SECONDS,
            "version": version,
            "series": series.since(after, now_ns),
        }
        answer = json.dumps(now, separators=(",", ":"))
        if seen != version:
            answer = f"{answer[:-1]},{latest_json[1:]}"
        return Page(200, "application/json", answer.encode() + b"\n")

    return show


def _event(event: JournalEvent) -> dict[str, Any]:
    return {
        "wall": event.wall,
        "kind": event.kind,
        "key": event.key,
        "severity": _SEVERITIES[min(Severity.CRITICAL, max(Severity.INFO, event.severity))],
        "count": event.times,
        "text": sentence(event.kind, event.key, event.attributes, event.times),
    }


def _whole(text: str | None) -> int:
    if text is not None and text.isascii() and text.isdigit() and len(text) < 16:
        return int(text)
    return -1
