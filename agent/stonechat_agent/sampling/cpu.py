"""Processor: busy share, busiest core, steal, frequency, load.

``/proc/stat`` (proc_stat(5)): ticks a state since boot, for all cores and for each. Guest time stands in user time
already. Idle and iowait may step back a little, which counts as nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from stonechat.catalog import metric_id

from .files import File, names, read_int, read_text, whole
from .reading import Absent, Reading, share

UTILIZATION = metric_id("system.cpu.utilization")
STEAL = metric_id("system.cpu.steal")
FREQUENCY_RATIO = metric_id("system.cpu.frequency.ratio")
LOAD = metric_id("system.cpu.load_1m")
BUSIEST = metric_id("system.cpu.core.utilization.max")

POLICIES = 16
"""Frequency domains read at most, evenly spread: a server with a domain a core would pay for every one of them."""

_IDLE, _IOWAIT, _STEAL, _STATES = 3, 4, 7, 8


class Cpu:
    """Shares are of the time since the previous read; time taken by the hypervisor counts as busy, as in psutil."""

    name = "cpu"

    def __init__(self, proc: str, sys: str) -> None:
        self._proc = proc
        self._sys = sys
        # A line a core of some 80 bytes; the interrupts that follow are not wanted.
        self._stat = File(f"{proc}/stat", head=(os.cpu_count() or 1) * 160 + 4096)
        self._loadavg = File(f"{proc}/loadavg", head=64)
        self._last: dict[bytes, list[int]] = {}
        self._frequencies: list[tuple[File, int, int]] = []

    def open(self) -> None:
        self._last = {}
        try:
            self._stat.read()
        except FileNotFoundError as error:
            raise Absent(f"{self._stat.path} does not exist") from error
        self._frequencies = list(self._policies())

    def _policies(self) -> Iterator[tuple[File, int, int]]:
        """Give current frequency, its maximum (kHz) and the weight, a frequency domain.

        The weight is its cores' part of what the machine can do: where big and little cores differ, the kernel says
        how much each can (``cpu_capacity``, of 1024).
        """
        root = f"{self._sys}/devices/system/cpu/cpufreq"
        policies = [name for name in names(root) if name.startswith("policy")]
        stride = -(-len(policies) // POLICIES) or 1
        for name in policies[::stride]:
            highest = read_int(f"{root}/{name}/cpuinfo_max_freq")
            if highest is not None and highest > 0:
                cpus = (read_text(f"{root}/{name}/affected_cpus") or "").split() or ["0"]
                capacity = read_int(f"{self._sys}/devices/system/cpu/cpu{cpus[0]}/cpu_capacity")
                weight = len(cpus) * (capacity if capacity is not None and 0 < capacity <= 1024 else 1024)
                # Not cpuinfo_cur_freq: it asks the hardware, and is root's alone.
                yield File(f"{root}/{name}/scaling_cur_freq", head=64), highest, weight

    def read(self, now_ns: int) -> Iterator[Reading]:
        times = _parse(self._stat.read())
        if b"cpu" not in times:
            raise ValueError(
                f"{self._stat.path}: no line of all cores' times; expected 'cpu' and {_STATES} numbers"
            )
        busiest = None
        for cpu, now in times.items():
            last = self._last.get(cpu)
            if last is None:
                continue
            spent = [max(0, new - old) for new, old in zip(now, last, strict=True)]
            total = sum(spent)
            busy = share(total - spent[_IDLE] - spent[_IOWAIT], total)
            if busy is None:
                continue
            if cpu != b"cpu":
                busiest = busy if busiest is None else max(busiest, busy)
                continue
            yield Reading(UTILIZATION, busy)
            yield Reading(STEAL, share(spent[_STEAL], total) or 0)
        if busiest is not None:
            yield Reading(BUSIEST, busiest)
        self._last = times
        yield from self._load(max(1, len(times) - 1))
        yield from self._frequency()

    def _load(self, cores: int) -> Iterator[Reading]:
        try:
            load = float(self._loadavg.read().split(None, 1)[0])
        except (OSError, ValueError, IndexError):
            return
        if 0 <= load < 1e6:
            yield Reading(LOAD, round(load * 10_000 / cores))

    def _frequency(self) -> Iterator[Reading]:
        weighted = whole_weight = 0.0
        for file, highest, weight in self._frequencies:
            try:
                now = whole(file.read())
            except OSError:
                continue  # its cores are offline
            if now is not None and now > 0:
                weighted += weight * now / highest
                whole_weight += weight
        ratio = share(weighted, whole_weight)
        if ratio is not None:
            yield Reading(FREQUENCY_RATIO, ratio)

    def close(self) -> None:
        for file in (self._stat, self._loadavg, *(file for file, _, _ in self._frequencies)):
            file.close()


def _parse(data: bytes) -> dict[bytes, list[int]]:
    times: dict[bytes, list[int]] = {}
    # The last line may be cut in the middle of a number.
    for line in data[: data.rfind(b"\n") + 1].splitlines():
        if not line.startswith(b"cpu"):
            break
        cpu, *ticks = line.split()
        # Linux before 2.6.11 has no steal.
        if len(ticks) >= _STATES and all(word.isdigit() and len(word) <= 20 for word in ticks[:_STATES]):
            times[cpu] = [int(word) for word in ticks[:_STATES]]
    return times
