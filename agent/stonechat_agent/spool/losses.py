"""What was lost: counted by stream and reason, and told by events that name the numbers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

from stonechat import ranges
from stonechat.event import Event, EventKind, coalesce
from stonechat.ranges import Cover
from stonechat.wire import Stream

MAX_RANGES = 64
"""Ranges of lost numbers that one event names."""


class Loss(NamedTuple):
    """Windows or events that are gone before a collector had them."""

    stream: Stream
    reason: str
    cover: Cover

    @property
    def key(self) -> str:
        """What counters and events are keyed by."""
        return f"{self.stream.name.lower()}.{self.reason}"

    @property
    def lost(self) -> int:
        """How many are lost."""
        return ranges.cover_size(self.cover)

    def attributes(self) -> dict[str, Any]:
        """What the event says: ``lost`` of them, and which, as [epoch in hexadecimal, low, high] each."""
        cover = [[f"{epoch:016x}", low, high] for epoch, low, high in self.cover[:MAX_RANGES]]
        return {"stream": self.stream.name.lower(), "reason": self.reason, "lost": self.lost, "cover": cover}


def merge(one: Event, other: Event) -> Event:
    """Two events of one kind and key as one; those that tell of losses add up what was lost."""
    merged = coalesce(one, other)
    if merged.kind != EventKind.LOSS:
        return merged
    by_epoch: dict[str, list[tuple[int, int]]] = {}
    for event in (one, other):
        for epoch, low, high in event.attributes["cover"]:
            by_epoch.setdefault(epoch, []).append((low, high))
    cover = [[epoch, low, high] for epoch, some in by_epoch.items() for low, high in ranges.union(some)]
    lost = one.attributes["lost"] + other.attributes["lost"]
    return replace(merged, attributes={**merged.attributes, "lost": lost, "cover": cover[:MAX_RANGES]})
