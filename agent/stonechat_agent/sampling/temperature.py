"""Temperature of the hottest processor sensor: hwmon chips, else thermal zones.

Kernel documentation: hwmon/sysfs-interface.rst (``tempN_input``, thousandths of a degree), hwmon/coretemp.rst,
hwmon/k10temp.rst, driver-api/thermal/sysfs-api.rst (``thermal_zone*/type`` and ``temp``).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from stonechat.catalog import metric_id

from .files import File, names, read_text, whole
from .reading import Absent, Reading

TEMPERATURE = metric_id("hw.temperature")

LOWEST, HIGHEST = -40_000, 150_000
"""Thousandths of a degree. Beyond them is a sensor that is missing or not ready (-273, -127, 127.9 and 255 are usual
answers; silicon stops well below 150)."""
SENSORS = 16
"""Sensors read at most: some cost a message to another core or to firmware each."""

# The processor's own chips, and those that stand for a thermal zone of its cores (cpu_thermal, soc_thermal,
# bigcore0_thermal).
_CHIPS = re.compile(r"coretemp|k10temp|zenpower|(cpu|soc|tj|bigcore|littlecore|package)[0-9_]*thermal")
# x86_pkg_temp; cpu-thermal, cpu_thermal, CPU-therm, cpu0-thermal, cpu-0-0; soc-thermal, bigcore0-thermal; tj-thermal,
# the hottest junction of a Jetson.
_ZONES = re.compile(r"x86_pkg_temp|(cpu|soc|tj|bigcore|littlecore|package)[0-9_-]*(therm|$|[0-9])", re.I)
# Of a chip with many: what stands for the whole. Tctl may be shifted from what it measures, Tdie is not.
_WHOLE_CHIP = ("Package id ", "Tdie")


class Temperature:
    """A sensor that refuses for a while (the core or the GPU behind it is asleep) is passed over for that read."""

    name = "temperature"

    def __init__(self, sys: str) -> None:
        self._sys = sys
        self._sensors: list[File] = []

    def open(self) -> None:
        self.close()
        paths = list(self._chips()) or list(self._zones(_ZONES)) or list(self._zones(re.compile("acpitz")))
        self._sensors = [File(path, head=32) for path in paths[:SENSORS]]
        if not self._sensors:
            raise Absent(f"no processor sensor in {self._sys}/class/hwmon or {self._sys}/class/thermal")

    def _chips(self) -> Iterator[str]:
        root = f"{self._sys}/class/hwmon"
        for chip in names(root):
            if not _CHIPS.fullmatch(read_text(f"{root}/{chip}/name") or ""):
                continue
            inputs = [name for name in names(f"{root}/{chip}") if re.fullmatch("temp[0-9]+_input", name)]
            labels = {name: read_text(f"{root}/{chip}/{name[:-5]}label") or "" for name in inputs}
            chosen = [name for name in inputs if labels[name].startswith(_WHOLE_CHIP)]
            yield from (f"{root}/{chip}/{name}" for name in chosen or inputs)

    def _zones(self, types: re.Pattern[str]) -> Iterator[str]:
        root = f"{self._sys}/class/thermal"
        for zone in names(root):
            if zone.startswith("thermal_zone") and types.match(read_text(f"{root}/{zone}/type") or ""):
                yield f"{root}/{zone}/temp"

    def read(self, now_ns: int) -> Iterator[Reading]:
        hottest = None
        for sensor in self._sensors:
            try:
                value = whole(sensor.read())
            except OSError:
                continue
            if value is not None and LOWEST <= value <= HIGHEST:
                hottest = value if hottest is None else max(hottest, value)
        if hottest is None and not any(os.path.exists(sensor.path) for sensor in self._sensors):
            raise Absent("the processor sensors are gone; a driver was unloaded or loaded anew")
        if hottest is not None:
            yield Reading(TEMPERATURE, round(hottest / 100))

    def close(self) -> None:
        for sensor in self._sensors:
            sensor.close()
