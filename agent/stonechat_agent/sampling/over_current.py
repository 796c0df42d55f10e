"""Alarms of a Jetson's supply (Orin and later): ``oc*_event_cnt`` of the hwmon chip ``soctherm_oc``.

NVIDIA's Jetson Linux developer guide, "Platform Power and Performance": OC1 is under-voltage, OC2 the average current,
OC3 the instantaneous one. Each event throttled CPU and GPU. They are asked of the boot processor, by message.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from .files import File, Increments, names, read_text, whole

_EVENTS = re.compile(r"oc([0-9])_event_cnt", re.ASCII)


class OverCurrent:
    """A probe of ``Throttle``: what was counted since the last read."""

    def __init__(self, sys: str) -> None:
        self._root = f"{sys}/class/hwmon"
        self._counts: list[tuple[File, str]] = []
        self._counters = Increments()

    def open(self) -> bool:
        self.close()
        self._counters = Increments()
        for chip in names(self._root):
            if read_text(f"{self._root}/{chip}/name") != "soctherm_oc":
                continue
            for name in names(f"{self._root}/{chip}"):
                match = _EVENTS.fullmatch(name)
                if match:
                    reason = "under_voltage" if match[1] == "1" else "over_current"
                    self._counts.append((File(f"{self._root}/{chip}/{name}", head=32), reason))
        return bool(self._counts)

    def read(self) -> Collection[str] | None:
        return counted(self._counts, self._counters)

    def close(self) -> None:
        for file, _ in self._counts:
            file.close()
        self._counts = []


def counted(counts: list[tuple[File, str]], counters: Increments) -> Collection[str] | None:
    """Return the reasons of the counters that grew since the last read; None where none has been read twice.

    Raises:
        OSError: none can be read.
    """
    known = readable = False
    failure: OSError | None = None
    reasons = set()
    for file, reason in counts:
        try:
            value = whole(file.read())
        except OSError as error:
            failure = error
            continue
        readable = True
        added = None if value is None or value < 0 else counters.step(file.path, value)
        if added is not None:
            known = True
            if added:
                reasons.add(reason)
    if failure is not None and not readable:
        raise failure
    return reasons if known else None
