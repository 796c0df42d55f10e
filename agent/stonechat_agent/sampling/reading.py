"""What a source of readings is, and what it gives.

A source reads one thing (a file of ``/proc``, a library, a sensor) and turns it into readings of the catalogue:
whole numbers in the metric's unit. A gauge's reading is the value now. A counter's and a tally's reading is what was
added since the source's previous read, so the first read of a counter gives none and no reading is negative.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import NamedTuple, Protocol

from stonechat.errors import StonechatError


class Reading(NamedTuple):
    """One value for a window: ``metric`` is the catalogue's id, ``value`` is in the catalogue's unit."""

    metric: int
    value: int
    engine: str | None = None
    """The engine's name, for metrics of the scope ENGINE; None for the device's."""
    key: str | None = None
    """The tally's key, a word of a closed set; None for other kinds."""


class Source(Protocol):
    """Something that gives readings. Used by one thread at a time; the sampler decides when to open it again.

    ``open`` and ``read`` raise ``Absent`` where the host has nothing to read, which is no failure, and any other
    exception where something broke. After either the sampler closes the source and opens it anew later, so ``open``
    starts from nothing: the increments of counters begin again.
    """

    @property
    def name(self) -> str:
        """A noun after what it reads; stands in logs and in ``Sample.failed``."""

    def open(self) -> None:
        """Probe what there is to read."""

    def read(self, now_ns: int) -> Iterable[Reading]:
        """Give the readings of this instant. ``now_ns`` is the monotonic clock's, in nanoseconds."""

    def close(self) -> None:
        """Release what ``open`` and ``read`` hold; harmless when nothing is held."""


class Absent(StonechatError):
    """This host has nothing for the source to read, or refuses it. The text says what, and what would change it."""


class Hung(StonechatError):
    """A source did not answer in time. Cure: none here; it is asked again later."""


class Pending(StonechatError):
    """A source that was opened has not answered yet: nothing is known of it, and nothing is wrong."""


def _boottime_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


class Clock(NamedTuple):
    """The two clocks of a sample, in nanoseconds; tests put their own in place."""

    monotonic_ns: Callable[[], int] = time.monotonic_ns
    """Stands still during suspend, as CPU times do: rates are taken over it."""
    # Counts suspend, as the kernel's start times of processes do. macOS and Windows lack it.
    boottime_ns: Callable[[], int] = _boottime_ns if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic_ns


def share(part: float, whole: float) -> int | None:
    """Return part of whole in ten-thousandths, 0 to 10000; None where there is no whole."""
    if whole <= 0:
        return None
    return min(10_000, max(0, round(10_000 * part / whole)))
