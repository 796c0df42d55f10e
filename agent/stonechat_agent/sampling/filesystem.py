"""Room on the file system that holds the agent's spool: statvfs(3), the one figure here that a network can delay."""

from __future__ import annotations

import os
from collections.abc import Iterator

from stonechat.catalog import metric_id

from .reading import Absent, Reading, share

UTILIZATION = metric_id("system.filesystem.utilization")
FREE = metric_id("system.filesystem.free")


class Filesystem:
    """Used and free as ``df`` counts them for an ordinary user: blocks kept for root are neither."""

    name = "filesystem"

    def __init__(self, path: str) -> None:
        self._path = path

    def open(self) -> None:
        if not hasattr(os, "statvfs"):
            raise Absent("this system has no statvfs")

    def read(self, now_ns: int) -> Iterator[Reading]:
        path = os.path.abspath(self._path)
        # Before the spool's first write its directory may not be there.
        while not os.path.exists(path) and os.path.dirname(path) != path:
            path = os.path.dirname(path)
        figures = os.statvfs(path)
        used = figures.f_blocks - figures.f_bfree
        utilization = share(used, used + figures.f_bavail)
        if utilization is not None:
            yield Reading(UTILIZATION, utilization)
            yield Reading(FREE, figures.f_bavail * figures.f_frsize >> 20)

    def close(self) -> None:
        """Nothing is held."""
