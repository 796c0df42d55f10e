"""Sums of answers' embeddings, kept from window to window until there are enough of them to tell.

The sum of a few embeddings would give the answers away, so one travels only with `VECTOR_MIN_COUNT` of them: a device
that answers twice a minute tells of its topics every ten minutes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from operator import add

from stonechat.catalog import Kind
from stonechat.records import Series
from stonechat.values import VECTOR_MIN_COUNT, Value


class Centroids:
    """One sum a series."""

    def __init__(self) -> None:
        self._sums: dict[Series, tuple[int, Sequence[int]]] = {}

    def add(self, series: Series, embedding: Sequence[int]) -> None:
        """Add one answer's embedding. One of another length, of another model then, begins anew."""
        count, total = self._sums.get(series, (0, ()))
        if count and len(total) == len(embedding):
            self._sums[series] = (count + 1, tuple(map(add, total, embedding)))
        else:
            self._sums[series] = (1, tuple(embedding))

    def ripe(self) -> Iterator[tuple[Series, Value]]:
        """The sums that may be told."""
        for series, (count, total) in self._sums.items():
            if count >= VECTOR_MIN_COUNT:
                yield series, (Kind.VECTOR, count, *total)

    def told(self) -> None:
        """What is ripe stands in a window that is closed: it begins anew."""
        self._sums = {series: held for series, held in self._sums.items() if held[0] < VECTOR_MIN_COUNT}
