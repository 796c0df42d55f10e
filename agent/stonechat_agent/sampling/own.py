"""The agent itself: CPU, memory and disk writes of its process and of those that it started."""

from __future__ import annotations

from collections.abc import Iterator

from stonechat.catalog import metric_id

from .processes import TICKS_PER_S, Tree, descendants, stat_of
from .reading import Absent, Clock, Reading

CPU = metric_id("stonechat.agent.cpu.utilization")
RSS = metric_id("stonechat.agent.memory.rss")
WRITE = metric_id("stonechat.agent.disk.write")

RENEW_NS = 5_000_000_000


class Own:
    """The tree below ``pid``, the agent's own."""

    name = "self"

    def __init__(self, proc: str, pid: int, clock: Clock) -> None:
        self._proc = proc
        self._pid = pid
        self._tree = Tree(proc, clock.boottime_ns, tasks=False)
        self._read_ns = self._renew_ns = 0

    def open(self) -> None:
        self.close()
        if stat_of(self._proc, self._pid) is None:
            raise Absent(f"{self._proc} does not show this process")

    def read(self, now_ns: int) -> Iterator[Reading]:
        if now_ns >= self._renew_ns:
            self._renew_ns = now_ns + RENEW_NS
            self._tree.renew(descendants(self._proc, self._pid))
        elapsed_ns, self._read_ns = now_ns - self._read_ns, now_ns
        usage = self._tree.read()
        if usage.ticks is not None and elapsed_ns > 0:
            yield Reading(CPU, 10_000 * 1_000_000_000 * usage.ticks // (TICKS_PER_S * elapsed_ns))
        yield Reading(RSS, usage.rss_bytes >> 10)
        if usage.write_bytes is not None:
            yield Reading(WRITE, usage.write_bytes)

    def close(self) -> None:
        self._tree.close()
        self._renew_ns = 0
