"""Whether something holds the device back (heat, power, voltage, current), by what any of its boards' signs say.

A probe looks at one kind of sign. Each is a class in a file of its own and a row in ``build.THROTTLES``; its words are
a closed set:

``thermal``                  too hot: the kernel or the processor slows down
``soft_temperature_limit``   a Raspberry Pi near its limit
``frequency_cap``            a Raspberry Pi's firmware caps the processor's frequency
``firmware``                 a Raspberry Pi's firmware throttles, for whatever cause
``under_voltage``            the supply is too weak
``over_current``             a rail draws more than it may
``power_cap``                a power limit is in force
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Protocol

from stonechat.catalog import metric_id

from .reading import Absent, Reading

THROTTLED = metric_id("stonechat.throttled")
REASONS = metric_id("stonechat.throttle.reasons")


class Probe(Protocol):
    """One kind of sign. Used by one thread; ``open`` starts from nothing."""

    def open(self) -> bool:
        """Look for what there is to read; False where this host has none of it."""

    def read(self) -> Collection[str] | None:
        """Return the reasons in force now, or since the last read; None while nothing is known.

        Raises:
            OSError: the sign cannot be read any more.
        """

    def close(self) -> None:
        """Release what is held."""


class Throttle:
    name = "throttle"

    def __init__(self, probes: Sequence[Probe]) -> None:
        self._probes = probes
        self._present: list[Probe] = []

    def open(self) -> None:
        self.close()
        self._present = [probe for probe in self._probes if probe.open()]
        if not self._present:
            raise Absent(
                "nothing here tells of throttling: no processor's counters, cooling device, firmware or alarm"
            )

    def read(self, now_ns: int) -> Iterator[Reading]:
        reasons: set[str] = set()
        known = False
        failure = None
        for probe in self._present:
            try:
                found = probe.read()
            except OSError as error:
                failure = error
                continue
            if found is not None:
                known = True
                reasons.update(found)
        if not known:
            if failure is not None:
                raise failure
            return
        yield Reading(THROTTLED, 10_000 if reasons else 0)
        for reason in sorted(reasons):
            yield Reading(REASONS, 1, key=reason)

    def close(self) -> None:
        for probe in self._probes:
            probe.close()
        self._present = []
