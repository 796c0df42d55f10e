"""Fans: ``fan*_input`` of hwmon, in turns a minute, and ``rpm`` of a Jetson's tachometer.

Read every ten seconds: many stand behind an embedded controller. The chip ``dell_smm`` is left out: each of its reads
stops all cores for milliseconds, sometimes hundreds of them (kernel documentation, hwmon/dell-smm-hwmon.rst).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from stonechat.catalog import metric_id

from .files import names, read_int, read_text
from .reading import Absent, Reading

FAN_SPEED = metric_id("hw.fan_speed")

FANS = 8
HIGHEST = 100_000

_STALLS = frozenset(("dell_smm",))


class Fans:
    name = "fans"
    EVERY_NS = 10_000_000_000

    def __init__(self, sys: str) -> None:
        self._root = f"{sys}/class/hwmon"
        self._paths: list[str] = []
        self._next_ns = 0

    def open(self) -> None:
        self._next_ns = 0
        self._paths = [
            f"{self._root}/{chip}/{name}"
            for chip in names(self._root)
            if read_text(f"{self._root}/{chip}/name") not in _STALLS
            for name in names(f"{self._root}/{chip}")
            if re.fullmatch("fan[0-9]+_input|rpm", name)
        ][:FANS]
        if not self._paths:
            raise Absent(f"no fan with a tachometer in {self._root}")

    def read(self, now_ns: int) -> Iterator[Reading]:
        if now_ns < self._next_ns:
            return
        self._next_ns = now_ns + self.EVERY_NS
        speeds = [
            speed for speed in map(read_int, self._paths) if speed is not None and 0 <= speed <= HIGHEST
        ]
        if not speeds and not any(map(os.path.exists, self._paths)):
            raise Absent("the fans are gone; a driver was unloaded or loaded anew")
        if speeds:
            yield Reading(FAN_SPEED, max(speeds))

    def close(self) -> None:
        self._paths = []
