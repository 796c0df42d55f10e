"""Storage: bytes read from and written to whole, real devices (``/proc/diskstats``, kernel documentation, iostats.rst).

A device that stands on others (dm, md, bcache) would count their bytes a second time, and a partition those of its
disk; loop, ram and zram devices are no storage. What is real is known by its place in ``/sys``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from stonechat.catalog import metric_id

from .files import ULONG_WRAP, File, Increments, names
from .reading import Absent, Reading

READ = metric_id("system.disk.io.read")
WRITE = metric_id("system.disk.io.write")

SECTOR = 512
"""Bytes: diskstats counts in these whatever the device's own sectors are."""

_VIRTUAL = re.compile(r"(loop|ram|zram|dm-|md|bcache|drbd|nbd|fd|sr)[0-9]|nvme[0-9]+c[0-9]+n", re.ASCII)
_WHOLE = re.compile(r"(?:sd|vd|xvd|hd)[a-z]+|(?:nvme[0-9]+n|mmcblk|pmem)[0-9]+", re.ASCII)


def is_storage(sys: str, name: str) -> bool:
    """Tell whether a block device is a whole, real one, whose bytes no other device counts."""
    if _VIRTUAL.match(name):
        return False
    place = f"{sys}/block/{name}"
    if not os.path.exists(place):
        # Partitions stand inside their disk's directory. Without /sys only the name is left to tell.
        return not os.path.isdir(f"{sys}/block") and _WHOLE.fullmatch(name) is not None
    return "/devices/virtual/block/" not in os.path.realpath(place) and not names(f"{place}/slaves")


class Disk:
    name = "disk"

    def __init__(self, proc: str, sys: str, wraps_at: int = ULONG_WRAP) -> None:
        self._wraps_at = wraps_at
        self._sys = sys
        self._file = File(f"{proc}/diskstats")
        self._counters = Increments()
        self._storage: dict[str, bool] = {}

    def open(self) -> None:
        self._counters = Increments()
        self._storage = {}
        try:
            self._file.read()
        except FileNotFoundError as error:
            raise Absent(f"{self._file.path} does not exist") from error

    def read(self, now_ns: int) -> Iterator[Reading]:
        sums: dict[int, int] = {}
        seen: set[object] = set()
        known: dict[str, bool] = {}
        for line in self._file.read().splitlines():
            words = line.split(None, 10)
            if len(words) < 10:
                continue
            name = words[2].decode("ascii", "replace")
            storage = self._storage.get(name)
            known[name] = is_storage(self._sys, name) if storage is None else storage
            if not known[name]:
                continue
            for metric, word in ((READ, words[5]), (WRITE, words[9])):
                if not word.isdigit() or len(word) > 20:
                    continue
                seen.add((name, metric))
                # Sectors are an unsigned long.
                sectors = self._counters.step((name, metric), int(word), wraps_at=self._wraps_at)
                if sectors is not None:
                    sums[metric] = sums.get(metric, 0) + sectors * SECTOR
        # A device that was pulled is forgotten, since another may come back under its name.
        self._storage = known
        self._counters.keep(seen)
        for metric, value in sums.items():
            yield Reading(metric, value)

    def close(self) -> None:
        self._file.close()
