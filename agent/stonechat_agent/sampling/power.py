"""Power and energy of the device, by the widest sensor that it has, and its battery.

Rails: kernel documentation, hwmon/ina3221.rst (``inN_input`` in mV, ``currN_input`` in mA), and NVIDIA's Jetson Linux
developer guide for what a Jetson's rails feed. ACPI meter: hwmon/acpi_power_meter.rst (``power1_average`` in uW).

RAPL: kernel documentation, power/powercap/powercap.rst: ``energy_uj`` counts microjoules and begins again after
``max_energy_range_uj``. Since Linux 5.10 only root may read it, unless a tmpfiles rule opens it.
Battery: kernel documentation, ABI/testing/sysfs-class-power.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence

from stonechat.catalog import metric_id

from .files import File, Increments, names, number, read_int, read_text, whole
from .reading import Absent, Reading, Source

POWER = metric_id("hw.power")
ENERGY = metric_id("hw.energy")
CHARGE = metric_id("hw.battery.charge")
BATTERY_POWER = metric_id("hw.battery.power")

HIGHEST_W = 5_000
"""No zone draws more: an increment beyond it is a counter that began again during suspend, not a wrap."""

# intel-rapl:0 is a package (AMD's too), intel-rapl:0:1 a part of it. The same package stands again as
# intel-rapl-mmio:0. The parts "core" and "uncore" lie inside the package, "dram" beside it; "psys" holds everything
# but is wrong or nought on many boards.
_ZONE = re.compile(r"intel-rapl:[0-9]+(:[0-9]+)?", re.ASCII)
_COUNTED = re.compile(r"package|dram", re.ASCII)


class Widest:
    """The first of several sources of the same metrics that this host has, so that no two of them are mixed."""

    def __init__(self, name: str, sources: Sequence[Source]) -> None:
        self.name = name
        self._sources = sources
        self._chosen: Source | None = None

    def open(self) -> None:
        self.close()
        reasons = []
        for source in self._sources:
            try:
                source.open()
            except Absent as absent:
                source.close()
                reasons.append(str(absent))
            else:
                self._chosen = source
                return
        raise Absent("; ".join(reasons))

    def read(self, now_ns: int) -> Iterable[Reading]:
        assert self._chosen is not None, "read before open"
        return self._chosen.read(now_ns)

    def close(self) -> None:
        if self._chosen is not None:
            self._chosen.close()
            self._chosen = None


class Rails:
    """Sensors that say the power now, added up; the energy is that power for the time since the last read."""

    name = "rails"
    nothing = "no power sensor of the device"

    def __init__(self, sys: str) -> None:
        self._root = f"{sys}/class/hwmon"
        self._rails: list[tuple[File, File]] = []
        self._meters: list[File] = []
        self._last_ns = 0
        self._rest_uj = 0

    def open(self) -> None:
        self.close()
        self._last_ns = self._rest_uj = 0
        chips = [
            (f"{self._root}/{chip}", read_text(f"{self._root}/{chip}/name")) for chip in names(self._root)
        ]
        self._rails = list(self._supply([place for place, name in chips if name == "ina3221"]))
        self._meters = list(self._metered(chips))
        if not self._rails and not self._meters:
            raise Absent(f"{self.nothing} in {self._root}")

    def _supply(self, chips: list[str]) -> Iterator[tuple[File, File]]:
        """Give voltage and current of the rail that feeds the board, else of all that feed its parts."""
        rails: dict[str, tuple[str, str]] = {}
        for place in chips:
            for channel in "123":
                label = read_text(f"{place}/in{channel}_label")
                # "NC" is not connected.
                if label and label != "NC" and read_text(f"{place}/in{channel}_enable") != "0":
                    rails[label] = f"{place}/in{channel}_input", f"{place}/curr{channel}_input"
        whole_board = [rail for label, rail in rails.items() if label in ("VDD_IN", "POM_5V_IN")]
        # VDDQ_VDD2_1V8AO (memory, AGX Orin) is fed by VIN_SYS_5V0: its sensor shows that rail's voltage.
        parts = [rail for label, rail in rails.items() if label != "VDDQ_VDD2_1V8AO"]
        for voltage, current in whole_board or parts:
            yield File(voltage, head=32), File(current, head=32)

    def _metered(self, chips: list[tuple[str, str | None]]) -> Iterator[File]:
        """Give the meters of a whole machine (uW)."""
        for place, name in chips:
            if name == "power_meter":
                for reading in ("power1_average", "power1_input"):
                    if reading in names(place):
                        yield File(f"{place}/{reading}", head=32)
                        break

    def read(self, now_ns: int) -> Iterator[Reading]:
        parts_uw = [_product(number(voltage), number(current)) for voltage, current in self._rails]
        parts_uw += [number(meter) for meter in self._meters]
        elapsed_ns, self._last_ns = now_ns - self._last_ns if self._last_ns else 0, now_ns
        known_uw = [part for part in parts_uw if part is not None and 0 <= part <= HIGHEST_W * 1_000_000]
        if len(known_uw) < len(parts_uw):
            if not any(os.path.exists(file.path) for file in self._files()):
                raise Absent("the power sensors are gone; a driver was unloaded or loaded anew")
            return  # a sum without one of its parts is none
        yield Reading(POWER, sum(known_uw) // 1_000)
        if elapsed_ns > 0:
            added_uj = self._rest_uj + sum(known_uw) * elapsed_ns // 1_000_000_000
            energy_mj, self._rest_uj = divmod(added_uj, 1_000)
            yield Reading(ENERGY, energy_mj)

    def _files(self) -> list[File]:
        return [*(file for rail in self._rails for file in rail), *self._meters]

    def close(self) -> None:
        for file in self._files():
            file.close()
        self._rails, self._meters = [], []


class Chip(Rails):
    """An AMD processor with a GPU in it, by what the GPU's driver says of the whole chip, which everyone may read."""

    name = "chip"
    nothing = "no AMD processor with a GPU"

    def _supply(self, chips: list[str]) -> Iterator[tuple[File, File]]:
        return iter(())

    def _metered(self, chips: list[tuple[str, str | None]]) -> Iterator[File]:
        for place, name in chips:
            if name == "amdgpu" and read_text(f"{place}/in1_label") == "vddnb":
                for reading in ("power1_average", "power1_input"):
                    if reading in names(place):
                        yield File(f"{place}/{reading}", head=32)
                        break


def _product(millivolts: int | None, milliamperes: int | None) -> int | None:
    return None if millivolts is None or milliamperes is None else millivolts * milliamperes


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
    """The device's batteries; those of a mouse or a headset (scope ``Device``) left out.

    Charge is the mean of all, power what they give together: none while they are charged or full. A battery is asked
    through the embedded controller, which takes milliseconds, so it is read every ten seconds.
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
        if not any(os.path.exists(f"{place}/type") for place in self._batteries):
            raise Absent("the battery is gone")
        charges = [
            charge
            for charge in (read_int(f"{place}/capacity") for place in self._batteries)
            if charge is not None and 0 <= charge <= 100
        ]
        if charges:
            yield Reading(CHARGE, round(100 * sum(charges) / len(charges)))
        given_uw = [power for power in map(_given_uw, self._batteries) if power is not None]
        if given_uw:
            yield Reading(BATTERY_POWER, sum(given_uw) // 1_000)

    def close(self) -> None:
        self._batteries = []


def _given_uw(battery: str) -> int | None:
    """Return the power that a battery gives: ``power_now`` (uW), else ``current_now`` (uA) by ``voltage_now`` (uV)."""
    status = read_text(f"{battery}/status")
    if status in ("Charging", "Full", "Not charging"):
        return 0
    if status != "Discharging":
        return None
    power = read_int(f"{battery}/power_now")
    if power is None:
        current, voltage = read_int(f"{battery}/current_now"), read_int(f"{battery}/voltage_now")
        if current is None or voltage is None:
            return None
        power = current * voltage // 1_000_000
    # Some drivers count what flows out as negative.
    return abs(power) if abs(power) <= HIGHEST_W * 1_000_000 else None
