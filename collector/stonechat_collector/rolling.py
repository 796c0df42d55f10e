"""The roll-up's process, turn by turn: merge what is pending, judge the devices, delete what is too old."""

from __future__ import annotations

import logging
from collections.abc import Callable

from stonechat_collector import retention, rollup
from stonechat_collector.beat import write_beat
from stonechat_collector.store import Store, StoreUnavailable
from stonechat_collector.watch import Watch

log = logging.getLogger("stonechat.rollup")

NAME = "rollup"
WATCH_SECONDS = 2.0
RETENTION_SECONDS = 60.0
BEAT_SECONDS = 10.0


class Rolling:
    """Does one piece of work a turn. Ages of retention are ms."""

    def __init__(
        self,
        store: Store,
        clock_ms: Callable[[], int],
        *,
        windows_ms: int,
        rollups_ms: int,
        events_ms: int,
        exchanges_ms: int,
    ) -> None:
        self._store = store
        self._clock_ms = clock_ms
        self._watch = Watch(store)
        self._ages = {
            "windows_ms": windows_ms,
            "rollups_ms": rollups_ms,
            "events_ms": events_ms,
            "exchanges_ms": exchanges_ms,
        }
        self._next_watch = self._next_retention = self._next_beat = 0.0
        self._merged = self._deleted = 0

    def turn(self, now: float) -> bool:
        """Do what is due, and return whether more is to be done at once. ``now``: a monotonic clock in seconds."""
        try:
            merged = rollup.advance(self._store, self._clock_ms())
            self._merged += merged
            deleted = 0
            if now >= self._next_watch:
                self._watch.round(self._clock_ms())
                self._next_watch = now + WATCH_SECONDS
            if now >= self._next_retention:
                deleted = retention.prune(self._store, self._clock_ms(), **self._ages)
                self._deleted += deleted
                if not deleted:
                    self._next_retention = now + RETENTION_SECONDS
            if now >= self._next_beat:
                with self._store.writing() as connection:
                    counts = {"merged": self._merged, "deleted": self._deleted}
                    write_beat(self._store, connection, NAME, self._clock_ms(), counts)
                self._next_beat = now + BEAT_SECONDS
        except StoreUnavailable as error:
            log.error("store unavailable", extra={"cause": str(error)})
            return False
        return bool(merged or deleted)
