"""When an engine is asked. Pure: instants (seconds of a monotonic clock) come in.

It is asked at the start and when it has come up; later only where requests went to it since, for only then can anything
have changed without its coming up anew, and it was awake anyhow. An engine that nobody uses is left alone, so that what
stops or starts it by its connections (systemd's socket activation, a router) goes on doing so.
"""

from __future__ import annotations

SPACING_SECONDS = 60.0
"""Between two questions to an engine that answered."""
SOON_SECONDS = 2.0
"""Until the second question to one that is not there yet, or loads; doubled each time."""
LATER_SECONDS = 60.0
"""At most until the next question to an engine that is not there, or loads."""
HUNG_SECONDS = 60.0
"""Until the second question to one that does not answer; doubled each time."""
HUNG_MOST_SECONDS = 600.0


class Schedule:
    """The schedule of one engine. ``due`` is when it is asked next; None: not before something happens."""

    def __init__(self, now: float) -> None:
        self.due: float | None = now
        self._asked = now
        self._wait = 0.0
        self._hung = 0.0

    def came_up(self, now: float) -> None:
        """The engine was started, or was started anew: whatever was known of it is old."""
        self._wait = self._hung = 0.0
        self.due = now

    def used(self, now: float) -> None:
        """A request to the engine was answered."""
        if self.due is None:
            self.due = max(now, self._asked + SPACING_SECONDS)

    def answered(self, now: float) -> None:
        """It told all it has."""
        self._wait = self._hung = 0.0
        self._asked, self.due = now, None

    def not_ready(self, now: float) -> None:
        """Nobody listened, it is still loading, or what it said made no sense."""
        self._wait = min(LATER_SECONDS, self._wait * 2 or SOON_SECONDS)
        self._asked, self.due = now, now + self._wait

    def hung(self, now: float) -> None:
        """It did not answer in time, as an engine may that serves one request after the other."""
        self._hung = min(HUNG_MOST_SECONDS, self._hung * 2 or HUNG_SECONDS)
        self._asked, self.due = now, now + self._hung
