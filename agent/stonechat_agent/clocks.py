"""The clocks of the device, read together."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from typing import NamedTuple

from stonechat.records import Stamp

_MS = 1_000_000
_TIME_ERROR = 5  # linux/timex.h
_RECHECK_NS = 10_000_000_000


class Instant(NamedTuple):
    """Readings of one instant, in ms: CLOCK_MONOTONIC, CLOCK_BOOTTIME, and the wall clock since 1970.

    ``synced`` says whether the wall clock is known to be synchronised.
    """

    monotonic: int
    boottime: int
    wall: int
    synced: bool

    def stamp(self, order: int) -> Stamp:
        """This instant as the run of that order knows it."""
        return Stamp(order, self.monotonic, self.boottime, self.wall, self.synced)


class Clocks:
    """Reads the clocks; asks the kernel at most every ten seconds whether the wall clock is synchronised."""

    def __init__(self) -> None:
        self._checked_ns: int | None = None
        self._synced = False
        self._adjtimex = _adjtimex()

    def now(self) -> Instant:
        """The present instant."""
        monotonic_ns = time.monotonic_ns()
        if self._checked_ns is None or monotonic_ns - self._checked_ns >= _RECHECK_NS:
            self._checked_ns = monotonic_ns
            self._synced = self._ask()
        boottime_ns = (
            time.clock_gettime_ns(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else monotonic_ns
        )
        return Instant(monotonic_ns // _MS, boottime_ns // _MS, time.time_ns() // _MS, self._synced)

    def _ask(self) -> bool:
        if self._adjtimex is None:
            # Other systems than Linux keep their clocks by a service that we cannot ask.
            return time.time() > _RELEASED
        return self._adjtimex()


_RELEASED = 1_760_000_000
"""A wall clock before this project's first release is wrong for sure."""


def _adjtimex() -> Callable[[], bool] | None:
    """A function that tells by adjtimex(2) whether the kernel's clock is synchronised; None where there is none.

    NTP and PTP daemons clear STA_UNSYNC, and the kernel sets it again when nobody has disciplined the clock for
    long enough that its error may exceed 16 s.
    """
    try:
        import ctypes

        call = ctypes.CDLL(None, use_errno=True).adjtimex
    except (ImportError, OSError, AttributeError):
        return None
    buffer = ctypes.create_string_buffer(512)  # struct timex is 208 bytes on 64-bit, 128 on 32-bit systems

    def synced() -> bool:
        ctypes.memset(buffer, 0, len(buffer))  # modes = 0: only read
        state = call(buffer)
        if state < 0:
            # Some sandboxes forbid the call even for reading: then the clock is believed unless it is absurd.
            return ctypes.get_errno() in (errno.EPERM, errno.ENOSYS) and time.time() > _RELEASED
        return bool(state != _TIME_ERROR) and time.time() > _RELEASED

    return synced
