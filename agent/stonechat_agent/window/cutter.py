"""When a window ends: at whole multiples of its length, and wherever time itself is broken."""

from __future__ import annotations

from typing import NamedTuple

from stonechat.records import Flag
from stonechat_agent.clocks import Instant

CLOCK_STEP_MS = 1000
"""A wall clock that moves this far against the boottime between two looks has stepped; slewing is far slower."""

SUSPEND_MS = 2000
"""Boottime that passes while the monotonic clock stands still."""


class Cut(NamedTuple):
    """The end of a window, and why it came early."""

    flags: Flag
    step_ms: int
    """How far the wall clock stepped, 0 when it did not."""
    suspended_ms: int
    """How long the device was suspended, 0 when it was not."""


class Cutter:
    """Tells when the window that was opened last has to end.

    Windows end at UTC multiples of their length once the clock is synchronised, at multiples of the boottime before.
    Pure: instants come in.
    """

    def __init__(self, length_ms: int) -> None:
        self._length = length_ms
        self._ends = 0
        self._last: Instant | None = None

    def opened(self, now: Instant) -> None:
        """A window begins."""
        clock = now.wall if now.synced else now.boottime
        self._ends = now.boottime + self._length - clock % self._length
        self._last = now

    def look(self, now: Instant) -> Cut | None:
        """The cut that is due, None when the window goes on. To be called at least once a second."""
        last = self._last
        assert last is not None, "look before opened"
        self._last = now
        step = (now.wall - now.boottime) - (last.wall - last.boottime)
        suspended = (now.boottime - now.monotonic) - (last.boottime - last.monotonic)
        flags = Flag(0)
        if abs(step) >= CLOCK_STEP_MS:
            flags |= Flag.CUT_CLOCK
        if suspended >= SUSPEND_MS:
            flags |= Flag.CUT_SUSPEND
        if flags or now.boottime >= self._ends:
            return Cut(
                flags, step if Flag.CUT_CLOCK in flags else 0, suspended if Flag.CUT_SUSPEND in flags else 0
            )
        return None

    def due(self, now: Instant) -> int:
        """Milliseconds until the window ends by its length."""
        return max(0, self._ends - now.boottime)
