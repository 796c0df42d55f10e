"""Control groups (kernel documentation, admin-guide/cgroup-v2.rst), whose files anyone may read.

Processes of a systemd unit are found in its group, in the unified hierarchy or in version 1's ``name=systemd``. The
accounting files are version 2's, or version 1's (admin-guide/cgroup-v1: memory.rst, cpuacct.rst,
blkio-controller.rst), where each controller has a hierarchy of its own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

from .files import File, labelled, number, read_file, read_text

DIRECTORIES = 4096
"""Directories looked at, at most, for a unit; a host with many containers has some hundreds."""
DEPTH = 8


def roots(sys: str) -> list[str]:
    """Return where hierarchies that hold systemd's units are mounted, if they are."""
    base = f"{sys}/fs/cgroup"
    if is_unified(sys):
        return [base]
    return [place for place in (f"{base}/unified", f"{base}/systemd") if os.path.isdir(place)]


def is_unified(sys: str) -> bool:
    """Tell whether version 2 has all controllers; else its hierarchy, where there is one, has but the CPU times."""
    return os.path.exists(f"{sys}/fs/cgroup/cgroup.controllers")


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


def legacy_groups(proc: str, sys: str, pid: int) -> dict[str, str]:
    """Return the directories of a process's version 1 groups, by controller; those at the root are left out."""
    found = {}
    for line in (read_text(f"{proc}/{pid}/cgroup") or "").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        path = path.removesuffix(" (deleted)")
        if path in ("", "/") or path.startswith("/.."):
            continue
        for controller in controllers.split(","):
            place = f"{sys}/fs/cgroup/{controller}{path}"
            if controller in LEGACY and os.path.isdir(place):
                found[controller] = place
    return found


LEGACY = {
    "memory": "memory.usage_in_bytes",
    "cpuacct": "cpuacct.usage",
    "blkio": "blkio.throttle.io_service_bytes",
}


class Accounts:
    """A group's accounting files, read again and again; a figure is None where its controller is off."""

    def __init__(self, sys: str, group: str | None, legacy: Mapping[str, str] | None = None) -> None:
        """Take the directory of a version 2 group, or those of version 1's groups by controller."""
        self.key = (group, tuple(sorted((legacy or {}).items())))
        """What tells these accounts from others."""
        self._sys = sys
        self._legacy = group is None
        places = dict.fromkeys(LEGACY, group) if group is not None else dict(legacy or {})
        files = (
            LEGACY
            if group is None
            else {"memory": "memory.current", "cpuacct": "cpu.stat", "blkio": "io.stat"}
        )
        self._files = {
            controller: File(f"{places[controller]}/{name}", head=0 if controller == "blkio" else 2048)
            for controller, name in files.items()
            if places.get(controller)
        }
        self._stacked: dict[bytes, bool] = {}

    def memory_bytes(self) -> int | None:
        """Memory charged to the group: what its processes hold, and the page cache that they brought in."""
        file = self._files.get("memory")
        return None if file is None else number(file)

    def cpu_us(self) -> int | None:
        """CPU time since the group was made, in microseconds, processes that ended included."""
        file = self._files.get("cpuacct")
        if file is None:
            return None
        if self._legacy:
            nanoseconds = number(file)
            return None if nanoseconds is None else nanoseconds // 1_000
        try:
            return labelled(file.read(), b"usage_usec ")
        except OSError:
            return None

    def read_bytes(self) -> int | None:
        """Bytes read from real devices since the group was made."""
        file = self._files.get("blkio")
        if file is None:
            return None
        try:
            lines = file.read().splitlines()
        except OSError:
            return None
        total = 0
        for line in lines:
            device, _, figures = line.partition(b" ")
            if self._is_stacked(device):
                continue
            words = figures.replace(b"Read ", b"rbytes=").split()
            for figure in words:
                key, _, value = figure.partition(b"=")
                if key == b"rbytes" and value.isdigit() and len(value) <= 20:
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
        for file in self._files.values():
            file.close()
