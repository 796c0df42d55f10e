"""Gives copies of relayed bytes to the captures, after they were forwarded and in bounded time.

Forwarding has the way: a copy waits here until the event loop has dealt with what is ready, and copies are read for at
most a millisecond before the loop looks at its sockets again. A connection whose copies wait in more than a bound is
not read any further; it is relayed all the same.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from stonechat.exchange import Exchange

from ..capture import Connection, Counts

_SLICE_NS = 1_000_000
LINK_BACKLOG = 1 << 20
TOTAL_BACKLOG = 8 << 20


class Reader(Protocol):
    """A relayed connection, as far as its copies go."""

    capture: Connection
    backlog: int
    """Bytes of its copies that wait."""
    behind: bool
    """Whether copies were left out: what comes after them cannot be read."""


class Feeder:
    """The queue of all copies and events of one relay, in the order in which things happened."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        clock_ns: Callable[[], int],
        deliver: Callable[[Sequence[Exchange]], None],
        counts: Counts,
    ) -> None:
        self._loop = loop
        self._clock_ns = clock_ns
        self._deliver = deliver
        self._counts = counts
        self._waiting: deque[tuple[Reader, Callable[..., Sequence[Exchange]], bytes | None, int]] = deque()
        self._backlog = 0
        self._scheduled = False

    def put_bytes(
        self, reader: Reader, take: Callable[[bytes, int], Sequence[Exchange]], data: bytes, now_ns: int
    ) -> None:
        """Queue a copy of bytes for ``take``, a method of the reader's capture."""
        if reader.behind or not reader.capture.reading:
            return
        size = len(data)
        if reader.backlog + size > LINK_BACKLOG or self._backlog + size > TOTAL_BACKLOG:
            reader.behind = True
            self.put(reader, reader.capture.fall_behind, now_ns)
            return
        reader.backlog += size
        self._backlog += size
        self._waiting.append((reader, take, data, now_ns))
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._run)

    def put(self, reader: Reader, take: Callable[[int], Sequence[Exchange]], now_ns: int) -> None:
        """Queue an event: ``take`` is called with its instant once all that came before was read."""
        self._waiting.append((reader, take, None, now_ns))
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._run)

    def flush(self) -> None:
        """Read all that waits now."""
        while self._waiting:
            self._run_one()

    def _run(self) -> None:
        end_ns = self._clock_ns() + _SLICE_NS
        waiting = self._waiting
        while waiting:
            self._run_one()
            if waiting and self._clock_ns() >= end_ns:
                self._loop.call_soon(self._run)
                return
        self._scheduled = False

    def _run_one(self) -> None:
        reader, take, data, now_ns = self._waiting.popleft()
        if data is not None:
            self._backlog -= len(data)
            reader.backlog -= len(data)
        try:
            finished = take(now_ns) if data is None else take(data, now_ns)
        except Exception:
            # A capture raises nothing; if one did all the same, the others must still be read.
            self._counts.drop("internal")
            reader.behind = True
            return
        if finished:
            self._deliver(finished)
