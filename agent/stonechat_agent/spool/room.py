"""Making room: what goes, what folds and what is coalesced when the spool nears its bound.

First what a collector has already, oldest first. Then held windows climb the ladder, oldest first, which costs
resolution and no total. Only then the oldest are given up, with a counted loss. Events have a share of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from stonechat import columns
from stonechat.event import Event
from stonechat.records import Record
from stonechat.wire import Stream
from stonechat_agent.spool import codec
from stonechat_agent.spool.ladder import PACK, RUNGS, Rung, climb
from stonechat_agent.spool.losses import merge
from stonechat_agent.spool.rows import event_row, items_of, window_row
from stonechat_agent.spool.store import FROZEN, SEQ_BITS, Row, State, Store

EVENTS_SHARE = 8
"""Events may take an eighth of the bound."""

_FOLDED_AT_ONCE = 1024  # records that one step of folding takes: a quarter of an hour of one-second windows
_FREED_AT_ONCE = 16
_LAST = (1 << 63) - 1


Stretch = list[tuple[Row, list[Record]]]
"""Rows of windows with their records."""


class Room:
    """Makes room in a store, in the transaction that is open."""

    def __init__(
        self, place: Callable[[Record, int], int], lose: Callable[[Store, Stream, Row, str], None]
    ) -> None:
        """
        Args:
            place: where a record of a run begins on the line that buckets are cut on, in ms.
            lose: deletes a row and counts it as lost for a reason.
        """
        self._place = place
        self._lose = lose

    def make(self, store: Store, incoming: int, bound: int) -> None:
        """Free pages until ``incoming`` bytes fit below ``bound``."""
        if store.event_bytes() + incoming > bound // EVENTS_SHARE:
            self._shed_events(store, bound // EVENTS_SHARE - incoming)
        while store.used() + incoming > bound:
            let_go = store.rows(Stream.WINDOW, (State.LET_GO,), limit=_FREED_AT_ONCE)
            if let_go:
                store.delete(Stream.WINDOW, [row.id for row in let_go])
            elif not self.fold(store) and not self._shed_window(store):
                break

    def fold(self, store: Store) -> bool:
        """Let the oldest held windows that can climb a rung do so; False when none can."""
        return any(self._climb(store, rung) for rung in RUNGS)

    def pack(self, store: Store, newest: Row, record: Record) -> None:
        """When a held window begins another hour than the held one before it, put that hour's into one row."""
        if newest.state != State.HELD:
            return
        before = store.rows(Stream.WINDOW, (State.HELD,), 0, newest.id - 1, limit=1, newest=True)
        if not before or before[0].n > 1:
            return
        ahead = self._place(record, newest.run) - record.first.boottime
        hours = [(row.run, (row.ended - 1 + ahead) // PACK.span) for row in (before[0], newest)]
        if hours[0] != hours[1]:
            self._climb(store, PACK, newest.id - 1)

    def _climb(self, store: Store, rung: Rung, last: int = _LAST) -> bool:
        stretch = self._to_fold(store, rung) if rung.step else self._to_pack(store, rung, last)
        if not stretch:
            return False
        records = [record for _, some in stretch for record in some]
        number = stretch[0][0].run
        folded = climb(records, rung, lambda record: self._place(record, number))
        if any(len(record.cover) > columns.MAX_RANGES for record in folded):
            return False
        store.delete(Stream.WINDOW, [row.id for row, _ in stretch])
        for at in range(0, len(folded), columns.MAX_RECORDS):
            some = folded[at : at + columns.MAX_RECORDS]
            store.insert(Stream.WINDOW, window_row(number, some, State.HELD), codec.encode(some))
        return True

    def _to_fold(self, store: Store, rung: Rung) -> Stretch:
        """The oldest held rows below the rung that belong together."""
        rows = self._held(store, rung, _LAST, lambda row: row.step < rung.step)
        stretch: Stretch = next(self._stretches(store, rung, rows, _FOLDED_AT_ONCE), [])
        if stretch:
            store.climbed_to[rung] = stretch[0][0].id
        return stretch

    def _to_pack(self, store: Store, rung: Rung, last: int) -> Stretch:
        """The oldest rows of a single record that belong together; one that stands alone is passed over for good."""
        rows = self._held(store, rung, last, lambda row: row.n == 1)
        for stretch in self._stretches(store, rung, rows, columns.MAX_RECORDS):
            store.climbed_to[rung] = stretch[0][0].id
            if len(stretch) > 1:
                return stretch
        return []

    def _stretches(
        self, store: Store, rung: Rung, rows: Iterable[Row | None], most: int
    ) -> Iterator[Stretch]:
        """Neighbours that are of one run, description, catalogue version and span; None parts those around it."""
        stretch: Stretch = []
        size = 0
        for row in rows:
            records = self._records(store, row) if row is not None else []
            if stretch and (
                row is None
                or not records
                or size + row.n > most
                or not self._belong(stretch[0], (row, records), rung)
            ):
                yield stretch
                stretch, size = [], 0
            if row is not None and records:
                stretch.append((row, records))
                size += row.n
        if stretch:
            yield stretch

    def _belong(self, one: tuple[Row, list[Record]], other: tuple[Row, list[Record]], rung: Rung) -> bool:
        (row, (record, *_)), (next_row, (next_record, *_)) = one, other
        return (
            row.run == next_row.run
            and row.name == next_row.name
            and record.catalog == next_record.catalog
            and self._place(record, row.run) // rung.span == self._place(next_record, row.run) // rung.span
        )

    @staticmethod
    def _held(store: Store, rung: Rung, last: int, fits: Callable[[Row], bool]) -> Iterator[Row | None]:
        """Held rows that may climb a rung, in the order of age, None in place of those that do not fit."""
        first = store.climbed_to.get(rung, 0)
        while rows := store.rows(Stream.WINDOW, (State.HELD,), first, last, limit=columns.MAX_RECORDS):
            for row in rows:
                yield row if fits(row) else None
            first = rows[-1].id + 1

    def _records(self, store: Store, row: Row) -> list[Record]:
        found = store.row(Stream.WINDOW, row.id)
        records = items_of(Stream.WINDOW, found) if found is not None else None
        if records is None:
            self._lose(store, Stream.WINDOW, row, "damaged")
            return []
        return records

    def _shed_window(self, store: Store) -> bool:
        for states in ((State.HELD, State.WANTED), (State.OFFERED,)):
            oldest = store.rows(Stream.WINDOW, states, limit=1)
            if oldest:
                self._lose(store, Stream.WINDOW, oldest[0], "space")
                return True
        return False

    def _shed_events(self, store: Store, share: int) -> None:
        """Bring events below their share: those that a collector has go, then equal ones coalesce.

        Where that does not suffice the oldest are given up, an eighth at once, so that not every event that follows
        has all others looked through.
        """
        while store.event_bytes() > share:
            let_go = store.rows(Stream.EVENT, (State.LET_GO,), limit=_FREED_AT_ONCE)
            if not let_go:
                break
            store.delete(Stream.EVENT, [row.id for row in let_go])
        if store.event_bytes() > share:
            for name in store.repeated():
                self.coalesce(store, name)
        if store.event_bytes() > share:
            for row in store.rows(Stream.EVENT, (State.HELD, *FROZEN)):
                self._lose(store, Stream.EVENT, row, "space")
                if store.event_bytes() <= share - share // 8:
                    break

    def coalesce(self, store: Store, name: bytes) -> bool:
        """Make few of the held events of that kind and key, for each run; False when nothing changed."""
        by_run: dict[int, list[Row]] = {}
        for row in store.held_events(name):
            by_run.setdefault(row.id >> SEQ_BITS, []).append(row)
        changed = False
        for run, rows in by_run.items():
            read = [(row, event) for row in rows if (event := self._event(store, row)) is not None]
            for gone, merged in _coalesced(read):
                store.delete(Stream.EVENT, gone)
                store.insert(Stream.EVENT, event_row(run, merged, State.HELD), codec.encode([merged]))
                changed = True
        return changed

    def _event(self, store: Store, row: Row) -> Event | None:
        found = store.row(Stream.EVENT, row.id)
        events: Sequence[Event] | None = items_of(Stream.EVENT, found) if found is not None else None
        if events is None:
            self._lose(store, Stream.EVENT, row, "damaged")
            return None
        return events[0]


def _coalesced(events: Sequence[tuple[Row, Event]]) -> Iterator[tuple[list[int], Event]]:
    """Events of one kind and key as few: the rows that each takes the place of. One that stays alone is left out."""
    gone: list[int] = []
    merged: Event | None = None
    for row, event in events:
        candidate = event if merged is None else merge(merged, event)
        if len(candidate.cover) > columns.MAX_RANGES:
            if merged is not None and len(gone) > 1:
                yield gone, merged
            gone, candidate = [], event
        gone.append(row.id)
        merged = candidate
    if merged is not None and len(gone) > 1:
        yield gone, merged
