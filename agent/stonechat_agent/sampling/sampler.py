"""Reads every source at each tick, whatever the others do, and says which of them fail."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from enum import Enum
from typing import NamedTuple

from stonechat.catalog import metric_id

from .aside import Aside
from .reading import Absent, Clock, Pending, Reading, Source

log = logging.getLogger(__name__)

SOURCES_FAILED = metric_id("stonechat.agent.sources.failed")

RETRY_FIRST_NS = 1_000_000_000
RETRY_LAST_NS = 60_000_000_000
"""A source that fails is opened anew after 1, 2, 4 ... 60 s. One that is absent is looked for every 60 s: a driver
may be loaded, and a permission given, after the agent's start."""
STEADY = 10
"""Good reads that end a row of failures: a source that fails at every second read shall wait longer each time."""


class Sample(NamedTuple):
    """One reading of the device."""

    readings: tuple[Reading, ...]
    monotonic_ns: int
    boottime_ns: int
    failed: tuple[str, ...]
    """Names of the sources that fail, in the sources' order; absent ones are not among them."""


class State(Enum):
    """Where a source stands."""

    NEW = "new"
    OK = "ok"
    ABSENT = "absent"
    FAILED = "failed"


class SourceStatus(NamedTuple):
    """What the sampler knows of one source."""

    name: str
    state: State
    reason: str
    """Why it is absent or fails; "" otherwise."""
    reads: int
    failures: int
    last_ns: int
    """How long its last read took, in nanoseconds."""
    longest_ns: int


class _Entry:
    """One source and how it fares."""

    __slots__ = (
        "failures",
        "good",
        "in_a_row",
        "last_ns",
        "longest_ns",
        "opened",
        "reads",
        "reason",
        "retry_ns",
        "source",
        "state",
    )

    def __init__(self, source: Source) -> None:
        self.source = source
        self.state = State.NEW
        self.reason = ""
        self.opened = False
        self.retry_ns = 0
        self.good = self.in_a_row = 0
        self.reads = self.failures = self.last_ns = self.longest_ns = 0

    def ask(self, now_ns: int) -> None:
        """Let a source that is read in another thread begin, so that all of them are read in one go."""
        if self.opened and isinstance(self.source, Aside):
            self.source.ask(now_ns)

    def sample(self, now_ns: int, clock_ns: Callable[[], int]) -> list[Reading]:
        """Return the source's readings; none where it is absent or fails. Raises nothing that a source raises."""
        if not self.opened and now_ns < self.retry_ns:
            return []
        started_ns = clock_ns()
        try:
            if not self.opened:
                self.source.open()
                self.opened = True
            readings = list(self.source.read(now_ns))
        except Pending:
            return []
        except Absent as absent:
            self._lose(State.ABSENT, str(absent), now_ns + RETRY_LAST_NS)
            return []
        except Exception as error:
            self.failures += 1
            wait_ns = min(RETRY_FIRST_NS << min(self.in_a_row, 6), RETRY_LAST_NS)
            self.in_a_row += 1
            self._lose(State.FAILED, f"{type(error).__name__}: {error}", now_ns + wait_ns)
            return []
        if self.state is State.FAILED:
            log.info("source recovered", extra={"source": self.source.name, "failures": self.in_a_row})
        self.state, self.reason = State.OK, ""
        self.reads += 1
        self.good += 1
        if self.good == STEADY:
            self.in_a_row = 0
        self.last_ns = clock_ns() - started_ns
        self.longest_ns = max(self.longest_ns, self.last_ns)
        return readings

    def _lose(self, state: State, reason: str, retry_ns: int) -> None:
        if state is not self.state:
            level = logging.INFO if state is State.ABSENT else logging.WARNING
            log.log(level, f"source {state.value}", extra={"source": self.source.name, "reason": reason})
        self.state, self.reason, self.retry_ns, self.good = state, reason, retry_ns, 0
        self.close()

    def close(self) -> None:
        self.opened = False
        try:
            self.source.close()
        except Exception as error:
            log.warning("source not closed", extra={"source": self.source.name, "reason": repr(error)})


class Sampler:
    """Takes samples of its sources. One thread calls ``sample`` and ``close``; any may call ``status``."""

    def __init__(self, sources: Iterable[Source], clock: Clock | None = None) -> None:
        self._entries = [_Entry(source) for source in sources]
        self._aside = [entry for entry in self._entries if isinstance(entry.source, Aside)]
        self._at_once = [entry for entry in self._entries if entry not in self._aside]
        self._clock = clock or Clock()

    def sample(self, now_ns: int | None = None) -> Sample:
        """Read every source that is not waiting for its next try.

        ``now_ns`` is the monotonic clock's (default: now). The first sample opens the sources, and gives no counters.
        """
        if now_ns is None:
            now_ns = self._clock.monotonic_ns()
        boottime_ns = self._clock.boottime_ns()
        clock_ns = self._clock.monotonic_ns
        given = {entry: entry.sample(now_ns, clock_ns) for entry in self._at_once}
        # Asked when there is nothing else to do, as two threads at work at once hinder one another; and the last one
        # is waited for first, since by then the others have answered too.
        for entry in self._aside:
            entry.ask(now_ns)
        given |= {entry: entry.sample(now_ns, clock_ns) for entry in reversed(self._aside)}
        readings = [reading for entry in self._entries for reading in given[entry]]
        failed = tuple(entry.source.name for entry in self._entries if entry.state is State.FAILED)
        readings.append(Reading(SOURCES_FAILED, len(failed)))
        return Sample(tuple(readings), now_ns, boottime_ns, failed)

    def status(self) -> tuple[SourceStatus, ...]:
        """How each source fares, in the sources' order."""
        return tuple(
            SourceStatus(
                entry.source.name,
                entry.state,
                entry.reason,
                entry.reads,
                entry.failures,
                entry.last_ns,
                entry.longest_ns,
            )
            for entry in self._entries
        )

    def close(self) -> None:
        """Release what the sources hold."""
        for entry in self._entries:
            entry.close()
            entry.state, entry.reason, entry.retry_ns = State.NEW, "", 0


def next_tick(start_ns: int, interval_ns: int, now_ns: int) -> int:
    """Return the first instant after now on the schedule ``start + n * interval``; what was missed is skipped."""
    return start_ns + ((now_ns - start_ns) // interval_ns + 1) * interval_ns


class SamplingThread:
    """Samples at a fixed rate in a thread of its own and hands each sample to a callback there.

    The schedule is absolute, so it does not drift, and ticks that were missed are skipped, never made up for.
    """

    def __init__(
        self,
        sampler: Sampler,
        interval_ns: int,
        callback: Callable[[Sample], None],
        clock: Clock | None = None,
    ) -> None:
        if interval_ns <= 0:
            raise ValueError(f"interval of {interval_ns} ns: must be positive")
        self._sampler = sampler
        self._interval_ns = interval_ns
        self._callback = callback
        self._clock = clock or Clock()
        self._stop = threading.Event()
        # A daemon: a sensor's driver that never returns must not keep the agent from ending.
        self._thread = threading.Thread(target=self._run, name="sampling", daemon=True)
        self._callback_fails = False
        self.missed = 0
        """Ticks skipped, because a sample took longer than the interval or the machine stalled."""

    def start(self) -> None:
        """Take the first sample at once, and then one an interval."""
        self._thread.start()

    def stop(self, timeout_s: float = 2.0) -> None:
        """End after the sample under way, and close the sources. Waits no longer than ``timeout_s``."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)

    def _run(self) -> None:
        start_ns = due_ns = self._clock.monotonic_ns()
        while True:
            self._hand_over(self._sampler.sample(self._clock.monotonic_ns()))
            now_ns = self._clock.monotonic_ns()
            next_ns = next_tick(start_ns, self._interval_ns, now_ns)
            self.missed += (next_ns - due_ns) // self._interval_ns - 1
            due_ns = next_ns
            if self._stop.wait((due_ns - now_ns) / 1e9):
                break
        self._sampler.close()

    def _hand_over(self, sample: Sample) -> None:
        try:
            self._callback(sample)
        except Exception:
            # The fault is the receiver's; sampling goes on, and says so once until it is well again.
            if not self._callback_fails:
                log.exception("sample not taken")
            self._callback_fails = True
        else:
            self._callback_fails = False
