"""What the agent's clocks show at one instant."""

from __future__ import annotations

from typing import NamedTuple

from stonechat.record import Stamp


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
