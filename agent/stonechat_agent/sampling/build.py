"""The table of sources, and the sampler over them. Another source is a file and a row here."""

from __future__ import annotations

import os
import sys as platform
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from .aside import PATIENCE_S, Aside, Crew
from .cooling import Cooling
from .cpu import Cpu
from .devfreq import Devfreq
from .disk import Disk
from .drm import Drm
from .engine import Engine
from .engine_search import EngineMatch
from .fans import Fans
from .filesystem import Filesystem
from .memory import Memory
from .network import Network
from .nvidia import Nvidia
from .over_current import OverCurrent
from .own import Own
from .power import Battery, Chip, Rails, Rapl, Widest
from .pressure import Pressure
from .raspberry_pi import RaspberryPi
from .reading import Clock, Source
from .sampler import Sampler
from .temperature import Temperature
from .thermal_throttle import ThermalThrottle
from .throttle import Probe, Throttle


class Host(NamedTuple):
    """What the sources are told of the machine."""

    engines: tuple[Engine, ...]
    spool_path: str
    proc: str
    sys: str
    dev: str
    clock: Clock
    crew: Crew
    patience_s: float

    def aside(self, source: Source) -> Aside:
        """Have a source that may hang read in another thread."""
        return Aside(source, self.crew, patience_s=self.patience_s)

    def engine_pids(self) -> dict[str, frozenset[int]]:
        """The processes of each engine, as they were at its last read."""
        return {engine.match.name: engine.pids for engine in self.engines}


THROTTLES: tuple[Callable[[Host], Probe], ...] = (
    lambda host: RaspberryPi(host.proc, host.sys, host.dev),
    lambda host: OverCurrent(host.sys),
    lambda host: ThermalThrottle(host.sys),
    lambda host: Cooling(host.sys),
)

LINUX: tuple[Callable[[Host], Iterable[Source]], ...] = (
    lambda host: [Cpu(host.proc, host.sys)],
    lambda host: [Memory(host.proc)],
    lambda host: [Pressure(host.proc)],
    lambda host: [Disk(host.proc, host.sys)],
    lambda host: [host.aside(Filesystem(host.spool_path))],
    lambda host: [Network(host.proc, host.sys)],
    # Sensors stand behind buses, firmware and drivers, any of which may hang.
    lambda host: [host.aside(Temperature(host.sys))],
    lambda host: [host.aside(Throttle([row(host) for row in THROTTLES]))],
    lambda host: [host.aside(Widest("power", [Rails(host.sys), Rapl(host.sys), Chip(host.sys)]))],
    lambda host: [host.aside(Battery(host.sys))],
    lambda host: [host.aside(Fans(host.sys))],
    lambda host: host.engines,
    # After the engines, whose processes they ask for.
    lambda host: [host.aside(Nvidia(host.proc, host.dev, host.engine_pids))],
    lambda host: [host.aside(Drm(host.proc, host.sys, host.dev, host.engine_pids))],
    lambda host: [host.aside(Devfreq(host.proc, host.sys))],
    lambda host: [Own(host.proc, os.getpid(), host.clock)],
)


def build(
    *,
    engines: Sequence[EngineMatch],
    spool_path: str,
    proc: str = "/proc",
    sys: str = "/sys",
    dev: str = "/dev",
    clock: Clock | None = None,
    patience_s: float = PATIENCE_S,
) -> Sampler:
    """Return the sampler for this machine. Nothing is opened before its first sample.

    Args:
        engines: how to know each engine's process; their names stand in the readings.
        spool_path: a path on the file system to watch.
        proc, sys, dev: where these are mounted.
        clock: the clocks to stamp samples with.
        patience_s: how long a sample waits for a source that may hang.
    """
    clock = clock or Clock()
    if not platform.platform.startswith("linux"):
        from .portable import sources  # psutil is imported only where there is no /proc

        return Sampler(sources(engines, spool_path), clock)
    followed = tuple(Engine(match, proc, sys, clock) for match in engines)
    host = Host(followed, spool_path, proc, sys, dev, clock, Crew(), patience_s)
    return Sampler([source for row in LINUX for source in row(host)], clock)
