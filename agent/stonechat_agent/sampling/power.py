"""Energy and power of the processor (RAPL), and the battery's charge.

RAPL: kernel documentation, power/powercap/powercap.rst: ``energy_uj`` counts microjoules and begins again after
``max_energy_range_uj``. Since Linux 5.10 only root may read it, unless a tmpfiles rule opens it.
Battery: kernel documentation, ABI/testing/sysfs-class-power.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from stonechat.catalog import metric_id

from .files import File, Increments, names, read_int, read_text, whole
from .reading import Absent, Reading

POWER = metric_id("hw.power")
ENERGY = metric_id("hw.energy")
CHARGE = metric_id("hw.battery.charge")

HIGHEST_W = 5_000
"""No zone draws more: an increment beyond it is a counter that began again during suspend, not a wrap."""

# intel-rapl:0 is a package (AMD's too), intel-rapl:0:1 a part of it. The same package stands again as
# intel-rapl-mmio:0. The parts "core" and "uncore" lie inside the package, "dram" beside it; "psys" holds everything
# but is wrong or nought on many boards.
_ZONE = re.compile(r"intel-rapl:[0-9]+(:[0-9]+)?", re.ASCII)
_COUNTED = re.compile(r"package|dram", re.ASCII)


class Rapl:
    """The processor packages and their memory, which is less than the device draws."""

    name = "rapl"

    def __init__(self, sys: str) -> None:
        self._root = f"{sys}/class/powercap"
        self._zones: list[tuple[File, int]] = []
        self._counters = Increments()
        self._last_ns = 0
        self._rest_uj = 0

    def open(self) -> None:
        self.close()
        self._counters = Increments()
        self._last_ns = self._rest_uj = 0
        refused = None
        for zone in names(self._root):
            place = f"{self._root}/{zone}"
            if not _ZONE.fullmatch(zone) or not _COUNTED.match(read_text(f"{place}/name") or ""):
                continue
            file = File(f"{place}/energy_uj", head=32)
            try:
                file.read()
            except OSError as error:
                refused = error
                continue
            self._zones.append((file, read_int(f"{place}/max_energy_range_uj") or 0))
        if not self._zones:
            if isinstance(refused, PermissionError):
                raise Absent(f"{self._root}: energy_uj may be read by root alone; a tmpfiles rule opens it")
            raise Absent(f"no package's energy in {self._root}")

    def read(self, now_ns: int) -> Iterator[Reading]:
        elapsed_ns = now_ns - self._last_ns if self._last_ns else 0
        self._last_ns = now_ns
        highest_uj = HIGHEST_W * max(elapsed_ns, 1_000_000_000) // 1_000
        added_uj = None
        for file, wraps_at in self._zones:
            value = whole(file.read())
            if value is None:
                raise ValueError(f"{file.path}: expected a number of microjoules")
            increment = self._counters.step(file.path, value, wraps_at)
            if increment is not None and increment <= highest_uj:
                added_uj = (added_uj or 0) + increment
        if added_uj is None or elapsed_ns <= 0:
            return
        yield Reading(POWER, added_uj * 1_000_000 // elapsed_ns)
        energy_mj, self._rest_uj = divmod(self._rest_uj + added_uj, 1_000)
        yield Reading(ENERGY, energy_mj)

    def close(self) -> None:
        for file, _ in self._zones:
            file.close()
        self._zones = []


class Battery:
    """Mean charge of the device's batteries; those of a mouse or a headset (scope ``Device``) left out.

    A battery is asked through the embedded controller, which takes milliseconds, so it is read every ten seconds.
    """

    name = "battery"
    EVERY_NS = 10_000_000_000

    def __init__(self, sys: str) -> None:
        self._root = f"{sys}/class/power_supply"
        self._batteries: list[str] = []
        self._next_ns = 0

    def open(self) -> None:
        self._next_ns = 0
        self._batteries = [
            place
            for place in (f"{self._root}/{name}" for name in names(self._root))
            if read_text(f"{place}/type") == "Battery" and read_text(f"{place}/scope") != "Device"
        ]
        if not self._batteries:
            raise Absent(f"no battery in {self._root}")

    def read(self, now_ns: int) -> Iterator[Reading]:
        if now_ns < self._next_ns:
            return
        self._next_ns = now_ns + self.EVERY_NS
        charges = [
            charge
            for charge in (read_int(f"{place}/capacity") for place in self._batteries)
            if charge is not None and 0 <= charge <= 100
        ]
        if charges:
            yield Reading(CHARGE, round(100 * sum(charges) / len(charges)))

    def close(self) -> None:
        self._batteries = []
