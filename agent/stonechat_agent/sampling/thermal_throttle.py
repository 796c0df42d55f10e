"""Throttling of Intel processors (kernel: drivers/thermal/intel/therm_throt.c and its page in admin-guide).

In ``devices/system/cpu/cpu*/thermal_throttle/``, ``core_throttle_count`` and ``package_throttle_count`` count how often
the hardware began to slow down for its temperature, ``package_throttle_total_time_ms`` how long it did, and
``package_power_limit_count``, where the kernel counts it, how often a power limit did. The kernel adds to them when a
spell begins and when it ends: in the midst of a long one nothing grows, and the frequency tells.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from .files import File, Increments, names, read_int
from .over_current import counted

CORES = 16
"""Cores read at most, evenly spread."""


class ThermalThrottle:
    """A probe of ``Throttle``: what was counted since the last read."""

    def __init__(self, sys: str) -> None:
        self._root = f"{sys}/devices/system/cpu"
        self._counts: list[tuple[File, str]] = []
        self._counters = Increments()

    def open(self) -> bool:
        self.close()
        self._counters = Increments()
        self._counts = [(File(path, head=32), reason) for path, reason in self._paths()]
        return bool(self._counts)

    def _paths(self) -> Iterator[tuple[str, str]]:
        """Give each package's files once, and each core's: its threads count the same."""
        packages: set[int] = set()
        cores: dict[tuple[int, int], str] = {}
        for cpu in names(self._root):
            place = f"{self._root}/{cpu}/thermal_throttle"
            present = names(place) if cpu.startswith("cpu") and cpu[3:].isdigit() else []
            if not present:
                continue
            package = read_int(f"{self._root}/{cpu}/topology/physical_package_id") or 0
            core = read_int(f"{self._root}/{cpu}/topology/core_id")
            cores.setdefault(
                (package, int(cpu[3:]) if core is None else core), f"{place}/core_throttle_count"
            )
            if package not in packages:
                packages.add(package)
                for name, reason in (
                    ("package_throttle_count", "thermal"),
                    ("package_throttle_total_time_ms", "thermal"),
                    ("package_power_limit_count", "power_cap"),
                ):
                    if name in present:
                        yield f"{place}/{name}", reason
        stride = -(-len(cores) // CORES) or 1
        for path in list(cores.values())[::stride]:
            yield path, "thermal"

    def read(self) -> Collection[str] | None:
        return counted(self._counts, self._counters)

    def close(self) -> None:
        for file, _ in self._counts:
            file.close()
        self._counts = []
