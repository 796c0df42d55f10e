"""The bounds on series and on tallies' keys, kept where keys come into being.

A key that once has a slot keeps it as long as the description is in force, also across restarts (the spool keeps the
table), and when all slots are taken every further key is ``other``. So any two windows of one description agree on
which keys have slots, their union never exceeds the bounds, and folding needs no bound of its own.
"""

from __future__ import annotations

from typing import Any

from stonechat.records import DEVICE, MAX_SERIES, MAX_TALLY_KEYS, OTHER, Series

OTHER_KEY = "other"


class Slots:
    """The slots of one description. ``changed`` is set when a new key took one, so that the table is written."""

    def __init__(self, series: list[Series] | None = None, keys: dict[int, list[str]] | None = None) -> None:
        self._series = dict.fromkeys(series or [])
        self._keys = {metric: dict.fromkeys(names) for metric, names in (keys or {}).items()}
        self.changed = False

    def series(self, wanted: Series) -> Series:
        """The series under which to count: the wanted one, or ``OTHER`` when all slots are taken."""
        if wanted == DEVICE or wanted == OTHER or wanted in self._series:
            return wanted
        if not wanted.operation:
            return wanted  # an engine's own series: engines come from the configuration, not from traffic
        if len(self._series) >= MAX_SERIES:
            return OTHER
        self._series[wanted] = None
        self.changed = True
        return wanted

    def key(self, metric: int, wanted: str | None) -> str:
        """The key under which a tally counts: the wanted one, or ``other``; None is ``other`` too."""
        if wanted is None or wanted == OTHER_KEY:
            return OTHER_KEY
        keys = self._keys.setdefault(metric, {})
        if wanted not in keys:
            if len(keys) >= MAX_TALLY_KEYS:
                return OTHER_KEY
            keys[wanted] = None
            self.changed = True
        return wanted

    def to_plain(self) -> list[Any]:
        """The table as lists, for the spool."""
        return [
            [list(series) for series in self._series],
            {metric: list(keys) for metric, keys in self._keys.items()},
        ]

    @classmethod
    def from_plain(cls, plain: list[Any]) -> Slots:
        """The table of ``to_plain``."""
        series, keys = plain
        return cls(
            [Series(*item) for item in series], {int(metric): list(names) for metric, names in keys.items()}
        )
