"""Pressure stall information: ``/proc/pressure`` (kernel documentation, accounting/psi.rst).

Absent where the kernel was built without it, and where it was built with it disabled (``psi=1`` on the kernel's
command line turns it on, as on Raspberry Pi OS); then reading gives EOPNOTSUPP.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator

from stonechat.catalog import metric_id

from .files import File, Increments, whole
from .reading import Absent, Reading

TOTALS = {
    # The CPU's "full" is undefined for the whole system, and always zero.
    "cpu": {b"some": metric_id("system.pressure.cpu.some")},
    "memory": {
        b"some": metric_id("system.pressure.memory.some"),
        b"full": metric_id("system.pressure.memory.full"),
    },
    "io": {b"some": metric_id("system.pressure.io.some"), b"full": metric_id("system.pressure.io.full")},
}


class Pressure:
    """Microseconds in which tasks stalled, from the totals: the averages would hide what is shorter than they are."""

    name = "pressure"

    def __init__(self, proc: str) -> None:
        self._files = {resource: File(f"{proc}/pressure/{resource}", head=256) for resource in TOTALS}
        self._counters = Increments()

    def open(self) -> None:
        self._counters = Increments()
        self._lines()

    def _lines(self) -> list[tuple[str, bytes]]:
        lines = []
        for resource, file in self._files.items():
            try:
                lines += [(resource, line) for line in file.read().splitlines()]
            except FileNotFoundError:
                continue
            except OSError as error:
                if error.errno not in (errno.EOPNOTSUPP, errno.ENOTSUP, errno.EACCES, errno.EPERM):
                    raise
        if not lines:
            raise Absent("the kernel gives no pressure stall information; boot it with psi=1")
        return lines

    def read(self, now_ns: int) -> Iterator[Reading]:
        for resource, line in self._lines():
            kind, _, rest = line.partition(b" ")
            metric = TOTALS[resource].get(kind)
            total = whole(rest.rpartition(b"total=")[2])
            if metric is None or total is None:
                continue
            increment = self._counters.step(metric, total)
            if increment is not None:
                yield Reading(metric, increment)

    def close(self) -> None:
        for file in self._files.values():
            file.close()
