"""Sets of sequence numbers as ranges, and the cover and receipts made of them.

``Ranges`` is a sorted tuple of ``(low, high)``, both included, without overlap and without neighbours that touch.
``Cover`` is a sorted tuple of ``(epoch, low, high)``: which windows (or events) of which runs a record holds.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum

Ranges = tuple[tuple[int, int], ...]
Cover = tuple[tuple[int, int, int], ...]


class Standing(Enum):
    """How a cover stands to the receipts."""

    NEW = "new"  # disjoint: nothing of it was taken before
    TAKEN = "taken"  # all of it was taken before
    PARTIAL = "partial"  # some of it was: it can be neither stored nor dropped


def union(*sets: Iterable[tuple[int, int]]) -> Ranges:
    """The numbers of all sets, in canonical form."""
    merged: list[tuple[int, int]] = []
    for low, high in sorted(pair for one in sets for pair in one):
        if merged and low <= merged[-1][1] + 1:
            if high > merged[-1][1]:
                merged[-1] = (merged[-1][0], high)
        else:
            merged.append((low, high))
    return tuple(merged)


def difference(ranges: Iterable[tuple[int, int]], other: Iterable[tuple[int, int]]) -> Ranges:
    """The numbers of ``ranges`` that are not in ``other``."""
    taken = union(other)
    left: list[tuple[int, int]] = []
    for low, high in union(ranges):
        for start, end in taken:
            if end < low or start > high:
                continue
            if start > low:
                left.append((low, start - 1))
            low = end + 1
            if low > high:
                break
        if low <= high:
            left.append((low, high))
    return tuple(left)


def count(ranges: Iterable[tuple[int, int]]) -> int:
    """How many numbers a canonical set holds."""
    return sum(high - low + 1 for low, high in ranges)


def standing(ranges: Sequence[tuple[int, int]], low: int, high: int) -> Standing:
    """How the range ``low..high`` stands to a canonical set."""
    index = bisect_right(ranges, (high, 1 << 64)) - 1
    if index < 0 or ranges[index][1] < low:
        return Standing.NEW
    start, end = ranges[index]
    return Standing.TAKEN if start <= low and high <= end else Standing.PARTIAL


def cover_standing(receipts: Mapping[int, Ranges], cover: Cover) -> Standing:
    """How a cover stands to receipts by epoch: rule 3 of exactly-once totals."""
    standings = {standing(receipts.get(epoch, ()), low, high) for epoch, low, high in cover}
    return standings.pop() if len(standings) == 1 else Standing.PARTIAL


def cover_union(*covers: Cover) -> Cover:
    """The cover of a fold. Raises ValueError when two of them share a number: that would count it twice."""
    by_epoch: dict[int, list[tuple[int, int]]] = {}
    for cover in covers:
        for epoch, low, high in cover:
            by_epoch.setdefault(epoch, []).append((low, high))
    result: list[tuple[int, int, int]] = []
    for epoch in sorted(by_epoch):
        ranges = union(by_epoch[epoch])
        if count(ranges) != sum(high - low + 1 for low, high in by_epoch[epoch]):
            raise ValueError(f"covers overlap in epoch {epoch:016x}")
        result.extend((epoch, low, high) for low, high in ranges)
    return tuple(result)


def cover_size(cover: Cover) -> int:
    """How many windows or events a cover holds."""
    return sum(high - low + 1 for _, low, high in cover)
