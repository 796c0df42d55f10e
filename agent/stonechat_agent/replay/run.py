"""The pipeline's steps, one exchange after the other, by the clock of the recording.

The pipeline itself waits for time to pass; here time is what the recording says: the clock stands at the end of the
exchange that is taken, windows end where a whole multiple of their length lies between two exchanges, and of a span in
which nothing ended there is no window.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Mapping
from typing import Any, Protocol

from stonechat.description import hash_of
from stonechat.errors import StonechatError
from stonechat.exchange import Exchange
from stonechat.records import Flag, Values, fold_values
from stonechat_agent.clocks import Instant
from stonechat_agent.journal import Journal
from stonechat_agent.spool import Spool
from stonechat_agent.window import Cutter, WindowBuilder

DESCRIPTION: Mapping[str, Any] = {"source": "replay"}
"""What the windows of a replay are described by: the device of the recording is not known."""

_MOST_WAITING = 512
_MOST_WAITING_TEXT = 2 << 20
_WRITE_SECONDS = 30.0


class Takes(Protocol):
    """The part of ``desk.Desk`` that is needed."""

    def take(self, exchange: Exchange, now: Instant) -> None:
        """Name an exchange, check its answer and have it kept."""


class Clock:
    """The clock of a recording. All its clocks show the same."""

    def __init__(self, ms: int) -> None:
        self.ms = ms

    def now(self) -> Instant:
        """The present instant of the recording."""
        return Instant(self.ms, self.ms, self.ms, True)


class Replay:
    """Takes exchanges in the order of their ends, and adds windows to a spool."""

    def __init__(self, desk: Takes, spool: Spool, clock: Clock, window_ms: int) -> None:
        self._desk = desk
        self._spool = spool
        self._clock = clock
        self._window_ms = window_ms
        self._cutter = Cutter(window_ms)
        self._description = hash_of(DESCRIPTION)
        spool.describe(DESCRIPTION)
        self._builder: WindowBuilder | None = None
        self._ends = 0
        self.totals: Values = {}
        """All windows, folded."""
        self.windows = 0
        self.unjudged: Counter[str] = Counter()
        """Exchanges that a fault of ours kept out of the journal, by the fault's kind. Windows count them."""

    def take(self, end_ms: int, exchange: Exchange) -> None:
        """Take an exchange that ended then, ms since 1970."""
        if self._builder is not None and end_ms >= self._ends:
            self._close(self._ends)
        self._clock.ms = max(end_ms, self._clock.ms)
        if self._builder is None:
            self._open()
        try:
            self._desk.take(exchange, self._clock.now())
        except StonechatError:
            raise
        except Exception as error:
            self.unjudged[type(error).__name__] += 1
        exchange.transcript = None
        assert self._builder is not None
        self._builder.add_exchange(exchange)

    def finish(self) -> None:
        """Close the last window.

        Raises:
            StonechatError: the disk refused what was to be kept.
        """
        if self._builder is not None:
            self._close(self._ends)
        if self._spool.stats().in_memory:
            raise StonechatError(f"{self._spool.directory}: the spool cannot be written; is the disk full?")

    def _open(self) -> None:
        # At the whole multiple, as if the agent had run by then.
        first = self._clock.ms - self._clock.ms % self._window_ms
        opened = Instant(first, first, first, True)
        self._cutter.opened(opened)
        self._ends = first + self._cutter.due(opened)
        self._builder = WindowBuilder(
            opened,
            order=self._spool.order,
            description=self._description,
            slots=self._spool.slots(self._description),
            length_ms=self._window_ms,
        )

    def _close(self, at_ms: int) -> None:
        assert self._builder is not None
        self._clock.ms = at_ms
        record = self._builder.build(self._clock.now(), Flag(0))
        self._builder = None
        self._spool.append(record)
        self.totals = fold_values(self.totals, record.values)
        self.windows += 1


class Keeper:
    """Hands exchanges to a journal no faster than it writes them: beyond its bounds it would let them go."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._sizes: deque[int] = (
            deque()
        )  # of the texts of what waits in the journal, and perhaps of some before

    def __call__(self, exchange: Exchange, chosen: str | None) -> None:
        """Keep an exchange. There is no collector that it could be chosen for.

        Raises:
            StonechatError: the journal is not written.
        """
        self._sizes.append(exchange.transcript.size if exchange.transcript is not None else 0)
        self._journal.put(exchange)
        ends = time.monotonic() + _WRITE_SECONDS
        while self._too_much():
            if (fault := self._journal.stats().fault) or time.monotonic() > ends:
                raise StonechatError(f"the journal cannot be written: {fault or 'the disk is too slow'}")
            time.sleep(0.002)

    def _too_much(self) -> bool:
        waiting = self._journal.stats().waiting
        while len(self._sizes) > waiting:
            self._sizes.popleft()
        return waiting >= _MOST_WAITING or sum(self._sizes) > _MOST_WAITING_TEXT
