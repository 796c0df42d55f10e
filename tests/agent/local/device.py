"""An agent's endpoint with its page, over sources that a test fills: what the page shows is what the real parts say."""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from stonechat.catalog import metric_id
from stonechat.exchange import Source
from stonechat.exchange_row import to_row
from stonechat.ids import exchange_id
from stonechat.records import Values
from stonechat.slots import Slots
from stonechat_agent.clocks import Clocks
from stonechat_agent.intake import to_exchange
from stonechat_agent.journal import JournalEvent, Recent, Stats
from stonechat_agent.local import pages
from stonechat_agent.local.endpoint import Endpoint, Page, json_page
from stonechat_agent.local.series import SPAN_SECONDS, Series
from stonechat_agent.local.status import status_of
from stonechat_agent.pipeline import Snapshot
from stonechat_agent.sampling import Reading
from stonechat_agent.scoring.worker.keeper import Stats as Scoring
from stonechat_agent.settings import Settings
from stonechat_agent.window import WindowBuilder

NS = 1_000_000_000


class Device:
    """What the page is told. ``broken`` makes every request but that of the page itself fail."""

    def __init__(self, *, engines: dict[str, bool | None] | None = None) -> None:
        self.settings = Settings()
        self.series = Series()
        self.exchanges: list[dict[str, Any]] = []
        self.events: list[JournalEvent] = []
        self.losses: dict[str, int] = {}
        self.engines = engines if engines is not None else {"engine": True}
        self.values: Values = {}
        self.broken = False
        self.asked: list[str] = []
        self._chosen = random.Random(5)
        now = Clocks().now()
        self._builder = WindowBuilder(now, order=1, description=b"", slots=Slots(), length_ms=600_000)

    def sample(self, now_ns: int, *, sensors: bool = True) -> None:
        """A sample of the device then."""
        wave = math.sin(now_ns / NS / 40)
        readings = [
            Reading(metric_id("system.cpu.utilization"), round(3500 + 2500 * wave)),
            Reading(metric_id("system.memory.utilization"), 6200),
            Reading(metric_id("stonechat.engine.requests.in_flight"), 1, "engine"),
        ]
        if sensors:
            readings.append(Reading(metric_id("hw.temperature"), round(580 + 60 * wave)))
            readings.append(Reading(metric_id("hw.power"), round(9000 + 3000 * wave)))
        self.series.sampled(now_ns, readings)
        self._builder.add_sample(readings)

    def exchange(self, seconds_ago: float = 0.0, **changed: Any) -> dict[str, Any]:
        """An exchange that ended then; its row."""
        chosen = self._chosen
        duration = chosen.uniform(1.5, 6)
        told: dict[str, Any] = {
            "model": "qwen2.5:0.5b",
            "duration": duration,
            "time_to_first_token": chosen.uniform(0.2, 0.9),
            "queue": 0.05,
            "prefill": 0.15,
            "input_tokens": chosen.randrange(20, 900),
            "output_tokens": chosen.randrange(20, 300),
            "finish_reason": "stop",
            "streamed": True,
        }
        now_ns = time.monotonic_ns() - round(seconds_ago * NS)
        now_ms = time.time_ns() // 1_000_000 - round(seconds_ago * 1000)
        exchange = to_exchange(
            {**told, **{key: value for key, value in changed.items() if key not in _OWN}},
            source=Source.RECORD,
            engines=("engine",),
            now_ns=now_ns,
            now_ms=now_ms,
        )
        for key in _OWN & changed.keys():
            setattr(exchange, key, changed[key])
        exchange.id = exchange_id(exchange.wall_ms or 0, chosen.getrandbits(22))
        self.series.ended(now_ns, exchange)
        self._builder.add_exchange(exchange)
        row = {**to_row(exchange), "texts": "not_flagged"}
        self.exchanges.insert(0, row)
        return row

    def event(
        self, kind: str, severity: int, seconds_ago: float, key: str = "engine", **attributes: Any
    ) -> None:
        """Something that happened then."""
        wall = time.time_ns() // 1_000_000 - round(seconds_ago * 1000)
        self.events.insert(0, JournalEvent(len(self.events), wall, kind, key, severity, 1, attributes))

    def fill(self, count: int = 40) -> None:
        """Ten minutes of an ordinary life; nothing of it leaves the ten minutes during a test."""
        now_ns = time.monotonic_ns()
        ends = sorted(self._chosen.uniform(1, SPAN_SECONDS - 130) for _ in range(count))
        for ago in range(SPAN_SECONDS - 1, -1, -1):
            if not 200 < ago < 230:  # the device slept
                self.sample(now_ns - ago * NS)
            while ends and ends[-1] >= ago:
                self._one(ends.pop(), len(ends))
        self.event("started", 1, 470, "agent")
        self.event("engine_down", 3, 300)
        self.event("engine_up", 1, 280)
        self.event("clock_stepped", 2, 120, "clock", step_ms=4200)

    def _one(self, ago: float, number: int) -> None:
        if number % 11 == 3:
            self.exchange(ago, error="out of memory", status=500, output_tokens=None)
        elif number % 13 == 5:
            self.exchange(ago, outcome="aborted", time_to_first_token=None, queue=None, prefill=None)
        elif number % 7 == 2:
            self.exchange(
                ago, findings=("repetition", "language_mismatch"), scores={"repetition": 0.92}, load=1.2
            )
        else:
            self.exchange(ago)

    def status(self) -> dict[str, Any]:
        """What ``/v1/status`` says."""
        recent = self._builder.build(Clocks().now()).values
        snapshot = Snapshot({}, recent, 600_000, self.engines, 3, 120_000, False, self.losses, None)
        return status_of(
            replace(self.settings, device=replace(self.settings.device, id="kiosk-017", fleet="shops")),
            snapshot,
            relaying=frozenset({"engine"}),
            sources=(),
            journal=Stats(40_960, 0, 0, ""),
            scoring=Scoring(0, 0, None, None, "", 0, 0, 0, {}, ()),
            untold={},
            uplink_fault="",
            uptime_seconds=4000.0,
        )


_OWN = {"findings", "scores", "notes", "dialect", "response_model", "error_type"}


@contextlib.contextmanager
def serving(device: Device, port: int = 0) -> Iterator[str]:
    """The address of the endpoint, which runs in a thread."""
    started, stopping = threading.Event(), asyncio.Event()
    at: list[Any] = []

    def page(make: Callable[[], Page]) -> Page:
        if device.broken:
            raise RuntimeError("broken")
        return make()

    def recent(query: Any) -> Page:
        device.asked.append("recent")
        show = pages.recent(lambda n: Recent(device.exchanges[:n], device.events[:n]), device.series)
        return page(lambda: show(query))

    async def run() -> None:
        endpoint = Endpoint(
            {
                "/": pages.page(),
                "/v1/status": lambda: page(lambda: json_page(device.status())),
                "/metrics": lambda: Page(200, "text/plain", b""),
            },
            lookups={"/v1/recent": recent},
        )
        at.append(await endpoint.start("127.0.0.1", port))
        at.append(asyncio.get_running_loop())
        started.set()
        await stopping.wait()
        await endpoint.stop()

    thread = threading.Thread(target=lambda: asyncio.run(run()), name="endpoint", daemon=True)
    thread.start()
    assert started.wait(60)
    try:
        yield f"http://127.0.0.1:{at[0]}"
    finally:
        at[1].call_soon_threadsafe(stopping.set)
        thread.join(60)
