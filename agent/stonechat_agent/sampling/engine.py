"""The engine's process tree: found, followed through restarts, and added up.

Where the engine has a control group of its own, its CPU time, reads and charged memory come from the
group's files, which count what ended between two reads too; otherwise from ``/proc``.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from stonechat.catalog import metric_id

from . import cgroups
from .engine_search import EngineMatch, Found, Search
from .files import Increments
from .processes import PROCESSES, TICKS_PER_S, Tree, descendants, stat_of
from .reading import Clock, Reading

UP = metric_id("stonechat.engine.up")
RESTARTS = metric_id("stonechat.engine.restarts")
CPU = metric_id("stonechat.engine.cpu.utilization")
RSS = metric_id("stonechat.engine.memory.rss")
FAULTS = metric_id("stonechat.engine.paging.faults")
RUN_DELAY = metric_id("stonechat.engine.cpu.run_delay")
PREEMPTIONS = metric_id("stonechat.engine.context_switches.involuntary")
READ = metric_id("stonechat.engine.io.read")
THREADS = metric_id("stonechat.engine.threads")
CHARGED = metric_id("stonechat.engine.memory.charged")

SEARCH_NS = 5_000_000_000
"""Between two searches of an engine that is not found, at least: each looks at every process."""
SEARCH_SHARE = 500
"""Of this many parts of the time a search may take one, however many processes the host has."""
RENEW_NS = 3_000_000_000
"""Between two looks at which processes belong to the tree."""


class Engine:
    """One engine. ``up`` is given only once a process was told: what cannot be seen is left to the relay to know."""

    def __init__(self, match: EngineMatch, proc: str, sys: str, clock: Clock) -> None:
        self.name = f"engine:{match.name}"
        self.match = match
        self._proc = proc
        self._sys = sys
        self._search = Search(match, proc, sys)
        self._tree = Tree(proc, clock.boottime_ns, tasks=True)
        self._found: Found | None = None
        self._last: Found | None = None
        self._accounts: cgroups.Accounts | None = None
        self._counters = Increments()
        self._clock = clock
        self._search_ns = self._renew_ns = self._read_ns = 0
        self._rest_ns = 0
        # Whether something listened at the upstream's port at the last search; None while there was none.
        self._listening: bool | None = None
        self.pids: frozenset[int] = frozenset()
        """The tree's processes at the last read; any thread may look."""

    def open(self) -> None:
        """Forget the counters, but not which process was the engine: coming back from a failure is no restart."""
        self._lose()
        self._search_ns = 0

    def read(self, now_ns: int) -> Iterator[Reading]:
        engine = self.match.name
        if self._found is not None and not self._is_there(self._found):
            self._lose()
        if self._found is None and now_ns >= self._search_ns:
            began_ns = self._clock.monotonic_ns()
            self._found = self._search.find()
            if self._found is None:
                # Not at every read: on some machines the kernel takes milliseconds to list the sockets.
                self._listening = bool(self._search.listeners())
            took_ns = self._clock.monotonic_ns() - began_ns
            self._search_ns = now_ns + max(SEARCH_NS, SEARCH_SHARE * took_ns)
            if self._found is not None:
                if self._last is not None and self._last[:2] != self._found[:2]:
                    yield Reading(RESTARTS, 1, engine)
                self._last = self._found
                self._renew_ns = 0
        if self._found is None:
            # Gone; but if something listens at its port, it is not down: only who that is cannot be seen.
            if self._last is not None:
                if self._listening is None:
                    self._listening = bool(self._search.listeners())
                if not self._listening:
                    yield Reading(UP, 0, engine)
            return
        if now_ns >= self._renew_ns:
            self._renew_ns = now_ns + RENEW_NS
            self._renew(self._found)
        yield Reading(UP, 10_000, engine)
        yield from self._usage(now_ns)

    def _is_there(self, found: Found) -> bool:
        stat = stat_of(self._proc, found.pid)
        return stat is not None and stat.start == found.start

    def _renew(self, found: Found) -> None:
        group = found.unit_group
        if group is not None:
            others = (pid for pid in cgroups.members(group) if pid != found.pid)
            self._tree.renew((found.pid, *itertools.islice(others, PROCESSES - 1)))
        else:
            self._tree.renew(descendants(self._proc, found.pid))
            group = cgroups.group_of(self._proc, self._sys, found.pid)
            if group is not None and not self._holds_nothing_else(group):
                group = None
        legacy: dict[str, str] = {}
        if group is None or not cgroups.is_unified(self._sys):
            legacy = {
                controller: place
                for controller, place in cgroups.legacy_groups(self._proc, self._sys, found.pid).items()
                if self._holds_nothing_else(place)
            }
        accounts = cgroups.Accounts(self._sys, None if legacy else group, legacy)
        if self._accounts is None or self._accounts.key != accounts.key:
            self._drop_accounts()
            self._accounts = accounts

    def _holds_nothing_else(self, group: str) -> bool:
        """Tell whether a group is the engine's own; a login session's holds its shell too."""
        return set(cgroups.members(group)) <= self._tree.pids

    def _usage(self, now_ns: int) -> Iterator[Reading]:
        engine = self.match.name
        elapsed_ns, self._read_ns = now_ns - self._read_ns, now_ns
        usage = self._tree.read()
        self.pids = self._tree.pids
        cpu_ns = None if usage.ticks is None else usage.ticks * 1_000_000_000 // TICKS_PER_S
        read_bytes = usage.read_bytes
        if self._accounts is not None:
            for key, value in (("cpu", self._accounts.cpu_us()), ("read", self._accounts.read_bytes())):
                added = None if value is None else self._counters.step(key, value)
                if added is not None and key == "cpu":
                    cpu_ns = added * 1_000
                elif added is not None:
                    read_bytes = added
            charged = self._accounts.memory_bytes()
            if charged is not None:
                yield Reading(CHARGED, charged >> 10, engine)
        if cpu_ns is not None and elapsed_ns > 0:
            yield Reading(CPU, 10_000 * cpu_ns // elapsed_ns, engine)
        yield Reading(RSS, usage.rss_bytes >> 10, engine)
        yield Reading(THREADS, usage.threads, engine)
        if usage.major_faults is not None:
            yield Reading(FAULTS, usage.major_faults, engine)
        if read_bytes is not None:
            yield Reading(READ, read_bytes, engine)
        if usage.run_delay_ns is not None:
            delay_us, self._rest_ns = divmod(self._rest_ns + usage.run_delay_ns, 1_000)
            yield Reading(RUN_DELAY, delay_us, engine)
        if usage.preemptions is not None:
            yield Reading(PREEMPTIONS, usage.preemptions, engine)

    def _drop_accounts(self) -> None:
        if self._accounts is not None:
            self._accounts.close()
            self._accounts = None
        self._counters = Increments()

    def _lose(self) -> None:
        self._found = None
        self._listening = None
        self.pids = frozenset()
        self._tree.clear()
        self._drop_accounts()

    def close(self) -> None:
        self._lose()
        self._tree.close()
