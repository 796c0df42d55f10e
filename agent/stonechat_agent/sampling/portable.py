"""What psutil gives of a host that has no ``/proc``: macOS, Windows, BSD.

On Linux the files are read directly: psutil opens and closes every file at each call, reads more of each than is
wanted here (docs/sampling.md has the measured difference), and lacks pressure, run delay, energy and cgroups.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Sequence
from contextlib import suppress

import psutil

from . import cpu, disk, engine, filesystem, memory, network, own, power
from .engine_search import EngineMatch
from .files import Increments
from .hardware import in_steps
from .reading import Absent, Reading, Source, share

_SEARCH_NS = 5_000_000_000


class PortableHost:
    """CPU, memory, swap, disk, network, file system and battery."""

    name = "host"

    def __init__(self, spool_path: str) -> None:
        self._spool_path = spool_path
        self._counters = Increments()

    def open(self) -> None:
        self._counters = Increments()
        # The shares of psutil are since its previous call; the first is without meaning.
        psutil.cpu_percent()
        psutil.cpu_percent(percpu=True)

    def read(self, now_ns: int) -> Iterator[Reading]:
        yield Reading(cpu.UTILIZATION, round(100 * psutil.cpu_percent()))
        yield Reading(cpu.BUSIEST, round(100 * max(psutil.cpu_percent(percpu=True), default=0.0)))
        with suppress(OSError, AttributeError):
            yield Reading(cpu.LOAD, round(10_000 * psutil.getloadavg()[0] / (psutil.cpu_count() or 1)))
        held = psutil.virtual_memory()
        yield Reading(memory.LIMIT, held.total >> 20)
        yield Reading(memory.USAGE, (held.total - held.available) >> 20)
        yield Reading(memory.UTILIZATION, share(held.total - held.available, held.total) or 0)
        yield Reading(memory.SWAP, psutil.swap_memory().used >> 20)
        place = os.path.abspath(self._spool_path)
        while not os.path.exists(place) and os.path.dirname(place) != place:
            place = os.path.dirname(place)
        room = psutil.disk_usage(place)
        yield Reading(filesystem.UTILIZATION, share(room.used, room.used + room.free) or 0)
        yield Reading(filesystem.FREE, room.free >> 20)
        yield from self._counts()
        battery = psutil.sensors_battery() if hasattr(psutil, "sensors_battery") else None
        if battery is not None and 0 <= battery.percent <= 100:
            yield Reading(power.CHARGE, round(100 * battery.percent))

    def _counts(self) -> Iterator[Reading]:
        totals: dict[int, list[tuple[str, int]]] = {}
        for name, moved in (psutil.disk_io_counters(perdisk=True) or {}).items():
            totals.setdefault(disk.READ, []).append((name, moved.read_bytes))
            totals.setdefault(disk.WRITE, []).append((name, moved.write_bytes))
        for name, sent in psutil.net_io_counters(pernic=True).items():
            if not name.lower().startswith(("lo", "utun", "bridge", "awdl", "llw", "vethernet")):
                totals.setdefault(network.RECEIVE, []).append((name, sent.bytes_recv))
                totals.setdefault(network.TRANSMIT, []).append((name, sent.bytes_sent))
                errors = sent.errin + sent.errout + sent.dropin + sent.dropout
                totals.setdefault(network.ERRORS, []).append((name, errors))
        for metric, values in totals.items():
            steps = [self._counters.step((metric, name), value) for name, value in values]
            known = [step for step in steps if step is not None]
            if known:
                yield Reading(metric, sum(known))

    def close(self) -> None:
        """Nothing is held."""


class PortableEngine:
    """An engine found by pid file, name or, where the system permits, by its port; and its descendants."""

    def __init__(self, match: EngineMatch) -> None:
        self.name = f"engine:{match.name}"
        self._match = match
        self._main: psutil.Process | None = None
        self._seen: tuple[int, float] | None = None
        self._search_ns = 0
        self._cpu: dict[tuple[int, float], float] = {}
        self._cpu_ns = 0

    def open(self) -> None:
        self.close()

    def read(self, now_ns: int) -> Iterator[Reading]:
        name = self._match.name
        if self._main is not None and not self._main.is_running():
            self.close()
        if self._main is None and now_ns >= self._search_ns:
            self._search_ns = now_ns + _SEARCH_NS
            self._main = self._find()
            if self._main is not None:
                identity = (self._main.pid, self._main.create_time())
                if self._seen is not None and self._seen != identity:
                    yield Reading(engine.RESTARTS, 1, name)
                self._seen = identity
        if self._main is None:
            if self._seen is not None:
                yield Reading(engine.UP, 0, name)
            return
        yield Reading(engine.UP, 10_000, name)
        with suppress(psutil.Error):
            yield from self._usage([self._main, *self._main.children(recursive=True)], now_ns)

    def _usage(self, tree: Sequence[psutil.Process], now_ns: int) -> Iterator[Reading]:
        used: dict[tuple[int, float], float] = {}
        rss = threads = 0
        for process in tree:
            with suppress(psutil.Error), process.oneshot():
                times = process.cpu_times()
                used[process.pid, process.create_time()] = times.user + times.system
                rss += process.memory_info().rss
                threads += process.num_threads()
        if not used:
            return
        both = used.keys() & self._cpu.keys()
        if both and now_ns > self._cpu_ns:
            spent_s = sum(max(0.0, used[key] - self._cpu[key]) for key in both)
            yield Reading(
                engine.CPU, round(10_000 * spent_s * 1e9 / (now_ns - self._cpu_ns)), self._match.name
            )
        self._cpu, self._cpu_ns = used, now_ns
        yield Reading(engine.RSS, rss >> 10, self._match.name)
        yield Reading(engine.THREADS, threads, self._match.name)

    def _find(self) -> psutil.Process | None:
        match = self._match
        if match.pid_file:
            with suppress(OSError, ValueError, psutil.Error), open(match.pid_file, encoding="ascii") as file:
                return psutil.Process(int(file.read(32).strip()))
        if match.process:
            named = [
                process
                for process in psutil.process_iter(["name", "create_time"])
                if match.process in (process.info["name"], (process.info["name"] or "").removesuffix(".exe"))
            ]
            if named:
                return min(named, key=lambda process: process.info["create_time"] or 0.0)
        if match.port:
            with suppress(psutil.Error):
                for connection in psutil.net_connections("tcp"):
                    # Without an address ("()") it is a socket that is not bound.
                    at_port = connection.laddr and connection.laddr.port == match.port
                    if at_port and connection.status == psutil.CONN_LISTEN and connection.pid:
                        return psutil.Process(connection.pid)
        return None

    def close(self) -> None:
        self._main = None
        self._cpu = {}


class PortableOwn:
    """The agent's own process and those that it started."""

    name = "self"

    def __init__(self) -> None:
        self._process: psutil.Process | None = None
        self._cpu_s: float | None = None
        self._cpu_ns = 0

    def open(self) -> None:
        try:
            self._process = psutil.Process()
        except psutil.Error as error:
            raise Absent("this system does not show its processes") from error
        self._cpu_s = None

    def read(self, now_ns: int) -> Iterator[Reading]:
        assert self._process is not None, "read before open"
        spent_s = 0.0
        rss = 0
        for process in (self._process, *self._process.children(recursive=True)):
            with suppress(psutil.Error):
                times = process.cpu_times()
                spent_s += times.user + times.system
                rss += process.memory_info().rss
        if self._cpu_s is not None and now_ns > self._cpu_ns:
            share_of_core = max(0.0, spent_s - self._cpu_s) * 1e9 / (now_ns - self._cpu_ns)
            yield Reading(own.CPU, round(10_000 * share_of_core))
        self._cpu_s, self._cpu_ns = spent_s, now_ns
        yield Reading(own.RSS, rss >> 10)

    def close(self) -> None:
        self._process = None


def machine() -> dict[str, str | int | None]:
    """Return the hardware facts that ``hardware.describe`` reads from ``/proc`` and ``/etc`` elsewhere."""
    return {
        "cores": psutil.cpu_count(),
        "memory_mib": in_steps(psutil.virtual_memory().total >> 20),
        "kernel": platform.release(),
        "os": platform.system().lower() or None,
    }


def sources(engines: Sequence[EngineMatch], spool_path: str) -> list[Source]:
    """Return the sources of a host without ``/proc``."""
    return [PortableHost(spool_path), *(PortableEngine(match) for match in engines), PortableOwn()]
