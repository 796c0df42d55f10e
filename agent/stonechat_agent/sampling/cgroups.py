"""Control groups (kernel documentation, admin-guide/cgroup-v2.rst), whose files anyone may read.

Processes of a systemd unit are found in its group, in the unified hierarchy or in version 1's ``name=systemd``. Only
version 2's accounting files are read.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from .files import File, labelled, read_file, read_text

DIRECTORIES = 4096
"""Directories looked at, at most, for a unit; a host with many containers has some hundreds."""
DEPTH = 8


def roots(sys: str) -> list[str]:
    """Return where hierarchies that hold systemd's units are mounted, if they are."""
    base = f"{sys}/fs/cgroup"
    if os.path.exists(f"{base}/cgroup.controllers"):
        return [base]
    return [place for place in (f"{base}/unified", f"{base}/systemd") if os.path.isdir(place)]


def unit_group(sys: str, unit: str) -> str | None:
    """Return the directory of a unit's group (``ollama.service``); None where it has none, so it does not run."""
    for root in roots(sys):
        for place in (f"{root}/system.slice/{unit}", f"{root}/{unit}"):
            if os.path.isdir(place):
                return place
        for place in _walk(root):
            if os.path.basename(place) == unit:
                return place
    return None


def _walk(root: str) -> Iterator[str]:
    """Give the directories below, nearest first, within bounds."""
    level = [root]
    seen = 0
    for _ in range(DEPTH):
        below = []
        for place in level:
            try:
                with os.scandir(place) as entries:
                    inside = [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
            except OSError:
                continue  # gone meanwhile
            yield from inside
            below += inside
            seen += len(inside)
            if seen > DIRECTORIES:
                return
        level = below


def members(group: str) -> list[int]:
    """Return the processes of a group and of the groups within it."""
    found: list[int] = []
    for place in (group, *_walk(group)):
        try:
            found += [int(word) for word in read_file(f"{place}/cgroup.procs", 0).split() if word.isdigit()]
        except OSError:
            continue
    return found


def group_of(proc: str, sys: str, pid: int) -> str | None:
    """Return the directory of a process's version 2 group; None at the root or without version 2."""
    for line in (read_text(f"{proc}/{pid}/cgroup") or "").splitlines():
        if line.startswith("0::/"):
            path = line[4:].removesuffix(" (deleted)")
            # A group outside the reader's own namespace shows as /../..
            if not path or path.startswith(".."):
                return None
            for root in (f"{sys}/fs/cgroup", f"{sys}/fs/cgroup/unified"):
                if os.path.isdir(f"{root}/{path}"):
                    return f"{root}/{path}"
    return None


class Accounts:
    """A group's accounting files, read again and again; a figure is None where its controller is off."""

    def __init__(self, sys: str, group: str) -> None:
        self.group = group
        self._sys = sys
        self._memory = File(f"{group}/memory.current", head=32)
        self._cpu = File(f"{group}/cpu.stat", head=2048)
        self._io = File(f"{group}/io.stat")
        self._stacked: dict[bytes, bool] = {}

    def memory_bytes(self) -> int | None:
        """Memory charged to the group: what its processes hold, and the page cache that they brought in."""
        try:
            return int(self._memory.read())
        except (OSError, ValueError):
            return None

    def cpu_us(self) -> int | None:
        """CPU time since the group was made, in microseconds, processes that ended included."""
        try:
            return labelled(self._cpu.read(), b"usage_usec ")
        except OSError:
            return None

    def read_bytes(self) -> int | None:
        """Bytes read from real devices since the group was made."""
        try:
            lines = self._io.read().splitlines()
        except OSError:
            return None
        total = 0
        for line in lines:
            device, _, figures = line.partition(b" ")
            if self._is_stacked(device):
                continue
            for figure in figures.split():
                key, _, value = figure.partition(b"=")
                if key == b"rbytes" and value.isdigit():
                    total += int(value)
        return total

    def _is_stacked(self, device: bytes) -> bool:
        """Tell whether a device (``253:0``) stands on others, which count the same bytes."""
        stacked = self._stacked.get(device)
        if stacked is None:
            place = os.path.realpath(f"{self._sys}/dev/block/{device.decode('ascii', 'replace')}")
            stacked = self._stacked[device] = "/devices/virtual/block/" in place
        return stacked

    def close(self) -> None:
        for file in (self._memory, self._cpu, self._io):
            file.close()
