"""Memory, swap and major page faults: ``/proc/meminfo`` and ``/proc/vmstat`` (proc_meminfo(5), proc_vmstat(5))."""

from __future__ import annotations

from collections.abc import Iterator

from stonechat.catalog import metric_id

from .files import ULONG_WRAP, File, Increments, labelled
from .reading import Absent, Reading, share

USAGE = metric_id("system.memory.usage")
LIMIT = metric_id("system.memory.limit")
UTILIZATION = metric_id("system.memory.utilization")
SWAP = metric_id("system.paging.usage")
FAULTS = metric_id("system.paging.faults")


class Memory:
    """Memory in use is all less ``MemAvailable``, the kernel's own estimate of what could be had without swapping."""

    name = "memory"

    def __init__(self, proc: str, wraps_at: int = ULONG_WRAP) -> None:
        self._wraps_at = wraps_at
        self._meminfo = File(f"{proc}/meminfo", head=8192)
        self._vmstat = File(f"{proc}/vmstat")
        self._counters = Increments()

    def open(self) -> None:
        self._counters = Increments()
        try:
            self._meminfo.read()
        except FileNotFoundError as error:
            raise Absent(f"{self._meminfo.path} does not exist") from error

    def read(self, now_ns: int) -> Iterator[Reading]:
        meminfo = self._meminfo.read()
        total = labelled(meminfo, b"MemTotal:")
        if total is None or total <= 0:
            raise ValueError(f"{self._meminfo.path}: no MemTotal; expected kibibytes")
        yield Reading(LIMIT, total >> 10)
        available = labelled(meminfo, b"MemAvailable:")
        if available is not None and 0 <= available <= total:
            yield Reading(USAGE, (total - available) >> 10)
            yield Reading(UTILIZATION, share(total - available, total) or 0)
        swap, free = labelled(meminfo, b"SwapTotal:"), labelled(meminfo, b"SwapFree:")
        if swap is not None and free is not None and 0 <= free <= swap:
            yield Reading(SWAP, (swap - free) >> 10)
        yield from self._faults()

    def _faults(self) -> Iterator[Reading]:
        try:
            faults = labelled(self._vmstat.read(), b"pgmajfault ")
        except OSError:
            return  # built without VM event counters
        if faults is not None:
            increment = self._counters.step("pgmajfault", faults, wraps_at=self._wraps_at)
            if increment is not None:
                yield Reading(FAULTS, increment)

    def close(self) -> None:
        self._meminfo.close()
        self._vmstat.close()
