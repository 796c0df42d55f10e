"""Made-up fleets in the shape of the views' dicts, for the rendering tests: no store, no clock, seeded randomness."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from tests.collector.pages.told import told

from stonechat.exchange import is_flagged
from stonechat.exchange_row import FIELDS
from stonechat_collector.exchange_views import WHY_NOT, Filter

NOW = 1_795_602_784_000  # 2026-11-25 10:33:04 UTC
MINUTE = 60_000

REASONS = {
    "offline": "nothing heard for more than 3 min",
    "failing": "the engine is down",
    "slow": "2.9 tokens/s where its peers have 24.1; memory pressure 31% of the time",
    "hot": "throttled 21% of the time at 84 °C",
    "well": "",
    "unknown": "heard of, but no window came yet",
}
ORDER = tuple(REASONS)
MODELS = ("qwen2.5-1.5b-instruct-q4_k_m", "llama-3.2-3b-instruct-q4_k_m", "phi-3.5-mini-instruct-q4_0")
BOARDS = ("raspberry-pi-5", "jetson-orin-nano", "x86_64-4c-16g")


def a_device(name: str, status: str = "well", **changes: Any) -> dict[str, Any]:
    """One device with plausible figures, the same for the same name."""
    rng = random.Random(name)
    gone = status in {"offline", "unknown"}
    metrics: dict[str, Any] = {
        "exchanges": rng.randrange(20, 900),
        "errors": 0,
        "error_ratio": 0.214 if status == "failing" else 0.0,
        "aborted": 1,
        "tokens_per_second": rng.uniform(2, 4) if status == "slow" else rng.uniform(9, 40),
        "ttft_p50_seconds": rng.uniform(2, 4) if status == "slow" else rng.uniform(0.12, 0.6),
        "ttft_p95_seconds": rng.uniform(5, 9) if status == "slow" else rng.uniform(0.7, 1.4),
        "duration_p50_seconds": 4.2,
        "duration_p95_seconds": 9.8,
        "input_tokens": 45_000,
        "output_tokens": 21_000,
        "answers_checked": 40,
        "judged_ratio": 0.975,
        "flagged_ratio": 0.0021,
        "guidelines_broken": 1,
        "cpu_utilization": rng.uniform(0.1, 0.9),
        "memory_utilization": 0.968 if status == "slow" else rng.uniform(0.3, 0.8),
        "temperature_celsius": 84.2 if status == "hot" else rng.uniform(41, 66),
        "gpu_utilization": None,
        "engine_up": 1.0,
        "agent_memory_bytes": 31_000_000,
        "span_seconds": 600,
    }
    if status == "unknown":
        metrics = dict.fromkeys(metrics)
    return {
        "id": name,
        "fleet": "shops",
        "status": status,
        "reason": REASONS[status],
        "since": NOW - rng.randrange(2, 300) * MINUTE,
        "last_seen": NOW - (rng.randrange(10, 4000) * MINUTE if gone else rng.randrange(1, 60) * 1000),
        "labels": {
            "site": rng.choice(("berlin", "lyon", "turin")),
            "ring": "canary" if rng.random() < 0.1 else "main",
        },
        "hardware": {"class": rng.choice(BOARDS), "cores": 4, "memory_mib": 8192, "arch": "aarch64"},
        "engine": {"name": "llama", "dialect": "llamacpp.completion", "build": "b6910"},
        "model": rng.choices(MODELS, (6, 3, 1))[0],
        "agent_version": "0.1.0",
        "metrics": metrics,
        **changes,
    }


def overview(devices: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """``views.fleet_overview`` of these devices."""
    ordered = sorted(devices, key=lambda device: (ORDER.index(device["status"]), device["id"]))
    counts = Counter(device["status"] for device in ordered)
    parts = ", ".join(f"{counts[word]} {word}" for word in ORDER if counts[word] and word != "well")
    verb = "is" if counts["well"] == 1 else "are"
    sentence = f"{counts['well']} of {len(ordered)} devices {verb} well." + (f" {parts}." if parts else "")
    by_status = {word: counts[word] for word in ORDER}
    summary = {"total": len(ordered), "by_status": by_status, "sentence": sentence}
    return {"time": NOW, "summary": summary, "devices": ordered}


def a_fleet(total: int, *, troubled: float = 0.03, seed: int = 7) -> list[dict[str, Any]]:
    """So many devices, of which about that share is not well."""
    rng = random.Random(seed)
    words = ("offline", "failing", "slow", "hot", "unknown")
    return [
        a_device(
            f"{rng.choice(('kiosk', 'till', 'robot'))}-{index:04d}",
            rng.choice(words) if rng.random() < troubled else "well",
        )
        for index in range(total)
    ]


def windows(start: int, end: int, step: int) -> dict[str, Any]:
    """``views.device_windows`` with a gap after a third of the span, and a slow spell after a half."""
    rng = random.Random(start)
    points: dict[str, list[dict[str, Any]]] = {name: [] for name in UNITS}
    times = range(start, end, step)
    for index, time in enumerate(times):
        part = index / len(times)
        if 0.3 < part < 0.42:
            continue
        load = 3.0 if 0.6 < part < 0.85 else 1.0
        count = rng.randrange(1, 20)
        cpu, memory = min(1.0, rng.uniform(0.3, 0.4) * load), 4.1e9 + 2e8 * load
        for name, point in {
            "gen_ai.server.time_to_first_token": _sketch(
                count, load * rng.uniform(0.2, 0.3), load * rng.uniform(0.6, 1.2)
            ),
            "stonechat.decode.rate": _sketch(count, rng.uniform(20, 24) / load, 26 / load),
            "stonechat.exchanges": _counter(count, step),
            "stonechat.exchanges.failed": _counter(rng.choice((0, 0, 0, 1)), step),
            "system.cpu.utilization": _gauge(cpu),
            "system.pressure.cpu.some": _counter(rng.uniform(0.02, 0.05) * load**2 * step / 1000, step),
            "system.pressure.memory.some": _counter(rng.uniform(0, 0.01) * load**3 * step / 1000, step),
            "system.memory.usage": _gauge(memory),
            "system.memory.limit": _gauge(8.28e9),
            "hw.temperature": _gauge(50 + 5 * load + rng.uniform(0, 2)),
        }.items():
            points[name].append({"time": time, **point})
    metrics = {
        name: {"unit": unit, "kind": kind, "points": points[name]} for name, (unit, kind) in UNITS.items()
    }
    spans = [
        {
            "time": point["time"],
            "span": step,
            "windows": 1,
            "observed": step,
            "uncertain": False,
            "devices": None,
        }
        for point in points["system.cpu.utilization"]
    ]
    return {"from": start, "to": end, "step": step, "source": "windows", "spans": spans, "metrics": metrics}


UNITS = {
    "gen_ai.server.time_to_first_token": ("s", "sketch"),
    "stonechat.decode.rate": ("{token}/s", "sketch"),
    "stonechat.exchanges": ("{exchange}", "counter"),
    "stonechat.exchanges.failed": ("{exchange}", "counter"),
    "system.cpu.utilization": ("1", "gauge"),
    "system.pressure.cpu.some": ("s", "counter"),
    "system.pressure.memory.some": ("s", "counter"),
    "system.memory.usage": ("By", "gauge"),
    "system.memory.limit": ("By", "gauge"),
    "hw.temperature": ("Cel", "gauge"),
}


def _sketch(count: int, p50: float, p95: float) -> dict[str, Any]:
    return {"count": count, "sum": count * p50, "p50": p50, "p95": p95}


def _counter(total: float, step: int) -> dict[str, Any]:
    return {"sum": total, "rate": total / step * 1000}


def _gauge(mean: float) -> dict[str, Any]:
    return {"count": 60, "sum": 60 * mean, "mean": mean, "min": mean, "max": mean, "last": mean}


EVENTS: tuple[tuple[int, str, str, dict[str, Any]], ...] = (
    (8, "critical", "engine_down", {"error": "connection refused"}),
    (7, "info", "engine_up", {}),
    (30, "warning", "clock_stepped", {"seconds": -3.2}),
)


class MadeUpViews:
    """The functions of ``stonechat_collector.views`` over made-up devices."""

    def __init__(self, devices: Sequence[dict[str, Any]]) -> None:
        self.devices = list(devices)
        self.error: Exception | None = None
        self.repeats = 1
        self.told: list[dict[str, Any]] = []
        """The exchanges of every device, newest first, as ``exchange_views`` has them."""

    def fleet_overview(self, store: Any, now_ms: int, *, fleet: str | None = None) -> dict[str, Any]:
        if self.error:
            raise self.error
        return overview([device for device in self.devices if fleet in {None, device["fleet"]}])

    def device(self, store: Any, device_id: str, now_ms: int) -> dict[str, Any] | None:
        found = next((device for device in self.devices if device["id"] == device_id), None)
        if found is None:
            return None
        return {
            **found,
            "first_seen": NOW - 9_000 * MINUTE,
            "online": True,
            "series": [{**found["metrics"], "engine": "llama", "model": found["model"], "operation": "chat"}],
            "counts": {"windows": 8_912, "expired": 0, "refused": 2, "rejected": 0},
            "description": {"engines": {"llama": found["engine"]}, "agent": {"version": "0.1.0"}},
        }

    def device_windows(
        self, store: Any, device_id: str, from_ms: int, to_ms: int, step: int
    ) -> dict[str, Any]:
        return windows(from_ms, to_ms, step)

    def events(
        self,
        store: Any,
        *,
        device: str | None = None,
        kind: str | None = None,
        severity: str | None = None,
        from_ms: int | None = None,
        to_ms: int | None = None,
        cursor: str | None = None,
        limit: int = 100,
    ) -> list[dict[str, Any]]:
        happened = [
            {
                "id": number,
                "time": NOW - minutes * MINUTE,
                "device": device or self.devices[0]["id"],
                "severity": word,
                "kind": what,
                "key": "llama",
                "count": 1,
                "attributes": attributes,
            }
            for number, (minutes, word, what, attributes) in enumerate(
                sorted(EVENTS * self.repeats, key=lambda event: event[0])
            )
            if self.devices and what in (kind or what,)
        ]
        return happened[:limit]

    def cursor_of(self, event: Mapping[str, Any]) -> str:
        return f"{event['time']}.{event['id']}"

    def exchanges_page(
        self,
        store: Any,
        device: str,
        wanted: Filter,
        *,
        sort: str = "start",
        up: bool = False,
        cursor: str | None = None,
        limit: int = 100,
    ) -> dict[str, Any]:
        found = [
            exchange
            for exchange in self.told
            if wanted.outcome in {None, exchange["outcome"]}
            and wanted.model in {None, exchange["model"]}
            and (wanted.finding != "flagged" or is_flagged(exchange["findings"] or ()))
        ]
        more = f"{found[limit]['start']}.{found[limit]['id']}" if len(found) > limit else None
        return {"exchanges": found[:limit], "next": more}

    def exchange(self, store: Any, device: str, id: str) -> dict[str, Any] | None:
        return next((exchange for exchange in self.told if exchange["id"] == id), None)

    def choices(self, store: Any, device: str) -> dict[str, Any]:
        return {
            "models": sorted({exchange["model"] for exchange in self.told if exchange["model"]}),
            "error_types": sorted(
                {exchange["error_type"] for exchange in self.told if exchange["error_type"]}
            ),
            "findings": sorted({word for exchange in self.told for word in exchange["findings"] or []}),
            "texts": any(exchange["has_texts"] for exchange in self.told),
        }


def an_exchange(number: int = 1, **changes: Any) -> dict[str, Any]:
    """Exchange ``number`` as ``exchange_views.exchange`` has it."""
    item = told("kiosk-1", "qwen2.5", number, NOW - number * MINUTE)
    texts = changes.get("texts")
    return {
        **{field.name: item.row.get(field.name) for field in FIELDS},
        "received": NOW - number * MINUTE + 5000,
        "chosen": item.chosen,
        "has_texts": texts is not None,
        "no_texts": None if texts else "upload_none",
        "texts": None,
        "texts_received": NOW if texts else None,
        "texts_allowed": "flagged" if texts else None,
        "no_texts_because": None if texts else WHY_NOT["upload_none"],
        "no_texts_key": None if texts else "privacy.upload",
        **changes,
    }
