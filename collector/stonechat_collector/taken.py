"""The receipts of one stream of one run, while a batch is taken: a set of sequence numbers that grows in place."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping

import msgpack

from stonechat.ranges import Cover, Ranges, Standing, standing

MAX_FRAGMENTS = 4096
"""Ranges of one stream of one run. An agent leaves a gap only where it lost something, so that none comes near; a
hostile one must not make each of its messages cost more than the last."""


class Taken:
    """A set of numbers as sorted ranges. ``changed`` is set when it grew."""

    __slots__ = ("changed", "ranges")

    def __init__(self, blob: bytes | None = None) -> None:
        flat = msgpack.unpackb(blob) if blob else ()
        self.ranges: list[tuple[int, int]] = list(zip(flat[::2], flat[1::2], strict=True))
        self.changed = False

    def add(self, low: int, high: int) -> None:
        """Add ``low..high``, none of which may be in the set."""
        ranges = self.ranges
        self.changed = True
        at = len(ranges) if not ranges or low > ranges[-1][1] else bisect_left(ranges, (low, high))
        if at and ranges[at - 1][1] + 1 == low:
            at -= 1
            low = ranges.pop(at)[0]
        if at < len(ranges) and ranges[at][0] == high + 1:
            high = ranges.pop(at)[1]
        ranges.insert(at, (low, high))

    def frozen(self) -> Ranges:
        """The set as it stands on the wire."""
        return tuple(self.ranges)

    def blob(self) -> bytes:
        """The set as it stands in the store."""
        packed: bytes = msgpack.packb([number for pair in self.ranges for number in pair])
        return packed


def cover_standing(taken: Mapping[int, Taken], cover: Cover) -> Standing:
    """How a cover stands to the sets of its epochs: rule 3 of exactly-once totals."""
    if len(cover) == 1:
        epoch, low, high = cover[0]
        return standing(taken[epoch].ranges, low, high)
    standings = {standing(taken[epoch].ranges, low, high) for epoch, low, high in cover}
    return standings.pop() if len(standings) == 1 else Standing.PARTIAL
