"""How fast devices that have a backlog are asked to send it."""

from __future__ import annotations

import math
from collections.abc import Iterable

MIN_PACE_MS = 50
MAX_PACE_MS = 60_000
BACKLOG_SHARE = 0.5
"""The share of this process's time that backlog may take, so that live windows always find it free."""


class Pace:
    """How long a device with backlog should wait between two batches, so that all of them share `BACKLOG_SHARE`."""

    def __init__(self) -> None:
        self._cost_ms = 1.0
        self._devices: dict[str, int] = {}

    def took(self, seconds: float, messages: int, backlog: Iterable[str], now: int) -> None:
        """Note what a batch cost, and which devices sent backlog in it at ``now`` (ms)."""
        if messages:
            self._cost_ms += 0.1 * (seconds * 1000 / messages - self._cost_ms)
        for device in backlog:
            self._devices[device] = now
        if len(self._devices) > 100:
            self._devices = {d: at for d, at in self._devices.items() if now - at < MAX_PACE_MS}

    def ms(self) -> int:
        """The pace to ask for now, ms between two batches of backlog."""
        wanted = len(self._devices) * self._cost_ms / BACKLOG_SHARE
        return max(MIN_PACE_MS, min(MAX_PACE_MS, math.ceil(wanted)))
