"""The kernel's own throttling for heat: cooling devices (kernel documentation, driver-api/thermal/sysfs-api.rst).

``class/thermal/cooling_device*/cur_state`` is above 0 while the thermal framework slows a processor down. Fans are
cooling devices too, and no throttling.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from .files import File, names, read_text, whole

DEVICES = 16
"""Cooling devices read at most, evenly spread: ACPI has one a core."""

# cpufreq-cpu0 and cpufreq-0, devfreq-ff9a0000.gpu (also with thermal- before it), Processor (ACPI), idle injection; and
# the alerts of a Jetson's boot processor. A graphics card's own memory or display are none.
_SLOWS = re.compile(
    r"(thermal-)?(cpufreq|devfreq|idle)-|Processor$|intel_powerclamp$|(cpu|gpu|cv|soc)[0-9]*-throttle-alert",
    re.I,
)


class Cooling:
    """A probe of ``Throttle``."""

    def __init__(self, sys: str) -> None:
        self._root = f"{sys}/class/thermal"
        self._states: list[File] = []

    def open(self) -> bool:
        self.close()
        slowing = [
            name
            for name in names(self._root)
            if name.startswith("cooling_device")
            and _SLOWS.match(read_text(f"{self._root}/{name}/type") or "")
        ]
        stride = -(-len(slowing) // DEVICES) or 1
        self._states = [File(f"{self._root}/{name}/cur_state", head=32) for name in slowing[::stride]]
        return bool(self._states)

    def read(self) -> Collection[str] | None:
        failure: OSError | None = None
        states = []
        for file in self._states:
            try:
                state = whole(file.read())
            except OSError as error:
                failure = error
                continue
            # intel_powerclamp says -1 while it does nothing.
            if state is not None and state >= -1:
                states.append(state)
        if not states:
            if failure is not None:
                raise failure
            return None
        return ["thermal"] if max(states) > 0 else []

    def close(self) -> None:
        for file in self._states:
            file.close()
        self._states = []
