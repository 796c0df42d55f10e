"""What an acknowledgement does to the rows of a store: rules 3, 4 and 6 of exactly-once totals, the agent's half."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from stonechat import ranges
from stonechat.ranges import Ranges, Standing
from stonechat.wire import Ack, Stream
from stonechat_agent.spool.rows import row_standing
from stonechat_agent.spool.store import FROZEN, SEQ_BITS, Row, Run, State, Store, row_id

log = logging.getLogger(__name__)

_LAST_SEQ = (1 << SEQ_BITS) - 1
_BEYOND = ((_LAST_SEQ + 1, (1 << 63) - 1),)


@dataclass(slots=True)
class AckResult:
    """What an acknowledgement changed: row ids by stream, and how many records became wanted again."""

    let_go: dict[Stream, set[int]] = field(default_factory=lambda: {stream: set() for stream in Stream})
    dropped: dict[Stream, set[int]] = field(default_factory=lambda: {stream: set() for stream in Stream})
    wanted_again: int = 0


class AckReader:
    """Applies one acknowledgement to one store, in the transaction that is open."""

    def __init__(
        self,
        store: Store,
        runs: Mapping[int, Run],
        result: AckResult,
        split: Callable[[Store, Stream, Row], list[Row]],
        lose: Callable[[Store, Stream, Row, str], None],
    ) -> None:
        """
        Args:
            runs: the runs that may have rows, by number.
            split: puts each record of a row into a row of its own.
            lose: deletes a row and counts it as lost for a reason.
        """
        self._store = store
        self._runs = runs
        self._result = result
        self._split = split
        self._lose = lose

    def apply(self, ack: Ack, *, lacks: bool) -> None:
        """Let go of what was taken, want again what is lacking if ``lacks`` says that it can be trusted in this, and
        give up what was refused.

        Receipts that the acknowledgement does not name say nothing.
        """
        for run in self._runs.values():
            for stream in Stream:
                named = ack.taken.get((stream, run.epoch))
                if named is None:
                    continue
                taken = ranges.difference(named, _BEYOND)
                self._take(stream, run.run, taken)
                if lacks:
                    self._want_again(stream, run.run, taken)
        numbers = {run.epoch: run.run for run in self._runs.values()}
        for stream_id, epoch, low, high, reason in ack.refused:
            if epoch in numbers and stream_id in (Stream.WINDOW, Stream.EVENT) and low <= high:
                self._give_up(Stream(stream_id), numbers[epoch], low, min(high, _LAST_SEQ), reason)

    def _take(self, stream: Stream, run: int, taken: Ranges) -> None:
        whole: list[int] = []
        for low, high in taken:
            for row in self._store.rows(stream, FROZEN, row_id(run, low), row_id(run, high)):
                whole += [
                    part.id for part in self._parts(stream, row, taken) if _is(part, taken, Standing.TAKEN)
                ]
        self._store.set_state(stream, whole, State.LET_GO)
        self._result.let_go[stream].update(whole)

    def _want_again(self, stream: Stream, run: int, taken: Ranges) -> None:
        again: list[int] = []
        for low, high in ranges.difference(((1, _LAST_SEQ),), taken):
            for row in self._store.rows(stream, (State.LET_GO,), row_id(run, low), row_id(run, high)):
                missing = [part for part in self._parts(stream, row, taken) if _is(part, taken, Standing.NEW)]
                again += [part.id for part in missing]
                self._result.wanted_again += sum(part.n for part in missing)
        self._store.set_state(stream, again, State.WANTED)

    def _give_up(self, stream: Stream, run: int, low: int, high: int, reason: str) -> None:
        # Only the record that was refused. A clone under the same id hears the answers to the other's records too, and
        # may hold within their range what the collector would still take.
        for row in self._store.rows(stream, FROZEN, row_id(run, 0), row_id(run, high)):
            if row.high < low or _is(row, ((low, high),), Standing.NEW):
                continue
            for part in self._split(self._store, stream, row) if row.n > 1 else [row]:
                if (low, high) in part.ranges():
                    log.warning("record refused", extra={"stream": stream.name.lower(), "reason": reason})
                    self._lose(self._store, stream, part, "refused")
                    self._result.dropped[stream].add(part.id)

    def _parts(self, stream: Stream, row: Row, taken: Ranges) -> list[Row]:
        """The row, or its records' rows where they part ways."""
        if row.n > 1 and _is(row, taken, Standing.PARTIAL):
            return self._split(self._store, stream, row)
        return [row]


def _is(row: Row, taken: Ranges, standing: Standing) -> bool:
    return row_standing(taken, row) is standing
