"""Live updates: one poll of the store for all clients, and a bounded number of clients.

What is sent, as server-sent events::

    event: devices      data: {"time": ms, "devices": [id, ...]}     these changed
    event: events       data: {"time": ms, "events": [...]}          these are new, as /api/v1/events has them
    : keep-alive        a comment every `KEEP_ALIVE_SECONDS`
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any

from starlette.concurrency import run_in_threadpool

from stonechat_collector import views
from stonechat_collector.store import Store, StoreUnavailable

POLL_SECONDS = 1.0
KEEP_ALIVE_SECONDS = 15.0
MAX_CLIENTS = 200
MAX_NAMES = 1000
"""Devices named in one message; of more only the first are, and the list is said to be cut."""

_KEPT = 64
"""Messages that a slow client may be behind; beyond that it misses some, and the next one brings it up to date."""

_OVERLAP_MS = 5_000
"""How far back each poll looks again: a change is stamped before its transaction is committed."""


class Changes:
    """The shared source of live updates. ``stream`` is one client's; polling goes on only while there are any."""

    def __init__(self, store: Store, clock_ms: Callable[[], int]) -> None:
        self._store = store
        self._clock_ms = clock_ms
        self._messages: deque[tuple[int, bytes]] = deque(maxlen=_KEPT)
        self._number = 0
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.clients = 0

    @property
    def full(self) -> bool:
        """Whether no further client fits."""
        return self.clients >= MAX_CLIENTS

    async def stream(self) -> AsyncIterator[bytes]:
        """The messages of one client, from now on."""
        self.clients += 1
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._poll(), name="live.poll")
        seen = self._number
        try:
            yield b"retry: 2000\n\n"
            while True:
                news = self._news
                for number, message in list(self._messages):
                    if number > seen:
                        seen = number
                        yield message
                try:
                    await asyncio.wait_for(news.wait(), KEEP_ALIVE_SECONDS)
                except asyncio.TimeoutError:
                    yield b": keep-alive\n\n"
        finally:
            self.clients -= 1

    async def close(self) -> None:
        """Stop polling."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _poll(self) -> None:
        known: dict[str, int] = {}
        since = last_event = -1
        while self.clients:
            try:
                newest, changed = await run_in_threadpool(
                    views.changes, self._store, max(0, since - _OVERLAP_MS)
                )
                if since < 0:
                    last_event = await run_in_threadpool(views.newest_event, self._store)
                    known = dict(changed)
                fresh = [name for name, at in changed if known.get(name) != at]
                known = dict(changed)
                since = newest
                if fresh:
                    named = {"devices": sorted(fresh)[:MAX_NAMES], "cut": len(fresh) > MAX_NAMES}
                    self._tell("devices", named)
                events = list(await run_in_threadpool(views.new_events, self._store, last_event))
                if events:
                    last_event = events[-1]["id"]
                    self._tell("events", {"events": events})
            except StoreUnavailable:
                pass  # the pages say so themselves; the next poll tries again
            await asyncio.sleep(POLL_SECONDS)

    def _tell(self, kind: str, data: dict[str, Any]) -> None:
        self._number += 1
        body = json.dumps({"time": self._clock_ms(), **data}, separators=(",", ":"))
        self._messages.append((self._number, f"event: {kind}\ndata: {body}\n\n".encode()))
        self._news.set()
        self._news = asyncio.Event()
