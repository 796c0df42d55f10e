"""The table of sources, and the sampler over them. Another source is a file and a row here."""

from __future__ import annotations

import os
import sys as platform
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from .aside import Aside
from .cpu import Cpu
from .disk import Disk
from .engine import Engine
from .engine_search import EngineMatch
from .filesystem import Filesystem
from .memory import Memory
from .network import Network
from .nvidia import Nvidia
from .own import Own
from .power import Battery, Rapl
from .pressure import Pressure
from .reading import Clock, Source
from .sampler import Sampler
from .temperature import Temperature


class Host(NamedTuple):
    """What the sources are told of the machine."""

    engines: tuple[Engine, ...]
    spool_path: str
    proc: str
    sys: str
    dev: str
    clock: Clock

    def engine_pids(self) -> dict[str, frozenset[int]]:
        """The processes of each engine, as they were at its last read."""
        return {engine.match.name: engine.pids for engine in self.engines}


LINUX: tuple[Callable[[Host], Iterable[Source]], ...] = (
    lambda host: [Cpu(host.proc, host.sys)],
    lambda host: [Memory(host.proc)],
    lambda host: [Pressure(host.proc)],
    lambda host: [Disk(host.proc, host.sys)],
    lambda host: [Aside(Filesystem(host.spool_path))],
    lambda host: [Network(host.proc, host.sys)],
    lambda host: [Temperature(host.sys)],
    lambda host: [Rapl(host.sys)],
    lambda host: [Battery(host.sys)],
    lambda host: host.engines,
    # After the engines, whose processes it asks for.
    lambda host: [Aside(Nvidia(host.proc, host.dev, host.engine_pids))],
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
) -> Sampler:
    """Return the sampler for this machine. Nothing is opened before its first sample.

    Args:
        engines: how to know each engine's process; their names stand in the readings.
        spool_path: a path on the file system to watch.
        proc, sys, dev: where these are mounted.
        clock: the clocks to stamp samples with.
    """
    clock = clock or Clock()
    if not platform.platform.startswith("linux"):
        from .portable import sources  # psutil is imported only where there is no /proc

        return Sampler(sources(engines, spool_path), clock)
    followed = tuple(Engine(match, proc, sys, clock) for match in engines)
    host = Host(followed, spool_path, proc, sys, dev, clock)
    return Sampler([source for row in LINUX for source in row(host)], clock)
