"""What time it is for deleting what is old: a clock that one wrong step does not make delete everything. Pure."""

from __future__ import annotations

SETTLE_MS = 600_000
"""How long a wall clock must go on as it does before entries are deleted by it."""
PLAUSIBLE_MS = 1_760_000_000_000
"""A start before this project's first release was told by a clock that had not been set."""

_STEP_MS = 60_000


class SettledClock:
    """The wall clock, where it steps forward, only after it has gone on from there for a while.

    Many devices start with whatever time their clock has, and step once a network tells them better. Back, it follows
    at once: then less is deleted, not more.
    """

    def __init__(self) -> None:
        self._offset: int | None = None
        self._candidate: int | None = None
        self._since = 0

    def look(self, wall_ms: int, monotonic_ms: int) -> int | None:
        """The time by which to delete, ms since 1970; None while there is none yet. To be called every minute or so."""
        offset = wall_ms - monotonic_ms
        if self._offset is not None and offset - self._offset <= _STEP_MS:
            self._offset = min(self._offset, offset)
            self._candidate = None
        elif self._candidate is None or abs(offset - self._candidate) > _STEP_MS:
            self._candidate, self._since = offset, monotonic_ms
        elif monotonic_ms - self._since >= SETTLE_MS:
            self._offset, self._candidate = offset, None
        return None if self._offset is None else monotonic_ms + self._offset
